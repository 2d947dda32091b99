"""What do adapters and LoRA cost? Matrices that are trained behind, or beside, those of a frozen model."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from edgesim.finetuning.gradients import with_gradients
from edgesim.finetuning.lengths import hidden_of, length_of
from edgesim.model import CROSS_ATTENTION, Block, BlockKind, Cost, Layer, Model
from edgesim.units import BYTES_PER_FLOAT32
from edgesim.zoo.parts.costs import TOKENS, PartCosts, Split, block, floats


def houlsby(model: Model, *, bottleneck: int = 64) -> Model:
    """Put adapters of this width behind every attention and every MLP, and train nothing else.

    Each maps hidden to bottleneck and back, with GELU between and a residual: ``4 h m`` FLOP per token. 64 is what
    PAC's memory table implies (0.05 GiB of gradients for T5-Large).
    """
    hidden = hidden_of(model, bottleneck=bottleneck)

    entering: dict[Block, Cost] = {}

    def widened(layer: Layer) -> Iterable[Block]:
        for part in layer.blocks:
            yield part
            if part.kind in (BlockKind.ATTENTION, BlockKind.MLP):
                added = _adapter(part, length_of(layer, hidden), hidden, bottleneck)
                entering[added] = added.weight_flop * 0.5  # the way down is as large as the way up
                yield added

    return _tuned(model, "adapters", widened, entering, bottleneck=bottleneck)


def lora(model: Model, *, rank: int = 32, dropout: bool = False) -> Model:
    """Put two matrices of this rank beside each attention's Q and V; train nothing else.

    ``2 r (h + i)`` FLOP per token for Q and ``2 r (h + g)`` for V, where i and g are as wide as all heads of Q and as
    all groups of V: fewer than the model is where heads share K and V.

    ``dropout`` drops from what enters them, for Q and V apart, as the technique's library offers. A rank of 32 is what
    PAC's memory table implies (0.04 GiB of gradients for T5-Large).
    """
    hidden = hidden_of(model, rank=rank)

    entering: dict[Block, Cost] = {}

    def widened(layer: Layer) -> Iterable[Block]:
        for part in layer.blocks:
            if part.kind is BlockKind.ATTENTION:
                queries = length_of(layer, hidden)
                added = _low_rank(part, queries, hidden, rank, dropout)
                entering[added] = (queries + _values_of(part, queries)) * (2 * rank * hidden)
                yield added
            yield part

    return _tuned(model, "lora", widened, entering, rank=rank, lora_dropout=dropout)


def _tuned(
    model: Model,
    technique: str,
    widened: Callable[[Layer], Iterable[Block]],
    entering: Mapping[Block, Cost],
    **sizes: int | bool,
) -> Model:
    """Freeze the model's blocks, put the technique's among them, and take the gradients' way through them.

    ``entering`` is filled by ``widened``: the FLOP of the gradient of what enters each block that is added.
    """
    frozen = [
        replace(layer, blocks=tuple(replace(part, trainable=False) for part in layer.blocks)) for layer in model.layers
    ]
    layers = with_gradients(tuple(replace(layer, blocks=tuple(widened(layer))) for layer in frozen), entering)
    if not any(part.trainable for layer in layers for part in layer.blocks):
        raise ValueError(f"{model.name} has no attention and no MLP, which {technique} need (fine-tune it in full)")
    hyper = dict(model.hyper) | {"technique": technique} | sizes
    return replace(model, name=f"{model.name}+{technique}", hyper=hyper, layers=layers)


def _adapter(behind: Block, length: Cost, hidden: int, bottleneck: int) -> Block:
    """Saved: the input and GELU's output, for the weights, and GELU's input."""
    for_weights = floats(length * (hidden + bottleneck))
    costs = PartCosts(
        parameters=2 * hidden * bottleneck + bottleneck + hidden,
        weights=length * (4 * hidden * bottleneck),
        stash=for_weights + floats(length * bottleneck),
        weight_stash=for_weights,
        moved=length * (5 * hidden + 4 * bottleneck),
        moved_back=length * (7 * hidden + 7 * bottleneck),
    )
    split = Split(by=behind.split_by, units=behind.splits)
    made = block(f"adapter_{behind.name}", BlockKind.SIDE, split, costs)
    return replace(made, output_bytes=behind.output_bytes)


def _low_rank(beside: Block, queries: Cost, hidden: int, rank: int, dropout: bool) -> Block:
    """For Q and V of one attention; V's tokens are the encoder's where attention looks across.

    Saved, for the weights: what enters, which attention itself no longer keeps, and the products of low rank. Q and V
    share what enters unless they look at different tokens, or each has a dropped copy with a mask of a byte per number.
    """
    crossed, values = beside.name == CROSS_ATTENTION, _values_of(beside, queries)
    heads, groups = _widths(beside, queries, values)
    entered = queries + values if crossed or dropout else queries
    for_weights = floats(entered * hidden + (queries + values) * rank) + entered * (hidden if dropout else 0)
    costs = PartCosts(
        parameters=rank * (2 * hidden + heads + groups),
        weights=queries * (2 * rank * (hidden + heads)) + values * (2 * rank * (hidden + groups)),
        stash=for_weights,
        weight_stash=for_weights,
        # Each of Q's and V's two products; what they make is scaled and added.
        moved=(queries + values) * (hidden + 2 * rank) + queries * (6 * heads) + values * (6 * groups),
        moved_back=(queries + values) * (5 * hidden + 4 * rank) + queries * (4 * heads) + values * (4 * groups),
    )
    made = block(f"lora_{beside.name}", BlockKind.SIDE, Split(by=beside.split_by, units=beside.splits), costs)
    return replace(made, output_bytes=beside.output_bytes)


def _values_of(attention: Block, queries: Cost) -> Cost:
    """How many tokens V is made of: the encoder's where attention looks across."""
    return TOKENS if attention.name == CROSS_ATTENTION else queries


def _widths(attention: Block, queries: Cost, values: Cost) -> tuple[int, int]:
    """Numbers per token of all heads of Q, and of all groups of V.

    Raises ValueError for an attention without parts, whose widths are unknown.
    """
    if not attention.parts:
        raise ValueError(f"{attention.name} has no parts, so its V is unknown (take a transformer of edgesim.zoo)")
    all_bytes, query_bytes = (part.output_bytes(1, 1) for part in attention.parts[:2])
    per_query, per_value = queries(1, 1) * BYTES_PER_FLOAT32, values(1, 1) * 2 * BYTES_PER_FLOAT32
    return round(query_bytes / per_query), round((all_bytes - query_bytes) / per_value)
