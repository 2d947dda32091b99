"""How does one rank play one iteration? Every stream in order: computation here, connections in threads.

A task starts when its needs are done and its stream is free, as in the simulator. Receives that need nothing are posted
before the iteration begins. Times are seconds on the machine's monotonic clock.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

from torch import Tensor

from edgesim.schedule import COMPUTE, COMPUTE_STREAM, Op, Stream, Task
from real_runtime.control.board import Board, Slot, State
from real_runtime.other_load.priority import computing, passing_on
from real_runtime.pacing import Dilation, Disk
from real_runtime.playing.finiteness import refuse_not_finite
from real_runtime.transport import Receive, Transport

# What a stream is at while it does a task.
_STATES = {
    **dict.fromkeys(COMPUTE, State.COMPUTES),
    Op.SEND: State.SENDS,
    Op.RECV: State.RECEIVES,
    Op.ALL_REDUCE: State.MEETS,
    Op.COMMIT: State.MEETS,
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
    """What computes a rank's part of an assignment, and holds the tensors that its messages carry."""

    def begin(self, iteration: int) -> None:
        """Draw the iteration's batch and forget the last iteration's tensors."""

    def kind(self, task: Task) -> Hashable:
        """A key that all tasks which compute as much as this one share."""

    def compute(self, task: Task) -> None:
        """Do an F, a B, a RECOMPUTE or an UPDATE."""

    def made(self, task: Task) -> Iterable[Tensor]:
        """What the last computation, this one, has put out: it must be finite."""

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


@runtime_checkable
class KeepsOutputs(Protocol):
    """An executor that keeps what frozen layers put out, on its rank's disk."""

    def at_disk(self, task: Task) -> int:
        """Do a CACHE_WRITE or a CACHE_READ; return the bytes of the outputs as they are kept."""

    def close(self) -> None:
        """Let go of the disk: nothing more is played."""


class Host(Protocol):
    """What a rank has to play with, from assignment to assignment."""

    transport: Transport
    dilation: Dilation
    board: Board
    disk: Disk

    def begins(self, task: str, number: int) -> None:
        """Hear that a task of an iteration of this number begins."""

    def commit(self, number: int) -> None:
        """Say that an iteration of this number can be committed, and return when it is."""


class IterationPlayer:
    """Plays one iteration of one rank."""

    def __init__(self, host: Host, executor: Executor, program: Sequence[Task], number: int) -> None:
        self.host, self.executor, self.transport, self.number = host, executor, host.transport, number
        self.streams: dict[Stream, list[Task]] = defaultdict(list)
        for task in program:
            self.streams[task.stream].append(task)
        self.slots = {stream: host.board.slot(str(stream)) for stream in (COMPUTE_STREAM, *self.streams)}
        self.stream_of = {task.name: str(stream) for stream, queue in self.streams.items() for task in queue}
        self.done = {task.name: threading.Event() for task in program}
        self.times: dict[str, Times] = {}
        self.threads: list[threading.Thread] = []
        self.failed: Exception | None = None
        # Both ends of a connection number its messages alike: their order is the same (Schedule.check).
        self.tags = {task.name: i for queue in self.streams.values() for i, task in enumerate(queue)}
        self.posted: dict[str, Receive] = {}
        for task in program:
            if task.op is Op.RECV and not task.needs:
                self.post(task)

    def play(self) -> dict[str, tuple[float, float]]:
        """Play all streams; return (ready, end) of every task. Raises TaskError."""
        self.threads = [
            threading.Thread(target=self.run, args=(queue, self.slots[stream]), name=str(stream), daemon=True)
            for stream, queue in self.streams.items()
            if stream != COMPUTE_STREAM
        ]
        begin_s = time.monotonic()
        for task in (task for queue in self.streams.values() for task in queue if task.name in self.posted):
            self.times[task.name] = Times(begin_s, begin_s)
        for thread in self.threads:
            thread.start()
        self.run(self.streams[COMPUTE_STREAM], self.slots[COMPUTE_STREAM])
        for task in (queue[-1] for queue in self.streams.values() if queue):
            if not (done := self.done[task.name]).is_set():
                self.slots[COMPUTE_STREAM].tell(State.NEEDS, f"waiting for {task}", needs=self.stream_of[task.name])
            done.wait()  # all are set as soon as anything fails
        if self.failed is not None:
            raise self.failed
        for thread in self.threads:
            thread.join()
        return {name: (times.ready_s, times.end_s) for name, times in self.times.items()}

    def give_up(self, error: Exception) -> None:
        """Let all streams end with this error, whatever they wait for."""
        self.failed = self.failed or error
        for event in self.done.values():
            event.set()

    def settle(self, *, within_s: float) -> None:
        """Return when no thread of it runs any more, or after so long.

        gloo wakes a thread whose connection was shut down, but for one whose message was arriving just then: it waits
        for ever, and holds nothing but that message's tensor.
        """
        until_s = time.monotonic() + within_s
        for thread in self.threads:
            thread.join(max(0.0, until_s - time.monotonic()))

    def run(self, queue: list[Task], slot: Slot) -> None:
        """Play one stream's tasks in order; an error ends all streams of this rank."""
        with passing_on():
            self._run(queue, slot)

    def _run(self, queue: list[Task], slot: Slot) -> None:
        for task in queue:
            waited = False
            try:
                for need in task.needs:
                    if not self.done[need].is_set():
                        waited = True
                        slot.tell(State.NEEDS, f"{task} waiting for {need}", needs=self.stream_of[need])
                    self.done[need].wait()
                if self.failed is not None:
                    return
                self.perform(task, slot, waited=waited)
            except Exception as error:
                failure = TaskError(task)
                failure.__cause__ = error
                self.give_up(failure)
                return
            self.done[task.name].set()
            slot.finish()
        if queue and slot is not self.slots[COMPUTE_STREAM]:
            slot.tell(State.IDLE, f"done with {queue[-1]}")

    def perform(self, task: Task, slot: Slot, *, waited: bool) -> None:
        """Do one task, which may have ``waited`` for others until now, and note its times."""
        self.host.begins(task.name, self.number)
        ready_s = time.monotonic()
        slot.tell(_STATES.get(task.op, State.COMPUTES), task.name, message=self.tags[task.name], awaits=task.peers)
        match task.op:
            case Op.F | Op.B | Op.RECOMPUTE | Op.UPDATE:
                kind = self.executor.kind(task)
                _, ready_s, end_s = self.host.dilation.run(partial(self.executor.compute, task), kind, waited=waited)
                self.times[task.name] = Times(ready_s, end_s)
                with computing():
                    refuse_not_finite(self.executor.made(task), self.number)
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
            case Op.COMMIT:
                self.host.commit(self.number)
            case Op.CACHE_READ | Op.CACHE_WRITE:
                self.at_disk(task)
            case _:
                raise NotImplementedError(f"{task}: the runtime has no {task.op} yet")
        self.times[task.name] = Times(ready_s, time.monotonic())

    def at_disk(self, task: Task) -> None:
        """Read or write what is cached, as fast as the rank's disk. Raises ValueError where nothing keeps it."""
        executor = self.executor
        if not isinstance(executor, KeepsOutputs):
            raise ValueError(f"{task}: no activation cache was opened for it")
        nbytes = self.host.disk.run(partial(executor.at_disk, task), reads=task.op is Op.CACHE_READ)
        if nbytes != task.nbytes:
            raise ValueError(f"{task}: the schedule says {task.nbytes} B, the cache keeps {nbytes} B")

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
