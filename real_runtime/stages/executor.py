"""Which tensors does a rank need for its part of an assignment? Its module, its samples, the boundary tensors."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from edgesim.schedule import Op, Payload, Task
from real_runtime.assignment import Assignment
from real_runtime.data.samples import Source
from real_runtime.finetuning.boundary import message_shapes
from real_runtime.stages.module import StageModule
from real_runtime.weights.precision import number_type
from real_runtime.weights.tensor_files import named_by_layer


class StageExecutor:
    """A rank's part of an assignment of whole layers: its stage's module, its data and its boundary tensors."""

    def __init__(self, assignment: Assignment, program: Sequence[Task]) -> None:
        self.assignment = assignment
        held = {task.layers for task in program if task.op is Op.F}
        if len(held) > 1:
            raise ValueError(f"a rank plays one stage, the schedule gives it {sorted(held)}")
        self.stage: StageModule | None = None
        if held:
            (self.layers,) = held
            stops = {task.layers[0] for task in program if task.op is Op.B} - {self.layers[0]}
            self.stage = StageModule(
                assignment.model,
                assignment.workload,
                self.layers,
                seed=assignment.seed,
                checkpoint=assignment.checkpoint,
                stops=stops,
            )
            self.source = Source(assignment.data, assignment.model, assignment.workload, assignment.seed)
            activations, gradients = message_shapes(assignment.model, assignment.workload.tokens)
            self.shapes = {Payload.ACTIVATION: activations, Payload.GRADIENT: gradients}
            self.samples = next(task.samples for task in program if task.op is Op.F)
            self.recomputes = any(task.op is Op.RECOMPUTE for task in program)

    def begin(self, iteration: int) -> None:
        """Draw the batch and forget the last iteration's tensors."""
        self.entered: dict[int, Tensor] = {}
        self.gradients: dict[int, Tensor] = {}
        self.leaving: dict[int, Tensor] = {}
        self.given: dict[int, list[Tensor]] = {}  # outputs of frozen layers, where they come from a cache
        if self.stage is not None:
            self.stage.loss = 0.0
            self.stage.sent.clear()
            epoch = self.assignment.epoch_iterations
            self.drawn = iteration if epoch is None else iteration % epoch  # which batch it is
            self.inputs, self.targets = self.source.batch(self.drawn)

    def loss(self) -> float:
        """This rank's part of the batch's loss; 0 except on the last stage."""
        return 0.0 if self.stage is None else self.stage.loss

    def reduced(self, task: Task) -> Tensor:
        """What an all-reduce adds up, in place: gradients of the stage's layers, of some, or of a tied weight."""
        if self.stage is None:
            return torch.zeros(task.nbytes, dtype=torch.uint8).view(torch.float32)  # a measurement of the network
        if task.payload is Payload.TIED:
            return self.stage.tied_gradients(task.layers[0])
        return self.stage.gradients(task.layers)

    def results(self) -> dict[str, Tensor]:
        """The stage's weights as ``<layer>.<name in the layer>``; after inference, the last stage's logits."""
        assert self.stage is not None
        if not self.stage.training:
            return (
                {"logits": torch.cat([self.stage.outputs[m] for m in sorted(self.stage.outputs)])}
                if self.stage.last
                else {}
            )
        return named_by_layer(self.stage.module, self.layers[0])

    def samples_of(self, micro_batch: int) -> tuple[int, int]:
        """This rank's samples of a micro-batch, as its tasks name them."""
        return self.samples

    def rows(self, micro_batch: int) -> slice:
        """This rank's samples of a micro-batch, within the batch."""
        start = micro_batch * self.assignment.workload.micro_batch_samples
        first, stop = self.samples_of(micro_batch)
        return slice(start + first, start + stop)

    def kind(self, task: Task) -> Hashable:
        """The operation and the number of samples: a rank computes one stage."""
        return (task.op, task.layers, task.samples[1] - task.samples[0])

    def compute(self, task: Task) -> None:
        """Do an F, a B, a RECOMPUTE or an UPDATE of the stage."""
        assert self.stage is not None
        m = task.micro_batch
        match task.op:
            case Op.F:
                assert m is not None
                entered = self._entering(m)
                forward = self.stage.forward_keeping_input if self.recomputes else self.stage.forward
                forward(m, entered, self.targets[self.rows(m)] if self.stage.reads_labels else None)
            case Op.RECOMPUTE:
                assert m is not None
                self.stage.recompute(m)
            case Op.B:
                assert m is not None
                gradient = self.stage.backward(m, task.layers, self.gradients.pop(m, None))
                if gradient is not None:
                    self.leaving[m] = gradient
            case Op.UPDATE:
                self.stage.update()

    def _entering(self, micro_batch: int) -> Any:
        """What the stage computes with: cached outputs, data, or what was received."""
        if micro_batch in self.given:
            return self.given.pop(micro_batch)
        return self.inputs[self.rows(micro_batch)] if self.layers[0] == 0 else self.entered.pop(micro_batch)

    def made(self, task: Task) -> Iterable[Tensor]:
        """An output or loss, the gradient of what was read, or the weights, which show what their gradients were."""
        assert self.stage is not None
        m = task.micro_batch
        if m is None:
            return (weight for weight in self.stage.module.parameters() if weight.requires_grad)
        if task.op is Op.F:
            return (self.stage.output(m),)
        return (self.leaving[m],) if m in self.leaving else ()

    def outgoing(self, task: Task) -> Tensor:
        """The tensor that a SEND carries."""
        if self.stage is None:
            return torch.zeros(task.nbytes, dtype=torch.uint8)  # a measurement of the network: the bytes do not matter
        assert task.micro_batch is not None
        whole = (
            self.stage.output(task.micro_batch)
            if task.payload is Payload.ACTIVATION
            else self.leaving[task.micro_batch]
        )
        return whole[self.own(task)].contiguous()

    def incoming(self, task: Task) -> Tensor:
        """The part of a boundary tensor that a RECV fills, in place."""
        if self.stage is None:
            return torch.empty(task.nbytes, dtype=torch.uint8)
        assert task.micro_batch is not None
        assert task.payload is not None
        home = self.entered if task.payload is Payload.ACTIVATION else self.gradients
        if task.micro_batch not in home:
            shape = self.shapes[task.payload][task.layers[0] - 1]
            first, stop = self.samples_of(task.micro_batch)
            home[task.micro_batch] = torch.empty(
                stop - first, *shape, dtype=number_type(self.assignment.workload.activation_bytes)
            )
        return home[task.micro_batch][self.own(task)]

    def own(self, task: Task) -> slice:
        """A message's samples within this rank's tensors."""
        assert task.micro_batch is not None
        first, _ = self.samples_of(task.micro_batch)
        return slice(task.samples[0] - first, task.samples[1] - first)
