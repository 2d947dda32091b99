"""What does one rank do with its program? Plays every stream in order: computation here, connections in threads.

A task starts when its needs are done and its stream is free, as in the simulator. Receives that need nothing are posted
before the iteration begins. Times are seconds on the machine's monotonic clock.
"""

import gc
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgesim.model import Block
from edgesim.schedule import COMPUTE, COMPUTE_STREAM, Op, Stream, Task
from edgesim.work import Work, work_of
from real_runtime.blocks.executor import BlockPart
from real_runtime.job import Job
from real_runtime.pacing import Dilation
from real_runtime.profiler import ROWS
from real_runtime.stages.executor import Part
from real_runtime.transport import Receive, Transport


class TaskError(Exception):
    """A task ended in an error; ``__cause__`` says which."""

    def __init__(self, task: Task) -> None:
        super().__init__(str(task))
        self.task = task


@dataclass(slots=True)
class Times:
    """When a task could start and when it ended."""

    ready_s: float
    end_s: float


class Worker:
    """One rank, from job to job."""

    def __init__(self, rank: int, transport: Transport, dilation: Dilation) -> None:
        self.rank, self.transport, self.dilation = rank, transport, dilation
        self.now = "idle"  # what the heartbeat tells

    def play(self, job: Job, rehearsed: Iterable[Mapping[str, Any]], report: Callable[[dict[str, Any]], None]) -> None:
        """Play all iterations; report each one's times and loss. Raises TaskError.

        What was ``rehearsed`` (rows of :meth:`rehearse`, of this host or of one like it) takes that long again: the
        device has one speed, whatever its neighbours on this machine do meanwhile.
        """
        self.compare_hashes(job.schedule.hash)
        programs = job.schedule.programs
        program = programs[self.rank] if self.rank < len(programs) else ()
        part = make_part(job, program)
        self.kinds = Kinds(job)
        self.dilation.forget()
        for row in rehearsed:
            work = {name: value for name, value in row.items() if name != "seconds"}
            self.dilation.charge(Work(**work | {"keys": work["keys"] or None}), row["seconds"])
        freeze_garbage()
        for iteration in range(job.iterations):
            part.begin(iteration)
            player = Player(self, part, program)
            gc.collect()
            self.now = f"waiting for all ranks before iteration {iteration}"
            self.transport.barrier()
            times = player.play()
            report({"iteration": iteration, "times": times, "loss": part.loss()})
            time.sleep(job.pause_s)
        if job.results_folder is not None and program:
            torch.save(part.results(), Path(job.results_folder) / f"rank{self.rank}.pt")
        self.now = "idle"

    def rehearse(self, job: Job, repeats: int, row: str) -> list[dict[str, Any]]:
        """Play the program's computations alone, on whatever is in the buffers; rows of seconds for every block.

        What is timed is what a run does, in its order, without waiting for others. Of those that are alike the first
        warms up, and counts only where it is alone; ``row`` says what of the others a row is (profiler.ROWS).
        """
        program = job.schedule.programs[self.rank]
        part, kinds = make_part(job, program), Kinds(job)
        self.dilation.forget()
        freeze_garbage()
        seconds: dict[Work, list[float]] = defaultdict(list)
        for repeat in range(repeats):
            part.begin(repeat)
            for task in program:
                self.now = f"rehearsing {task}"
                if task.op is Op.RECV:
                    part.incoming(task).zero_()
                elif task.op in COMPUTE:
                    kind = kinds.work(task)
                    _, start_s, end_s = self.dilation.run(partial(part.compute, task), kind)
                    seconds[kind].append(end_s - start_s)
        self.now = "idle"
        return [
            asdict(work)
            | {"block": f"{layer}/{work.block.partition('/')[2]}", "keys": work.keys or 0}
            | {"seconds": ROWS[row](values[1:] or values)}
            for work, values in seconds.items()
            for layer in kinds.layers_like(work.block.partition("/")[0])
        ]

    def compare_hashes(self, own: str) -> None:
        """Raise ValueError unless all ranks hold the same schedule."""
        hashes = self.transport.gather(own)
        if len(set(hashes)) > 1:
            raise ValueError(
                "ranks hold different schedules: " + ", ".join(f"rank {r} has {h[:12]}" for r, h in enumerate(hashes))
            )


def freeze_garbage() -> None:
    """Collect now and no more: a collection within a task would be measured as the task."""
    gc.unfreeze()  # what the last job left
    gc.collect()
    gc.freeze()  # what the libraries hold need not be searched again
    gc.disable()


