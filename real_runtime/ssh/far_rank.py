"""How is a rank on a host led from here? As one of this machine: what its agent tells stands for looks of our own.

Times of the host's clock are told as ours wherever they pass; files that the rank wrote are fetched before its answer
counts.
"""

import contextlib
import math
import signal
import threading
import time
from pathlib import Path
from typing import Any, Protocol

from edgesim.errors import RunError
from real_runtime.assignment import results_file
from real_runtime.control.board import Doing, Head, State
from real_runtime.control.evidence import HOST_LOST, Memory
from real_runtime.control.rank_process import Hear, Message
from real_runtime.control.vitals import UNKNOWN, Vitals
from real_runtime.ssh.clock import HostClock
from real_runtime.ssh.frames import Frame, FrameError, shown
from real_runtime.ssh.replies import refuse_misshapen

_NEW_S = 1.0  # what was told longer ago is not of this moment
_TEXT = 1000  # letters of a name that a host may say


class Line(Protocol):
    """The way to a rank's host."""

    clock: HostClock

    def tell(self, frame: Frame) -> None:
        """Send a message to the agent; returns at once."""

    def fetch(self, there: str, here: Path) -> None:
        """Bring a file from the host. Raises RunError."""

    def scratch(self) -> str:
        """A folder of the host's for what ranks write, which the agent removes."""


class FarBoard:
    """What a rank has said on its board, as its agent told it last."""

    def __init__(self, clock: HostClock) -> None:
        self._clock, self._made_s = clock, time.monotonic()
        self._head = Head(beats=0, rests_until_s=0.0, finished=0, moved_bytes=0, link_down=False)
        self._main: Doing | None = None
        self._doings: tuple[Doing, ...] = ()

    def hear(self, look: Frame) -> None:
        """Learn of a look. Raises FrameError, ValueError, TypeError for what is none."""
        beats, rests_until_s, finished, moved_bytes, link_down = look["head"]
        self._head = Head(
            beats=int(beats),
            rests_until_s=self._clock.here_s(_second(rests_until_s)),
            finished=int(finished),
            moved_bytes=int(moved_bytes),
            link_down=bool(link_down),
        )
        self._main = self._doing(look["main"])
        if "doings" in look:
            self._doings = tuple(self._doing(each) for each in look["doings"])

    def _doing(self, told: list[Any]) -> Doing:
        stream, task, state, since_s, needs, message, awaits = told
        return Doing(
            stream=str(stream)[:_TEXT],
            task=str(task)[:_TEXT],
            state=State(state),
            since_s=self._clock.here_s(_second(since_s)),
            needs=str(needs)[:_TEXT],
            message=int(message),
            awaits=tuple(int(rank) for rank in awaits),
        )

    def head(self) -> Head:
        """The counters."""
        return self._head

    def main(self) -> Doing:
        """What the computing thread does."""
        return self._main or Doing(stream="compute", task="starting", state=State.STARTS, since_s=self._made_s)

    def doings(self) -> tuple[Doing, ...]:
        """What all streams do; the computing thread's comes first."""
        return (self.main(), *self._doings[1:])


