"""What do attention and MLP have in common on a rank? What enters and leaves is whole, a tile, or a partial sum."""

from torch import Tensor

from edgesim.schedule import Payload, Task
from real_runtime.blocks.rank_state import RankState, pass_of
from real_runtime.blocks.tensor_store import TensorPlace, place_of


class DividedBlock:
    """The tensors before and behind an attention or MLP, of which this rank computes own heads, columns or tokens."""

    def __init__(self, block: str, state: RankState) -> None:
        self.block, self.state = block, state

    def entering(self, task: Task) -> Tensor:
        """The input of all tokens that this rank has or was sent, in their order."""
        m = pass_of(task)
        own = self.state.passes[m].normed
        return self.state.store.in_order(TensorPlace(m, f"{self.block}.in", Payload.TILE), own, self.state.own_first[m])

    def entering_tile(self, task: Task) -> Tensor:
        """The input of the tile that the task names, or of the own tokens."""
        m = pass_of(task)
        if task.tile is None or task.tile == self.state.me:
            return self.state.passes[m].normed
        return self.state.store.tiles(TensorPlace(m, f"{self.block}.in", Payload.TILE))[task.tile]

    def back_whole(self, task: Task) -> None:
        """Go back through the whole block, from the gradient of all tokens' output."""
        m = pass_of(task)
        own = self.state.passes[m].branch_gradient
        assert own is not None
        gradient = self.state.store.in_order(
            TensorPlace(m, f"{self.block}.out", Payload.GRADIENT), own, self.state.own_first[m]
        )
        (entered,) = self.state.back(task, gradient)
        self.state.put_back(task, f"{self.block}.in", entered)

    def own_tile(self, task: Task) -> Tensor:
        """The own tokens' input, or the gradient of their output; for the other two, a hub's sum for all ranks."""
        m, is_tile = pass_of(task), task.payload is Payload.TILE
        if task.payload is Payload.KV:
            return self.state.store.own(place_of(task), None)
        if task.block.endswith(".out") == is_tile:
            return self.state.own_sum(m, task.block, task.tokens)
        tensor = self.state.passes[m].normed if is_tile else self.state.passes[m].branch_gradient
        assert tensor is not None
        return tensor

    def message_shape(self, task: Task) -> tuple[int, ...]:
        """The shape of the hidden states, or their gradients, of a message's tokens."""
        tokens = task.tokens[1] - task.tokens[0] or self.state.workload.tokens
        return (self.state.samples, tokens, self.state.hidden)

    def reduced_place(self, task: Task) -> str:
        """The output; on the way back, the input."""
        return f"{self.block}.out" if task.payload is Payload.ACTIVATION else f"{self.block}.in"
