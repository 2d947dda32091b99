"""What does one rank compute? The layers of its stage, their gradients in one flat buffer, and the optimiser."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgesim.model import Model
from edgesim.workload import Optimiser, Workload
from real_runtime.models import architecture, build_layers

_MOMENTUM = 0.9


@dataclass(slots=True)
class Stash:
    """What a micro-batch leaves between its forward and its backward."""

    entered: Tensor
    output: Tensor  # the loss, on the last stage


class StageModule:
    """Consecutive layers on this rank; samples are dimension 0 of every tensor."""

    def __init__(
        self, model: Model, workload: Workload, layers: tuple[int, int], *, seed: int, checkpoint: str | None = None
    ) -> None:
        self.model, self.workload = model, workload
        self.first, self.last = layers[0] == 0, layers[1] == len(model.layers)
        self.arch = architecture(model)
        self.module = build_layers(model, range(*layers), seed=seed, checkpoint=checkpoint)
        self.training = workload.trains
        self.outputs: dict[int, Tensor] = {}  # of inference, by micro-batch
        if self.training:
            self.flat_gradients = flatten_gradients(self.module.parameters())
            self.optimiser = make_optimiser(self.module.parameters(), workload)
        self.stash: dict[int, Stash] = {}
        self.loss = 0.0

    def forward(self, micro_batch: int, entered: Tensor, target: Tensor | None) -> None:
        """Compute the output, or on the last stage the loss divided by the samples of the whole batch."""
        if not self.training:
            with torch.no_grad():
                self.outputs[micro_batch] = self.module(entered)
            return
        if not self.first:  # what the first stage reads is data
            entered.requires_grad_()
        output = self.module(entered)
        if self.last:
            assert target is not None, "the last stage needs targets"
            output = (
                self.arch.loss(self.model.hyper, self.workload.tokens, output, target) / self.workload.batch_samples
            )
            self.loss += float(output.detach())
        self.stash[micro_batch] = Stash(entered, output)

    def output(self, micro_batch: int) -> Tensor:
        """The boundary tensor to send on."""
        if not self.training:
            return self.outputs[micro_batch]
        return self.stash[micro_batch].output.detach()

    def backward(self, micro_batch: int, gradient: Tensor | None) -> Tensor | None:
        """Add parameter gradients to the flat buffer; return the input's gradient where the input has one."""
        stash = self.stash.pop(micro_batch)
        stash.output.backward(gradient)
        return stash.entered.grad

    def update(self) -> None:
        """One optimiser step; gradients are zeroed for the next iteration."""
        self.optimiser.step()
        self.flat_gradients.zero_()


def flatten_gradients(weights: Iterable[nn.Parameter]) -> Tensor:
    """Make every parameter's gradient a view of one buffer, so that an all-reduce is one message; return the buffer."""
    parameters = [p for p in weights if p.requires_grad]
    flat = torch.zeros(sum(p.numel() for p in parameters))
    start = 0
    for p in parameters:
        p.grad = flat[start : start + p.numel()].view_as(p)
        start += p.numel()
    return flat


def make_optimiser(weights: Iterable[nn.Parameter], workload: Workload) -> torch.optim.Optimizer:
    """The workload's optimiser over what of the weights is trained."""
    parameters = [p for p in weights if p.requires_grad]
    if workload.optimiser is Optimiser.ADAM:
        return torch.optim.Adam(parameters, lr=workload.learning_rate)
    momentum = _MOMENTUM if workload.optimiser is Optimiser.MOMENTUM else 0.0
    return torch.optim.SGD(parameters, lr=workload.learning_rate, momentum=momentum)
