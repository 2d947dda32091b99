"""What do BERT and DistilBERT cost? Post-norm encoders for masked-language modelling (Devlin et al., 2019)."""

from dataclasses import replace

from edgesim.model import Block, BlockKind, Layer, Model, SplitBy
from edgesim.zoo.chains import chain
from edgesim.zoo.parts import (
    TOKENS,
    Activation,
    attention,
    block,
    embedding,
    everything,
    floats,
    head_size_of,
    joined,
    language_head,
    layer_norm,
    mlp,
)


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
) -> Model:
    """BERT as ``transformers.BertForMaskedLM``: the embedding, ``layers`` encoder layers, and the head.

    Untied unless told, as the runtime builds it: embedding and decoder may live on different devices. The published
    checkpoints are tied.
    """
    made = _chain(
        name,
        layers=layers,
        hidden=hidden,
        heads=heads,
        columns=columns,
        vocabulary=vocabulary,
        rows=vocabulary + positions + token_types,
        tied=tied,
        dropout=dropout,
        attention_dropout=dropout,
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
    made = _chain(
        name,
        layers=layers,
        hidden=hidden,
        heads=heads,
        columns=columns,
        vocabulary=vocabulary,
        rows=vocabulary + positions,
        tied=tied,
        dropout=dropout,
        attention_dropout=False,
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


def _chain(
    name: str,
    *,
    layers: int,
    hidden: int,
    heads: int,
    columns: int,
    vocabulary: int,
    rows: int,
    tied: bool,
    dropout: bool,
    attention_dropout: bool,
) -> tuple[Layer, ...]:
    size = head_size_of(name, hidden=hidden, heads=heads)
    encoder = (
        attention(hidden=hidden, heads=heads, head_size=size, dropout=attention_dropout),
        layer_norm("norm_attention", hidden=hidden),
        mlp(hidden=hidden, columns=columns, activation=Activation.GELU, dropout=dropout),
        layer_norm("norm_mlp", hidden=hidden),
    )
    ids = embedding(hidden=hidden, rows=rows, norm=True, dropout=dropout)
    return chain(ids, encoder=[encoder] * layers, head=[_head(hidden, vocabulary, tied)])


def _head(hidden: int, vocabulary: int, tied: bool) -> Block:
    """Dense, GELU, layer norm, decoder, cross-entropy: saves the input of each, and the log-probabilities.

    Only the decoder can be split, by its columns; its parts are what leads to it, and itself.
    """
    dense = hidden * hidden
    transform = block(
        "head.in",
        BlockKind.HEAD,
        parameters=dense + hidden + 2 * hidden,
        output=TOKENS * hidden,
        stash=floats(TOKENS * (3 * hidden + 2)),
        split_by=SplitBy.TOKENS,
        weights=TOKENS * (2 * dense),
        weight_stash=floats(TOKENS * hidden),
        moved=TOKENS * (6 * hidden),
        moved_back=TOKENS * (11 * hidden),
    )
    decoder = language_head(name="head.out", hidden=hidden, vocabulary=vocabulary, tied=tied, biases=True)
    whole = joined("head", transform, decoder)
    return replace(
        whole,
        split_by=decoder.split_by,
        splits=decoder.splits,
        tied_bytes=decoder.tied_bytes,
        tied_to=decoder.tied_to,
        unsplit=everything(transform) + decoder.unsplit,
    )
