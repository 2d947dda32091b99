"""What does GPT-2 cost? Pre-norm decoders that predict the next token (Radford et al., 2019)."""

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


def gpt2(
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
    """GPT-2 as ``transformers.GPT2LMHeadModel``: the embedding, ``layers`` decoder layers, final norm and head.

    Hugging Face writes this GELU in Python, which saves five tensors where the fused one saves two.
    """
    size = head_size_of(name, hidden=hidden, heads=heads)
    decoder = (
        layer_norm("norm_attention", hidden=hidden),
        attention(hidden=hidden, heads=heads, head_size=size, dropout=dropout),
        layer_norm("norm_mlp", hidden=hidden),
        mlp(hidden=hidden, columns=columns, activation=Activation.GELU_NEW, dropout=dropout),
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
    ids = embedding(hidden=hidden, rows=vocabulary + positions, dropout=dropout)
    made = chain(ids, decoder=[decoder] * layers, head=head)
    return Model(name=name, architecture="gpt2", hyper=hyper, layers=made)
