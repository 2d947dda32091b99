"""How does a job guard against losses? By heartbeats that tell of them, by backups and by checkpoints."""

from dataclasses import dataclass, field
from math import floor, inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """Every rank says each ``period_s`` that it is there; who says nothing for ``timeout_s`` is lost."""

    period_s: float = 0.05
    timeout_s: float = 0.4

    def __post_init__(self) -> None:
        if not 0 < self.period_s < self.timeout_s:
            raise ValueError(
                f"heartbeat: needs 0 < period_s < timeout_s, got {self.period_s} and {self.timeout_s}: a rank that is "
                "there must be heard before it counts as lost"
            )

    def noticed_s(self, lost_s: float) -> float:
        """When a rank counts as lost that was lost at this second; it has said so last at a multiple of the period."""
        return floor(lost_s / self.period_s) * self.period_s + self.timeout_s


def sends_backups(iteration: int, every: int | None, *, first: int) -> bool:
    """Return whether an iteration sends backups: every so many, and the ``first`` that is played after a recovery.

    At the beginning of a job there is nothing to back up.
    """
    return bool(every and iteration and (iteration % every == 0 or iteration == first))


def checkpoint_version(done: int, every: int | None, *, backed_up: bool | None) -> int | None:
    """Return the version of which a checkpoint is written once so many iterations are done; None: of none.

    With disks of their own ranks write what they hold with their backups, which is the version at the beginning of the
    iteration that has sent these: ``backed_up`` says whether the last one has; None: a checkpoint needs no backups.
    """
    if backed_up is False:
        return None
    version = done - 1 if backed_up else done
    return version if every and version and version % every == 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Safety:
    """What is spent on losses before there are any.

    Attributes:
        replicate_every: iterations from backup to backup of what has no replica; None sends none.
        checkpoint_every: iterations from checkpoint to checkpoint, which ranks write at their disks' rates; None
            writes none.
        own_disks: whether a rank's checkpoint is on a disk of its own, with the backups that it has: boards without
            storage that all of them see. What a lost rank had comes from its backup's disk, over the network.
        wait_s: how long a job that cannot go on with the devices that are left waits for one that comes; 0: not at all.
    """

    heartbeat: Heartbeat = field(default_factory=Heartbeat)
    replicate_every: int | None = 10
    checkpoint_every: int | None = None
    own_disks: bool = False
    wait_s: float = 600.0

    def __post_init__(self) -> None:
        for name in ("replicate_every", "checkpoint_every"):
            every = getattr(self, name)
            if every is not None and every < 1:
                raise ValueError(f"safety: {name} must be at least 1, got {every} (null: never)")

        apart = self.replicate_every is None or bool((self.checkpoint_every or 0) % self.replicate_every)
        if self.own_disks and (self.checkpoint_every is None or apart):
            raise ValueError(
                "safety: on disks of their own ranks write what they hold with their backups, so that checkpoint_every "
                f"must be a multiple of replicate_every, got {self.checkpoint_every} and {self.replicate_every}"
            )
        if not 0 <= self.wait_s < inf:
            raise ValueError(f"safety: wait_s must be a number of seconds, got {self.wait_s} (0: do not wait)")

    def checkpoint_of(self, done: int, *, replicates: bool | None) -> int | None:
        """The version of which a checkpoint is written once so many iterations are done.

        ``replicates`` says whether the last of them has sent backups; None where the plan needs none.
        """
        backed_up = replicates if self.own_disks else None
        return checkpoint_version(done, self.checkpoint_every, backed_up=backed_up)
