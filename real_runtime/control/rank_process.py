"""How is one rank's process started, told, heard and ended? No call here waits for the rank, but for its end."""

import contextlib
import json
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgesim.errors import RunError
from real_runtime.control.board import BoardReader, shared_memory
from real_runtime.control.forking.client import ForkServer
from real_runtime.control.forking.server import Given
from real_runtime.control.vitals import Vitals, group_oom_kills, memory_group, vitals

Message = dict[str, Any]
_LOOK_S = 0.005


class RankProcess:
    """One rank's process. ``hear`` is called in a thread, with each of its messages, and with None when it ends.

    ``namespaces`` are the files of those that it enters (forking/child.py).
    """

    def __init__(
        self,
        rank: int,
        server: ForkServer,
        namespaces: Sequence[str],
        folder: Path,
        hear: Callable[[int, Message | None], object],
    ) -> None:
        """Start it. Raises RunError, OSError if it does not."""
        self.rank, self._server, self._hear = rank, server, hear
        self.log = folder / f"rank{rank}.log"
        self._memory = shared_memory()
        self.board = BoardReader(self._memory)
        self._code: int | None = None
        self.cause = ""  # of its end, where that was not its own
        self._group: Path | None = None
        self._group_kills = 0
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

    def note_memory_group(self) -> None:
        """Remember the control group that it is in: of one that has ended, nobody could tell."""
        if (group := memory_group(self.pid)) is not None and group != self._group:
            self._group, self._group_kills = group, group_oom_kills(group)

    def oom_killed_in_group(self) -> bool:
        """Whether the kernel killed for memory in its control group since we noted it."""
        return group_oom_kills(self._group) > self._group_kills

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

    def kill(self) -> None:
        """Send the process, whatever state it is in, a signal that nothing withstands."""
        if self.exit_code() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

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
