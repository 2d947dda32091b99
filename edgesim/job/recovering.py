"""What has changed, and how does the job go on? What a policy is told, and what it answers."""

from collections.abc import Callable
from dataclasses import dataclass, field

from edgesim.job.held import Held
from edgesim.job.kept_outputs import KeptOutputs
from edgesim.job.phase import Migration, Phase, Refill


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Who is not there any more, wants to leave, or has come; when that was, and when the coordinator knew.

    Of several changes at a time, the seconds are those of the first. ``why`` says in words how somebody was lost, where
    that is known. Nobody is named where the next phase of a job has a plan whose layers are elsewhere.
    """

    at_s: float
    noticed_s: float
    lost: tuple[int, ...] = ()
    leaving: tuple[int, ...] = ()
    joining: tuple[int, ...] = ()
    why: str = ""

    def __str__(self) -> str:
        words = (("lost", self.lost), ("leaving", self.leaving), ("joining", self.joining))
        told = (f"{word}: {', '.join(f'rank {rank}' for rank in ranks)}" for word, ranks in words if ranks)
        return "; ".join(told) or "another plan"


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What a policy is told.

    Attributes:
        phase: that was played.
        present: ranks that can be used from now on: survivors, those that came, and those that the plan left out.
        held: what is held by all who are there, those that leave with them.
        done: iterations that are committed: the version that survivors have.
        left: iterations of the phase that are still to be trained, counted from ``done``.
        checkpoint: the version of the last whole checkpoint; 0 is the beginning, which needs none.
        disks: what is on the disks of all who are there, where ranks keep checkpoints on disks of their own; None: all
            see the last checkpoint.
        outputs: of frozen layers, that are cached by all who are there, those that leave with them.
    """

    change: Change
    phase: Phase
    present: tuple[int, ...]
    held: Held
    done: int
    left: int
    checkpoint: int = 0
    disks: Held | None = None
    outputs: KeptOutputs = field(default_factory=KeptOutputs)

    def readable(self, layers: int) -> int:
        """The newest version of which all of so many layers can be read from disks; 0 where there is no other."""
        return self.checkpoint if self.disks is None else self.disks.newest(layers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What a policy answers.

    Attributes:
        phase: how training goes on. Its ``iterations`` are those from ``version`` on. The old phase: nothing changes.
        version: iterations that count as done; all ranks go back to it. Where the phase ends before the one that was
            played, it is an earlier one again, and those behind it follow.
        migrations: played one after the other before training goes on, refills of a cache among them.
        restarts: whether all processes start anew and read a checkpoint, so that no layers need to be moved.
        says: in words for people, what is done and why.
    """

    phase: Phase
    version: int
    migrations: tuple[Migration | Refill, ...] = ()
    restarts: bool = False
    says: str = ""


Recover = Callable[[Situation], Recovery]
"""A policy: a pure function, the same for both players. Raises InfeasibleError where the job cannot go on."""
