"""Why does something take the time it takes? The causes that an explanation knows, and seconds with a cause."""

from collections.abc import Iterable
from dataclasses import dataclass

from edgesim.since_3_11 import StrEnum


class Cause(StrEnum):
    """What seconds are spent on, or what makes them more."""

    COMPUTE = "compute"
    UPDATE = "update"
    FILL = "bubble (fill)"
    BETWEEN = "bubble (between)"
    DRAIN = "bubble (drain)"
    DEPTH = "bubble (too few in flight)"
    WAITING = "waiting for a slower rank"
    VARIATION = "varying durations"
    TRANSFER = "transfer"
    LATENCY = "latency"
    CONTENTION = "contention"
    COLLECTIVE = "all-reduce"
    DISK = "disk"
    HOST = "between tasks"
    RECOVERY = "recovery"


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """Seconds of a makespan: for what, and where: a rank, a link, a kind of block; "" for all of it."""

    cause: Cause
    where: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseShare:
    """What one cause adds to a difference, in seconds.

    Attributes:
        what: the cause, in words.
        where: a rank or a link; "" where it is none of them.
        seconds: the mean over all orders in which the causes can be switched (Shapley, 1953).
        least_s: in the order in which it is least.
        most_s: in the order in which it is most.
        detail: how it differs, in words.
    """

    what: str
    where: str
    seconds: float
    least_s: float
    most_s: float
    detail: str = ""

    @property
    def name(self) -> str:
        """The cause and its place."""
        return f"{self.what}, {self.where}" if self.where else self.what


def sum_by_place(terms: Iterable[Term]) -> dict[tuple[Cause, str], float]:
    """Return the seconds of every cause and place, in the order in which they come first."""
    total: dict[tuple[Cause, str], float] = {}
    for term in terms:
        total[term.cause, term.where] = total.get((term.cause, term.where), 0.0) + term.seconds
    return total
