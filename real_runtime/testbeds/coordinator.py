"""Are all ranks alive, and if not, why did the run end? Sends commands to rank processes and reads their answers.

Evidence comes from the operating system (exit codes, stopped processes, the kernel's out-of-memory counter), from
heartbeats over the pipes, and from the ranks' own errors; the likeliest cause is told in one sentence.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum, auto
from pathlib import Path
from typing import Any

from edgesim.errors import RunError
from edgesim.scratch import scratch_folder
from real_runtime.job import Failure

# A rank on a busy machine was seen to miss 0.16 s at worst; stopped ones never answer again.
_SILENT_S = 10.0
_STOPPED_S = 1.0
# Importing the libraries takes 5 s of a core; on a small board, or beside other work, many times that.
_START_S = 120.0
# After a first error, how long to wait for the evidence of its cause: a killed peer shows within 0.05 s.
_GRACE_S = 0.5
_POLL_S = 0.05
_TOLD = {
    Failure.OUT_OF_MEMORY: "ran out of memory ",
    Failure.OTHER: "failed ",
    Failure.DEADLINE: "",
    Failure.PEER_GONE: "",
}
_HINTS = {Failure.DEADLINE: " (all ranks are alive: the link between them is down, or far too slow)"}


def _environment() -> dict[str, str]:
    """Our environment, with this very package on the path: a rank may start in another folder."""
    here = str(Path(__file__).resolve().parents[2])
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))}


class Health(Enum):
    """Whether a rank's process is well, as seen from outside."""

    RUNNING = auto()
    STOPPED = auto()  # held by the operating system (SIGSTOP)
    SILENT = auto()  # no heartbeat for too long
    ENDED = auto()


