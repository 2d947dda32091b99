"""How does a rank join branch and residual? With the complete branch of its own tokens, however it came."""

from edgesim.schedule import Task
from real_runtime.blocks.rank_state import RankState, pass_of
from real_runtime.blocks.shards.parts import ConnectiveShard


class ConnectiveComputation:
    """Ends a block and releases what its parts held."""

    def __init__(self, block: str, shard: ConnectiveShard, state: RankState) -> None:
        self.shard, self.state = shard, state

    def forward(self, task: Task) -> None:
        """Join residual and branch to the next residual, and to what the next attention or MLP reads."""
        held = self.state.passes[pass_of(task)]
        held.residual, held.normed = self.state.run(task, self.shard, held.residual, self.state.branch(task))
        held.behind = ""
        held.projected.clear()
        held.inner.clear()
        self.state.store.next_block()

    def backward(self, task: Task) -> None:
        """Compute the gradients of residual and branch; before the first attention there is no branch."""
        held = self.state.passes[pass_of(task)]
        gradients = self.state.back(task, held.residual_gradient, self.state.input_gradient(task))
        held.residual_gradient, held.branch_gradient = (*gradients, None)[:2]
        held.entered = ""
        self.state.store.next_block()
