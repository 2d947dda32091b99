"""What does Llama cost? Decoders with RMS norms, rotary positions and gated MLPs (Touvron et al., 2023)."""

from edgesim.apportion import refuse_remainder
from edgesim.model import Model
from edgesim.zoo.chains import chain
from edgesim.zoo.parts import (
    Activation,
    attention,
    embedding,
    head_size_of,
    language_head,
    mlp,
    rms_norm,
)


def llama(
    *,
    name: str,
    layers: int,
    hidden: int,
    heads: int,
    groups: int,
    columns: int,
    vocabulary: int,
    positions: int,
    tied: bool,
) -> Model:
    """Llama as ``transformers.LlamaForCausalLM``: the embedding, ``layers`` decoder layers, final norm and head.

    ``groups`` heads of K and V serve ``heads`` heads of Q. ``positions`` is the longest sequence trained on; rotary
    positions have no parameters. There is no dropout in Llama.
    """
    size = head_size_of(name, hidden=hidden, heads=heads)
    refuse_remainder(name, divided=("heads", heads), by=("groups", groups))
    decoder = (
        rms_norm("norm_attention", hidden=hidden),
        attention(hidden=hidden, heads=heads, head_size=size, groups=groups, biases=False, positions=True),
        rms_norm("norm_mlp", hidden=hidden),
        mlp(hidden=hidden, columns=columns, activation=Activation.SWIGLU, biases=False),
    )
    head = (rms_norm("norm_final", hidden=hidden), language_head(hidden=hidden, vocabulary=vocabulary, tied=tied))
    hyper = {
        "layers": layers,
        "hidden": hidden,
        "heads": heads,
        "groups": groups,
        "columns": columns,
        "vocabulary": vocabulary,
        "positions": positions,
        "tied": tied,
    }
    ids = embedding(hidden=hidden, rows=vocabulary)
    made = chain(ids, decoder=[decoder] * layers, head=head)
    return Model(name=name, architecture="llama", hyper=hyper, layers=made)
