"""What is seen of all ranks? Looks at them again and again, gathers the evidence, and says when a run is over."""

import time
from collections.abc import Callable, Mapping, Sequence

from real_runtime.control.board import Doing, State
from real_runtime.control.diagnosis import is_hung_with_lock
from real_runtime.control.evidence import Ending, Memory, OwnError, Patience, RankEvidence
from real_runtime.control.rank_process import LedRank
from real_runtime.control.vitals import Vitals
from real_runtime.control.watch import Movement, RunningClock, still_s

_EXIT_S = 0.5  # from the last word of a process to its exit code


class Witness:
    """Looks at ranks from outside and at their boards, and keeps what ended and what failed."""

    def __init__(self, ranks: Sequence[LedRank], patience: Patience, group_oom_kills: Callable[[int], int]) -> None:
        self.ranks, self.patience, self._group_oom_kills = ranks, patience, group_oom_kills
        self.clock = RunningClock()
        self.movements = [Movement() for _ in ranks]
        self.vitals: list[Vitals] = []
        self.endings: dict[int, Ending] = {}
        self.errors: dict[int, tuple[float, OwnError]] = {}

    def begin(self) -> None:
        """Start to watch: what happened while nobody asked anything is no evidence."""
        self.errors.clear()
        now_s = self.clock.tick()
        for movement, rank in zip(self.movements, self.ranks, strict=True):
            movement.begin(now_s)
            rank.note_memory()
        self.look()

    def heard(self, rank: int) -> None:
        """Note that a rank said something."""
        self.movements[rank].moved_s = self.clock.now_s

    def look(self) -> None:
        """Look at all ranks."""
        now_s = self.clock.tick()
        self.vitals = [rank.vitals() for rank in self.ranks]
        for movement, rank, vital in zip(self.movements, self.ranks, self.vitals, strict=True):
            if rank.is_seen:
                movement.look(now_s, rank.board.head(), rank.board.main(), vital)
            else:
                movement.begin(now_s)

    def note_end(self, number: int) -> None:
        """Note how a rank's process ended, if it has."""
        rank = self.ranks[number]
        code = rank.exit_code(within_s=_EXIT_S)
        if code is None or number in self.endings:
            return
        memory = Memory.AT_ITS_LIMIT if self._group_oom_kills(number) else rank.memory()
        self.endings[number] = Ending(
            exit_code=code, at_s=time.monotonic(), memory=memory, last_words=rank.last_words(), cause=rank.cause
        )

    def is_over(self) -> bool:
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
        starts = any(rank.board.main().state is State.STARTS for rank in self.ranks)
        deadline_s = max(patience.deadline_s, patience.starting_s) if starts else patience.deadline_s
        return still >= deadline_s or most_s >= patience.computations * patience.deadline_s

    def evidence(self, stuck: Mapping[int, tuple[int, ...]]) -> list[RankEvidence]:
        """All that is known of all ranks; ``stuck`` says with whom each has connections on which nothing passes."""
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
