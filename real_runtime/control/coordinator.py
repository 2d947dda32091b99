"""Do all ranks go on, and if not, why did the run end? Sends commands to rank processes and reads their answers.

A run ends when nothing moves any more, not when it takes long: while a rank computes, a byte passes, a task ends or a
sleep with a known end lasts, it goes on. Who is to blame is judged from all that is known of all ranks (diagnosis.py).
"""

import contextlib
import queue
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from edgesim.errors import RunError
from edgesim.scratch import scratch_folder
from real_runtime.control.board import Doing
from real_runtime.control.diagnosis import diagnose, is_decisive, is_hung_with_lock
from real_runtime.control.evidence import Ending, Failure, Memory, OwnError, Patience, RankEvidence
from real_runtime.control.interruptions import held_back
from real_runtime.control.meeting_place import MeetingPlace
from real_runtime.control.rank_process import Message, RankProcess
from real_runtime.control.vitals import Vitals, oom_kills
from real_runtime.control.watch import Movement, RunningClock, still_s

_LOOK_S = 0.05
# After the first sign, how long to wait for its cause, and beside a cause for others of the same moment: a killed peer
# shows within 0.05 s.
_GRACE_S, _BESIDE_S = 0.3, 0.06
_ANSWER_S = 0.3  # for ranks to tell of their connections
_EXIT_S = 0.5  # from the last word of a process to its exit code
_CLOSE_S = 5.0


