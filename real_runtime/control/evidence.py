"""What is known of a rank when a run is judged? All of it, gathered before anybody draws a conclusion."""

from dataclasses import dataclass

from edgesim.since_3_11 import StrEnum
from real_runtime.control.board import Doing
from real_runtime.control.vitals import UNKNOWN, Vitals

HOST_LOST = 256
"""The exit code of a process whose host is not heard any more; none has it of its own."""


class Failure(StrEnum):
    """Why a rank could not go on, as far as it can tell."""

    OUT_OF_MEMORY = "out of memory"
    PEER_GONE = "peer gone"  # a connection was closed at its other end
    NOT_FINITE = "not finite"  # a computation put out infinite numbers, or such as are none
    OTHER = "other"


class Memory(StrEnum):
    """What the kernel's counters say of a killed process."""

    NOTHING = "nothing"
    AT_ITS_LIMIT = "at its limit"  # its own control group's counter rose
    SOMEWHERE = "somewhere"  # the machine's counter rose: a process was killed for memory, likely this one


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnError:
    """An error that a rank reported itself."""

    failure: Failure
    task: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a process ended, when on the coordinator's clock, and what the kernel said of memory."""

    exit_code: int  # negative: the signal that killed it
    at_s: float
    memory: Memory = Memory.NOTHING
    last_words: str = ""  # the last line that it wrote to its log
    cause: str = ""  # where its end was not its own


@dataclass(frozen=True, slots=True, kw_only=True)
class RankEvidence:
    """All that is known of one rank.

    Attributes:
        doings: what its streams are at; that of its computing thread first.
        task_cpu_s: processor seconds that its computation has taken so far.
        idle_s: how long it has used no processor for its computation, moved no byte and finished nothing.
        silent_s: how long no thread of it has run, of the coordinator's own running time.
        silent_cpu_s: processor seconds that it used meanwhile.
        faults_per_s: how often it lately waited for memory to come from a disk.
        link_down_s: how long its network interface has been down.
        stuck_with: ranks to which it sends again and again what they do not acknowledge.
        error_at_s: when its error was heard.
    """

    rank: int
    doings: tuple[Doing, ...]
    vitals: Vitals = UNKNOWN
    ending: Ending | None = None
    error: OwnError | None = None
    error_at_s: float = 0.0
    task_cpu_s: float = 0.0
    idle_s: float = 0.0
    silent_s: float = 0.0
    silent_cpu_s: float = 0.0
    faults_per_s: float = 0.0
    link_down_s: float = 0.0
    stuck_with: tuple[int, ...] = ()

    @property
    def main(self) -> Doing:
        """What its computing thread is at."""
        return self.doings[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long what is borne before a run is judged; seconds of the coordinator's own running time.

    Attributes:
        deadline_s: nothing moves.
        stopped_s: the operating system holds a rank; it takes a look to tell it from a debugger that passes by.
        link_down_s: the kernel says that nothing can pass a rank's interface, and nothing moves.
        silent_s: no other thread of a rank can run, while one uses the processor for all that time, or none does.
            A healthy rank beside two busy cores was seen to miss 0.16 s.
        starting_silent_s: the same before it has said anything.
        grace_s: after the first sign, how long to wait for its cause: a killed peer shows within 0.05 s, over SSH when
            its host has told of it.
        starting_s: nothing moves while ranks start, if that is longer than the deadline: a process that a crowded
            machine does not run yet shows nothing at all.
        computations: how many deadlines of processor time one computation may take.
    """

    deadline_s: float
    stopped_s: float = 0.2
    link_down_s: float = 1.0
    silent_s: float = 1.5
    grace_s: float = 0.3
    starting_s: float = 60.0
    starting_silent_s: float = 20.0
    computations: float = 10.0
