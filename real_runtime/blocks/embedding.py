"""How does a rank embed tokens? Those of the batch, or of a generating pass those that the last pass chose."""

from edgesim.schedule import Task
from real_runtime.blocks.head import choose
from real_runtime.blocks.rank_state import PassState, RankState, pass_of
from real_runtime.blocks.shards.parts import EmbeddingShard


class EmbeddingComputation:
    """Begins a pass with the own tokens."""

    def __init__(self, block: str, shard: EmbeddingShard, state: RankState) -> None:
        self.shard, self.state = shard, state

    def forward(self, task: Task) -> None:
        """Turn the ids of the own tokens into the first hidden state."""
        state, m = self.state, pass_of(task)
        first, stop = task.tokens if task.tokens[1] else (0, state.workload.tokens)
        if state.workload.new_tokens and m:
            ids = choose(state, m - 1)
        else:
            start = m * state.samples
            ids = state.inputs[start : start + state.samples, first:stop]
        (hidden,) = state.run(task, lambda i: self.shard(i, first), ids)
        state.passes[m] = PassState(residual=hidden, normed=hidden)

    def backward(self, task: Task) -> None:
        """End the pass, with the sum of the gradients of both readers of the embedding."""
        residual, read = self.state.passes[pass_of(task)].residual_gradient, self.state.input_gradient(task)
        del self.state.passes[pass_of(task)]
        gradients = [gradient for gradient in (residual, read) if gradient is not None]
        self.state.back(task, sum(gradients[1:], gradients[0]))
