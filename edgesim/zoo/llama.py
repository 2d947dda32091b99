"""What does Llama cost? Decoders with RMS norms, rotary positions and gated MLPs (Touvron et al., 2023)."""

from edgesim.apportion import refuse_remainder
from edgesim.model import Model
from edgesim.zoo.chains import chain
from edgesim.zoo.parts.attention import AttentionStyle, attention
from edgesim.zoo.parts.costs import TransformerWidths
from edgesim.zoo.parts.embedding import EmbeddingTables, embedding
from edgesim.zoo.parts.head import Vocabulary, language_head
from edgesim.zoo.parts.mlp import Activation, MlpStyle, mlp
from edgesim.zoo.parts.norms import rms_norm


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
    widths = TransformerWidths.of(name, hidden=hidden, heads=heads, columns=columns, groups=groups)
    refuse_remainder(name, divided=("heads", heads), by=("groups", groups))
    decoder = (
        rms_norm("norm_attention", hidden=hidden),
        attention(widths, AttentionStyle(biases=False, positions=True)),
        rms_norm("norm_mlp", hidden=hidden),
        mlp(widths, MlpStyle(activation=Activation.SWIGLU, biases=False)),
    )
    head = (rms_norm("norm_final", hidden=hidden), language_head(Vocabulary(size=vocabulary, tied=tied), hidden=hidden))
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
    ids = embedding(EmbeddingTables(rows=vocabulary), hidden=hidden)
    made = chain(ids, decoder=[decoder] * layers, head=head)
    return Model(name=name, architecture="llama", hyper=hyper, layers=made)
