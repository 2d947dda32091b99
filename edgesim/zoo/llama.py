"""What does Llama cost? Decoders with RMS norms, rotary positions and gated MLPs (Touvron et al., 2023).

Mistral, Qwen 2 and 3 and Phi-3 are Llama with other sizes and few more options.
"""

from collections.abc import Sequence
from dataclasses import replace

from edgesim.model import Block, Model
from edgesim.zoo.chains import chain, each_layers_window, refuse_counts
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
    head_size: int | None = None,
    biases: bool = False,
    qk_norms: bool = False,
    windows: Sequence[int] = (),
) -> Model:
    """Llama as ``transformers.LlamaForCausalLM``: the embedding, ``layers`` decoder layers, final norm and head.

    ``groups`` heads of K and V serve ``heads`` heads of Q. ``positions`` is the longest sequence trained on; rotary
    positions have no parameters. There is no dropout in Llama.

    Heads have ``head_size`` numbers; without it they are together as wide as the model. ``biases`` are those of Q, K
    and V (Qwen 2), ``qk_norms`` RMS norms over each head of Q and of K (Qwen 3). ``windows`` say, layer by layer, how
    many of the last tokens each looks at, 0 for all of them; one number is that of every layer (Mistral).
    """
    refuse_counts(name, layers=layers)
    widths = TransformerWidths.of(name, hidden=hidden, heads=heads, columns=columns, groups=groups, head_size=head_size)
    style = AttentionStyle(biases=biases, exit_bias=False, qk_norms=qk_norms, positions=True)

    def decoder(window_tokens: int) -> tuple[Block, ...]:
        return (
            rms_norm("norm_attention", hidden=hidden),
            attention(widths, replace(style, window_tokens=window_tokens)),
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
        "head_size": widths.head_size,
        "biases": biases,
        "qk_norms": qk_norms,
        "windows": list(windows),
    }
    ids = embedding(EmbeddingTables(rows=vocabulary), hidden=hidden)
    made = chain(ids, decoder=[decoder(window) for window in each_layers_window(name, layers, windows)], head=head)
    return Model(name=name, architecture="llama", hyper=hyper, layers=made)