def _second(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise FrameError(f"no second of a clock: {shown(value)}")
    return float(value)


class FarRank:
    """One rank's process on a host; ``number`` is what the agent knows it by."""

    def __init__(self, rank: int, number: int, line: Line, hear: Hear, *, pid: int) -> None:
        self.rank, self.number, self.pid, self.cause = rank, number, pid, ""
        self._line, self._hear = line, hear
        self.board = FarBoard(line.clock)
        self._vitals, self._seen_s = UNKNOWN, time.monotonic()
        self._beats, self.beat_s = 0, self._seen_s  # when its heart was seen to beat last, and its link was up
        self._code: int | None = None
        self._memory, self._last_words = Memory.NOTHING, ""
        self._has_ended = threading.Event()
        self._results: tuple[str, Path] | None = None  # a file on the host, and where it belongs here

    @property
    def now(self) -> str:
        """What it computes, or is about to."""
        return self.board.main().task

    @property
    def is_seen(self) -> bool:
        """Whether its agent has told of it lately."""
        return time.monotonic() - self._seen_s < _NEW_S or self._has_ended.is_set()

    def tell(self, command: Message) -> None:
        """Give the rank a command; returns at once. What it is to keep here, it keeps on its host first."""
        assignment = command["assignment"] if command.get("do") == "play" else {"results_folder": None}
        if assignment["results_folder"] is not None:
            there, here = self._line.scratch(), assignment["results_folder"]
            self._results = str(results_file(there, self.rank)), results_file(here, self.rank)
            command = command | {"assignment": assignment | {"results_folder": there}}
        if command.get("do") == "keep_pace":
            clock = self._line.clock
            command = command | {"pace": [(clock.there_s(at_s), speed) for at_s, speed in command["pace"]]}
        self._line.tell({"do": "tell", "rank": self.number, "message": command})

    def signal(self, number: int) -> None:
        """Send its process a signal, if it is there."""
        if self._code is None:
            self._line.tell({"do": "signal", "rank": self.number, "number": int(number)})

    def vitals(self) -> Vitals:
        """How its process was when its agent looked last."""
        return self._vitals

    def note_memory(self) -> None:
        """The agent has noted the counters since the process began."""

    def memory(self) -> Memory:
        """What the host's counters said when the process ended."""
        return self._memory

    def exit_code(self, *, within_s: float = 0.0) -> int | None:
        """How its process ended; None if it has not, as far as is known."""
        if within_s:
            self._has_ended.wait(within_s)
        return self._code

    def last_words(self) -> str:
        """The last line that it wrote to its log."""
        return self._last_words

    def kill(self) -> None:
        """Send the process a signal that nothing withstands."""
        self.signal(signal.SIGKILL)

    def leave(self, until_s: float) -> None:
        """Wait for the end of a killed process, and let its agent forget it."""
        self.exit_code(within_s=max(0.01, until_s - time.monotonic()))
        self._line.tell({"do": "forget", "rank": self.number})

    def look(self, told: Frame) -> None:
        """Learn how it is. Raises FrameError."""
        try:
            state, main_cpu_s, cpu_s, major_faults = told["vitals"]
            vitals = Vitals(
                state=str(state)[:1],
                main_cpu_s=_second(main_cpu_s),
                cpu_s=_second(cpu_s),
                major_faults=int(major_faults),
            )
            self.board.hear(told)
        except (KeyError, TypeError, ValueError) as error:
            raise FrameError(f"a look that is none: {error}") from None
        self._vitals, self._seen_s = vitals, time.monotonic()
        head = self.board.head()
        if head.beats != self._beats and not head.link_down:
            self._beats, self.beat_s = head.beats, self._seen_s

    def says(self, message: Message) -> None:
        """Hand on what it says, its times by our clock, and its files here. Raises FrameError."""
        refuse_misshapen(message)
        self._seen_s = time.monotonic()
        if "times" in message:
            message = message | {"times": self._on_our_clock(message["times"])}
        if message.get("done") == "play" and self._results is not None:
            (there, here), self._results = self._results, None
            threading.Thread(target=self._fetched, args=(there, here, message), daemon=True).start()
            return
        self._hear(self.rank, message)

    def _on_our_clock(self, times: Any) -> dict[str, tuple[float, float]]:
        clock = self._line.clock.fit  # one for all tasks of an iteration
        try:
            return {
                str(name): (clock.here_s(_second(ready_s)), clock.here_s(_second(end_s)))
                for name, (ready_s, end_s) in times.items()
            }
        except (AttributeError, TypeError, ValueError) as error:
            raise FrameError(f"times that are none: {error}") from None

    def _fetched(self, there: str, here: Path, message: Message) -> None:
        try:
            self._line.fetch(there, here)
        except RunError as error:
            told = {"failure": "other", "task": "fetching results", "message": str(error)}
            message = {"error": told, "number": message["number"]}
        self._hear(self.rank, message)

    def ended(self, told: Frame) -> None:
        """Learn how its process ended. Raises FrameError."""
        code = told.get("code")
        if type(code) is not int or not -64 <= code <= 255:
            raise FrameError(f"no exit code: {shown(code)}")
        self._last_words, self.cause = str(told.get("last_words", ""))[:_TEXT], str(told.get("cause", ""))[:_TEXT]
        with contextlib.suppress(ValueError):
            self._memory = Memory(str(told.get("memory")))
        self._end(code)

    def lost(self, why: str) -> None:
        """Its host is not heard any more: the process counts as ended."""
        self.cause = why
        self._end(HOST_LOST)

    def _end(self, code: int) -> None:
        if not self._has_ended.is_set():
            self._code = code
            self._has_ended.set()
            self._hear(self.rank, None)
