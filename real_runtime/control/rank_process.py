"""How is one rank's process started, told, heard and ended? No call here waits for the rank, but for its end.

``LedRank`` is what a coordinator needs of a rank, wherever its process lives; ``RankProcess`` is one of this machine.
"""

import contextlib
import json
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from edgesim.errors import RunError
from real_runtime.control.board import BoardReader, Doing, Head, shared_memory
from real_runtime.control.evidence import Memory
from real_runtime.control.forking.client import ForkServer
from real_runtime.control.forking.server import Given
from real_runtime.control.vitals import Vitals, group_oom_kills, memory_group, oom_kills, vitals

Message = dict[str, Any]
Hear = Callable[[int, Message | None], object]
"""Is called in a thread, with the number of a rank and each of its messages, and with None when its process ends."""
_LOOK_S = 0.005


class ReadableBoard(Protocol):
    """What a rank has said on its board, as it is read."""

    def head(self) -> Head:
        """The counters."""

    def main(self) -> Doing:
        """What the computing thread does."""

    def doings(self) -> tuple[Doing, ...]:
        """What all streams do; the computing thread's comes first."""


class LedRank(Protocol):
    """One rank, as its coordinator leads it."""

    @property
    def board(self) -> ReadableBoard:
        """What it says that it does."""

    @property
    def pid(self) -> int:
        """Its process, on its host."""

    @property
    def now(self) -> str:
        """What it computes, or is about to."""

    @property
    def cause(self) -> str:
        """Why its process ended, where that was not its own doing."""

    @property
    def is_seen(self) -> bool:
        """Whether what is known of it is of this moment: where its host says nothing, nobody knows."""

    def tell(self, command: Message) -> None:
        """Give the rank a command; returns at once."""

    def signal(self, number: int) -> None:
        """Send its process a signal, if it is there."""

    def vitals(self) -> Vitals:
        """How its process is, from outside."""

    def note_memory(self) -> None:
        """Remember the kernel's counters of kills for memory."""

    def memory(self) -> Memory:
        """What these counters say since they were noted."""

    def exit_code(self, *, within_s: float = 0.0) -> int | None:
        """How its process ended; None if it has not."""

    def last_words(self) -> str:
        """The last line that it wrote to its log."""

    def kill(self) -> None:
        """Send the process, whatever state it is in, a signal that nothing withstands."""

    def leave(self, until_s: float) -> None:
        """Wait for the end of a killed process, and give back what it cost."""


Start = Callable[[int, Path, Hear], LedRank]
"""Starts a rank's process, by its number; its log goes to the folder. Raises RunError, OSError if it does not start."""


class RankProcess:
    """One rank's process on this machine; ``namespaces`` are the files of those that it enters (forking/child.py)."""

    is_seen = True

    def __init__(
        self,
        rank: int,
        server: ForkServer,
        namespaces: Sequence[str],
        folder: Path,
        hear: Hear,
    ) -> None:
        """Start it. Raises RunError, OSError if it does not."""
        self.rank, self._server, self._hear = rank, server, hear
        self.log = folder / f"rank{rank}.log"
        self._memory = shared_memory()
        self.board = BoardReader(self._memory)
        self._code: int | None = None
        self.cause = ""  # of its end, where that was not its own
        self._group: Path | None = None
        self._group_kills = self._machine_kills = 0
        commands, replies = os.pipe(), os.pipe()  # of each, the end where one reads, and the end where one writes
        self._commands, self._replies = os.fdopen(commands[1], "w"), os.fdopen(replies[0])
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        here = os.open(".", os.O_PATH | os.O_CLOEXEC)
        given = Given(commands=commands[0], replies=replies[1], log=log, board=self._memory, folder=here)
        try:
            self.pid = server.fork(given)
        except BaseException:
            self._give_back()
            raise
        finally:
            for descriptor in (commands[0], replies[1], log, here):
                os.close(descriptor)
        self.to_write: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self.tell({"environment": dict(os.environ), "namespaces": list(namespaces)})
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._read, self._write)]
        for thread in self._threads:
            thread.start()

    @property
    def now(self) -> str:
        """What it computes, or is about to."""
        return self.board.main().task

    def _read(self) -> None:
        with contextlib.suppress(ValueError):  # closed while we read
            for line in self._replies:
                self._hear(self.rank, json.loads(line))
        self._hear(self.rank, None)

    def _write(self) -> None:
        """A pipe holds 64 KB: what is told to a rank that does not read waits here, not in the coordinator."""
        while (message := self.to_write.get()) is not None:
            try:
                self._commands.write(json.dumps(message) + "\n")
                self._commands.flush()
            except (BrokenPipeError, ValueError):
                return  # it has ended; its exit code tells why

    def tell(self, command: Message) -> None:
        """Give the rank a command; returns at once."""
        self.to_write.put(command)

    def vitals(self) -> Vitals:
        """How its process is, from outside."""
        return vitals(self.pid)

    def note_memory(self) -> None:
        """Remember the machine's counter, and the control group that it is in: of one that has ended, nobody could."""
        self._machine_kills = oom_kills()
        if (group := memory_group(self.pid)) is not None and group != self._group:
            self._group, self._group_kills = group, group_oom_kills(group)

    def memory(self) -> Memory:
        """Whether the kernel killed for memory since then, in its control group or anywhere on this machine."""
        if group_oom_kills(self._group) > self._group_kills:
            return Memory.AT_ITS_LIMIT
        return Memory.SOMEWHERE if oom_kills() > self._machine_kills else Memory.NOTHING

    def exit_code(self, *, within_s: float = 0.0) -> int | None:
        """How its process ended; None if it has not."""
        until_s = time.monotonic() + within_s
        while self._code is None:
            try:
                self._code = self._server.exit_code(self.pid)
            except RunError as error:  # the kernel kills ranks with their fork server
                self._code, self.cause = -signal.SIGKILL, str(error)
            if self._code is not None or time.monotonic() >= until_s:
                break
            time.sleep(_LOOK_S)
        return self._code

    def last_words(self) -> str:
        """The last line that it wrote to its log."""
        with contextlib.suppress(OSError):
            lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
            return lines[-1].strip() if lines else ""
        return ""

    def signal(self, number: int) -> None:
        """Send its process a signal, if it is there."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send the process, whatever state it is in, a signal that nothing withstands."""
        if self.exit_code() is None:
            self.signal(signal.SIGKILL)

    def leave(self, until_s: float) -> None:
        """Wait for the end of a killed process, and give back what it cost."""
        self.exit_code(within_s=max(0.01, until_s - time.monotonic()))
        self.to_write.put(None)
        for thread in self._threads:
            thread.join(max(0.01, until_s - time.monotonic()))
        self._give_back()

    def _give_back(self) -> None:
        for pipe in (self._commands, self._replies):
            with contextlib.suppress(OSError, ValueError):
                pipe.close()
        os.close(self._memory)


def on_this_machine(server: ForkServer, namespaces: Sequence[Sequence[str]]) -> Start:
    """What starts ranks here: ``namespaces`` are the files of those that each of them enters."""
    return lambda rank, folder, hear: RankProcess(rank, server, namespaces[rank], folder, hear)