class Kinds:
    """Which computations are alike: the same operation, on as much, in layers that cost the same."""

    def __init__(self, job: Job) -> None:
        self.job = job
        first: dict[tuple[Block, ...], str] = {}
        self.alike = {layer.name: first.setdefault(layer.blocks, layer.name) for layer in job.model.layers}

    def __call__(self, task: Task) -> Hashable:
        return self.work(task) if task.block else (task.op, task.layers, task.samples[1] - task.samples[0])

    def work(self, task: Task) -> Work:
        """That of a task of a block, as if it were in the first of the layers that cost the same."""
        work = work_of(task, self.job.model, self.job.workload.tokens)
        layer, _, block = work.block.partition("/")
        return replace(work, block=f"{self.alike[layer]}/{block}")

    def layers_like(self, first: str) -> list[str]:
        """The layers that cost the same as this one, the first of them."""
        return [name for name, like in self.alike.items() if like == first]


def make_part(job: Job, program: Iterable[Task]) -> Part | BlockPart:
    """What the rank's tasks are of: whole layers, or blocks."""
    tasks = list(program)
    return BlockPart(job, tasks) if any(task.block for task in tasks) else Part(job, tasks)


class Player:
    """One iteration of one rank."""

    def __init__(self, worker: Worker, part: Part | BlockPart, program: Iterable[Task]) -> None:
        self.worker, self.part, self.transport = worker, part, worker.transport
        self.streams: dict[Stream, list[Task]] = defaultdict(list)
        for task in program:
            self.streams[task.stream].append(task)
        self.done = {task.name: threading.Event() for task in program}
        self.times: dict[str, Times] = {}
        self.failed: TaskError | None = None
        # Both ends of a connection number its messages alike: their order is the same (Schedule.check).
        self.tags = {task.name: i for queue in self.streams.values() for i, task in enumerate(queue)}
        self.posted: dict[str, Receive] = {}
        for task in program:
            if task.op is Op.RECV and not task.needs:
                self.post(task)

    def play(self) -> dict[str, tuple[float, float]]:
        """Play all streams; return (ready, end) of every task. Raises TaskError."""
        threads = [
            threading.Thread(target=self.run, args=(queue,), name=str(stream), daemon=True)
            for stream, queue in self.streams.items()
            if stream != COMPUTE_STREAM
        ]
        begin_s = time.monotonic()
        for task in (task for queue in self.streams.values() for task in queue if task.name in self.posted):
            self.times[task.name] = Times(begin_s, begin_s)
        for thread in threads:
            thread.start()
        self.run(self.streams[COMPUTE_STREAM])
        for thread in threads:
            while thread.is_alive() and self.failed is None:
                self.worker.now = f"waiting to {thread.name}"
                thread.join(timeout=0.1)
        if self.failed is not None:
            raise self.failed
        return {name: (times.ready_s, times.end_s) for name, times in self.times.items()}

    def run(self, queue: list[Task]) -> None:
        """Play one stream's tasks in order; an error ends all streams of this rank."""
        for task in queue:
            try:
                for need in task.needs:
                    if task.op in COMPUTE:
                        self.worker.now = f"{task} waiting for {need}"
                    self.done[need].wait()
                if self.failed is not None:
                    return
                self.perform(task)
            except Exception as error:
                failure = TaskError(task)
                failure.__cause__ = error
                self.failed = self.failed or failure
                for event in self.done.values():
                    event.set()
                return
            self.done[task.name].set()

    def perform(self, task: Task) -> None:
        """Do one task and note its times."""
        ready_s = time.monotonic()
        match task.op:
            case Op.F | Op.B | Op.UPDATE:
                self.worker.now = str(task)
                kind = self.worker.kinds(task)
                _, ready_s, end_s = self.worker.dilation.run(lambda: self.part.compute(task), kind)
                self.times[task.name] = Times(ready_s, end_s)
                return
            case Op.SEND:
                tensor = self.part.outgoing(task)
                check_bytes(task, tensor)
                assert task.channel is not None
                self.transport.send(tensor, task.peers[0], task.channel, self.tags[task.name])
            case Op.RECV:
                if task.name not in self.posted:
                    self.post(task)
                else:
                    ready_s = self.times[task.name].ready_s
                self.posted[task.name].wait()
            case Op.ALL_REDUCE:
                tensor = self.part.reduced(task)
                check_bytes(task, tensor)
                self.transport.all_reduce(tensor.reshape(-1), task.peers, task.rank)
            case _:
                raise NotImplementedError(f"{task}: the runtime has no {task.op} yet")
        self.times[task.name] = Times(ready_s, time.monotonic())

    def post(self, task: Task) -> None:
        """Announce a receive."""
        tensor = self.part.incoming(task)
        check_bytes(task, tensor)
        assert task.channel is not None
        self.posted[task.name] = self.transport.post_receive(tensor, task.peers[0], task.channel, self.tags[task.name])


def check_bytes(task: Task, tensor: Tensor) -> None:
    """The schedule and the tensor must agree on every message."""
    if tensor.nbytes != task.nbytes:
        raise ValueError(f"{task}: the schedule says {task.nbytes} B, the tensor has {tensor.nbytes} B")
