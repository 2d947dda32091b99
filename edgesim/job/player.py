"""Who plays a job, in virtual time or on devices, and what is such a player asked?"""

from dataclasses import dataclass
from functools import partial
from typing import Protocol

from edgesim.job.held import Held
from edgesim.job.job_trace import JobSpan
from edgesim.job.phase import Migration, Phase, Refill
from edgesim.job.recovering import Change, Recovery
from edgesim.job.safety import Safety


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """How far a player came, and why it stopped if it was not at the end.

    Attributes:
        done: iterations that are committed, those of earlier phases with them.
        replicated: the version of the last backups that arrived whole; None where none did.
        checkpoint: the version of the last whole checkpoint, likewise.
    """

    done: int
    change: Change | None = None
    replicated: int | None = None
    checkpoint: int | None = None


class JobPlayer(Protocol):
    """Who plays a job: in virtual time, or on devices. It keeps the clock, and writes down what it does."""

    name: str
    spans: list[JobSpan]

    @property
    def losses(self) -> list[float]:
        """The loss of every iteration that counts, if there is any."""

    @property
    def now_s(self) -> float:
        """Seconds since the job began."""

    def train(self, phase: Phase, done: int, until: int, safety: Safety) -> Played:
        """Play a phase's iterations from number ``done`` up to ``until``, or until somebody is lost, leaves or comes.

        Who leaves or comes is told of between two iterations.
        """

    def plan(self, answer: partial[Recovery]) -> Recovery:
        """Ask a policy, and let the time pass that it takes."""

    def wait(self, wait_s: float) -> Change | None:
        """Let time pass until somebody comes, leaves or is lost; None if nobody does for so long."""

    def regroup(self, ranks: tuple[int, ...]) -> Change | None:
        """Connect these ranks anew, and no others; what they hold stays. Return who was lost meanwhile."""

    def move(self, migration: Migration, version: int) -> Change | None:
        """Play a migration of layers as they are in a version. Return who was lost meanwhile."""

    def refill(self, refill: Refill, phase: Phase, version: int) -> Change | None:
        """Load frozen layers and compute missing outputs, while what is trained stays as it is; let the layers go.

        ``phase`` is how training goes on then. Return who was lost meanwhile.
        """

    def go_back(self, phase: Phase, version: int) -> Change | None:
        """Let all ranks of the phase's plan hold its layers in this version, which they have, or have received.

        All copies of this version are kept, beside what is trained on, until backups are sent again; all others go.
        Return who was lost meanwhile.
        """

    def reread(self, ranks: tuple[int, ...], version: int, disks: Held) -> Change | None:
        """End all processes, start those of these ranks anew, and let each read what its own disk has of a version.

        ``disks`` says what that is. Return who was lost meanwhile.
        """

    def restart(self, phase: Phase, version: int) -> Change | None:
        """End all processes, start those of the plan anew, and let them read the checkpoint of this version.

        Return who was lost meanwhile.
        """
