"""When does something happen in a job? At a second of it, or when a task of one of its iterations starts."""

from dataclasses import dataclass
from math import inf

from edgesim.units import require_numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A second on the job's clock; or, by ``iteration`` and ``task``, the start of a task as its schedule names it.

    An iteration without a task is its beginning. A task that is played again, because its iteration was lost, is no
    second moment: what happens, happens once.
    """

    at_s: float | None = None
    iteration: int | None = None
    task: str | None = None

    def __post_init__(self) -> None:
        require_numbers("moment", self)
        if (self.at_s is None) == (self.iteration is None):
            raise ValueError(
                f"moment: needs either a second or an iteration, got at_s={self.at_s}, iteration={self.iteration}"
            )
        if self.task is not None and self.iteration is None:
            raise ValueError(f"moment: needs the iteration of task {self.task}")
        if self.at_s is not None and not 0 <= self.at_s < inf:
            raise ValueError(f"moment: at_s must be finite and >= 0, got {self.at_s}")
        if self.iteration is not None and self.iteration < 0:
            raise ValueError(f"moment: iteration must be >= 0, got {self.iteration}")

    def __str__(self) -> str:
        if self.at_s is not None:
            return f"at {self.at_s:g} s"
        return f"in iteration {self.iteration}" + (f" at {self.task}" if self.task else "")
