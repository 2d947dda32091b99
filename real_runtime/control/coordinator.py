"""Do all ranks go on, and if not, why did the run end? Sends commands to rank processes and reads their answers.

A run ends when nothing moves any more, not when it takes long: while a rank computes, a byte passes, a task ends or a
sleep with a known end lasts, it goes on. Who is to blame is judged from all that is known of all ranks (diagnosis.py).
"""

import contextlib
import queue
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from edgesim.errors import RunError
from edgesim.scratch import scratch_folder
from real_runtime.control.diagnosis import diagnose, is_decisive
from real_runtime.control.evidence import Failure, OwnError, Patience
from real_runtime.control.interruptions import held_back
from real_runtime.control.meeting_place import MeetingPlace
from real_runtime.control.rank_process import LedRank, Message, Start
from real_runtime.control.witness import Witness

_LOOK_S = 0.05
_BESIDE_S = 0.06  # beside a cause, how long to wait for others of the same moment
_ANSWER_S = 0.3  # for ranks to tell of their connections
_CLOSE_S = 5.0


class Coordinator:
    """So many ranks of one testbed, which ``start`` starts.

    ``group_oom_kills`` says how often the kernel killed for memory in the group that a testbed made for a rank;
    ``called`` is what people call the rank's host, "" where it has no name.
    """

    def __init__(
        self,
        start: Start,
        ranks: int,
        *,
        patience: Patience,
        group_oom_kills: Callable[[int], int] = lambda rank: 0,
        called: Callable[[int], str] = lambda rank: "",
    ) -> None:
        self.patience = patience
        self.leaving = contextlib.ExitStack()
        self.heard: queue.SimpleQueue[tuple[int, Message | None]] = queue.SimpleQueue()
        self.meeting_place = MeetingPlace(lambda rank, answer: self.ranks[rank].tell(answer))
        self.ranks: list[LedRank] = []
        self._start, self._called = start, called
        self.living = self.ranks
        self.asked = 0
        with held_back():
            self._folder = self.leaving.enter_context(scratch_folder())
            try:
                for rank in range(ranks):
                    self.ranks.append(self._started(rank))
            except (OSError, RunError):
                self.close()
                raise
        self.witness = Witness(self.ranks, patience, group_oom_kills)

    def _started(self, rank: int) -> LedRank:
        return self._start(rank, self._folder, self._hear)

    def renew(self, rank: int) -> None:
        """End a rank's process, if it has not ended, and start another in its place."""
        with held_back():
            self.ranks[rank].kill()
            self.ranks[rank].leave(time.monotonic() + _CLOSE_S)
            self.ranks[rank] = self._started(rank)
        self.witness.endings.pop(rank, None)

    def _hear(self, rank: int, message: Message | None) -> None:
        """In a thread of that rank's: keep what it says for whoever asked, or answer what it asks."""
        if message is not None and "store" in message:
            self.witness.heard(rank)
            try:
                self.meeting_place.hear(rank, message["store"])
            except ValueError as error:
                told = {"failure": Failure.OTHER, "task": "asking where others are", "message": str(error)}
                self.heard.put((rank, {"error": told, "number": self.asked}))
        else:
            self.heard.put((rank, message))

    @property
    def pids(self) -> tuple[int, ...]:
        """[rank] The processes."""
        return tuple(rank.pid for rank in self.ranks)

    def close(self) -> None:
        """End all ranks at once and remove what they wrote."""
        with held_back():
            living, self.living = self.living, []
            for rank in living:
                rank.kill()
            until_s = time.monotonic() + _CLOSE_S
            for rank in living:
                rank.leave(until_s)
            self.leaving.close()

    def ask(self, commands: Mapping[int, Message]) -> list[Message]:
        """Give ranks their commands; return the final answers. Raises RunError."""
        finals: dict[int, Message] = {}
        for rank, message in self.stream(commands):
            finals[rank] = message
        return [finals[rank] for rank in commands]

    def stream(self, commands: Mapping[int, Message]) -> Iterator[tuple[int, Message]]:
        """Give ranks their commands; yield (rank, message) as they come, until all are done. Raises RunError."""
        self.asked += 1
        self.witness.begin()
        for rank, command in commands.items():
            self.ranks[rank].tell(command | {"number": self.asked})
        waiting, looked_s = set(commands), time.monotonic()
        while waiting:
            with contextlib.suppress(queue.Empty):
                rank, message = self.heard.get(timeout=_LOOK_S)
                if self._takes(rank, message):
                    assert message is not None, "an end is no message"
                    if "done" in message:
                        waiting.discard(rank)
                    yield rank, message
            if self.witness.endings or self.witness.errors:
                raise self._explain()
            if time.monotonic() - looked_s >= _LOOK_S:
                looked_s = time.monotonic()
                self.witness.look()
                if self.witness.is_over():
                    raise self._explain()

    def _takes(self, rank: int, message: Message | None) -> bool:
        """Note what was heard; whether it is an answer to what was asked last."""
        self.witness.heard(rank)
        if message is None:
            self.witness.note_end(rank)
            return False
        if message.get("number") != self.asked:
            return False
        if "error" in message:
            error = message["error"]
            told = OwnError(failure=Failure(error["failure"]), task=error["task"], message=error["message"])
            self.witness.errors.setdefault(rank, (time.monotonic(), told))
            return False
        return True

    def _explain(self) -> RunError:
        """Wait a moment for more evidence, then name the rank, its task and the cause."""
        begun_s, witness = time.monotonic(), self.witness
        while (waited_s := time.monotonic() - begun_s) < self.patience.grace_s:
            with contextlib.suppress(queue.Empty):
                self._takes(*self.heard.get(timeout=_LOOK_S / 5))
            is_sure = is_decisive(witness.evidence({})) or not (witness.errors or witness.endings)
            if waited_s >= _BESIDE_S and is_sure:
                break
        witness.look()
        stuck = {} if witness.endings or witness.errors else self._stuck()
        return RunError(self._named(diagnose(witness.evidence(stuck), time.monotonic(), self.patience)))

    def _named(self, told: str) -> str:
        """What is told of ranks, and on which hosts they are, where these have names."""
        numbers = sorted({int(number) for number in re.findall(r"\brank (\d+)", told)})
        named = [f"rank {rank} is {name}" for rank in numbers if (name := self._called(rank))]
        return f"{told} ({', '.join(named)})" if named else told

    def _stuck(self) -> dict[int, tuple[int, ...]]:
        """[rank] With whom it has connections on which nothing passes; of ranks that answer."""
        self.asked += 1
        for process in self.ranks:
            process.tell({"do": "connections", "number": self.asked})
        told: dict[int, Any] = {}
        until_s = time.monotonic() + _ANSWER_S
        while len(told) < len(self.ranks) and time.monotonic() < until_s:
            with contextlib.suppress(queue.Empty):
                rank, message = self.heard.get(timeout=_LOOK_S / 5)
                if message is not None and message.get("number") == self.asked and "connections" in message:
                    told[rank] = message["connections"]
        home = {here: rank for rank, connections in told.items() for here, _, _ in connections}
        return {
            rank: tuple(sorted({home[there] for _, there, stuck in connections if stuck and there in home}))
            for rank, connections in told.items()
        }
