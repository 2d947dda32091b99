"""Which parts of a model does a rank's program compute? Its heads, columns and vocabulary, as its tasks name them."""

from collections.abc import Iterable, Mapping

from torch import nn

from edgesim.model import BlockKind, Model
from edgesim.schedule import Op, Task
from real_runtime.blocks.rank_state import block_of
from real_runtime.blocks.shards import cut
from real_runtime.blocks.shards.parts import APART, Holding

Units = Mapping[str, tuple[int, int]]


def units_of(program: Iterable[Task]) -> Units:
    """The heads, columns or part of the vocabulary of each block, (0, 0) for all; of a head in parts, of its last."""
    return {block_of(task): task.units for task in program if task.op is Op.F}


def kinds_of(model: Model) -> dict[str, BlockKind]:
    """The kind of each block, by "layer/block"."""
    return {f"{layer.name}/{block.name}": block.kind for layer in model.layers for block in layer.blocks}


def own_parts(
    model: Model, layers: Iterable[nn.Module], program: Iterable[Task], holding: Holding = APART
) -> dict[str, nn.Module]:
    """The program's part of all blocks; all of a kind that is not divided."""
    kinds = kinds_of(model)
    divided = {kinds[block]: units for block, units in units_of(program).items() if units != (0, 0)}
    return cut(
        model,
        layers,
        heads=divided.get(BlockKind.ATTENTION),
        columns=divided.get(BlockKind.MLP),
        vocabulary=divided.get(BlockKind.HEAD),
        holding=holding,
    )
