"""Of which kinds of blocks is a computation? Attention, MLP, convolution ..., each by its share of the FLOPs."""

from edgesim.model import Block, Model
from edgesim.schedule import Kind, Op

_SAYS = {Op.F: "forward", Op.B: "backward", Op.RECOMPUTE: "recomputed", Op.UPDATE: "update"}


def parts_of(kind: Kind, model: Model | None, tokens: int) -> dict[str, float]:
    """Return shares that add up to 1: by kind of block, or where no model is known by the pass alone.

    Of layers that are computed at once nobody knows the seconds of each block: they are taken as their FLOPs.
    """
    if model is None or kind.op is Op.UPDATE:
        return {_SAYS[kind.op]: 1.0}
    layers = model.layers[slice(*kind.layers)]
    if kind.block:
        name = kind.block.removeprefix(f"{layers[0].name}/").partition(".")[0]
        return {str(block.kind): 1.0 for block in layers[0].blocks if block.name == name}
    flop: dict[str, float] = {}
    for block in (block for layer in layers for block in layer.blocks):
        flop[str(block.kind)] = flop.get(str(block.kind), 0.0) + _flop(block, kind, tokens)
    total = sum(flop.values())
    return {name: some / total for name, some in flop.items() if some} if total > 0 else {_SAYS[kind.op]: 1.0}


def _flop(block: Block, kind: Kind, tokens: int) -> float:
    samples = kind.samples[1] - kind.samples[0]
    return (block.backward_flop if kind.op is Op.B else block.forward_flop)(samples, tokens)