class RankProcess:
    """One rank's process, and what it last said."""

    def __init__(self, rank: int, command: Sequence[str], folder: Path) -> None:
        self.rank = rank
        self.log = folder / f"rank{rank}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
                env=_environment(),
            )
        self.pid: int | None = None
        self.now = "starting"
        self.heard_s = time.monotonic()
        self.messages: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            message = json.loads(line)
            self.heard_s = time.monotonic()
            if "heartbeat" in message:
                self.now = message["heartbeat"]
            elif "pid" in message:
                self.pid = message["pid"]
            else:
                self.messages.put(message)

    def tell(self, command: dict[str, Any]) -> None:
        """Give the rank a command."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended; its exit code tells why

    def health(self) -> Health:
        """Judge the process by the operating system's word and its heartbeats."""
        if self.process.poll() is not None:
            return Health.ENDED
        silent_s = time.monotonic() - self.heard_s
        if silent_s > _STOPPED_S and self.is_stopped():
            return Health.STOPPED
        limit_s = _START_S if self.pid is None else _SILENT_S
        return Health.SILENT if silent_s > limit_s else Health.RUNNING

    def ending(self) -> str:
        """The signal or exit code of a process that has ended, as text."""
        code = self.process.returncode
        # A wrapper that enters namespaces repeats its child's signal, or adds 128 to it.
        number = -code if code < 0 else code - 128 if code > 128 else 0
        return f"killed by {signal.Signals(number).name}" if number else f"ended with exit code {code}"

    def is_stopped(self) -> bool:
        """Whether the operating system holds the process (SIGSTOP)."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "Tt"
        except OSError:
            return False

    def kill(self) -> None:
        """End the process, whatever state it is in."""
        for pid in (self.pid, self.process.pid):
            if pid is not None and self.process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                if pid == self.pid:
                    self._wait(1.0)
        self._wait(5.0)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def _wait(self, seconds: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)


class Coordinator:
    """All rank processes of one testbed."""

    def __init__(self, commands: Sequence[Sequence[str]], *, oom_kills: Callable[[int], int] = lambda rank: 0) -> None:
        self.leaving = contextlib.ExitStack()
        folder = self.leaving.enter_context(scratch_folder())
        self.oom_kills = oom_kills
        self.ranks: list[RankProcess] = []
        for rank, command in enumerate(commands):
            self.ranks.append(RankProcess(rank, command, folder))

    @property
    def pids(self) -> tuple[int, ...]:
        """[rank] The processes of ranks that have joined."""
        return tuple(rank.pid for rank in self.ranks if rank.pid is not None)

    def close(self) -> None:
        """End all ranks and remove what they wrote."""
        for rank in self.ranks:
            rank.kill()
        self.leaving.close()

    def ask(self, commands: Mapping[int, dict[str, Any]]) -> list[dict[str, Any]]:
        """Give ranks their commands; return the final answers. Raises RunError."""
        finals: dict[int, dict[str, Any]] = {}
        for rank, message in self.stream(commands):
            finals[rank] = message
        return [finals[rank] for rank in commands]

    def stream(self, commands: Mapping[int, dict[str, Any]]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Give ranks their commands; yield (rank, message) as they come, until all are done. Raises RunError."""
        for rank, command in commands.items():
            self.ranks[rank].tell(command)
        waiting = set(commands)
        while waiting:
            heard = False
            for rank in sorted(waiting):
                while not self.ranks[rank].messages.empty():
                    heard = True
                    message = self.ranks[rank].messages.get()
                    if "error" in message:
                        raise self.explain({rank: message["error"]})
                    if "done" in message:
                        waiting.discard(rank)
                    yield rank, message
            if any(rank.health() is not Health.RUNNING for rank in self.ranks):
                raise self.explain({})
            if not heard:
                time.sleep(_POLL_S / 10)

    def explain(self, errors: dict[int, dict[str, Any]]) -> RunError:
        """Wait a moment for more evidence, then name the rank, its task and the cause."""
        until_s = time.monotonic() + _GRACE_S
        while time.monotonic() < until_s:
            for rank in self.ranks:
                while not rank.messages.empty():
                    message = rank.messages.get()
                    if "error" in message:
                        errors.setdefault(rank.rank, message["error"])
            time.sleep(_POLL_S)
        return RunError(self._cause(errors))

    def _cause(self, errors: dict[int, dict[str, Any]]) -> str:
        """The likeliest cause: an ended process, then a rank's own failure, a silent process, and last a vain wait."""
        return (
            self._ended()
            or self._failed(errors, Failure.OUT_OF_MEMORY)
            or self._failed(errors, Failure.OTHER)
            or self._unresponsive(some_failed=bool(errors))
            or self._failed(errors, Failure.DEADLINE)
            or self._failed(errors, Failure.PEER_GONE)
            or "the run ended for an unknown reason: " + json.dumps(errors)
        )

    def _ended(self) -> str | None:
        for rank in self.ranks:
            if rank.health() is Health.ENDED:
                if self.oom_kills(rank.rank):
                    return f"rank {rank.rank} ran out of memory at {rank.now}: the kernel killed it at its limit"
                return f"rank {rank.rank} was {rank.ending()} at {rank.now}" + self._log_tail(rank)
        return None

    def _failed(self, errors: dict[int, dict[str, Any]], failure: Failure) -> str | None:
        """The message of the first rank that reported this failure."""
        for number, error in sorted(errors.items()):
            if error["failure"] == failure:
                at, message = error["task"] or self.ranks[number].now, error["message"]
                return f"rank {number} {_TOLD[failure]}at {at}: {message}{_HINTS.get(failure, '')}"
        return None

    def _unresponsive(self, *, some_failed: bool) -> str | None:
        for rank in self.ranks:
            if rank.health() is Health.STOPPED or (some_failed and rank.is_stopped()):
                return f"rank {rank.rank} was stopped (SIGSTOP) at {rank.now} and does not answer"
            if rank.health() is Health.SILENT:
                return (
                    f"rank {rank.rank} has been silent for {_SILENT_S:g} s at {rank.now}: hung, or its machine is gone"
                )
        return None

    def _log_tail(self, rank: RankProcess) -> str:
        lines = [line for line in rank.log.read_text().splitlines() if line.strip()]
        return f" (it last wrote: {lines[-1].strip()})" if lines else ""
