"""One rank as a process: ``python -m real_runtime`` reads commands as JSON lines and answers alike.

The pipe is the control channel: heartbeats and errors never share the network under test. When the pipe closes, because
the coordinator ended or was killed, the rank ends at once.
"""

import errno
import json
import os
import queue
import resource
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, TextIO

import torch

from edgesim.model import model_from_dict
from edgesim.schedule import Task
from edgesim.workload import Workload
from real_runtime.blocks.executor import BlockExecutor
from real_runtime.job import Failure, Job
from real_runtime.models import load_libraries
from real_runtime.pacing import Dilation
from real_runtime.profiler import Repetition, Statistic, machine_flop_per_s, profile_layers
from real_runtime.stages.executor import StageExecutor
from real_runtime.transport import DeadlineError, Membership, PeerGoneError, Transport
from real_runtime.worker import Executor, TaskError, Worker, freeze_garbage

_HEARTBEAT_S = 0.2
_ROUNDS = 20


def make_executor(job: Job, program: Sequence[Task]) -> Executor:
    """What computes the rank's tasks: whole layers, or blocks that ranks divide."""
    return BlockExecutor(job, program) if any(task.block for task in program) else StageExecutor(job, program)


class Rank:
    """Answers commands until the pipe closes."""

    def __init__(self, replies: TextIO) -> None:
        self.replies, self.lock = replies, threading.Lock()
        self.worker: Worker | None = None
        self.commands: queue.Queue[dict[str, Any]] = queue.Queue()

    def say(self, message: dict[str, Any]) -> None:
        with self.lock:
            self.replies.write(json.dumps(message) + "\n")
            self.replies.flush()

    def listen(self) -> None:
        """Read commands in a thread of its own, so that a closed pipe ends even a busy rank."""
        for line in sys.stdin:
            self.commands.put(json.loads(line))
        os._exit(0)

    def beat(self) -> None:
        while True:
            self.say({"heartbeat": "starting" if self.worker is None else self.worker.now})
            time.sleep(_HEARTBEAT_S)

    def serve(self) -> None:
        for work in (self.listen, self.beat):
            threading.Thread(target=work, daemon=True).start()
        actions: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "join": self.join,
            "dilate": self.dilate,
            "play": self.play,
            "profile": self.profile,
            "rehearse": self.rehearse,
            "time_core": self.time_core,
        }
        while True:
            command = self.commands.get()
            try:
                reply = actions[command["do"]](command)
                self.say({"done": command["do"], **reply})
            except Exception as error:
                self.say({"error": describe(error)})

    def join(self, command: dict[str, Any]) -> dict[str, Any]:
        torch.set_num_threads(1)
        member = Membership(
            rank=command["rank"], ranks=command["world"], store=command["store"], interface=command["interface"]
        )
        transport = Transport(member, deadline_s=command["deadline_s"], nic_bytes_per_s=command["nic_bytes_per_s"])
        self.worker = Worker(member.rank, transport, Dilation(1.0), make_executor)
        # Start-up and libraries come first: a memory limit is on what the model adds, and a quota would stretch them.
        if command["limited"]:
            load_libraries()
        return {}

    def time_core(self, command: dict[str, Any]) -> dict[str, Any]:
        return {"flop_per_s": machine_flop_per_s(_ROUNDS)}

    def dilate(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self.worker is not None
        self.worker.dilation = Dilation(command["fraction"])
        if command["memory_bytes"] is not None:
            limit_memory(int(command["memory_bytes"]))
        return {}

    def play(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self.worker is not None
        self.worker.play(Job.from_dict(command["job"]), command["rehearsed"], self.say)
        return {}

    def rehearse(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self.worker is not None
        job = Job.from_dict(command["job"])
        return {"rows": self.worker.rehearse(job, command["repeats"], Statistic(command["statistic"]))}

    def profile(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self.worker is not None
        self.worker.now = "profiling"
        freeze_garbage()
        model, workload = model_from_dict(command["model"]), Workload(**command["workload"])
        repetition = Repetition(
            samples=command["samples"], repeats=command["repeats"], statistic=Statistic(command["statistic"])
        )
        rows = profile_layers(model, workload, repetition, self.worker.dilation)
        self.worker.now = "idle"
        return {"rows": rows}


def limit_memory(extra_bytes: int) -> None:
    """Let this process take so many more bytes of private memory."""
    with open("/proc/self/statm") as statm:
        data_bytes = int(statm.read().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (data_bytes + extra_bytes, data_bytes + extra_bytes))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was refused; under a limit even the error may have had no memory left to say so."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    # PyTorch and the C++ library raise RuntimeErrors, which only their text tells from others.
    text = str(error)
    if any(sign in text for sign in ("can't allocate memory", "not enough memory", "bad_alloc")):
        return True
    limited = resource.getrlimit(resource.RLIMIT_DATA)[0] != resource.RLIM_INFINITY
    return limited and (isinstance(error, SystemError) or "can't start new thread" in text or "failed to map" in text)


def failure_of(error: BaseException) -> Failure:
    """The kind of failure that an error is."""
    if is_out_of_memory(error):
        return Failure.OUT_OF_MEMORY
    if isinstance(error, DeadlineError):
        return Failure.DEADLINE
    return Failure.PEER_GONE if isinstance(error, PeerGoneError) else Failure.OTHER


def describe(error: BaseException) -> dict[str, Any]:
    """An error for the coordinator: kind of failure, task, message."""
    task = error.task.name if isinstance(error, TaskError) else None
    cause = error.__cause__ if isinstance(error, TaskError) and error.__cause__ is not None else error
    text = str(cause).strip()
    return {
        "failure": failure_of(cause),
        "task": task,
        "message": text.splitlines()[0] if text else repr(cause),
        "trace": "".join(traceback.format_exception(cause)),
    }


def main() -> None:
    """Keep stdout for replies: whatever libraries print goes to stderr."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    pid = os.readlink("/proc/self") if os.path.exists("/proc/self") else os.getpid()  # as the coordinator sees it
    rank = Rank(replies)
    rank.say({"pid": int(pid)})
    rank.serve()


if __name__ == "__main__":
    main()
