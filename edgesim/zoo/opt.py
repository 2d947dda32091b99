"""What does OPT cost? Pre-norm decoders with ReLU that predict the next token (Zhang et al., 2022)."""

from edgesim.model import Model
from edgesim.zoo.chains import chain
from edgesim.zoo.parts import (
    Activation,
    attention,
    embedding,
    head_size_of,
    language_head,
    layer_norm,
    mlp,
)

# The table of positions is this much longer than the model is: Hugging Face keeps two rows for padding.
_EXTRA_POSITIONS = 2


def opt(
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
    """OPT as ``transformers.OPTForCausalLM``: the embedding, ``layers`` decoder layers, final norm and head.

    For the sizes with norms before attention and with word embeddings as wide as the model: all but OPT-350M. Each
    sample has its own position ids. Neither the embedding nor the published models' attention is dropped.
    """
    size = head_size_of(name, hidden=hidden, heads=heads)
    rows = vocabulary + positions + _EXTRA_POSITIONS
    decoder = (
        layer_norm("norm_attention", hidden=hidden),
        attention(hidden=hidden, heads=heads, head_size=size, dropout=dropout),
        layer_norm("norm_mlp", hidden=hidden),
        mlp(hidden=hidden, columns=columns, activation=Activation.RELU, dropout=dropout),
    )
    head = (layer_norm("norm_final", hidden=hidden), language_head(hidden=hidden, vocabulary=vocabulary, tied=tied))
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
    ids = embedding(hidden=hidden, rows=rows, ids=2)
    made = chain(ids, decoder=[decoder] * layers, head=head)
    return Model(name=name, architecture="opt", hyper=hyper, layers=made)
