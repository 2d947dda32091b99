"""What do BERT and DistilBERT cost? Post-norm encoders for masked-language modelling (Devlin et al., 2019)."""

from edgesim.model import Block, BlockKind, Layer, Model, SplitBy
from edgesim.zoo.chains import chain
from edgesim.zoo.parts import (
    EMBEDDING,
    TOKENS,
    Activation,
    attention,
    block,
    embedding,
    floats,
    head_size_of,
    layer_norm,
    mlp,
    unsplit,
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
        name, layers=layers, hidden=hidden, heads=heads, columns=columns, vocabulary=vocabulary,
        rows=vocabulary + positions + token_types, tied=tied, dropout=dropout, attention_dropout=dropout,
    )  # fmt: skip
    hyper = {
        "layers": layers, "hidden": hidden, "heads": heads, "columns": columns, "vocabulary": vocabulary,
        "positions": positions, "token_types": token_types, "tied": tied, "dropout": dropout,
    }  # fmt: skip
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
        name, layers=layers, hidden=hidden, heads=heads, columns=columns, vocabulary=vocabulary,
        rows=vocabulary + positions, tied=tied, dropout=dropout, attention_dropout=False,
    )  # fmt: skip
    hyper = {
        "layers": layers, "hidden": hidden, "heads": heads, "columns": columns, "vocabulary": vocabulary,
        "positions": positions, "tied": tied, "dropout": dropout,
    }  # fmt: skip
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

    The vocabulary can be split; each rank then has all that comes before the decoder.
    """
    matrix, dense = hidden * vocabulary, hidden * hidden
    transform = unsplit(
        parameters=dense + hidden + 2 * hidden, stash=floats(TOKENS * (4 * hidden + 2)), weights=TOKENS * (2 * dense),
        weight_stash=floats(TOKENS * (2 * hidden)), moved=TOKENS * (7 * hidden), moved_back=TOKENS * (13 * hidden),
    )  # fmt: skip
    return block(
        "head", BlockKind.HEAD,
        parameters=dense + hidden + 2 * hidden + vocabulary + (0 if tied else matrix),
        output=TOKENS * vocabulary, stash=floats(TOKENS * (4 * hidden + 2 + vocabulary)),
        split_by=SplitBy.COLUMNS, splits=vocabulary,
        weights=TOKENS * (2 * dense + 2 * matrix), weight_stash=floats(TOKENS * (2 * hidden)),
        moved=TOKENS * (7 * hidden + 3 * vocabulary), moved_back=TOKENS * (13 * hidden + 8 * vocabulary),
        tied=matrix if tied else 0, tied_to=EMBEDDING if tied else "", unsplit=transform,
    )  # fmt: skip
