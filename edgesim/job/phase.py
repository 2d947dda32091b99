"""What is played, and how often? A schedule's iterations under a plan, or messages that move state."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from edgesim.job.held import Copy, copies_of
from edgesim.job.safety import sends_backups
from edgesim.model import Model
from edgesim.plan import Plan
from edgesim.schedule import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """Messages that move layers, or what is cached, once; ``arriving`` are the copies of layers that its end makes.

    ``model`` is whose layers they are, where it is not the job's model: the next phase's.
    """

    name: str
    schedule: Schedule
    arriving: tuple[Copy, ...]
    model: Model | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refill:
    """Iterations of an epoch of which cached outputs are missing, and a schedule that computes them again for each.

    It goes forward through layers of the job's model, frozen ones that ranks have let go among them, which are loaded
    first. Its tasks name positions of the batch as samples.
    """

    name: str
    schedule: Schedule
    iterations: tuple[int, int]

    @property
    def ranks(self) -> tuple[int, ...]:
        """Who computes."""
        return tuple(rank for rank, program in enumerate(self.schedule.programs) if program)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A schedule that is played for some iterations, and the plan that it belongs to.

    Attributes:
        name: what people call it: training, cached training.
        schedule: of one iteration; its ranks commit before they update (:func:`edgesim.job.committed`).
        replicating: of an iteration in which what has no replica is backed up as well; None where nothing needs to be.
        backups: the copies that such an iteration makes, as they are at its beginning; of their ``version`` only the
            iteration knows.
        arrival: what is moved once before the first iteration, by ranks that hold what the phase before has left them;
            None where nothing needs to be, or a policy says what.
        model: what is computed, where it is not the job's model: without a backbone whose outputs are cached, say.
    """

    name: str
    plan: Plan
    schedule: Schedule
    iterations: int
    replicating: Schedule | None = None
    backups: tuple[Copy, ...] = ()
    arrival: Migration | None = None
    model: Model | None = None

    def __post_init__(self) -> None:
        if self.iterations < 1:
            raise ValueError(f"phase {self.name}: needs at least one iteration, got {self.iterations}")

    def replicates(self, iteration: int, every: int | None, *, first: int) -> bool:
        """Whether an iteration sends backups (:func:`sends_backups`), if there are any to send."""
        return self.replicating is not None and sends_backups(iteration, every, first=first)

    def written(self, version: int) -> Iterator[Copy]:
        """Yield what ranks write on disks of their own: their layers, and the backups that they have."""
        yield from copies_of(self.plan, version)
        yield from (replace(copy, version=version) for copy in self.backups)

    def schedule_of(self, iteration: int, every: int | None, *, first: int) -> Schedule:
        """What an iteration plays, if every so many send backups, and the first one does."""
        replicates = self.replicates(iteration, every, first=first)
        return self.replicating if self.replicating and replicates else self.schedule
