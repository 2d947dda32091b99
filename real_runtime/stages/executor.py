"""Which tensors does a rank need for its part of a job? Its module, its samples, the boundary tensors in between."""

from collections.abc import Hashable, Iterable, Sequence

import torch
from torch import Tensor

from edgesim.schedule import Op, Payload, Task
from real_runtime.data.samples import Source
from real_runtime.job import Job
from real_runtime.models import boundary_shapes
from real_runtime.stages.module import StageModule
from real_runtime.weights.precision import number_type
from real_runtime.weights.tensor_files import named_by_layer


class StageExecutor:
    """A rank's part of a job whose tasks are of whole layers: its stage's module, its data and its boundary tensors."""

    def __init__(self, job: Job, program: Sequence[Task]) -> None:
        self.job = job
        held = {task.layers for task in program if task.op is Op.F}
        if len(held) > 1:
            raise ValueError(f"a rank plays one stage, the schedule gives it {sorted(held)}")
        self.stage: StageModule | None = None
        if held:
            (self.layers,) = held
            stops = {task.layers[0] for task in program if task.op is Op.B} - {self.layers[0]}
            self.stage = StageModule(
                job.model, job.workload, self.layers, seed=job.seed, checkpoint=job.checkpoint, stops=stops
            )
            self.source = Source(job.data, job.model, job.workload, job.seed)
            self.shapes = boundary_shapes(job.model, job.workload.tokens)
            self.samples = next(task.samples for task in program if task.op is Op.F)

    def begin(self, iteration: int) -> None:
        """Draw the batch and forget the last iteration's tensors."""
        self.entered: dict[int, Tensor] = {}
        self.gradients: dict[int, Tensor] = {}
        self.leaving: dict[int, Tensor] = {}
        if self.stage is not None:
            self.stage.loss = 0.0
            self.inputs, self.targets = self.source.batch(iteration)

    def loss(self) -> float:
        """This rank's part of the batch's loss; 0 except on the last stage."""
        return 0.0 if self.stage is None else self.stage.loss

    def reduced(self, task: Task) -> Tensor:
        """What an all-reduce adds up, in place: gradients of the stage's layers, or of a bucket of them."""
        if self.stage is None:
            return torch.zeros(task.nbytes, dtype=torch.uint8).view(torch.float32)  # a measurement of the network
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

    def rows(self, micro_batch: int) -> slice:
        """This rank's samples of a micro-batch, within the batch."""
        start = micro_batch * self.job.workload.micro_batch_samples
        return slice(start + self.samples[0], start + self.samples[1])

    def kind(self, task: Task) -> Hashable:
        """The operation and the number of samples: a rank computes one stage."""
        return (task.op, task.layers, task.samples[1] - task.samples[0])

    def compute(self, task: Task) -> None:
        """Do an F, a B or an UPDATE of the stage."""
        assert self.stage is not None
        m = task.micro_batch
        match task.op:
            case Op.F:
                assert m is not None
                entered = self.inputs[self.rows(m)] if self.layers[0] == 0 else self.entered.pop(m)
                self.stage.forward(m, entered, self.targets[self.rows(m)] if self.stage.last else None)
            case Op.B:
                assert m is not None
                gradient = self.stage.backward(m, task.layers, self.gradients.pop(m, None))
                if gradient is not None:
                    self.leaving[m] = gradient
            case Op.UPDATE:
                self.stage.update()

    def made(self, task: Task) -> Iterable[Tensor]:
        """An output or loss, the gradient of what was read, or the weights, which show what their gradients were."""
        assert self.stage is not None
        m = task.micro_batch
        if m is None:
            return self.stage.module.parameters()
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
        home = self.entered if task.payload is Payload.ACTIVATION else self.gradients
        if task.micro_batch not in home:
            shape = self.shapes[task.layers[0] - 1]
            home[task.micro_batch] = torch.empty(
                self.samples[1] - self.samples[0], *shape, dtype=number_type(self.job.workload.activation_bytes)
            )
        return home[task.micro_batch][self.own(task)]

    def own(self, task: Task) -> slice:
        """A message's samples within this rank's tensors."""
        return slice(task.samples[0] - self.samples[0], task.samples[1] - self.samples[0])
