"""What does one rank compute? The layers of its stage, their gradients in one flat buffer, and the optimiser."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from edgesim.model import Model
from edgesim.workload import Optimiser, Workload
from real_runtime.finetuning.boundary import boundary_of
from real_runtime.finetuning.techniques import build_tuned, is_frozen
from real_runtime.models import architecture, reads_labels
from real_runtime.models.batch_norms import statistics_as_they_are
from real_runtime.weights.precision import number_type, widening

_MOMENTUM = 0.9


@dataclass(slots=True)
class Piece:
    """What layers from ``first`` on leave between their forward and their backward.

    Attributes:
        entered: what of their input gets a gradient, if anything before them wants one.
        output: what of their output gets one; the loss, on the last stage.
    """

    first: int
    entered: Tensor | None
    output: Tensor


@dataclass(slots=True)
class Stash:
    """What a micro-batch leaves: pieces that have not gone back, and the gradient that enters the last of them.

    ``message`` is what crosses to the next stage; the loss, on the last one.
    """

    pieces: list[Piece] = field(default_factory=list)
    gradient: Tensor | None = None
    message: Tensor | None = None


@dataclass(slots=True)
class Kept:
    """What a micro-batch leaves that is computed a second time before it goes back."""

    entered: Tensor
    target: Tensor | None
    output: Tensor


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
        self.arch, self.boundary = architecture(model), boundary_of(model)
        self.module = build_tuned(
            model,
            range(*layers),
            seed=seed,
            checkpoint=checkpoint,
            weight_bytes=workload.weight_bytes,
            frozen=not workload.trains or is_frozen(model),
        )
        self.reads_labels = self.last or any(reads_labels(layer) for layer in self.module)
        self.returns_gradient = not self.first and model.layers[layers[0] - 1].returns_gradient
        bounds = pairwise((layers[0], *sorted(stops), layers[1]))
        self.joined = {first: self.module[first - layers[0] : stop - layers[0]] for first, stop in bounds}
        self.training = workload.trains
        self.outputs: dict[int, Tensor] = {}  # of inference, by micro-batch
        if self.training:
            tied = list(self.module.tied.values())
            self.shared = {id(weight) for weight in tied}
            own = [weight for weight in self.module.parameters() if id(weight) not in self.shared]
            self.flat_gradients = flatten_gradients([*own, *tied])
            self.optimiser = make_optimiser(self.module.parameters(), workload)
        self.stash: dict[int, Stash] = {}
        self.kept: dict[int, Kept] = {}
        self.sent: dict[int, Tensor] = {}  # what no gradient comes back for, which may be sent later than it is done
        self.loss = 0.0

    def forward(self, micro_batch: int, entered: Any, target: Tensor | None) -> None:
        """Compute the output, or on the last stage the loss divided by the samples of the whole batch.

        What enters is a tensor, or of a model that learns from cached outputs a list of them.
        """
        if not self.training:
            with torch.no_grad(), widening(self.workload.weight_bytes):
                output = self._through(entered.float() if entered.is_floating_point() else entered, target)
            self.outputs[micro_batch] = output.to(number_type(self.workload.activation_bytes))
            return
        output = self._stashed(micro_batch, entered, target)
        if self.last:
            self.loss += float(output.detach())

    def forward_keeping_input(self, micro_batch: int, entered: Tensor, target: Tensor | None) -> None:
        """Compute the same in training, but leave nothing for the backward pass except what came in."""
        with torch.no_grad():
            output = self._made(self._through(entered, target), target)
        self.kept[micro_batch] = Kept(entered, target, output)
        if self.last:
            self.loss += float(output)

    def _through(self, entered: Tensor, target: Tensor | None) -> Tensor:
        """What crosses the boundary behind this stage, for what crossed the one before it."""
        inside = entered if self.first else self.boundary.entered(entered, wants_gradient=False)[0]
        return self.boundary.message(self.module(inside, target))

    def recompute(self, micro_batch: int) -> None:
        """Compute a micro-batch forward again, and leave what its backward pass needs; its loss was counted."""
        kept = self.kept.pop(micro_batch)
        entered, target = kept.entered, kept.target
        del kept  # and its output, which has been sent
        with statistics_as_they_are(self.module):
            self._stashed(micro_batch, entered, target)

    def _stashed(self, micro_batch: int, entered: Any, target: Tensor | None) -> Tensor:
        """Compute piece by piece, keep what goes back, and return what comes out."""
        stash = self.stash[micro_batch] = Stash()
        inside, leaf = entered, None
        if not self.first:  # what the first stage reads is data
            inside, leaf = self.boundary.entered(entered, wants_gradient=self.returns_gradient)
        *body, last = self.joined.items()
        for first, piece in body:
            made = piece(inside, target)
            stash.pieces.append(Piece(first, leaf, self.boundary.root(made)))
            inside, leaf = self.boundary.apart(made)
        first, piece = last
        made = piece(inside, target)
        output = self._made(self.boundary.root(made), target)
        stash.pieces.append(Piece(first, leaf, output))
        stash.message = output.detach() if self.last else self.boundary.message(made)
        return output

    def _made(self, output: Tensor, target: Tensor | None) -> Tensor:
        """What the stage makes of its last layer's output: on the last stage this rank's part of the loss."""
        if not self.last:
            return output
        assert target is not None, "the last stage needs targets"
        return self.arch.loss(self.model.hyper, self.workload.tokens, output, target) / self.workload.batch_samples

    def output(self, micro_batch: int) -> Tensor:
        """The boundary tensor to send on."""
        if not self.training:
            return self.outputs[micro_batch]
        if micro_batch in self.sent:
            return self.sent[micro_batch]
        kept = self.kept.get(micro_batch)
        message = self.stash[micro_batch].message if kept is None else kept.output
        assert message is not None, "a micro-batch is asked for behind its forward pass"
        return message

    def backward(self, micro_batch: int, layers: tuple[int, int], gradient: Tensor | None) -> Tensor | None:
        """Add these layers' gradients to the flat buffer; return that of the stage's input, when all have gone back.

        Layers are the last ones that have not gone back; ``gradient`` is what the next stage sent, if any.
        """
        stash = self.stash[micro_batch]
        if gradient is not None:
            stash.gradient = gradient
        while stash.pieces and stash.pieces[-1].first >= layers[0]:
            piece = stash.pieces.pop()
            if piece.output.requires_grad:  # not where nothing is trained so far
                piece.output.backward(stash.gradient)
            stash.gradient = None if piece.entered is None else piece.entered.grad
        if stash.pieces:
            return None
        if not piece.output.requires_grad and stash.message is not None:
            self.sent[micro_batch] = stash.message
        return self.stash.pop(micro_batch).gradient

    def gradients(self, layers: tuple[int, int]) -> Tensor:
        """The part of the flat buffer that holds the gradients of these layers."""
        first = self.layers[0]
        start, stop = (self._trained_numbers(self.module[: layer - first]) for layer in layers)
        return self.flat_gradients[start:stop]

    def tied_gradients(self, owner: int) -> Tensor:
        """The part that holds the gradient of a weight which layers elsewhere have a copy of; those come last."""
        start = self._trained_numbers(self.module)
        for layer, weight in self.module.tied.items():
            if layer == owner:
                return self.flat_gradients[start : start + weight.numel()]
            start += weight.numel()
        raise ValueError(f"stage {self.layers} shares no weight of layer {owner} with another one")

    def _trained_numbers(self, module: nn.Module) -> int:
        """How many numbers replicas add up, without what other stages share."""
        return sum(p.numel() for p in module.parameters() if p.requires_grad and id(p) not in self.shared)

    def undo(self) -> None:
        """Forget what an iteration has left that did not come to its end."""
        self.stash.clear()
        self.kept.clear()
        self.outputs.clear()
        self.sent.clear()
        if self.training:
            self.flat_gradients.zero_()

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
    """The workload's optimiser over what of the weights is trained; where nothing is, it has nothing to do."""
    parameters = [p for p in weights if p.requires_grad] or [nn.Parameter(torch.empty(0))]
    if workload.optimiser is Optimiser.ADAM:
        return torch.optim.Adam(parameters, lr=workload.learning_rate)
    momentum = _MOMENTUM if workload.optimiser is Optimiser.MOMENTUM else 0.0
    return torch.optim.SGD(parameters, lr=workload.learning_rate, momentum=momentum)
