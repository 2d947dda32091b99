"""What does one rank do with its program? Plays every stream in order: computation here, connections in threads.

A task starts when its needs are done and its stream is free, as in the simulator. Receives that need nothing are posted
before the iteration begins. Times are seconds on the machine's monotonic clock.
"""

import gc
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from edgesim.schedule import COMPUTE, COMPUTE_STREAM, Op, Stream, Task
from edgesim.work import Work
from real_runtime.blocks.alike_layers import AlikeLayers, work_of_row
from real_runtime.control.board import Board, Slot, State
from real_runtime.job import Job
from real_runtime.pacing import Dilation
from real_runtime.profiler import Statistic
from real_runtime.transport import Receive, Transport

# What a stream is at while it does a task.
_STATES = {
    **dict.fromkeys(COMPUTE, State.COMPUTES),
    Op.SEND: State.SENDS,
    Op.RECV: State.RECEIVES,
    Op.ALL_REDUCE: State.MEETS,
}


class TaskError(Exception):
    """A task ended in an error, which is its ``__cause__``."""

    def __init__(self, task: Task) -> None:
        super().__init__(str(task))
        self.task = task


@dataclass(slots=True)
class Times:
    """When a task could start and when it ended."""

    ready_s: float
    end_s: float


class Executor(Protocol):
    """What computes a rank's part of a job, and holds the tensors that its messages carry."""

    def begin(self, iteration: int) -> None:
        """Draw the iteration's batch and forget the last iteration's tensors."""

    def kind(self, task: Task) -> Hashable:
        """A key that all tasks which compute as much as this one share."""

    def compute(self, task: Task) -> None:
        """Do an F, a B or an UPDATE."""

    def outgoing(self, task: Task) -> Tensor:
        """The tensor that a SEND carries."""

    def incoming(self, task: Task) -> Tensor:
        """Where a RECV puts what arrives."""

    def reduced(self, task: Task) -> Tensor:
        """What an ALL_REDUCE adds up, in place."""

    def loss(self) -> float:
        """This rank's part of the batch's loss."""

    def results(self) -> dict[str, Tensor]:
        """The trained weights after the last iteration; after inference, logits and chosen tokens."""


class Worker:
    """One rank, from job to job; ``make_executor`` makes what computes the rank's part of a job."""

    def __init__(
        self,
        rank: int,
        transport: Transport,
        dilation: Dilation,
        board: Board,
        make_executor: Callable[[Job, Sequence[Task]], Executor],
    ) -> None:
        self.rank, self.transport, self.dilation, self.board = rank, transport, dilation, board
        self.make_executor = make_executor

    def tell(self, what: str) -> None:
        """Say on the board what is computed from now on."""
        self.board.count()
        self.board.main.tell(State.COMPUTES, what)

    def play(self, job: Job, rehearsed: Iterable[Mapping[str, Any]], report: Callable[[dict[str, Any]], None]) -> None:
        """Play all iterations; report each one's times and loss. Raises TaskError.

        What was ``rehearsed`` (rows of :meth:`rehearse`, of this host or of one like it) takes that long again: the
        device has one speed, whatever its neighbours on this machine do meanwhile.
        """
        self.compare_hashes(job.schedule.hash)
        self.tell("building the model")
        programs = job.schedule.programs
        program = programs[self.rank] if self.rank < len(programs) else ()
        executor = self.make_executor(job, program)
        self.dilation.forget()
        for row in rehearsed:
            self.dilation.charge(work_of_row(row), row["seconds"])
        freeze_garbage()
        for iteration in range(job.iterations):
            self.tell(f"drawing the samples of iteration {iteration}")
            executor.begin(iteration)
            played = IterationPlayer(self, executor, program)
            gc.collect()
            self.meet(f"waiting for all ranks before iteration {iteration}", iteration)
            times = played.play()
            report({"iteration": iteration, "times": times, "loss": executor.loss()})
            self.board.rest(time.monotonic() + job.pause_s)
            time.sleep(job.pause_s)
        if job.results_folder is not None and program:
            self.tell(f"saving results in {job.results_folder}")
            torch.save(executor.results(), Path(job.results_folder) / f"rank{self.rank}.pt")

    def meet(self, what: str, number: int) -> None:
        """Wait for all ranks, and say so on the board."""
        self.board.main.tell(State.MEETS, what, message=number, awaits=self.transport.ranks)
        self.transport.barrier()

    def rehearse(self, job: Job, repeats: int, statistic: Statistic) -> list[dict[str, Any]]:
        """Play the program's computations alone, on whatever is in the buffers; rows of seconds for every block.

        What is timed is what a run does, in its order, without waiting for others. Of those that are alike the first
        warms up, and counts only where it is alone; a row keeps the statistic of the others.
        """
        program = job.schedule.programs[self.rank]
        self.tell("building the model")
        executor, alike = self.make_executor(job, program), AlikeLayers(job)
        self.dilation.forget()
        freeze_garbage()
        seconds: dict[Work, list[float]] = defaultdict(list)
        for repeat in range(repeats):
            executor.begin(repeat)
            for task in program:
                self.tell(f"rehearsing {task}")
                if task.op is Op.RECV:
                    executor.incoming(task).zero_()
                elif task.op in COMPUTE:
                    work = alike.work(task)
                    _, start_s, end_s = self.dilation.run(partial(executor.compute, task), work)
                    seconds[work].append(end_s - start_s)
        return [row for work, values in seconds.items() for row in alike.rows(work, statistic.of(values[1:] or values))]

    def compare_hashes(self, own: str) -> None:
        """Raise ValueError unless all ranks hold the same schedule."""
        self.board.main.tell(State.MEETS, "comparing schedules", awaits=self.transport.ranks)
        hashes = self.transport.gather(own)
        if len(set(hashes)) > 1:
            raise ValueError(
                "ranks hold different schedules: " + ", ".join(f"rank {r} has {h[:12]}" for r, h in enumerate(hashes))
            )


