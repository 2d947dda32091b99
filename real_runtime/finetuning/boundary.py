"""What travels from layer to layer, and what of it gets a gradient? One tensor, or a frozen output and a side state.

Within a stage layers hand on what they make; what crosses to another stage is one tensor, as the schedule counts it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from edgesim.model import Model
from real_runtime.models import boundary_shapes

Shapes = Sequence[tuple[int, ...]]


class SideState(NamedTuple):
    """What layers with parallel adapters hand on: the frozen layer's output b, and the side network's state a."""

    frozen: Tensor
    side: Tensor


class Boundary(Protocol):
    """How a model's layers are joined."""

    def entered(self, arrived: Tensor, *, wants_gradient: bool) -> tuple[Any, Tensor | None]:
        """What the next layer takes of a tensor that arrived, and the part whose gradient goes back, if any does."""

    def apart(self, made: Any) -> tuple[Any, Tensor]:
        """The same in a graph of its own, and the part whose gradient goes back into this one."""

    def root(self, made: Any) -> Tensor:
        """What of a layer's output gets a gradient."""

    def message(self, made: Any) -> Tensor:
        """The tensor that crosses the boundary, outside of any graph."""


class OneTensor:
    """Layers hand on one tensor."""

    def entered(self, arrived: Tensor, *, wants_gradient: bool) -> tuple[Any, Tensor | None]:
        """The tensor itself."""
        return arrived, arrived.requires_grad_() if wants_gradient else None

    def apart(self, made: Tensor) -> tuple[Any, Tensor]:
        """The tensor without what made it."""
        leaf = made.detach().requires_grad_()
        return leaf, leaf

    def root(self, made: Tensor) -> Tensor:
        """All of it."""
        return made

    def message(self, made: Tensor) -> Tensor:
        """The tensor itself."""
        return made.detach()


class TwoStates:
    """Layers hand on a frozen output of ``hidden`` numbers per token and a side state; the latter alone is learnt."""

    def __init__(self, hidden: int) -> None:
        self.hidden = hidden

    def entered(self, arrived: Tensor, *, wants_gradient: bool) -> tuple[Any, Tensor | None]:
        """Both, taken apart."""
        frozen, side = arrived[..., : self.hidden], arrived[..., self.hidden :]
        side = side.contiguous().requires_grad_(wants_gradient)
        return SideState(frozen.contiguous(), side), side if wants_gradient else None

    def apart(self, made: SideState) -> tuple[Any, Tensor]:
        """Both without what made them."""
        side = made.side.detach().requires_grad_()
        return SideState(made.frozen, side), side

    def root(self, made: Any) -> Tensor:
        """The side state; the head's output is one tensor."""
        return made.side if isinstance(made, SideState) else made

    def message(self, made: Any) -> Tensor:
        """Both in one tensor."""
        if isinstance(made, SideState):
            return torch.cat([made.frozen, made.side.detach()], dim=-1)
        output: Tensor = made.detach()
        return output


def boundary_of(model: Model) -> Boundary:
    """How the model's layers are joined."""
    return OneTensor() if side_width(model) is None else TwoStates(int(model.hyper["hidden"]))


def side_width(model: Model) -> int | None:
    """How wide the side network's state is; None for a model that has none."""
    if model.hyper.get("technique") != "parallel_adapters":
        return None
    return int(model.hyper["hidden"]) // int(model.hyper["k"])


def message_shapes(model: Model, tokens: int) -> tuple[Shapes, Shapes]:
    """[layer] shape, for one sample, of what crosses the boundary behind it, and of the gradient that comes back."""
    plain, width = boundary_shapes(model, tokens), side_width(model)
    if width is None:
        return plain, plain
    *body, head = plain
    both = [(*shape[:-1], shape[-1] + width) for shape in body]
    return (*both, head), (*((*shape[:-1], width) for shape in body), head)
