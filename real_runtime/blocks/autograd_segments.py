"""How does a block go back alone? Every computation of a forward pass starts an autograd graph of its own."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Key = tuple[int | None, str]  # micro-batch, and the block or its part


class AutogradSegments:
    """The graphs between forward and backward; none are kept where nothing is trained."""

    def __init__(self, *, training: bool) -> None:
        self.training = training
        self.kept: dict[Key, tuple[list[Tensor], list[Tensor]]] = {}

    def run(self, key: Key, work: Callable[..., Any], *inputs: Tensor | None) -> tuple[Tensor, ...]:
        """Do the work; in training on new leaves, so that :meth:`back` ends there."""
        leaves = [None if x is None else x.detach() for x in inputs] if self.training else list(inputs)
        if self.training:
            for leaf in leaves:
                if leaf is not None and leaf.is_floating_point():
                    leaf.requires_grad_()
        result = work(*leaves)
        outputs = result if isinstance(result, tuple) else (result,)
        if self.training:
            self.kept[key] = ([leaf for leaf in leaves if leaf is not None], list(outputs))
        return tuple(output.detach() for output in outputs)

    def back(self, key: Key, *gradients: Tensor | None) -> list[Tensor | None]:
        """Go back from the outputs' gradients, add to those of the weights, and return those of the inputs."""
        leaves, outputs = self.kept.pop(key)
        known = [(output, own) for output, own in zip(outputs, gradients, strict=True) if own is not None]
        torch.autograd.backward([output for output, _ in known], [own for _, own in known])
        return [leaf.grad for leaf in leaves]
