"""What do BERT, DistilBERT and RoBERTa cost? Post-norm encoders for masked-language modelling (Devlin et al., 2019)."""

from dataclasses import replace

from edgesim.model import Block, BlockKind, Model
from edgesim.zoo.chains import chain, refuse_counts
from edgesim.zoo.parts.attention import AttentionStyle, attention
from edgesim.zoo.parts.costs import (
    BY_TOKENS,
    TOKENS,
    PartCosts,
    TransformerWidths,
    block,
    everything,
    floats,
    joined,
)
from edgesim.zoo.parts.embedding import EmbeddingTables, embedding
from edgesim.zoo.parts.head import Vocabulary, language_head
from edgesim.zoo.parts.mlp import Activation, MlpStyle, mlp
from edgesim.zoo.parts.norms import layer_norm


def bert(
    *,
    name: str,
    layers: int,
    hidden: int,
    heads: int,
    columns: int,
    vocabulary: int,
    positions: int,
    token_types: int = 2,
    tied: bool = False,
    dropout: bool = False,
    fused: bool = True,
) -> Model:
    """BERT as ``transformers.BertForMaskedLM``: the embedding, ``layers`` encoder layers, and the head.

    Untied unless told, as the runtime builds it: embedding and decoder may live on different devices. The published
    checkpoints are tied. Attention is ``fused`` as the library has it by default; before PyTorch 2.0, and where it is
    asked for eager attention, it keeps the probabilities.
    """
    refuse_counts(name, layers=layers)
    widths = TransformerWidths.of(name, hidden=hidden, heads=heads, columns=columns)
    tables = EmbeddingTables(rows=vocabulary + positions + token_types)
    made = chain(
        embedding(tables, hidden=hidden, norm=True, dropout=dropout),
        encoder=[_encoder(widths, AttentionStyle(dropout=dropout, fused=fused), dropout)] * layers,
        head=[_head(hidden, Vocabulary(size=vocabulary, tied=tied, biases=True))],
    )
    hyper = {
        "layers": layers,
        "hidden": hidden,
        "heads": heads,
        "columns": columns,
        "vocabulary": vocabulary,
        "positions": positions,
        "token_types": token_types,
        "tied": tied,
        "dropout": dropout,
        "fused": fused,
    }
    return Model(name=name, architecture="bert", hyper=hyper, layers=made)


def distilbert(
    *,
    name: str,
    layers: int,
    hidden: int,
    heads: int,
    columns: int,
    vocabulary: int,
    positions: int,
    tied: bool,
    dropout: bool = False,
) -> Model:
    """DistilBERT (Sanh et al., 2019) as ``transformers.DistilBertForMaskedLM``.

    BERT without token types; nothing drops what attention puts out.
    """
    refuse_counts(name, layers=layers)
    widths = TransformerWidths.of(name, hidden=hidden, heads=heads, columns=columns)
    made = chain(
        embedding(EmbeddingTables(rows=vocabulary + positions), hidden=hidden, norm=True, dropout=dropout),
        encoder=[_encoder(widths, AttentionStyle(), dropout)] * layers,
        head=[_head(hidden, Vocabulary(size=vocabulary, tied=tied, biases=True))],
    )
    hyper = {
        "layers": layers,
        "hidden": hidden,
        "heads": heads,
        "columns": columns,
        "vocabulary": vocabulary,
        "positions": positions,
        "tied": tied,
        "dropout": dropout,
    }
    return Model(name=name, architecture="distilbert", hyper=hyper, layers=made)


def roberta(
    *,
    name: str,
    layers: int,
    hidden: int,
    heads: int,
    columns: int,
    vocabulary: int,
    positions: int,
    token_types: int = 1,
    tied: bool = True,
    dropout: bool = False,
    fused: bool = True,
) -> Model:
    """Return RoBERTa (Liu et al., 2019) as ``transformers.RobertaForMaskedLM``: BERT with positions by sample.

    ``positions`` are the rows of their table, two more than tokens: that is how its configurations count them.
    """
    refuse_counts(name, layers=layers)
    widths = TransformerWidths.of(name, hidden=hidden, heads=heads, columns=columns)
    tables = EmbeddingTables(rows=vocabulary + positions + token_types, ids=3)
    made = chain(
        embedding(tables, hidden=hidden, norm=True, dropout=dropout),
        encoder=[_encoder(widths, AttentionStyle(dropout=dropout, fused=fused), dropout)] * layers,
        head=[_head(hidden, Vocabulary(size=vocabulary, tied=tied, biases=True))],
    )
    hyper = {
        "layers": layers,
        "hidden": hidden,
        "heads": heads,
        "columns": columns,
        "vocabulary": vocabulary,
        "positions": positions,
        "token_types": token_types,
        "tied": tied,
        "dropout": dropout,
        "fused": fused,
    }
    return Model(name=name, architecture="roberta", hyper=hyper, layers=made)


def _encoder(widths: TransformerWidths, style: AttentionStyle, dropout: bool) -> tuple[Block, ...]:
    return (
        attention(widths, style),
        layer_norm("norm_attention", hidden=widths.hidden),
        mlp(widths, MlpStyle(activation=Activation.GELU, dropout=dropout)),
        layer_norm("norm_mlp", hidden=widths.hidden),
    )


def _head(hidden: int, vocabulary: Vocabulary) -> Block:
    """Dense, GELU, layer norm, decoder, cross-entropy: saves the input of each, and the log-probabilities.

    Only the decoder can be split, by its columns; its parts are what leads to it, and itself.
    """
    dense = hidden * hidden
    costs = PartCosts(
        parameters=dense + hidden + 2 * hidden,
        output=TOKENS * hidden,
        stash=floats(TOKENS * (3 * hidden + 2)),
        weights=TOKENS * (2 * dense),
        weight_stash=floats(TOKENS * hidden),
        moved=TOKENS * (6 * hidden),
        moved_back=TOKENS * (11 * hidden),
    )
    transform = block("head.in", BlockKind.HEAD, BY_TOKENS, costs)
    decoder = language_head(vocabulary, hidden=hidden, name="head.out")
    whole = joined("head", transform, decoder)
    return replace(
        whole,
        split_by=decoder.split_by,
        splits=decoder.splits,
        tied_bytes=decoder.tied_bytes,
        tied_to=decoder.tied_to,
        unsplit=everything(transform) + decoder.unsplit,
    )
