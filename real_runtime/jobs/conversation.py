"""What do the coordinator and the ranks of a job say to each other, and who has fallen silent?

A rank that is lost ends nothing here: its silence is told to whoever asked, who decides how to go on.
"""

import contextlib
import queue
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from math import inf
from typing import NoReturn, Protocol

from edgesim.errors import RunError
from real_runtime.control.coordinator import Coordinator
from real_runtime.control.diagnosis import diagnose
from real_runtime.control.evidence import Failure
from real_runtime.control.rank_process import Message
from real_runtime.control.watch import still_s

_LOOK_S, _WATCH_S = 0.004, 0.05

Look = Callable[[], object]


class Heard(Protocol):
    """Who knows when ranks were heard last."""

    def last_heard_s(self, rank: int) -> float:
        """When the rank's last heartbeat came, on the monotonic clock."""


class SilenceError(Exception):
    """Ranks that somebody waited for say nothing any more; ``why`` is the error that one told, if it did."""

    def __init__(self, ranks: tuple[int, ...], why: str = "") -> None:
        super().__init__(f"ranks {', '.join(map(str, ranks))} are silent")
        self.ranks, self.why = ranks, why


class Conversation:
    """Commands to ranks and their answers; ``looks`` are called again and again while they are waited for.

    ``unanswered`` are the ranks that have not answered the last command.
    """

    def __init__(self, coordinator: Coordinator, heard: Heard, *, timeout_s: float, looks: Sequence[Look]) -> None:
        self.coordinator, self.heartbeats, self.timeout_s, self.looks = coordinator, heard, timeout_s, looks
        self.unanswered: set[int] = set()

    def tell(self, ranks: Collection[int], message: Message) -> None:
        """Tell ranks something that needs no answer."""
        for rank in ranks:
            self.coordinator.ranks[rank].tell(message)

    def stream(self, commands: Mapping[int, Message]) -> Iterator[tuple[int, Message]]:
        """Give ranks their commands; yield (rank, message) as they come, until all are done.

        Raises SilenceError as soon as any of them is silent for too long, or ended by an error of its own; RunError
        where all are there, and nothing moves any more.
        """
        coordinator = self.coordinator
        coordinator.asked += 1
        coordinator.witness.begin()
        self.unanswered = set(commands)
        for rank, command in commands.items():
            coordinator.ranks[rank].tell(command | {"number": coordinator.asked})
        yield from self.listen(self.unanswered)

    def look(self) -> None:
        """Look once at all that is looked at while ranks are waited for."""
        for look in self.looks:
            look()

    def listen(self, ranks: Collection[int], *, until_s: float = inf) -> Iterator[tuple[int, Message]]:
        """Yield what these ranks answer to the last command, until all are done; who is not by then is silent."""
        ranks, looked_s = set(ranks), time.monotonic()
        while waiting := ranks & self.unanswered:
            with contextlib.suppress(queue.Empty):
                rank, message = self.coordinator.heard.get(timeout=_LOOK_S)
                if message is not None and message.get("number") == self.coordinator.asked:
                    if "error" in message:
                        self._refuse(rank, message["error"])
                    if "done" in message:
                        self.unanswered.discard(rank)
                    self.coordinator.witness.heard(rank)
                    yield rank, message
            self.look()
            now_s = time.monotonic()
            if silent := waiting if now_s >= until_s else self.silent(ranks):
                raise SilenceError(tuple(sorted(silent)))
            if now_s - looked_s >= _WATCH_S:
                looked_s = now_s
                self._refuse_standstill()

    def _refuse(self, rank: int, error: Mapping[str, str]) -> NoReturn:
        """Raise what an error of a rank's own means: numbers that are not finite would be so without it as well."""
        self.unanswered.discard(rank)
        if error["failure"] == Failure.NOT_FINITE:
            raise RunError(f"rank {rank} put out numbers that are not finite at {error['task']}: {error['message']}")
        raise SilenceError((rank,), f"{error['task']}: {error['message']}")

    def silent(self, ranks: Collection[int]) -> tuple[int, ...]:
        """Those of these ranks that have said nothing for too long."""
        now_s = time.monotonic()
        return tuple(rank for rank in sorted(ranks) if now_s - self.heartbeats.last_heard_s(rank) >= self.timeout_s)

    def _refuse_standstill(self) -> None:
        """Raise RunError where all are there, and nothing has moved for too long."""
        witness = self.coordinator.witness
        witness.look()
        if still_s(witness.movements, witness.clock.now_s) >= witness.patience.deadline_s:
            raise RunError(diagnose(witness.evidence({}), time.monotonic(), witness.patience))
