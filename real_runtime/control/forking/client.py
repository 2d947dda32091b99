"""Where do ranks' processes come from? From a fork server of this process, kept for all testbeds until we end.

Loading PyTorch and the models' classes takes seconds of a processor, which so are spent once, not by every rank.
"""

import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import astuple
from pathlib import Path
from queue import SimpleQueue
from signal import Signals
from typing import Any

from edgesim.errors import RunError
from real_runtime.control.forking.server import Given
from real_runtime.control.vitals import vitals
from real_runtime.control.watch import RunningClock

# What -P does, which Python has since 3.11: a folder called real_runtime where the user stands is not ours.
_ALONE = (
    "import sys;sys.path[:]=filter(None,sys.path);"
    "import runpy;runpy.run_module('real_runtime',run_name='__main__',alter_sys=True)"
)
RANK = (sys.executable, *(("-P", "-m", "real_runtime") if sys.version_info >= (3, 11) else ("-c", _ALONE)))
"""The process from which ranks are forked."""

_ANSWER_BYTES, _LOG_BYTES = 4096, 100_000
_LOOK_S, _END_S = 0.05, 1.0
_STILL_S = 60.0  # without any processor time: a crowded machine may not run it for a while
# A rank computes in one thread, and a process with several is not to be forked.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# What counts only while a process starts and loads its libraries. All else a rank takes from us when it is forked.
_LOADING = ("PYTHON", "LD_", "MALLOC_", "OMP_", "OPENBLAS_", "MKL_", "TORCH", "HF_", "TRANSFORMERS_")


class ForkServer:
    """A process that has loaded what ranks need. It is started at once, and ready seconds later."""

    def __init__(self, command: Sequence[str]) -> None:
        self._lock, self._asked = threading.Lock(), 0
        leaving = ExitStack()
        weakref.finalize(self, leaving.close)  # ranks of a testbed may ask for it as long as they are there
        self._channel, theirs = map(leaving.enter_context, socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        self._log = leaving.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 (it is closed with us)
        started: SimpleQueue[subprocess.Popen[bytes] | OSError] = SimpleQueue()
        self._keeper = threading.Thread(target=self._keep, args=(command, theirs, started), daemon=True)
        self._keeper.start()
        if isinstance(process := started.get(), OSError):
            raise process
        self._process, self._is_ready = process, False

    def _keep(
        self, command: Sequence[str], theirs: socket.socket, started: SimpleQueue[subprocess.Popen[bytes] | OSError]
    ) -> None:
        """In a thread that lives as long as this process: the kernel ends a child with the thread that started it."""
        with theirs:
            try:
                process = subprocess.Popen(
                    [*command, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=self._log,
                    stderr=self._log,
                    start_new_session=True,
                    pass_fds=(theirs.fileno(),),
                    env=_environment() | _ONE_THREAD,
                )
            except OSError as error:
                started.put(error)
                return
        started.put(process)
        process.wait()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    @property
    def lives(self) -> bool:
        """Whether it can be asked."""
        try:
            return bool(self._channel.recv(_ANSWER_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except BlockingIOError:  # it has nothing to say
            return True
        except OSError:
            return False

    def kill(self) -> None:
        """End it, and with it all that it forked."""
        self._process.kill()

    def wait_until_ready(self) -> None:
        """Return when it has loaded everything. Raises RunError if it does not come up."""
        with self._lock:
            if not self._is_ready:
                self._answer(0)
                self._is_ready = True

    def fork(self, given: Given) -> int:
        """A new process, which holds these descriptors; its number. Raises RunError, OSError."""
        answer = self._ask({}, astuple(given))
        if "error" in answer:
            raise OSError(f"a rank's process could not be started: {answer['error']}")
        return int(answer["pid"])

    def exit_code(self, pid: int) -> int | None:
        """How a forked process ended, negative for a signal; None if it has not.

        Raises RunError if the server has ended, and with it all that it forked.
        """
        code = self._ask({"end_of": pid})["code"]
        return None if code is None else int(code)

    def _ask(self, request: dict[str, Any], descriptors: Sequence[int] = ()) -> dict[str, Any]:
        self.wait_until_ready()
        with self._lock:
            self._asked += 1
            try:
                said = json.dumps(request | {"number": self._asked}).encode()
                socket.send_fds(self._channel, [said], descriptors)
            except OSError as error:
                raise self._ended() from error
            return self._answer(self._asked)

    def _answer(self, number: int) -> dict[str, Any]:
        """Its answer; those that nobody waited for any more, since somebody interrupted us, are passed over."""
        clock, cpu_s, moved_s = RunningClock(), -1.0, 0.0
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        while True:
            if poll.poll(_LOOK_S * 1e3):
                said = self._channel.recv(_ANSWER_BYTES)
                if not said:
                    raise self._ended()
                answer: dict[str, Any] = json.loads(said)
                if answer["number"] == number:
                    return answer
            now_s, vital = clock.tick(), vitals(self.pid)
            if vital.cpu_s != cpu_s:
                cpu_s, moved_s = vital.cpu_s, now_s
            if now_s - moved_s >= _STILL_S:
                held = "it is stopped (SIGSTOP)" if vital.is_stopped else "it uses no processor"
                self._process.kill()
                raise RunError(f"the fork server, from which ranks start, did not answer for {_STILL_S:g} s: {held}")

    def _ended(self) -> RunError:
        self._keeper.join(_END_S)
        code = self._process.poll()
        how = "does not answer" if code is None else f"ended with code {code}"
        if code is not None and code < 0:
            how = f"was killed by {Signals(-code).name}"
        written = os.pread(self._log.fileno(), _LOG_BYTES, 0).decode(errors="replace")
        lines = [line.strip() for line in written.splitlines() if line.strip()]
        said = f" (it last wrote: {lines[-1]})" if lines else ""
        return RunError(f"the fork server, from which ranks start, {how}{said}")


_servers: dict[tuple[object, ...], ForkServer] = {}
_choosing = threading.Lock()


def fork_server(command: Sequence[str]) -> ForkServer:
    """The fork server of this process that a command starts: the one that lives, or a new one."""
    loading = sorted(each for each in os.environ.items() if each[0].startswith(_LOADING))
    key = (os.getpid(), *command, *loading)  # a forked copy of us has none yet
    with _choosing:
        if key not in _servers or not _servers[key].lives:
            _servers[key] = ForkServer(command)
        return _servers[key]


def _environment() -> dict[str, str]:
    """Our environment, with this very package on the path: we may stand in another folder."""
    here = str(Path(__file__).resolve().parents[3])
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))}
