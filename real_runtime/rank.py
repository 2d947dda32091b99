"""What does a rank do when it is told to? Joins the others, times its core and its layers, rehearses, plays."""

import gc
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from math import inf
from typing import Any

import torch

from edgesim.model import model_from_dict
from edgesim.scenario.paces import Pace
from edgesim.schedule import DISK, Task
from edgesim.workload import Workload
from real_runtime.activation_cache.disk_speed import time_disk
from real_runtime.assignment import Assignment
from real_runtime.blocks.executor import BlockExecutor
from real_runtime.carrying.job_host import JobHost
from real_runtime.carrying.trainer import Trainer, hold_own
from real_runtime.chain import Chain, HostClock
from real_runtime.control.board import State
from real_runtime.control.heartbeats.heart import Heart
from real_runtime.control.meeting_place import start_key
from real_runtime.control.port import Port
from real_runtime.failures import describe, limit_memory
from real_runtime.models import load_libraries
from real_runtime.other_load.priority import withhold
from real_runtime.pacing import Dilation, Disk
from real_runtime.pipe_store import PipeStore
from real_runtime.playing.freed_memory import keep_freed_memory
from real_runtime.playing.iteration import Executor
from real_runtime.profiler import Repetition, machine_flop_per_s, profile_layers
from real_runtime.stages.executor import StageExecutor
from real_runtime.stages.stage_cache import caching
from real_runtime.statistic import Statistic
from real_runtime.transport import Membership, Transport, leave_groups
from real_runtime.worker import Worker

_ROUNDS = 20


def load() -> None:
    """Load all that any assignment needs, in one thread: ranks are forked from the process that has it.

    So no assignment's time or memory holds it. What is there now need not be searched for garbage by any rank; and they
    search between iterations only, since it would be measured as part of a task.
    """
    keep_freed_memory()
    torch.set_num_threads(1)
    load_libraries()
    torch.optim.SGD([torch.zeros(1)], lr=0.0).step()  # the first step of all loads something
    gc.collect()
    gc.freeze()
    gc.disable()


def make_executor(assignment: Assignment, program: Sequence[Task]) -> Executor:
    """What computes the rank's tasks: whole layers, or blocks that ranks divide."""
    if any(task.block for task in program):
        return BlockExecutor(assignment, program)
    executor = StageExecutor(assignment, program)
    return caching(executor, assignment, program) if any(task.op in DISK for task in program) else executor


