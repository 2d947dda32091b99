"""What does one rank do in a forward pass over divided blocks? Own units or tokens, and the exchanges around them."""

from edgesim.model import Block, BlockKind, Layer
from edgesim.schedule import Op, Payload
from edgesim.strategies.collectives import gather
from edgesim.strategies.program import Names, Program, all_of
from edgesim.strategies.rank_view import RankView
from edgesim.units import BYTES_PER_FLOAT32

DIVIDED = (BlockKind.ATTENTION, BlockKind.MLP)
"""Kinds of blocks of which ranks compute their heads or columns."""
# A rank's best token of its columns and how good it is; of a loss, a log-sum-exp and the target's logit. FP32 or int32.
_NUMBERS_OF_VOCABULARY = 2


def forward(view: RankView, program: Program, m: int) -> None:
    """One pass over all blocks."""
    held_whole = True
    for i, layer, block in view.blocks():
        name, whole = f"{layer.name}/{block.name}", view.whole(layer)
        if whole and not held_whole:
            _make_whole(view, program, i, name, m)
        held_whole = whole
        if block.kind is BlockKind.ATTENTION and not view.units and not whole:
            _attend_to_all(view, program, i, name, block, m)
        elif block.kind in DIVIDED and view.units:
            (_reduced if whole else _scattered)(view, program, i, name, block, m)
        elif block.kind is BlockKind.HEAD and view.unit_range(block) != (0, 0):
            _vocabulary(view, program, i, layer, block, m)
        elif block.kind is BlockKind.HEAD and view.workload.new_tokens and not whole:
            if view.me == view.n - 1:  # who has the prompt's last token
                program.compute(Op.F, i, name, m, tokens=view.asked)
        else:
            program.compute(Op.F, i, name, m, tokens=view.span(layer))


def _make_whole(view: RankView, program: Program, i: int, name: str, m: int) -> None:
    """Gather all tokens of what the layer before gave; the decoder then reads it whole."""
    nbytes = view.tile_bytes(view.model.layers[i - 1].blocks[-1])
    program.ready = all_of(program.gather(Payload.TILE, i, name, m, nbytes=nbytes, tokens=view.tiles))


def _attend_to_all(view: RankView, program: Program, i: int, name: str, block: Block, m: int) -> None:
    """Own tokens look at all tokens: Q, K, V of the own; K and V of all; scores and exit of the own."""
    posted, own = program.posted, view.tiles[view.me]
    program.compute(Op.F, i, f"{name}.in", m, tokens=own)
    nbytes = view.kv_bytes(block)
    program.ready = all_of(
        program.gather(Payload.KV, i, f"{name}.core", m, nbytes=nbytes, tokens=view.tiles, posted=posted)
    )
    program.compute(Op.F, i, f"{name}.core", m, tokens=own)
    program.compute(Op.F, i, f"{name}.out", m, tokens=own)


def _reduced(view: RankView, program: Program, i: int, name: str, block: Block, m: int) -> None:
    """Own heads or columns of the whole sequence, then the sum over all ranks."""
    program.compute(Op.F, i, name, m, tokens=view.now, units=view.unit_range(block))
    program.ready = program.all_reduce(
        Payload.ACTIVATION, i, name, m, part=f"{name}.out", nbytes=view.nbytes(block), tokens=view.now
    )


def _scattered(view: RankView, program: Program, i: int, name: str, block: Block, m: int) -> None:
    """Gather all tokens, compute own heads or columns, and send everyone the sum for its tokens."""
    nbytes, posted = view.tile_bytes(block), (program.last,)
    entered = program.gather(Payload.TILE, i, f"{name}.in", m, nbytes=nbytes, tokens=view.tiles)
    if view.overlap:
        left = _by_tiles(view, program, i, name, block, m, entered)
    else:
        program.ready = all_of(entered)
        done = program.compute(Op.F, i, name, m, units=view.unit_range(block))
        left = dict.fromkeys(range(view.n), (done,))
    program.ready = program.scatter(i, f"{name}.out", m, nbytes=nbytes, tokens=view.tiles, own=left, posted=posted)


def _by_tiles(
    view: RankView, program: Program, i: int, name: str, block: Block, m: int, entered: dict[int, Names]
) -> dict[int, Names]:
    """Tile by tile: the own tile enters first, and leaves last (Galaxy, arXiv 2405.17245, tile-based overlap).

    Returns, of each tile, what computes its partial sum.
    """
    units = view.unit_range(block)
    _enter_by_tiles(view, program, i, f"{name}.in", block, m, entered)
    for part in block.parts[1:-1]:
        program.compute(Op.F, i, f"{name}.{part.name.partition('.')[2]}", m, units=units)
    left: dict[int, Names] = {}
    for step in range(view.n):
        tile = (view.me + view.n - 1 - step) % view.n
        done = program.compute(Op.F, i, f"{name}.out", m, tokens=view.tiles[tile], units=units, tile=tile)
        left[tile] = (done,)
    return left


def _enter_by_tiles(
    view: RankView, program: Program, i: int, name: str, block: Block, m: int, entered: dict[int, Names]
) -> None:
    """A product over each tile as it comes, in the ring's order: the own one waits for nothing."""
    for step in range(view.n):
        tile = (view.me - step) % view.n
        program.ready = entered.get(tile, ())
        program.compute(Op.F, i, name, m, tokens=view.tiles[tile], units=view.unit_range(block), tile=tile)


def _vocabulary(view: RankView, program: Program, i: int, layer: Layer, block: Block, m: int) -> None:
    """Own columns of the vocabulary, for all tokens, or for the last one where that is all that is asked for."""
    name, entered = f"{layer.name}/{block.name}", dict[int, Names]()
    if not view.whole(layer):
        entered = _enter_vocabulary(view, program, i, name, m)
        if view.overlap and not view.workload.new_tokens:
            _enter_by_tiles(view, program, i, name, block, m, entered)
            return
    program.ready = all_of(entered)
    program.compute(Op.F, i, name, m, tokens=view.asked, units=view.unit_range(block))


def _enter_vocabulary(view: RankView, program: Program, i: int, name: str, m: int) -> dict[int, Names]:
    """Gather what the vocabulary's product reads: all tokens, or the prompt's last one from who has it."""
    before = view.entering_head()
    if not view.workload.new_tokens:
        return program.gather(Payload.TILE, i, name, m, nbytes=view.tile_bytes(before), tokens=view.tiles)
    hops = [hop for hop in gather(view.n, program.kind) if hop.tile == view.n - 1]
    return program.exchange(
        hops,
        Payload.TILE,
        i,
        name,
        m,
        nbytes=[view.nbytes(before, 1)] * view.n,
        tokens=[view.asked] * view.n,
        own={view.me: (program.last,)},
    )


def tell(view: RankView, program: Program, m: int) -> Names:
    """Tell each other what the own columns of the vocabulary say of the tokens asked for; what brings it."""
    *_, (i, layer, block) = view.blocks()
    nbytes = vocabulary_bytes(view)
    return all_of(
        program.gather(
            Payload.VOCABULARY,
            i,
            f"{layer.name}/{block.name}",
            m,
            nbytes=[nbytes] * view.n,
            tokens=[view.asked] * view.n,
        )
    )


def vocabulary_bytes(view: RankView) -> int:
    """Of what columns say of the tokens asked for."""
    tokens = view.asked[1] - view.asked[0] or view.workload.tokens
    return _NUMBERS_OF_VOCABULARY * BYTES_PER_FLOAT32 * view.samples * tokens
