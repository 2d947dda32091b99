"""What does one rank do in a backward pass over divided blocks, and then with its weights? Forward passes mirrored.

What was gathered is scattered, and the other way round.
"""

from edgesim.model import Block, BlockKind, Layer
from edgesim.schedule import Op, Payload
from edgesim.strategies.forward import DIVIDED
from edgesim.strategies.program import Names, Program, all_of
from edgesim.strategies.rank_view import RankView


def backward(view: RankView, program: Program, m: int, told: Names) -> None:
    """One pass over all blocks, from the last to the first; ``told`` brings the sums of a divided vocabulary's loss."""
    for i, layer, block in reversed(list(view.blocks())):
        name, whole = f"{layer.name}/{block.name}", view.whole(layer)
        if block.kind is BlockKind.ATTENTION and not view.units and not whole:
            _attend_back(view, program, i, name, block, m)
        elif block.kind in DIVIDED and view.units:
            (_reduced_back if whole else _scattered_back)(view, program, i, name, block, m)
        elif block.kind is BlockKind.HEAD and view.unit_range(block) != (0, 0):
            _vocabulary_back(view, program, i, layer, block, m, told)
        else:
            program.compute(Op.B, i, name, m, tokens=view.span(layer))


def _attend_back(view: RankView, program: Program, i: int, name: str, block: Block, m: int) -> None:
    """Every rank has gradients of all K and V, and needs the sum of its own tokens'."""
    own, posted = view.tiles[view.me], program.posted
    program.compute(Op.B, i, f"{name}.out", m, tokens=own)
    program.compute(Op.B, i, f"{name}.core", m, tokens=own)
    program.ready = _own_sum(view, program, i, f"{name}.core", m, view.kv_bytes(block), posted)
    program.compute(Op.B, i, f"{name}.in", m, tokens=own)


def _own_sum(view: RankView, program: Program, i: int, name: str, m: int, nbytes: list[int], posted: Names) -> Names:
    """Partial sums of all tiles, which the last computation gave, to their owners; what brings the own ones."""
    own = dict.fromkeys(range(view.n), (program.last,))
    return program.scatter(i, name, m, nbytes=nbytes, tokens=view.tiles, own=own, posted=posted)


def _reduced_back(view: RankView, program: Program, i: int, name: str, block: Block, m: int) -> None:
    """The gradient of what was reduced is whole; that of what entered is a sum over all ranks."""
    program.compute(Op.B, i, name, m, units=view.unit_range(block))
    nbytes = view.entering_bytes(block)
    program.ready = program.all_reduce(Payload.GRADIENT, i, name, m, part=f"{name}.in", nbytes=nbytes)


def _scattered_back(view: RankView, program: Program, i: int, name: str, block: Block, m: int) -> None:
    """Gather the gradient of what was scattered; scatter that of what was gathered."""
    nbytes, posted = view.tile_bytes(block), (program.last,)
    program.ready = all_of(program.gather(Payload.GRADIENT, i, f"{name}.out", m, nbytes=nbytes, tokens=view.tiles))
    program.compute(Op.B, i, name, m, units=view.unit_range(block))
    program.ready = _own_sum(view, program, i, f"{name}.in", m, nbytes, posted)


def _vocabulary_back(view: RankView, program: Program, i: int, layer: Layer, block: Block, m: int, told: Names) -> None:
    """The loss needs all columns' sums; the gradient of what entered is partial."""
    name, posted, before = f"{layer.name}/{block.name}", (program.last,), view.entering_head()
    program.ready = told
    program.compute(Op.B, i, name, m, units=view.unit_range(block))
    if view.whole(layer):
        nbytes = view.nbytes(before)
        program.ready = program.all_reduce(Payload.GRADIENT, i, name, m, part=name, nbytes=nbytes)
    else:
        program.ready = _own_sum(view, program, i, name, m, view.tile_bytes(before), posted)


def update(view: RankView, program: Program) -> None:
    """Add up the gradients of weights that every rank has seen its own tokens with, then step, block by block."""
    if view.n > 1 and (nbytes := _shared_bytes(view)):
        program.ready = (program.ring(None, view.stage.layers, "", None, nbytes=nbytes),)
    for i, layer, block in view.blocks():
        if block.trainable and block.parameter_bytes:
            program.compute(Op.UPDATE, i, f"{layer.name}/{block.name}", None, units=view.unit_range(block))


def _shared_bytes(view: RankView) -> int:
    """Of weights that all ranks hold and each used for its own tokens; none where all used them for all tokens."""
    return sum(
        block.parameter_bytes if view.unit_range(block) == (0, 0) else block.unsplit.parameter_bytes
        for _, layer, block in view.blocks()
        if block.trainable and not view.whole(layer)
    )