def freeze_garbage() -> None:
    """Collect garbage now, and not again: a collection during a task would be measured as part of it."""
    gc.unfreeze()  # what the last job left
    gc.collect()
    gc.freeze()  # what the libraries hold need not be searched again
    gc.disable()


class IterationPlayer:
    """Plays one iteration of one rank."""

    def __init__(self, worker: Worker, executor: Executor, program: Sequence[Task]) -> None:
        self.worker, self.executor, self.transport = worker, executor, worker.transport
        self.streams: dict[Stream, list[Task]] = defaultdict(list)
        for task in program:
            self.streams[task.stream].append(task)
        self.slots = {stream: worker.board.slot(str(stream)) for stream in (COMPUTE_STREAM, *self.streams)}
        self.stream_of = {task.name: str(stream) for stream, queue in self.streams.items() for task in queue}
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
            threading.Thread(target=self.run, args=(queue, self.slots[stream]), name=str(stream), daemon=True)
            for stream, queue in self.streams.items()
            if stream != COMPUTE_STREAM
        ]
        begin_s = time.monotonic()
        for task in (task for queue in self.streams.values() for task in queue if task.name in self.posted):
            self.times[task.name] = Times(begin_s, begin_s)
        for thread in threads:
            thread.start()
        self.run(self.streams[COMPUTE_STREAM], self.slots[COMPUTE_STREAM])
        for task in (queue[-1] for queue in self.streams.values() if queue):
            if not (done := self.done[task.name]).is_set():
                self.slots[COMPUTE_STREAM].tell(State.NEEDS, f"waiting for {task}", needs=self.stream_of[task.name])
            done.wait()  # all are set as soon as anything fails
        if self.failed is not None:
            raise self.failed
        for thread in threads:
            thread.join()
        return {name: (times.ready_s, times.end_s) for name, times in self.times.items()}

    def run(self, queue: list[Task], slot: Slot) -> None:
        """Play one stream's tasks in order; an error ends all streams of this rank."""
        for task in queue:
            try:
                for need in task.needs:
                    if not self.done[need].is_set():
                        slot.tell(State.NEEDS, f"{task} waiting for {need}", needs=self.stream_of[need])
                    self.done[need].wait()
                if self.failed is not None:
                    return
                self.perform(task, slot)
            except Exception as error:
                failure = TaskError(task)
                failure.__cause__ = error
                self.failed = self.failed or failure
                for event in self.done.values():
                    event.set()
                return
            self.done[task.name].set()
            slot.finish()
        if queue and slot is not self.slots[COMPUTE_STREAM]:
            slot.tell(State.IDLE, f"done with {queue[-1]}")

    def perform(self, task: Task, slot: Slot) -> None:
        """Do one task and note its times."""
        ready_s = time.monotonic()
        slot.tell(_STATES.get(task.op, State.COMPUTES), task.name, message=self.tags[task.name], awaits=task.peers)
        match task.op:
            case Op.F | Op.B | Op.UPDATE:
                kind = self.executor.kind(task)
                _, ready_s, end_s = self.worker.dilation.run(partial(self.executor.compute, task), kind)
                self.times[task.name] = Times(ready_s, end_s)
                return
            case Op.SEND:
                tensor = self.executor.outgoing(task)
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
                tensor = self.executor.reduced(task)
                check_bytes(task, tensor)
                self.transport.all_reduce(tensor.reshape(-1), task.peers, task.rank)
            case _:
                raise NotImplementedError(f"{task}: the runtime has no {task.op} yet")
        self.times[task.name] = Times(ready_s, time.monotonic())

    def post(self, task: Task) -> None:
        """Announce where a message goes, ahead of its arrival."""
        tensor = self.executor.incoming(task)
        check_bytes(task, tensor)
        assert task.channel is not None
        self.posted[task.name] = self.transport.post_receive(tensor, task.peers[0], task.channel, self.tags[task.name])


def check_bytes(task: Task, tensor: Tensor) -> None:
    """Raise ValueError unless the schedule and the tensor agree on a message's size."""
    if tensor.nbytes != task.nbytes:
        raise ValueError(f"{task}: the schedule says {task.nbytes} B, the tensor has {tensor.nbytes} B")
