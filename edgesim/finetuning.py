"""What is trained, where must gradients travel, and what is kept for them? Techniques as functions from Model to Model.

In the backward pass a block computes the gradients of its weights if they are trained, and the gradient of its input if
anything before it is trained. What it keeps from the forward pass follows: ``weight_flop`` and ``weight_stash_bytes``
fall away with the first, everything with both.

    full               everything is trained
    houlsby            a bottleneck after attention and after the MLP (Houlsby et al., 2019)
    lora               low-rank matrices beside those of Q and V (Hu et al., 2021)
    parallel_adapters  a side network of 1/k of all sizes, fed by the outputs of the frozen layers (arXiv 2408.10746)
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from edgesim.apportion import refuse_remainder
from edgesim.model import Block, BlockKind, Cost, Layer, Model, Unsplit
from edgesim.units import BYTES_PER_FLOAT32
from edgesim.zoo.architectures import rebuilt
from edgesim.zoo.parts.costs import BY_TOKENS, TOKENS, PartCosts, Split, block, floats

# Of what the backward pass touches in memory, the input's side: neither gradients of weights nor their inputs. Assumed.
_INPUT_SIDE = 0.5


def full(model: Model) -> Model:
    """Return the model as it is: every parameter is trained."""
    return model


def houlsby(model: Model, *, bottleneck: int = 64) -> Model:
    """Put adapters of this width behind every attention and every MLP, and train nothing else.

    Each maps hidden to bottleneck and back, with GELU between and a residual: ``4 h m`` FLOP per token. 64 is what
    PAC's memory table implies (0.05 GiB of gradients for T5-Large).
    """
    hidden = _hidden(model, bottleneck=bottleneck)

    def widened(layer: Layer) -> Iterable[Block]:
        for part in layer.blocks:
            yield part
            if part.kind in (BlockKind.ATTENTION, BlockKind.MLP):
                yield _adapter(part, _length(layer, hidden), hidden, bottleneck)

    return _tuned(model, "adapters", widened)


def lora(model: Model, *, rank: int = 32, dropout: bool = False) -> Model:
    """Put two matrices of this rank beside each attention's Q and V; train nothing else.

    ``2 r (h + i)`` FLOP per token for Q and ``2 r (h + g)`` for V, where i and g are as wide as all heads of Q and as
    all groups of V: fewer than the model is where heads share K and V.

    ``dropout`` drops from what enters them, for Q and V apart, as the technique's library offers. A rank of 32 is what
    PAC's memory table implies (0.04 GiB of gradients for T5-Large).
    """
    hidden = _hidden(model, rank=rank)

    def widened(layer: Layer) -> Iterable[Block]:
        for part in layer.blocks:
            if part.kind is BlockKind.ATTENTION:
                yield _low_rank(part, _length(layer, hidden), hidden, rank, dropout)
            yield part

    return _tuned(model, "lora", widened)


def _tuned(model: Model, technique: str, widened: Callable[[Layer], Iterable[Block]]) -> Model:
    """Freeze the model's blocks, put the technique's among them, and take the gradients' way through them."""
    frozen = [
        replace(layer, blocks=tuple(replace(part, trainable=False) for part in layer.blocks)) for layer in model.layers
    ]
    layers = with_gradients(tuple(replace(layer, blocks=tuple(widened(layer))) for layer in frozen))
    if not any(part.trainable for layer in layers for part in layer.blocks):
        raise ValueError(f"{model.name} has no attention and no MLP, which {technique} need (fine-tune it in full)")
    hyper = dict(model.hyper) | {"technique": technique}
    return replace(model, name=f"{model.name}+{technique}", hyper=hyper, layers=layers)


