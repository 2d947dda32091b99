"""What must a kind of block offer, so that a rank can compute it and exchange its tensors?"""

from typing import Protocol

from torch import Tensor

from edgesim.schedule import Task


class BlockComputation(Protocol):
    """One block on one rank, both ways."""

    def forward(self, task: Task) -> None:
        """Compute the block, or the part of it that the task names."""

    def backward(self, task: Task) -> None:
        """Go back through what :meth:`forward` has computed for the same block or part."""


class ExchangingComputation(BlockComputation, Protocol):
    """A block whose tensors ranks exchange."""

    def own_tile(self, task: Task) -> Tensor:
        """This rank's own complete tile, for a SEND; or what it has added up for all, as the hub of a star."""

    def message_shape(self, task: Task) -> tuple[int, ...]:
        """The shape of what a RECV brings."""

    def reduced_place(self, task: Task) -> str:
        """The place of the partial sums that an ALL_REDUCE adds up."""
