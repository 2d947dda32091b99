"""By how much do durations vary that should be equal?"""

from dataclasses import dataclass
from math import cos, exp, log, log1p, pi, sqrt

from edgesim.scenario.chance import uniform
from edgesim.units import MOST, require_numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Jitter:
    """Every computation's duration is multiplied by a log-normal factor of mean 1.

    ``variation`` is the coefficient of variation: standard deviation over mean.
    """

    variation: float
    source: str

    def __post_init__(self) -> None:
        require_numbers("jitter", self)
        if not 0 <= self.variation <= MOST:
            raise ValueError(f"jitter: variation must be finite and >= 0, got {self.variation} (at most {MOST:g})")

    def __str__(self) -> str:
        return f"durations vary by {self.variation:.3g} of their mean"

    @property
    def named(self) -> tuple[int, ...]:
        """Jitter concerns all ranks and names none."""
        return ()

    def factor(self, seed: int, iteration: int, task: str) -> float:
        """Return the factor of one task, by the task's name."""
        first, second = uniform(seed, "jitter", iteration, task)
        normal = sqrt(-2 * log(first)) * cos(2 * pi * second)  # Box & Muller, 1958
        variance = log1p(self.variation**2)
        return exp(sqrt(variance) * normal - variance / 2)
