"""How does a rank compute its columns of an MLP? On all tokens at once, or tile by tile as they come."""

from torch import Tensor

from edgesim.schedule import Task
from real_runtime.blocks.divided_block import DividedBlock
from real_runtime.blocks.rank_state import RankState, part_of, pass_of
from real_runtime.blocks.shards.parts import MlpShard


class MlpComputation(DividedBlock):
    """One MLP on one rank, which computes its own columns."""

    def __init__(self, block: str, shard: MlpShard, state: RankState) -> None:
        super().__init__(block, state)
        self.shard = shard

    def forward(self, task: Task) -> None:
        """Compute the whole MLP, or the part that the task names for one tile."""
        inner = self.state.passes[pass_of(task)].inner
        match part_of(task):
            case "in":
                inner[task.tile] = self.state.run(task, self.shard.enter, self.entering_tile(task))[0]
            case "out":
                (partial,) = self.state.run(task, self.shard.leave, inner.pop(task.tile))
                self.state.put_out(task, self.block, partial)
            case _:
                (partial,) = self.state.run(task, self._whole, self.entering(task))
                self.state.put_out(task, self.block, partial)

    def _whole(self, x: Tensor) -> Tensor:
        return self.shard.leave(self.shard.enter(x))

    def backward(self, task: Task) -> None:
        """Go back through the whole MLP: only inference computes it part by part."""
        assert not part_of(task), f"{task}: no strategy goes back through a part of an MLP"
        self.back_whole(task)
