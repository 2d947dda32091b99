"""What is a rank doing now? It says so in memory that its coordinator shares, and reads even after the rank's death.

A message per task would cost the computation more, fill a pipe that nobody reads, and be lost with a killed rank. The
board is a file that exists in memory only: a head, then a slot for each stream. Each thread writes its own slot.
"""

import mmap
import os
import struct
import tempfile
import time
from dataclasses import dataclass
from enum import IntEnum

SLOT_BYTES, _FIRST_SLOTS = 512, 32
# Of the head: how often the heart beat, when the current rest ends, what has been finished, what has been exchanged,
# and whether the link is down.
_BEATS, _RESTS_UNTIL, _FINISHED, _MOVED, _LINK_DOWN = (struct.Struct(code) for code in ("<Q", "<d", "<Q", "<Q", "<Q"))
_BEATS_AT, _RESTS_UNTIL_AT, _FINISHED_AT, _MOVED_AT, _LINK_DOWN_AT = 0, 8, 16, 24, 32
# A slot's first and last number are equal unless it is being written: number, state, since, message, 3 texts.
_SLOT = struct.Struct("<IIdi48s160s248sI")
_TRIES = 5


class State(IntEnum):
    """What one stream of a rank is at."""

    UNUSED = 0
    IDLE = 1  # it has nothing to do
    STARTS = 2  # it has said nothing yet
    COMPUTES = 3
    NEEDS = 4  # it waits for another stream of its own rank
    SENDS = 5  # it waits until another rank has taken a message
    RECEIVES = 6  # it waits for another rank's message
    MEETS = 7  # it waits for all ranks that it awaits to come and to do their part


@dataclass(frozen=True, slots=True, kw_only=True)
class Doing:
    """What one stream of a rank is doing.

    Attributes:
        since_s: on the machine's monotonic clock.
        needs: the stream that it waits for, of the same rank; "" if it does not.
        message: the number of its message within the connection, alike at both ends.
        awaits: the other ranks that it waits for.
    """

    stream: str
    task: str
    state: State
    since_s: float
    needs: str = ""
    message: int = -1
    awaits: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A rank's counters: all of them only grow, so that any change is movement."""

    beats: int
    rests_until_s: float
    finished: int
    moved_bytes: int
    link_down: bool


def shared_memory() -> int:
    """A descriptor of a file that vanishes with its last holder, long enough for a board."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("edgesim-board")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, (1 + _FIRST_SLOTS) * SLOT_BYTES)
    return descriptor


class Slot:
    """Where one thread of a rank writes what it is doing."""

    __slots__ = ("_at", "_board", "_number", "_stream", "task")

    def __init__(self, board: "Board", index: int, stream: str) -> None:
        self._board, self._stream, self._number = board, stream.encode(), 0
        self.task = ""  # as it was last told
        self._at = (1 + index) * SLOT_BYTES

    def tell(
        self, state: State, task: str, *, needs: str = "", message: int = -1, awaits: tuple[int, ...] = ()
    ) -> None:
        """Say what is done from now on. Of very many ranks awaited, the first are told."""
        self._number = number = (self._number + 1) % 2**32
        self.task = task
        others = ",".join(map(str, awaits)) if awaits else needs
        fields = (state, time.monotonic(), message, self._stream, task.encode(), others.encode())
        _SLOT.pack_into(self._board.memory, self._at, number, *fields, number)

    def finish(self) -> None:
        """Count something done."""
        self._board.count()


class Board:
    """A rank's side: writes."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.memory = mmap.mmap(descriptor, os.fstat(descriptor).st_size)
        self._finished = self._beats = 0
        self._slots: dict[str, Slot] = {}
        self.main = self.slot("compute")

    def slot(self, stream: str) -> Slot:
        """The slot of a stream, made when it is first asked for; by one thread only."""
        if stream not in self._slots:
            index = len(self._slots)
            if (need := (2 + index) * SLOT_BYTES) > len(self.memory):
                os.ftruncate(self._descriptor, 2 * need)
                self.memory = mmap.mmap(self._descriptor, 2 * need)
            self._slots[stream] = Slot(self, index, stream)
        return self._slots[stream]

    def count(self) -> None:
        """Count something done."""
        self._finished += 1  # two threads at once may count one: it has changed all the same
        _FINISHED.pack_into(self.memory, _FINISHED_AT, self._finished)

    def rest(self, until_s: float) -> None:
        """Say that the computing thread sleeps until then."""
        _RESTS_UNTIL.pack_into(self.memory, _RESTS_UNTIL_AT, until_s)

    def beat(self) -> None:
        """Say that this process can still run a thread."""
        self._beats += 1
        _BEATS.pack_into(self.memory, _BEATS_AT, self._beats)

    def exchanged(self, moved_bytes: int, *, link_down: bool) -> None:
        """Say how many bytes all connections have moved, both ways, and whether the network interface is down."""
        _MOVED.pack_into(self.memory, _MOVED_AT, moved_bytes)
        _LINK_DOWN.pack_into(self.memory, _LINK_DOWN_AT, link_down)


class BoardReader:
    """The coordinator's side: reads."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._made_s = descriptor, time.monotonic()

    def head(self) -> Head:
        """The counters."""
        data = os.pread(self._descriptor, SLOT_BYTES, 0)
        beats, finished, moved, down = (
            int(kind.unpack_from(data, at)[0])
            for kind, at in (
                (_BEATS, _BEATS_AT),
                (_FINISHED, _FINISHED_AT),
                (_MOVED, _MOVED_AT),
                (_LINK_DOWN, _LINK_DOWN_AT),
            )
        )
        (rests_until_s,) = _RESTS_UNTIL.unpack_from(data, _RESTS_UNTIL_AT)
        return Head(
            beats=beats, rests_until_s=rests_until_s, finished=finished, moved_bytes=moved, link_down=bool(down)
        )

    def main(self) -> Doing:
        """What the computing thread does."""
        return self._doing(0) or Doing(stream="compute", task="starting", state=State.STARTS, since_s=self._made_s)

    def doings(self) -> tuple[Doing, ...]:
        """What all streams do; the computing thread's comes first."""
        count = os.fstat(self._descriptor).st_size // SLOT_BYTES - 1
        others = (self._doing(index) for index in range(1, count))
        return (self.main(), *(doing for doing in others if doing is not None))

    def _doing(self, index: int) -> Doing | None:
        """None for a slot that is not in use."""
        for _ in range(_TRIES):
            data = os.pread(self._descriptor, SLOT_BYTES, (1 + index) * SLOT_BYTES)
            if len(data) < _SLOT.size:
                return None
            before, state, since_s, message, stream, task, others, after = _SLOT.unpack_from(data)
            if before == after:
                break
        if state == State.UNUSED:
            return None
        awaited = [] if state == State.NEEDS else _text(others).split(",")
        if awaited and others[-1:] != b"\0":
            del awaited[-1]  # it may have been cut
        return Doing(
            stream=_text(stream),
            task=_text(task),
            state=State(state),
            since_s=since_s,
            needs=_text(others) if state == State.NEEDS else "",
            message=message,
            awaits=tuple(map(int, filter(None, awaited))),
        )


def _text(field: bytes) -> str:
    return field.rstrip(b"\0").decode(errors="replace")
