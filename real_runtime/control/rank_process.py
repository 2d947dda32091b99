"""How is one rank's process started, told, heard and ended? No call here waits for the rank, but for its end."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from real_runtime.control.board import BoardReader, shared_memory
from real_runtime.control.vitals import UNKNOWN, Vitals, group_oom_kills, memory_group, vitals

Message = dict[str, Any]


def _environment() -> dict[str, str]:
    """Our environment, with this very package on the path: a rank may start in another folder."""
    here = str(Path(__file__).resolve().parents[2])
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))}


class RankProcess:
    """One rank's process. ``hear`` is called in a thread, with each of its messages, and with None when it ends."""

    def __init__(
        self, rank: int, command: Sequence[str], folder: Path, hear: Callable[[int, Message | None], object]
    ) -> None:
        self.rank, self._hear = rank, hear
        self.log = folder / f"rank{rank}.log"
        self._memory = shared_memory()
        self.board = BoardReader(self._memory)
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*command, str(self._memory)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
                pass_fds=(self._memory,),
                env=_environment(),
            )
        self.pid: int | None = None
        self._group: Path | None = None
        self._group_kills = 0
        self.to_write: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._read, self._write)]
        for thread in self._threads:
            thread.start()

    @property
    def now(self) -> str:
        """What it computes, or is about to."""
        return self.board.main().task

    def _read(self) -> None:
        assert self.process.stdout is not None
        with contextlib.suppress(ValueError):  # closed while we read
            for line in self.process.stdout:
                message = json.loads(line)
                if "pid" in message:
                    self.pid = message["pid"]
                else:
                    self._hear(self.rank, message)
        self._hear(self.rank, None)

    def _write(self) -> None:
        """A pipe holds 64 KB: what is told to a rank that does not read waits here, not in the coordinator."""
        assert self.process.stdin is not None
        while (message := self.to_write.get()) is not None:
            try:
                self.process.stdin.write(json.dumps(message) + "\n")
                self.process.stdin.flush()
            except (BrokenPipeError, ValueError):
                return  # it has ended; its exit code tells why

    def tell(self, command: Message) -> None:
        """Give the rank a command; returns at once."""
        self.to_write.put(command)

    def vitals(self) -> Vitals:
        """How its process is, from outside."""
        return UNKNOWN if self.pid is None else vitals(self.pid)

    def note_memory_group(self) -> None:
        """Remember the control group that it is in: of one that has ended, nobody could tell."""
        if self.pid is not None and (group := memory_group(self.pid)) is not None and group != self._group:
            self._group, self._group_kills = group, group_oom_kills(group)

    def oom_killed_in_group(self) -> bool:
        """Whether the kernel killed for memory in its control group since we noted it."""
        return group_oom_kills(self._group) > self._group_kills

    def exit_code(self, *, within_s: float = 0.0) -> int | None:
        """How its process ended; None if it has not."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(within_s) if within_s else self.process.poll()
        return None

    def last_words(self) -> str:
        """The last line that it wrote to its log."""
        with contextlib.suppress(OSError):
            lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
            return lines[-1].strip() if lines else ""
        return ""

    def kill(self) -> None:
        """Send the process, whatever state it is in, and its wrapper a signal that nothing withstands."""
        for pid in {self.pid, self.process.pid}:
            if pid is not None and self.process.poll() is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)

    def leave(self, until_s: float) -> None:
        """Wait for the end of a killed process, and give back what it cost."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(max(0.01, until_s - time.monotonic()))
        self.to_write.put(None)
        for thread in self._threads:
            thread.join(max(0.01, until_s - time.monotonic()))
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError, ValueError):
                pipe.close()
        os.close(self._memory)
