"""What does a rank do when it is told to? Joins the others, times its core and its layers, rehearses, plays."""

import gc
from collections.abc import Callable, Sequence
from typing import Any

import torch

from edgesim.model import model_from_dict
from edgesim.schedule import Task
from edgesim.workload import Workload
from real_runtime.blocks.executor import BlockExecutor
from real_runtime.chain import Chain, HostClock
from real_runtime.control.board import State
from real_runtime.control.port import Port
from real_runtime.failures import describe, limit_memory
from real_runtime.job import Job
from real_runtime.models import load_libraries
from real_runtime.pacing import Dilation
from real_runtime.pipe_store import PipeStore
from real_runtime.playing.iteration import Executor
from real_runtime.profiler import Repetition, machine_flop_per_s, profile_layers
from real_runtime.stages.executor import StageExecutor
from real_runtime.statistic import Statistic
from real_runtime.transport import Membership, Transport
from real_runtime.worker import Worker

_ROUNDS = 20


def load() -> None:
    """Load all that any job needs, in one thread: ranks are forked from the process that has it.

    So no job's time or memory holds it. What is there now need not be searched for garbage by any rank; and they search
    between iterations only, since it would be measured as part of a task.
    """
    torch.set_num_threads(1)
    load_libraries()
    torch.optim.SGD([torch.zeros(1)], lr=0.0).step()  # the first step of all loads something
    gc.collect()
    gc.freeze()
    gc.disable()


def make_executor(job: Job, program: Sequence[Task]) -> Executor:
    """What computes the rank's tasks: whole layers, or blocks that ranks divide."""
    return BlockExecutor(job, program) if any(task.block for task in program) else StageExecutor(job, program)


class Rank:
    """Answers commands until the pipe closes."""

    def __init__(self, port: Port) -> None:
        self.port, self.main = port, port.board.main
        self.worker: Worker | None = None
        self.chain: Chain | None = None  # what was timed last: a calibration asks for one number of samples at a time

    def serve(self) -> None:
        """Take one command after the other, each with its number."""
        actions: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "join": self.join,
            "dilate": self.dilate,
            "play": self.play,
            "profile": self.profile,
            "rehearse": self.rehearse,
            "time_core": self.time_core,
        }
        while True:
            self.main.tell(State.IDLE, "idle")
            command = self.port.commands.get()
            number, name = {"number": command["number"]}, command["do"]
            self.main.tell(State.COMPUTES, name.replace("_", " "))
            try:
                self.port.say({"done": name, **actions[name](command), **number})
            except Exception as error:
                self.port.say({"error": {"task": self.main.task} | describe(error), **number})

    def join(self, command: dict[str, Any]) -> dict[str, Any]:
        self.port.interface = command["interface"]
        member = Membership(rank=command["rank"], ranks=command["world"], interface=command["interface"])
        self.main.tell(State.MEETS, "joining", awaits=tuple(range(member.ranks)))
        transport = Transport(member, PipeStore(self.port), nic_bytes_per_s=command["nic_bytes_per_s"])
        self.worker = Worker(member.rank, transport, self.dilation(1.0), self.port.board, make_executor)
        return {}

    def time_core(self, command: dict[str, Any]) -> dict[str, Any]:
        return {"flop_per_s": machine_flop_per_s(_ROUNDS)}

    def dilate(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self.worker is not None
        self.worker.dilation = self.dilation(command["fraction"])
        if command["memory_bytes"] is not None:
            limit_memory(int(command["memory_bytes"]))
        return {}

    def dilation(self, fraction: float) -> Dilation:
        """What slows this rank down, and says so on the board."""
        return Dilation(fraction, rests=self.port.board.rest)

    def play(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self.worker is not None
        number = {"number": command["number"]}
        self.chain = None
        self.worker.play(
            Job.from_dict(command["job"]), command["rehearsed"], lambda report: self.port.say(report | number)
        )
        return {}

    def rehearse(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self.worker is not None
        job, self.chain = Job.from_dict(command["job"]), None
        return {"rows": self.worker.rehearse(job, command["repeats"], Statistic(command["statistic"]))}

    def profile(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self.worker is not None
        model, workload = model_from_dict(command["model"]), Workload(**command["workload"])
        if self.chain is None or (self.chain.model, self.chain.workload) != (model, workload):
            self.chain = Chain(model, workload, HostClock(self.worker.dilation.fraction))
        gc.collect()
        repetition = Repetition(
            samples=command["samples"], repeats=command["repeats"], statistic=Statistic(command["statistic"])
        )
        return {"rows": profile_layers(self.chain, repetition, self.worker.tell)}
