"""What happened in a job, and when? Spans on one clock; what nothing disturbed is kept once, with its count."""

from collections.abc import Iterator
from dataclasses import dataclass

from edgesim.job.recovering import Change
from edgesim.model import Model
from edgesim.plan import Plan
from edgesim.since_3_11 import StrEnum
from edgesim.trace import Trace


class Activity(StrEnum):
    """What the job as a whole is at."""

    TRAINING = "training"
    LOST = "lost work"  # an iteration that a loss ended before its commit
    DETECTION = "detection"  # somebody is missing, and nobody knows yet
    PLANNING = "re-planning"
    REGROUPING = "reconnection"  # of ranks, and what they take to take up other layers
    MIGRATION = "migration"
    REFILL = "refill"  # of cached outputs that went with a device
    RESTART = "restart"
    CHECKPOINT = "checkpoint"
    WAITING = "waiting for devices"  # the job cannot go on with those that are there


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpan:
    """What the job did for a time.

    Attributes:
        first: of training and of a refill, the number of its first iteration.
        count: how many iterations follow each other that all take as long; of all else 1.
        trace: of one of these iterations, or of a migration; None where no schedule was played to its end.
        redone: how many of them had been done before and were lost.
        says: in words for people.
        model: of training, what was computed, where it is not the job's model.
        disturbed: of measured training, the share of a host's processors that other programs took meanwhile, 0 where it
            is too little to count; None where nothing is known of other programs.
    """

    activity: Activity
    start_s: float
    end_s: float
    first: int = 0
    count: int = 1
    trace: Trace | None = None
    redone: int = 0
    says: str = ""
    model: Model | None = None
    disturbed: float | None = None

    @property
    def seconds(self) -> float:
        """The length of the span."""
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumption:
    """A change, and how the job went on.

    Attributes:
        done: iterations that were committed when it came.
        version: iterations that counted as done from then on; those between were redone.
        resumed_s: when training went on.
        plan: from then on.
    """

    change: Change
    done: int
    version: int
    resumed_s: float
    plan: Plan
    says: str = ""


@dataclass(frozen=True, kw_only=True)
class JobTrace:
    """A whole job; ``player`` is "simulated" or "measured"; ``losses`` are those of measured iterations that count.

    ``began_s`` is when second 0 of a measured one was on the monotonic clock of the machine that played it; in slow
    motion on one that is as slow.
    """

    player: str
    spans: tuple[JobSpan, ...]
    resumptions: tuple[Resumption, ...]
    batch_samples: int
    losses: tuple[float, ...] = ()
    began_s: float | None = None

    @property
    def end_s(self) -> float:
        """When the job ended."""
        return max((span.end_s for span in self.spans), default=0.0)

    @property
    def disturbed(self) -> tuple[float, ...]:
        """How far other programs disturbed each span of training; empty where that is not known of all of them."""
        shares = [span.disturbed for span in self.of(Activity.TRAINING)]
        known = tuple(share for share in shares if share is not None)
        return known if len(known) == len(shares) else ()

    def of(self, *activities: Activity) -> Iterator[JobSpan]:
        """Yield the spans of some activities, in their order."""
        return (span for span in self.spans if span.activity in activities)

    def seconds(self, *activities: Activity) -> float:
        """Return how long the job was at these."""
        return sum(span.seconds for span in self.of(*activities))
