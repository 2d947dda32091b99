"""What do all blocks of a rank share? Its place among the ranks, the batch, and what passes hold between blocks.

Between blocks a rank holds ``residual`` and ``normed``: the sum of all branches so far, and what the next attention or
MLP reads. What an attention or MLP puts out is a partial sum until the messages behind it have come, and so is, on the
way back, the gradient of what it has read.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from edgesim.model import BlockKind
from edgesim.schedule import Op, Payload, Task
from real_runtime.assignment import Assignment
from real_runtime.blocks.autograd_segments import AutogradSegments, Key
from real_runtime.blocks.tensor_store import TensorPlace, TensorStore, piece, place_of
from real_runtime.data.samples import Source
from real_runtime.weights.precision import number_type, widening

_COMPLETE = (Payload.TILE, Payload.KV, Payload.GRADIENT, Payload.VOCABULARY)


@dataclass(slots=True)
class PassState:
    """What a pass holds between blocks, and between the parts of one.

    Attributes:
        behind: the attention or MLP whose output, still a partial sum, the next connective adds; "" if there is none.
        entered: the place whose input gradient is a partial sum, on the way back; "" if there is none.
        projected: Q, K and V of the tokens that have entered an attention, by the first of them.
        inner: what the parts of an attention or MLP hand on, by tile; None is all tokens of this rank.
    """

    residual: Tensor
    normed: Tensor
    behind: str = ""
    residual_gradient: Tensor | None = None
    branch_gradient: Tensor | None = None
    entered: str = ""
    projected: dict[int, tuple[Tensor, Tensor, Tensor]] = field(default_factory=dict)
    inner: dict[int | None, Tensor] = field(default_factory=dict)


class RankState:
    """What the blocks of one rank share; :meth:`begin` starts an iteration."""

    def __init__(self, assignment: Assignment, program: Sequence[Task], kinds: Mapping[str, BlockKind]) -> None:
        self.model, self.workload = assignment.model, assignment.workload
        self.training = assignment.workload.trains
        self.hidden = int(assignment.model.hyper["hidden"])
        self.kept = number_type(assignment.workload.activation_bytes)  # of what blocks put out
        forwards = [task for task in program if task.op is Op.F]
        self.samples = forwards[0].samples[1]
        # A rank's first complete tile is its own.
        own = (task.tile for task in program if task.op is Op.SEND and task.payload in _COMPLETE)
        self.me = next(own, 0) or 0
        # Where the tokens begin that this rank holds between blocks, by pass.
        self.own_first = {t.micro_batch: t.tokens[0] for t in forwards if t.block.startswith("embedding/")}
        # The product onto the vocabulary, where this rank has a part in that.
        products = (
            task.block for task in forwards if kinds[block_of(task)] is BlockKind.HEAD and part_of(task) != "in"
        )
        self.vocabulary = next(products, "")
        self.source = Source(assignment.data, assignment.model, assignment.workload, assignment.seed)
        self._to_send = Counter(place_of(task) for task in program if task.op is Op.SEND)

    def begin(self, iteration: int) -> None:
        """Draw the batch and forget the last iteration's tensors."""
        self.inputs, self.targets = self.source.batch(iteration)
        self.store = TensorStore(self._to_send)
        self.passes: dict[int, PassState] = {}
        self.segments = AutogradSegments(training=self.training)
        self.logits: dict[tuple[int, int], Tensor] = {}  # by micro-batch and first token
        self.chosen: list[Tensor] = []
        self.loss = 0.0
        self.made: tuple[Tensor, ...] = ()  # by the last computation

    def run(self, task: Task, work: Callable[..., Any], *inputs: Tensor | None) -> tuple[Tensor, ...]:
        """Compute forward, so that :meth:`back` can go back from the outputs to the inputs.

        What is kept is as long as the workload says, what is computed with is FP32.
        """
        wide = (x.float() if x is not None and x.is_floating_point() else x for x in inputs)
        with widening(self.workload.weight_bytes):
            outputs = self.segments.run(_key_of(task), work, *wide)
        self.made = tuple(output.to(self.kept) for output in outputs)
        return self.made

    def back(self, task: Task, *gradients: Tensor | None) -> list[Tensor | None]:
        """Go back through what :meth:`run` has computed; return the gradients of its inputs."""
        entered = self.segments.back(_key_of(task), *gradients)
        self.made = tuple(gradient for gradient in entered if gradient is not None)
        return entered

    def put_out(self, task: Task, block: str, partial: Tensor) -> None:
        """Keep what an attention or MLP puts out: a partial sum, of a tile or of all tokens."""
        m = pass_of(task)
        self.store.keep(TensorPlace(m, f"{block}.out", Payload.PARTIAL), partial, task.tile)
        self.passes[m].behind = block

    def put_back(self, task: Task, place: str, gradient: Tensor | None) -> None:
        """Keep the gradient of what an attention, MLP or head has read: a partial sum."""
        assert gradient is not None
        m = pass_of(task)
        self.store.keep(TensorPlace(m, place, Payload.PARTIAL), gradient)
        self.passes[m].entered = place

    def branch(self, task: Task) -> Tensor | None:
        """The complete output of the last attention or MLP for the tokens of a task; None before the first."""
        m = pass_of(task)
        if not (behind := self.passes[m].behind):
            return None
        whole = self.store.whole(TensorPlace(m, f"{behind}.out", Payload.TILE))
        return self.own_sum(m, f"{behind}.out", task.tokens) if whole is None else whole

    def input_gradient(self, task: Task) -> Tensor | None:
        """The complete gradient of what the next attention, MLP or head has read; None if none has."""
        m = pass_of(task)
        if not (entered := self.passes[m].entered):
            return None
        whole = self.store.whole(TensorPlace(m, entered, Payload.GRADIENT))
        return self.own_sum(m, entered, task.tokens) if whole is None else whole

    def own_sum(self, m: int, place: str, tokens: tuple[int, int]) -> Tensor:
        """The sum of the own tile's partial sums at a place: this rank's and all that arrived."""
        return self.store.sum(TensorPlace(m, place, Payload.PARTIAL), self.me, tokens)

    def type_of(self, task: Task) -> torch.dtype:
        """The type of a message's numbers: what ranks tell each other of words is never shortened."""
        return torch.float32 if task.payload is Payload.VOCABULARY else self.kept

    def labels(self, task: Task) -> Tensor:
        """The targets of a task's tokens."""
        start = pass_of(task) * self.samples
        return piece(self.targets[start : start + self.samples], task.tokens)


def block_of(task: Task) -> str:
    """A task's block: ``encoder.0/mlp`` where it computes the part ``encoder.0/mlp.in``."""
    layer, _, rest = task.block.partition("/")
    return f"{layer}/{rest.partition('.')[0]}"


def part_of(task: Task) -> str:
    """A task's part of a block: ``in`` where it computes ``encoder.0/mlp.in``; "" for a whole block."""
    return task.block.partition("/")[2].partition(".")[2]


def pass_of(task: Task) -> int:
    """A task's micro-batch, or the number of its generating pass."""
    assert task.micro_batch is not None, f"{task}: belongs to a micro-batch"
    return task.micro_batch


def _key_of(task: Task) -> Key:
    """What a forward pass and its backward pass have in common."""
    return task.micro_batch, task.block