class Rank:
    """Answers commands until the pipe closes."""

    def __init__(self, port: Port) -> None:
        self.port, self.main = port, port.board.main
        self.worker: Worker | None = None
        self.trainer: Trainer | None = None
        self.generation = 0  # of the ranks that this one is connected with
        self.heart = Heart()
        self.pace: Pace = ()  # of all its computations
        self.dilation, self.disk = self.dilated(1.0), Disk()
        self.rate: float | None = None  # of its line, in bytes per second, where a scenario has changed it
        self.asked = 0  # the number of the command that is being answered
        port.at_once |= {
            "beat": self.heart.beat,
            "still_heart": lambda command: self.heart.stop(),
            "keep_pace": self.keep_pace,
            "change_line": self.change_line,
        }
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
            "time_disk": self.time_disk,
            "introduce": self.introduce,
            "take_up": lambda command: self.trained().take_up(command),
            "train": lambda command: self.trained().train(command),
            "move": lambda command: self.trained().move(command),
            "read_own": lambda command: hold_own(self.trained(), command),
            "load": lambda command: self.trained().load(command),
            "refill": lambda command: self.trained().refill(command),
        }
        while True:
            self.main.tell(State.IDLE, "idle")
            command = self.port.commands.get()
            self.asked = command["number"]
            number, name = {"number": self.asked}, command["do"]
            self.main.tell(State.COMPUTES, name.replace("_", " "))
            try:
                self.port.say({"done": name, **actions[name](command), **number})
            except Exception as error:
                self.port.say({"error": {"task": self.main.task} | describe(error), **number})

    def join(self, command: dict[str, Any]) -> dict[str, Any]:
        self.port.interface = command["interface"]
        member = Membership(
            rank=command["rank"],
            members=tuple(command["members"]),
            interface=command["interface"],
            generation=command["generation"],
        )
        self.main.tell(State.MEETS, "joining", awaits=member.members)
        if command["is_throttled"]:
            withhold()
        if self.worker is not None:
            self.worker.transport.close()
            self.worker = None
        try:
            store = PipeStore(self.port, member.generation)
            transport = Transport(member, store, nic_bytes_per_s=command["nic_bytes_per_s"])
        except Exception:
            if not self.port.words.has_ended(member.generation):
                raise
            leave_groups()  # somebody was lost meanwhile, and the coordinator knows
            return {"aborted": True}
        if self.rate is not None:
            transport.change_rate(self.rate)
        self.generation = member.generation
        self.worker = Worker(member.rank, transport, self.dilation, self.port.board, make_executor)
        self.worker.disk = self.disk
        return {"aborted": False}

    def job_host(self, worker: Worker) -> JobHost:
        """What a job's iterations are played with."""
        number = {"number": self.asked}
        return JobHost(
            transport=worker.transport,
            dilation=worker.dilation,
            board=worker.board,
            words=self.port.words,
            say=lambda message: self.port.say(message | number),
            disk=worker.disk,
        )

    def introduce(self, command: dict[str, Any]) -> dict[str, Any]:
        """Take part in a job, holding nothing yet."""
        assert self.worker is not None, "ranks are connected first"
        self.dilation.forget()  # what computations took of another model, or of another job
        if self.trainer is not None:
            self.trainer.close()
        self.trainer = Trainer(self.worker.rank, self.job_host(self.worker))
        return self.trainer.introduce(command)

    def trained(self) -> Trainer:
        """This rank's part of the job."""
        assert self.worker is not None, "ranks are connected first"
        assert self.trainer is not None, "a rank is told what a job is about first"
        self.trainer.host = self.job_host(self.worker)
        return self.trainer

    def time_core(self, command: dict[str, Any]) -> dict[str, Any]:
        return {"flop_per_s": machine_flop_per_s(_ROUNDS)}

    def time_disk(self, command: dict[str, Any]) -> dict[str, Any]:
        return asdict(time_disk(command["folder"] or tempfile.gettempdir(), command["nbytes"], self.disk))

    def dilate(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self.worker is not None
        self.dilation = self.worker.dilation = self.dilated(command["fraction"])
        self.worker.disk = self.disk = Disk(**command["disk"], rests=self.port.board.rest)
        if command["memory_bytes"] is not None:
            limit_memory(int(command["memory_bytes"]))
        return {}

    def dilated(self, fraction: float) -> Dilation:
        """What slows this rank down, and says so on the board, as long as its generation plays."""
        words, rests = self.port.words, self.port.board.rest
        dilation = Dilation(fraction, rests=rests, is_over=lambda: words.has_ended(self.generation))
        dilation.pace = self.pace
        return dilation

    def keep_pace(self, command: dict[str, Any]) -> None:
        """Compute at (from when, factor of its speed) by the monotonic clock; before, and with none, at full speed."""
        steps = [(float(at_s), float(speed)) for at_s, speed in command["pace"]]
        self.pace = [(-inf, 1.0), *steps] if steps else []
        self.dilation.pace = self.pace

    def change_line(self, command: dict[str, Any]) -> None:
        """Pace messages at another rate, or let nothing pass at all: the line exists in our mind only."""
        is_cut_off = not command["is_up"]
        self.port.is_cut_off = is_cut_off
        self.heart.cut_off(is_cut_off=is_cut_off)
        self.rate = 0.0 if is_cut_off else command["bytes_per_s"]
        if self.worker is not None:
            self.worker.transport.change_rate(self.rate)

    def play(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self.worker is not None
        number = {"number": command["number"]}
        self.chain = None
        self.worker.play(
            Assignment.from_dict(command["assignment"]),
            command["rehearsed"],
            lambda report: self.port.say(report | number),
            partial(self.wait_for_start, number) if command.get("starts") else None,
        )
        return {}

    def wait_for_start(self, number: dict[str, Any], iteration: int) -> None:
        """Say that this rank is ready for an iteration, and return at the second at which it starts for all."""
        self.port.say({"ready": iteration} | number)
        question = {"ask": "get", "keys": [start_key(number["number"], iteration)]}
        start_s = float(self.port.ask_store(question, self.generation))
        time.sleep(max(0.0, start_s - time.monotonic()))

    def rehearse(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self.worker is not None
        assignment, self.chain = Assignment.from_dict(command["assignment"]), None
        return {"rows": self.worker.rehearse(assignment, command["repeats"], Statistic(command["statistic"]))}

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
