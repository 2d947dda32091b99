"""What does Gemma cost? Llama's decoders with scaled words and, from Gemma 2 on, norms behind too (Google, 2024)."""

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


def gemma(
    *,
    name: str,
    layers: int,
    hidden: int,
    heads: int,
    groups: int,
    head_size: int,
    columns: int,
    vocabulary: int,
    positions: int,
    tied: bool = True,
    norms_behind: bool = False,
    qk_norms: bool = False,
    capped: bool = False,
    windows: Sequence[int] = (),
) -> Model:
    """Return Gemma as ``transformers.GemmaForCausalLM``, ``Gemma2ForCausalLM`` or ``Gemma3ForCausalLM``.

    The arguments are Llama's (:func:`edgesim.zoo.llama.llama`). ``norms_behind`` are those of what attention and MLP
    put out, before it is added (Gemma 2 and 3). ``capped`` scores of attention, and logits, pass a tanh (Gemma 2), so
    that attention is not fused.
    """
    refuse_counts(name, layers=layers)
    widths = TransformerWidths.of(name, hidden=hidden, heads=heads, columns=columns, groups=groups, head_size=head_size)
    style = AttentionStyle(biases=False, qk_norms=qk_norms, positions=True, fused=not capped, capped=capped)

    def behind(what: str) -> tuple[Block, ...]:
        return (rms_norm(f"norm_behind_{what}", hidden=hidden, residual=False),) if norms_behind else ()

    def decoder(window_tokens: int) -> tuple[Block, ...]:
        return (
            rms_norm("norm_attention", hidden=hidden),
            attention(widths, replace(style, window_tokens=window_tokens)),
            *behind("attention"),
            rms_norm("norm_mlp", hidden=hidden),
            mlp(widths, MlpStyle(activation=Activation.SWIGLU, biases=False)),
            *behind("mlp"),
        )

    head = (
        rms_norm("norm_final", hidden=hidden),
        language_head(Vocabulary(size=vocabulary, tied=tied, capped=capped), hidden=hidden),
    )
    hyper = {
        "layers": layers,
        "hidden": hidden,
        "heads": heads,
        "groups": groups,
        "head_size": head_size,
        "columns": columns,
        "vocabulary": vocabulary,
        "positions": positions,
        "tied": tied,
        "norms_behind": norms_behind,
        "qk_norms": qk_norms,
        "capped": capped,
        "windows": list(windows),
    }
    ids = embedding(EmbeddingTables(rows=vocabulary, scaled=True), hidden=hidden)
    made = chain(ids, decoder=[decoder(window) for window in each_layers_window(name, layers, windows)], head=head)
    return Model(name=name, architecture="gemma", hyper=hyper, layers=made)
