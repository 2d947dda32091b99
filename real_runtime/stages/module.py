"""What does one rank compute? The layers of its stage, their gradients in one flat buffer, and the optimiser."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor, nn

from edgesim.model import Model
from edgesim.workload import Optimiser, Workload
from real_runtime.models import architecture, build_layers
from real_runtime.weights.precision import number_type, widening

_MOMENTUM = 0.9


@dataclass(slots=True)
class Piece:
    """What layers from ``first`` on leave between their forward and their backward."""

    first: int
    entered: Tensor
    output: Tensor  # the loss, on the last stage


@dataclass(slots=True)
class Stash:
    """What a micro-batch leaves: pieces that have not gone back, and the gradient that enters the last of them."""

    pieces: list[Piece] = field(default_factory=list)
    gradient: Tensor | None = None


class StageModule:
    """Consecutive layers on this rank; samples are dimension 0 of every tensor.

    The backward pass can stop before each of the layers in ``stops``: their graphs are not joined.
    """

    def __init__(
        self,
        model: Model,
        workload: Workload,
        layers: tuple[int, int],
        *,
        seed: int,
        checkpoint: str | None = None,
        stops: Collection[int] = (),
    ) -> None:
        self.model, self.workload, self.layers = model, workload, layers
        self.first, self.last = layers[0] == 0, layers[1] == len(model.layers)
        self.arch = architecture(model)
        self.module = build_layers(
            model, range(*layers), seed=seed, checkpoint=checkpoint, weight_bytes=workload.weight_bytes
        )
        bounds = pairwise((layers[0], *sorted(stops), layers[1]))
        self.joined = {first: self.module[first - layers[0] : stop - layers[0]] for first, stop in bounds}
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
            with torch.no_grad(), widening(self.workload.weight_bytes):
                output = self.module(entered.float() if entered.is_floating_point() else entered)
            self.outputs[micro_batch] = output.to(number_type(self.workload.activation_bytes))
            return
        stash = self.stash[micro_batch] = Stash()
        for first, piece in self.joined.items():
            if first > 0:  # what the first stage reads is data
                entered.requires_grad_()
            output = piece(entered)
            stash.pieces.append(Piece(first, entered, output))
            entered = output.detach()
        if self.last:
            assert target is not None, "the last stage needs targets"
            loss = self.arch.loss(self.model.hyper, self.workload.tokens, output, target) / self.workload.batch_samples
            stash.pieces[-1].output = loss
            self.loss += float(loss.detach())

    def output(self, micro_batch: int) -> Tensor:
        """The boundary tensor to send on."""
        if not self.training:
            return self.outputs[micro_batch]
        return self.stash[micro_batch].pieces[-1].output.detach()

    def backward(self, micro_batch: int, layers: tuple[int, int], gradient: Tensor | None) -> Tensor | None:
        """Add these layers' gradients to the flat buffer; return that of the stage's input, when all have gone back.

        Layers are the last ones that have not gone back; ``gradient`` is what the next stage sent, if any.
        """
        stash = self.stash[micro_batch]
        if gradient is not None:
            stash.gradient = gradient
        while stash.pieces and stash.pieces[-1].first >= layers[0]:
            piece = stash.pieces.pop()
            piece.output.backward(stash.gradient)
            stash.gradient = piece.entered.grad
        return None if stash.pieces else self.stash.pop(micro_batch).gradient

    def gradients(self, layers: tuple[int, int]) -> Tensor:
        """The part of the flat buffer that holds the gradients of these layers."""
        first = self.layers[0]
        start, stop = (_trained_numbers(self.module[: layer - first]) for layer in layers)
        return self.flat_gradients[start:stop]

    def update(self) -> None:
        """One optimiser step; gradients are zeroed for the next iteration."""
        self.optimiser.step()
        self.flat_gradients.zero_()


def _trained_numbers(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


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
