"""What do parallel adapters cost? A light model beside the frozen one, fed by what its layers put out."""

from dataclasses import replace
from typing import Any

from edgesim.apportion import refuse_remainder
from edgesim.finetuning.gradients import passing, resting
from edgesim.finetuning.lengths import hidden_of, length_of, length_out
from edgesim.model import Block, BlockKind, Cost, Layer, Model, Unsplit
from edgesim.units import BYTES_PER_FLOAT32
from edgesim.zoo.architectures import rebuilt
from edgesim.zoo.parts.costs import BY_TOKENS, PartCosts, block, floats


def parallel_adapters(model: Model, *, k: int = 8) -> Model:
    """Put a side network of 1/k of every size beside the frozen model; gradients travel in the side network alone.

    Behind the embedding and behind every layer, a matrix maps the layer's output b_i to the side network's width; a
    learnt gate mixes it with the side state a_(i-1), and a layer like the model's own, but light, makes a_i of it. The
    last state is normed, mapped back and added to what the head reads. A boundary carries b_i and a_i. A decoder's side
    state begins behind its first layer, with nothing to be mixed with; what the encoder put out is mapped down once.
    """
    hidden = hidden_of(model, k=k)
    light = _light(model, k)
    width = hidden_of(light)
    *body, head = zip(model.layers, light.layers, strict=True)
    layers = [_with_side(layer, small, hidden, width) for layer, small in body]
    ending = (
        *(_as_side(part) for part in head[1].blocks if part.kind is BlockKind.CONNECTIVE),
        _map("side_up", length_out(model.layers[-2], hidden), width, hidden),
        *(passing(part) for part in head[0].blocks),
    )
    hyper = dict(model.hyper) | {"technique": "parallel_adapters", "k": k, "side": dict(light.hyper)}
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
    hyper = dict(model.hyper) | {"cached": True}
    return replace(model, name=f"{model.name}+cache", hyper=hyper, layers=(*body, model.layers[-1]))


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
    own: dict[str, Any] = {"head_size": light["hidden"] // heads} if "head_size" in model.hyper else {}
    if "own_tables" in model.hyper:  # one that is trained and shared would have to be kept equal between stages
        own["own_tables"] = True
    return rebuilt(model, **light, **own, **_light_groups(model, heads), heads=heads)


def _light_groups(model: Model, heads: int) -> dict[str, int]:
    """As many heads for each group as in the model, or the nearest number above that divides the heads."""
    if "groups" not in model.hyper:
        return {}
    most = max(1, heads * model.hyper["groups"] // model.hyper["heads"])
    return {"groups": next(groups for groups in range(most, 0, -1) if heads % groups == 0)}


def _with_side(layer: Layer, small: Layer, hidden: int, width: int) -> Layer:
    """A frozen layer and, behind it, what maps its output down and the light layer."""
    parts = [_as_side(part) for part in small.blocks if part.kind is not BlockKind.EMBEDDING]
    begins = layer.blocks[0].kind is BlockKind.EMBEDDING
    length = length_of(layer, hidden) if parts else length_out(layer, hidden)
    gated = _map("side_down", length, hidden, width)
    # What it reads is frozen, and gets no gradient.
    gated = replace(gated, backward_flop=gated.weight_flop)
    if not begins:  # the gate has a parameter, and keeps both that it mixes
        gated = replace(
            gated,
            parameter_bytes=gated.parameter_bytes + BYTES_PER_FLOAT32,
            stash_bytes=gated.stash_bytes + floats(length * (2 * width)),
        )
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
