"""What does a rank do with its part of an assignment, where ranks divide blocks? Every block by the class of its kind.

A rank holds its cut of every block, and its tokens. Tokens, units and tiles are those that tasks name; nothing here
knows a strategy.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from edgesim.model import BlockKind
from edgesim.schedule import Op, Payload, Task
from edgesim.work import Work
from real_runtime.assignment import Assignment
from real_runtime.blocks.alike_layers import AlikeLayers
from real_runtime.blocks.attention import AttentionComputation
from real_runtime.blocks.computation import BlockComputation, ExchangingComputation
from real_runtime.blocks.connective import ConnectiveComputation
from real_runtime.blocks.embedding import EmbeddingComputation
from real_runtime.blocks.head import HeadComputation, choose
from real_runtime.blocks.mlp import MlpComputation
from real_runtime.blocks.own_parts import kinds_of, own_parts, units_of
from real_runtime.blocks.rank_state import RankState, block_of, part_of
from real_runtime.blocks.tensor_store import TensorPlace, place_of
from real_runtime.blocks.trained_weights import BlockWeights
from real_runtime.models import build_layers

# What computes a block of each kind, made of its name, its shard of the weights, and what all blocks share.
_EXCHANGING: dict[BlockKind, Callable[[str, Any, RankState], ExchangingComputation]] = {
    BlockKind.ATTENTION: AttentionComputation,
    BlockKind.MLP: MlpComputation,
    BlockKind.HEAD: HeadComputation,
}
_COMPUTATIONS: dict[BlockKind, Callable[[str, Any, RankState], BlockComputation]] = {
    BlockKind.EMBEDDING: EmbeddingComputation,
    BlockKind.CONNECTIVE: ConnectiveComputation,
    **_EXCHANGING,
}


class BlockExecutor:
    """A rank's part of an assignment whose tasks are of blocks."""

    def __init__(self, assignment: Assignment, program: Sequence[Task]) -> None:
        self.assignment = assignment
        kinds = kinds_of(assignment.model)
        everything, short = range(len(assignment.model.layers)), assignment.workload.weight_bytes
        layers = build_layers(
            assignment.model, everything, seed=assignment.seed, checkpoint=assignment.checkpoint, weight_bytes=short
        )
        shards = own_parts(assignment.model, layers, program)
        self.state = RankState(assignment, program, kinds)
        self.exchanging = {
            block: _EXCHANGING[kinds[block]](block, shard, self.state)
            for block, shard in shards.items()
            if kinds[block] in _EXCHANGING
        }
        self.computations: dict[str, BlockComputation] = {
            block: self.exchanging.get(block) or _COMPUTATIONS[kinds[block]](block, shard, self.state)
            for block, shard in shards.items()
        }
        self.alike = AlikeLayers(assignment)
        self.weights = BlockWeights(shards, units_of(program), assignment.workload) if self.state.training else None

    def begin(self, iteration: int) -> None:
        """Draw the batch and forget the last iteration's tensors."""
        self.state.begin(iteration)

    def kind(self, task: Task) -> Work:
        """The task's work, as if it were in the first of the layers that cost the same."""
        return self.alike.work(task)

    def compute(self, task: Task) -> None:
        """Do an F, a B or an UPDATE of a block or of a part of one."""
        if task.op is Op.UPDATE:
            assert self.weights is not None
            self.weights.update(block_of(task), part_of(task))
            return
        computation = self.computations[block_of(task)]
        with torch.set_grad_enabled(self.state.training):
            (computation.forward if task.op is Op.F else computation.backward)(task)

    def made(self, task: Task) -> Iterable[Tensor]:
        """What a block puts out, the gradients of what it has read, or its weights."""
        if task.op is Op.UPDATE:
            assert self.weights is not None
            return self.weights.of(block_of(task))[part_of(task)]
        made, self.state.made = self.state.made, ()
        return made

    def outgoing(self, task: Task) -> Tensor:
        """The tensor that a SEND carries."""
        tensor = self._to_send(task)
        self.state.store.count_sent(task)
        return tensor

    def _to_send(self, task: Task) -> Tensor:
        """A partial sum with what arrived of it, a tile to pass on, or the own tile."""
        assert task.tile is not None
        place = place_of(task)
        if task.payload is Payload.PARTIAL:
            return self.state.store.sum(place, task.tile, task.tokens).contiguous()
        arrived = self.state.store.tiles(place)
        if task.tile in arrived:
            return arrived[task.tile]
        return self.exchanging[block_of(task)].own_tile(task).contiguous()

    def incoming(self, task: Task) -> Tensor:
        """Where a RECV puts what arrives."""
        shape = self.exchanging[block_of(task)].message_shape(task)
        return self.state.store.buffer(task, torch.empty(shape, dtype=self.state.type_of(task)))

    def reduced(self, task: Task) -> Tensor:
        """What an ALL_REDUCE adds up, in place: a partial output or input gradient, or shared weights' gradients."""
        if task.payload is None:
            assert self.weights is not None
            return self.weights.shared_gradients
        place = self.exchanging[block_of(task)].reduced_place(task)
        return self.state.store.own(TensorPlace(task.micro_batch, place, Payload.PARTIAL), None)

    def loss(self) -> float:
        """This rank's part of the batch's loss; where ranks divide the vocabulary, that of the first one is all."""
        return self.state.loss

    def results(self) -> dict[str, Tensor]:
        """Trained weights by block and name; of inference, the own logits and the tokens chosen."""
        if self.weights is not None:
            return dict(self.weights.named())
        state, results = self.state, dict[str, Tensor]()
        by_pass: dict[int, list[Tensor]] = defaultdict(list)
        for m, first in sorted(state.logits):
            if m == 0 or not state.workload.new_tokens:
                by_pass[m].append(state.logits[m, first])
        if by_pass:
            results["logits"] = torch.cat([torch.cat(pieces, dim=1) for pieces in by_pass.values()])
        if state.workload.new_tokens and len(state.chosen) == state.workload.new_tokens - 1:
            choose(state, state.workload.new_tokens - 1)
            results["chosen"] = torch.cat(state.chosen, dim=1)
        return results