def with_gradients(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """Reduce each block to what it computes and keeps for the backward pass, given which blocks are trainable."""
    reached = False  # whether anything before is trained
    done: list[Layer] = []
    for layer in layers:
        blocks: list[Block] = []
        for part in layer.blocks:
            blocks.append(part if part.trainable else passing(part) if reached else resting(part))
            reached = reached or part.trainable
        if not reached:
            blocks[-1] = replace(blocks[-1], gradient_bytes=Cost())
        done.append(replace(layer, blocks=tuple(blocks)))
    return tuple(done)


def passing(part: Block) -> Block:
    """Return the block frozen, with gradients that travel through it to earlier blocks."""
    return _frozen(part, _without_weights)


def resting(part: Block) -> Block:
    """Return the block frozen, with nothing to train before it: it has no backward pass and keeps nothing."""
    return _frozen(part, _without_backward)


def _frozen(part: Block, left: Callable[[Block | Unsplit], dict[str, Any]]) -> Block:
    """The block, what of it is unsplit, and its parts, each with what is left of its backward pass."""
    return replace(
        part,
        **left(part),
        trainable=False,
        unsplit=replace(part.unsplit, **left(part.unsplit)),
        parts=tuple(_frozen(inner, left) for inner in part.parts),
    )


def _without_weights(part: Block | Unsplit) -> dict[str, Any]:
    return _without_backward(part) | {
        "backward_flop": part.backward_flop + part.weight_flop * -1,
        "backward_bytes": part.backward_bytes * _INPUT_SIDE,
        "stash_bytes": part.stash_bytes + part.weight_stash_bytes * -1,
    }


def _without_backward(part: Block | Unsplit) -> dict[str, Any]:
    names = ("backward_flop", "backward_bytes", "stash_bytes", "weight_flop", "weight_stash_bytes")
    return dict.fromkeys(names, Cost())


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
    crossed = beside.name == "cross_attention"
    values = TOKENS if crossed else queries
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


def _widths(attention: Block, queries: Cost, values: Cost) -> tuple[int, int]:
    """Numbers per token of all heads of Q, and of all groups of V.

    Raises ValueError for an attention without parts, whose widths are unknown.
    """
    if not attention.parts:
        raise ValueError(f"{attention.name} has no parts, so its V is unknown (take a transformer of edgesim.zoo)")
    all_bytes, query_bytes = (part.output_bytes(1, 1) for part in attention.parts[:2])
    per_query, per_value = queries(1, 1) * BYTES_PER_FLOAT32, values(1, 1) * 2 * BYTES_PER_FLOAT32
    return round(query_bytes / per_query), round((all_bytes - query_bytes) / per_value)


def _hidden(model: Model, **sizes: int) -> int:
    if "hidden" not in model.hyper:
        raise ValueError(f"{model.name} has no hidden size: this technique is for transformers (fine-tune it in full)")
    if too_small := [f"{name}={size}" for name, size in sizes.items() if size < 1]:
        raise ValueError(f"{model.name}: {too_small[0]} must be at least 1 (or take finetuning=full)")
    return int(model.hyper["hidden"])


def _length(layer: Layer, hidden: int) -> Cost:
    """How many tokens the layer works on: those that its first attention puts out."""
    first = next(part for part in layer.blocks if part.kind is BlockKind.ATTENTION)
    return first.output_bytes * (1 / (hidden * BYTES_PER_FLOAT32))


def parallel_adapters(model: Model, *, k: int = 8) -> Model:
    """Put a side network of 1/k of every size beside the frozen model; gradients travel in the side network alone.

    Behind the embedding and behind every layer, a matrix maps the layer's output b_i to the side network's width; a
    learnt gate mixes it with the side state a_(i-1), and a layer like the model's own, but light, makes a_i of it. The
    last state is normed, mapped back and added to what the head reads. A boundary carries b_i and a_i.
    """
    hidden = _hidden(model, k=k)
    light = _light(model, k)
    width = _hidden(light)
    *body, head = zip(model.layers, light.layers, strict=True)
    layers = [_with_side(layer, small, hidden, width) for layer, small in body]
    ending = (
        *(_as_side(part) for part in head[1].blocks if part.kind is BlockKind.CONNECTIVE),
        _map("side_up", _length_out(model.layers[-2], hidden), width, hidden),
        *(passing(part) for part in head[0].blocks),
    )
    hyper = dict(model.hyper) | {"technique": "parallel_adapters", "k": k}
    name = f"{model.name}+parallel_adapters"
    return replace(model, name=name, hyper=hyper, layers=(*layers, replace(head[0], blocks=ending)))


def cached(model: Model) -> Model:
    """Keep only the side network and the head of parallel adapters: frozen layers' outputs come from a cache.

    Raises ValueError for a model of another technique.
    """
    if model.hyper.get("technique") != "parallel_adapters":
        raise ValueError(f"{model.name} has no parallel adapters, which a cache needs (parallel_adapters first)")
    body = [
        replace(layer, blocks=tuple(part for part in layer.blocks if part.trainable)) for layer in model.layers[:-1]
    ]
    return replace(model, name=f"{model.name}+cache", layers=(*body, model.layers[-1]))


def _light(model: Model, k: int) -> Model:
    """The model with every size divided by k, the numbers of heads and of groups too, but at least one of each.

    The paper does not tell about heads. With as many as the model has, their scores alone would take two thirds of the
    seconds that it publishes for T5-Base with the cache, at the board's peak rate of memory.
    """
    sizes = {name: model.hyper[name] for name in ("hidden", "columns") if name in model.hyper}
    if not {"hidden", "columns"} <= sizes.keys():
        raise ValueError(f"{model.name} has no hidden size: this technique is for transformers (fine-tune it in full)")
    for name, size in sizes.items():
        refuse_remainder(model.name, divided=(name, size), by=("k", k))
    heads, light = max(1, model.hyper["heads"] // k), {name: size // k for name, size in sizes.items()}
    refuse_remainder(f"{model.name} with sizes over k={k}", divided=("hidden", light["hidden"]), by=("heads", heads))
    head_size = {"head_size": light["hidden"] // heads} if "head_size" in model.hyper else {}
    return rebuilt(model, **light, **head_size, **_light_groups(model, heads), heads=heads)


def _light_groups(model: Model, heads: int) -> dict[str, int]:
    """As many heads for each group as in the model, or the nearest number above that divides the heads."""
    if "groups" not in model.hyper:
        return {}
    most = max(1, heads * model.hyper["groups"] // model.hyper["heads"])
    return {"groups": next(groups for groups in range(most, 0, -1) if heads % groups == 0)}


def _with_side(layer: Layer, small: Layer, hidden: int, width: int) -> Layer:
    """A frozen layer and, behind it, what maps its output down and the light layer."""
    length = _length_out(layer, hidden) if layer.blocks[0].kind is BlockKind.EMBEDDING else _length(layer, hidden)
    parts = [_as_side(part) for part in small.blocks if part.kind is not BlockKind.EMBEDDING]
    gated = _map("side_down", length, hidden, width)
    if parts:  # the gate keeps both that it mixes
        gated = replace(gated, stash_bytes=gated.stash_bytes + floats(length * (2 * width)))
    *others, last = (gated, *parts)
    # What the side network passes on travels beside the layer's own output; a gradient comes back for it alone.
    aside = small.blocks[-1].output_bytes
    beside = layer.blocks[-1].output_bytes
    last = replace(
        last, output_bytes=beside + aside, gradient_bytes=aside, unsplit=last.unsplit + Unsplit(output_bytes=beside)
    )
    return replace(layer, blocks=(*(resting(part) for part in layer.blocks), *others, last))


def _as_side(part: Block) -> Block:
    parts = tuple(_as_side(inner) for inner in part.parts)
    return replace(part, name=f"side_{part.name}", kind=BlockKind.SIDE, parts=parts)


def _map(name: str, length: Cost, entering: int, leaving: int) -> Block:
    """A matrix with a bias. Saved: the input, for the weights."""
    kept = floats(length * entering)
    costs = PartCosts(
        parameters=entering * leaving + leaving,
        output=length * leaving,
        weights=length * (2 * entering * leaving),
        stash=kept,
        weight_stash=kept,
        moved=length * (entering + leaving),
        moved_back=length * (entering + 3 * leaving),
    )
    return block(name, BlockKind.SIDE, BY_TOKENS, costs)


def _length_out(layer: Layer, hidden: int) -> Cost:
    """How many tokens the layer passes on."""
    return layer.blocks[-1].output_bytes * (1 / (hidden * BYTES_PER_FLOAT32))