class Coordinator:
    """All rank processes of one testbed.

    ``group_oom_kills`` says how often the kernel killed for memory in the group that a testbed made for a rank.
    """

    def __init__(
        self,
        commands: Sequence[Sequence[str]],
        *,
        patience: Patience,
        group_oom_kills: Callable[[int], int] = lambda rank: 0,
    ) -> None:
        self.patience, self.group_oom_kills = patience, group_oom_kills
        self.leaving = contextlib.ExitStack()
        self.heard: queue.SimpleQueue[tuple[int, Message | None]] = queue.SimpleQueue()
        self.meeting_place = MeetingPlace(lambda rank, answer: self.ranks[rank].tell(answer))
        self.clock = RunningClock()
        self.ranks: list[RankProcess] = []
        self.movements = [Movement() for _ in commands]
        self.vitals: list[Vitals] = []
        self.endings: dict[int, Ending] = {}
        self.errors: dict[int, tuple[float, OwnError]] = {}
        self.asked = 0
        self.oom_kills = oom_kills()
        self.living = self.ranks
        with held_back():
            folder = self.leaving.enter_context(scratch_folder())
            try:
                for rank, command in enumerate(commands):
                    self.ranks.append(RankProcess(rank, command, folder, self._hear))
            except OSError:
                self.close()
                raise

    def _hear(self, rank: int, message: Message | None) -> None:
        """In a thread of that rank's: keep what it says for whoever asked, or answer what it asks."""
        if message is not None and "store" in message:
            self.movements[rank].moved_s = self.clock.now_s
            self.meeting_place.hear(rank, message["store"])
        else:
            self.heard.put((rank, message))

    @property
    def pids(self) -> tuple[int, ...]:
        """[rank] The processes of ranks that have told theirs."""
        return tuple(rank.pid for rank in self.ranks if rank.pid is not None)

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
        self._begin()
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
            if self.endings or self.errors:
                raise self._explain()
            if time.monotonic() - looked_s >= _LOOK_S:
                looked_s = time.monotonic()
                self._look()
                if self._is_over():
                    raise self._explain()

    def _begin(self) -> None:
        """Start to watch: what happened while nobody asked anything is no evidence."""
        self.asked += 1
        self.errors.clear()
        self.oom_kills = oom_kills()
        now_s = self.clock.tick()
        for movement, rank in zip(self.movements, self.ranks, strict=True):
            movement.begin(now_s)
            rank.note_memory_group()
        self._look()

    def _takes(self, rank: int, message: Message | None) -> bool:
        """Note what was heard; whether it is an answer to what was asked last."""
        self.movements[rank].moved_s = self.clock.now_s
        if message is None:
            self._note_end(rank)
        elif message.get("number") != self.asked:
            return False
        elif "error" in message:
            error = message["error"]
            told = OwnError(failure=Failure(error["failure"]), task=error["task"], message=error["message"])
            self.errors.setdefault(rank, (time.monotonic(), told))
        return message is not None and "error" not in message

    def _note_end(self, number: int) -> None:
        rank = self.ranks[number]
        code = rank.exit_code(within_s=_EXIT_S)
        if code is None or number in self.endings:
            return
        memory = Memory.NOTHING
        if self.group_oom_kills(number) or rank.oom_killed_in_group():
            memory = Memory.AT_ITS_LIMIT
        elif oom_kills() > self.oom_kills:
            memory = Memory.SOMEWHERE
        self.endings[number] = Ending(
            exit_code=code, at_s=time.monotonic(), memory=memory, last_words=rank.last_words()
        )

    def _look(self) -> None:
        """Look at all ranks, from outside and at their boards."""
        now_s = self.clock.tick()
        self.vitals = [rank.vitals() for rank in self.ranks]
        for movement, rank, vital in zip(self.movements, self.ranks, self.vitals, strict=True):
            movement.look(now_s, rank.board.head(), rank.board.main(), vital)

    def _is_over(self) -> bool:
        """Whether a rank is held, hung or cut off, nothing has moved for too long, or one computes without an end."""
        now_s, patience = self.clock.now_s, self.patience
        still = still_s(self.movements, now_s)
        for number, movement in enumerate(self.movements):
            if movement.stopped_s is not None and now_s - movement.stopped_s >= patience.stopped_s:
                return True
            cut_s = 0.0 if movement.link_down_s is None else now_s - movement.link_down_s
            if min(cut_s, still) >= patience.link_down_s:
                return True
            if is_hung_with_lock(self._evidence(number, (self.ranks[number].board.main(),)), patience):
                return True
        most_s = max(movement.task_cpu_s for movement in self.movements)
        return still >= patience.deadline_s or most_s >= patience.computations * patience.deadline_s

    def _explain(self) -> RunError:
        """Wait a moment for more evidence, then name the rank, its task and the cause."""
        begun_s = time.monotonic()
        while (waited_s := time.monotonic() - begun_s) < _GRACE_S:
            with contextlib.suppress(queue.Empty):
                self._takes(*self.heard.get(timeout=_LOOK_S / 5))
            if waited_s >= _BESIDE_S and (is_decisive(self._all_evidence({})) or not (self.errors or self.endings)):
                break
        self._look()
        stuck = {} if self.endings or self.errors else self._stuck()
        return RunError(diagnose(self._all_evidence(stuck), time.monotonic(), self.patience))

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

    def _all_evidence(self, stuck: Mapping[int, tuple[int, ...]]) -> list[RankEvidence]:
        return [
            self._evidence(number, rank.board.doings(), stuck.get(number, ())) for number, rank in enumerate(self.ranks)
        ]

    def _evidence(self, number: int, doings: tuple[Doing, ...], stuck: tuple[int, ...] = ()) -> RankEvidence:
        movement, vital = self.movements[number], self.vitals[number]
        now_s = self.clock.now_s
        error_at_s, error = self.errors.get(number, (0.0, None))
        return RankEvidence(
            rank=number,
            doings=doings,
            vitals=vital,
            ending=self.endings.get(number),
            error=error,
            error_at_s=error_at_s,
            task_cpu_s=movement.task_cpu_s,
            idle_s=now_s - movement.moved_s,
            silent_s=now_s - movement.beat_s,
            silent_cpu_s=vital.cpu_s - movement.cpu_at_beat_s,
            faults_per_s=movement.faults_per_s,
            link_down_s=0.0 if movement.link_down_s is None else now_s - movement.link_down_s,
            stuck_with=stuck,
        )
