"""What is a profile made of? Points: so much of a block, on a device, for an operation, takes so many seconds."""

from dataclasses import dataclass
from typing import NamedTuple

from edgesim.units import MOST

FORWARD = "F"
"""The operation of a point: the forward pass."""
BACKWARD = "B"
"""The operation of a point: the backward pass."""
UPDATE = "UPDATE"
"""The operation of a point: the optimiser's step, which asks for no samples."""

CALL = "(call)"
"""In the place of a block: what computing consecutive layers takes beside the layers, once, however many they are."""


class Portion(NamedTuple):
    """How much of a block is computed: samples and tokens, and the share of its heads or columns.

    ``samples`` is 0 for updates, ``share`` lies in (0, 1]. The tokens look at ``keys``: at themselves where it is None.
    A tuple, because planners ask for thousands.
    """

    samples: int
    tokens: int
    share: float = 1.0
    keys: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One entry; ``samples`` is 0 for updates, ``share`` lies in (0, 1].

    ``block`` is ``layer``, ``layer/block`` or ``layer/block.part``; ``keys`` is 0 where the tokens look at themselves.
    ``repeats`` are what single repeats were charged over ``seconds``, where they were kept: of layers that are timed
    within whole passes, on the point of the call, and of whole passes.
    """

    block: str
    device: str
    op: str
    samples: int
    tokens: int
    share: float
    seconds: float
    keys: int = 0
    repeats: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.repeats:
            object.__setattr__(self, "repeats", tuple(self.repeats))
            if not all(0 < each <= MOST for each in self.repeats):
                raise ValueError(f"profile: {self.block} on {self.device}: repeats must be above 0, got {self.repeats}")
        if not 0 <= self.seconds <= MOST:
            raise ValueError(
                f"profile: {self.block} on {self.device}: seconds must be >= 0, got {self.seconds} (at most {MOST:g})"
            )

    @property
    def portion(self) -> Portion:
        """How much of the block it is."""
        return Portion(samples=self.samples, tokens=self.tokens, share=self.share, keys=self.keys or None)
