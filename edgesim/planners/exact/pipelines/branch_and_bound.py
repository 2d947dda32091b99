"""Which choice of stages is best, and how far can another be below it? Branch and bound over the interval of U.

U, what the other micro-batches add to the first one's way, is the slowest stage's. A window is an interval of U: slower
stages are out, and U costs what the interval begins with. Dual prices of devices bound the window's choices and
fix out stages by their reduced costs (``lagrangian.py``); labels find the best of the others exactly
(``label_setting.py``).
Where there are too many labels the window is halved. What cannot be halved any more is an integer programme for CBC and
HiGHS (``milp_in_pulp.py``), which may say that it is the best of equals in one run and another of them in the next.
"""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from time import perf_counter

import numpy as np

from edgesim.planners.exact.pipelines.candidates import Ints
from edgesim.planners.exact.pipelines.label_setting import Choice, LabelSetting
from edgesim.planners.exact.pipelines.lagrangian import GRID, LagrangianBound, Relaxation
from edgesim.planners.exact.pipelines.milp import StageMilp
from edgesim.planners.exact.pipelines.milp_in_pulp import in_pulp
from edgesim.planners.exact.pipelines.stage_table import Stages

FIRST = 1.5  # ratio of the ends of the first windows
BEAM = 10  # labels that go on from each boundary where a first choice is sought
LABELS = 10_000  # of a window, before it is halved
MORE = 2  # times as many labels in a half
MOST_LABELS = 500_000  # then CBC and HiGHS decide
EXACT = 1e-9  # relative: what the same choice's cost may differ by, counted in another order
ROUNDS = 4  # of subgradient steps, after each of which stages are fixed out
HIGHER = 4.0  # by how much the ceiling rises under which there was nothing
NARROW = 1e-3  # relative: a window that is not halved any more
NAME = "labels"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """The best choice, first stage first, and the bound; no choice where none exists, or none was found in time.

    ``pool`` are all choices met, best first, with their seconds; ``proven`` says that the search came to its end.
    """

    choice: Choice
    value_s: float
    bound_s: float
    proven: bool
    solver: str
    pool: tuple[tuple[float, Choice], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmStart:
    """Bounds to start from, with their prices: of what the objective counts, and of time alone."""

    bound: LagrangianBound
    time: LagrangianBound

    @classmethod
    def cold(cls, kinds: int) -> "WarmStart":
        """All prices 0."""
        zero = LagrangianBound(prices_s=np.zeros(kinds), time_multiplier=0.0, bound_s=0.0, least_s=np.zeros((0, 0)))
        return cls(bound=zero, time=zero)


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """An interval of U and the stages that may be in a choice; the lowest bound comes first, then the first made.

    ``labels`` is how many there may be before it is halved.
    """

    bound_s: float
    number: int
    least_u_s: float = field(compare=False)
    most_u_s: float = field(compare=False)
    which: Ints = field(compare=False)
    labels: int = field(compare=False)
    warm_start: WarmStart | None = field(compare=False, default=None)


class BranchAndBound:
    """One search for the best ``keep`` choices. ``seconds`` judges a whole choice exactly.

    It stops where the bound is within ``gap`` of the value; choices that cost ``to_beat_s`` or more do not matter.
    """

    def __init__(
        self,
        milp: StageMilp,
        *,
        seconds: Callable[[Choice], float],
        time_limit_s: float,
        gap: float,
        keep: int = 1,
        to_beat_s: float = np.inf,
        warm_start: WarmStart | None = None,
    ) -> None:
        """``warm_start`` is that of a search that is much like this one."""
        self.milp, self.seconds, self.gap = milp, seconds, gap
        self.deadline_s = perf_counter() + time_limit_s
        self.stages = Stages(milp)
        self.pool: dict[Choice, float] = {}
        self.all_kept, self.keep, self.at_most_s, self.numbers = keep, 1, to_beat_s, 0
        self.last_s = to_beat_s
        self.solvers: dict[str, None] = {}
        self.warm_start = warm_start or WarmStart.cold(len(milp.shape.devices))

    def late(self) -> bool:
        return perf_counter() > self.deadline_s

    @property
    def to_beat_s(self) -> float:
        """What a choice must cost less than to be among those kept."""
        return self.last_s * (1 - EXACT)

    @property
    def _knows_enough(self) -> bool:
        """Whether as many choices were met as are asked for."""
        return self.last_s < np.inf

    def _done(self, bound_s: float) -> bool:
        """Whether what costs at least the bound does not matter, or there is no time to look."""
        return bound_s >= self.last_s * (1 - self.gap) or self.late()

    def run(self, known: Iterable[Choice] = ()) -> SearchResult:
        """Search until the gap is closed or time is over; ``known`` choices are met first."""
        for choice in known:
            self.meet(choice)
        everyone = np.arange(len(self.stages))
        least_u_s = self.stages.least_u_s(everyone)
        if not np.isfinite(least_u_s):
            return SearchResult(choice=(), value_s=np.inf, bound_s=np.inf, proven=True, solver="path", pool=())
        bound_s = self._searched(everyone, least_u_s)
        if self.all_kept > 1 and not self.late():  # the best one first: it says most of the others
            self.keep = self.all_kept
            self._remember_last()
            self._searched(everyone, least_u_s)
        pool = sorted((seconds, choice) for choice, seconds in self.pool.items() if np.isfinite(seconds))
        value_s, choice = pool[0] if pool else (np.inf, ())
        return SearchResult(
            choice=choice,
            value_s=value_s,
            bound_s=min(bound_s, value_s),
            proven=not self.late(),
            solver=" and ".join(self.solvers),
            pool=tuple(pool),
        )

    def _searched(self, everyone: Ints, least_u_s: float) -> float:
        """The bound of all choices that are not met: below a ceiling first, which rises until enough are met."""
        self.solvers[NAME] = None
        dear_s = self.stages.dear_s + self.milp.most_one_time_s
        ceiling_s = dear_s if self._knows_enough else HIGHER * (least_u_s + self.stages.shortest_s(everyone))
        while True:
            ceiling_s = min(ceiling_s, dear_s)
            windows = self._first_windows(everyone, least_u_s, ceiling_s)
            if self._knows_enough or ceiling_s >= dear_s or (self.pool and self.late()):
                bound_s = self._closed(windows, ceiling_s)
                if self.last_s <= ceiling_s or ceiling_s >= dear_s or self.late():
                    return bound_s
            ceiling_s *= HIGHER

    # --- windows ---

    def _below_s(self, ceiling_s: float) -> float:
        return min(ceiling_s, self.to_beat_s)

    def _first_windows(self, which: Ints, least_u_s: float, ceiling_s: float) -> list[Window]:
        """From the least U up; where nothing is known yet, with a first choice of each if one is quickly found."""
        bound_s = 0.0
        if self._knows_enough:
            self.numbers += 1
            everything = self._priced(Window(0.0, self.numbers, least_u_s, np.inf, which, LABELS), ceiling_s)
            which, bound_s = (everything.which, everything.bound_s) if everything else (which[:0], np.inf)
        windows, low_s = list[Window](), least_u_s if len(which) else np.inf
        while low_s < self._below_s(ceiling_s) and not (self.pool and self._done(low_s)):
            high_s = low_s * FIRST if low_s > 0 else np.inf
            high_s = high_s if high_s < self._below_s(ceiling_s) else np.inf
            self.numbers += 1
            window = Window(max(bound_s, low_s), self.numbers, low_s, high_s, which, LABELS)
            priced = window if self._knows_enough else self._priced(window, ceiling_s)
            if priced and not self._knows_enough:
                self._tried(priced, ceiling_s, beam=BEAM)
            windows += [priced] if priced else []
            low_s = high_s
        if low_s < self._below_s(ceiling_s):  # there was no time for the others, which stay open
            self.numbers += 1
            windows.append(Window(max(bound_s, low_s), self.numbers, low_s, np.inf, which, LABELS))
        return windows

    def _closed(self, windows: list[Window], ceiling_s: float) -> float:
        """The bound of what is left open when nothing can win any more, or time is over."""
        heapq.heapify(windows)
        while windows and windows[0].bound_s < self._below_s(ceiling_s) and not self._done(windows[0].bound_s):
            window = self._priced(heapq.heappop(windows), ceiling_s)
            if window is None or self._tried(window, ceiling_s):
                continue
            self._tried(window, ceiling_s, beam=5 * BEAM)
            for child in self._children(window, ceiling_s):
                heapq.heappush(windows, child)
        return min([self._below_s(ceiling_s), *(window.bound_s for window in windows)])

    def _children(self, window: Window, ceiling_s: float) -> Iterable[Window]:
        """Its halves; where U has hardly any room, itself with more labels, and at last nothing, decided otherwise."""
        middle_s = self._middle_s(window)
        if middle_s - window.least_u_s > NARROW * self._below_s(ceiling_s):
            intervals = [(window.least_u_s, middle_s), (middle_s, window.most_u_s)]
        elif window.labels < MOST_LABELS:
            intervals = [(window.least_u_s, window.most_u_s)]
        else:
            bound_s = self._decided(window)
            if bound_s < self._below_s(ceiling_s):  # time is over
                yield replace(window, bound_s=max(bound_s, window.bound_s))
            return
        for least_u_s, most_u_s in intervals:
            self.numbers += 1
            yield replace(
                window, number=self.numbers, least_u_s=least_u_s, most_u_s=most_u_s, labels=MORE * window.labels
            )

    def _middle_s(self, window: Window) -> float:
        """Of the values that U may have in a window."""
        most_s = min(window.most_u_s, float(np.max(self.stages.repeats[window.which])))
        return (window.least_u_s + most_s) / 2 if most_s > window.least_u_s else window.least_u_s * FIRST

    def _priced(self, window: Window, ceiling_s: float) -> Window | None:
        """With the stages that can be in a choice that wins, and a bound; None if there is no such choice."""
        below_s, which = self._below_s(ceiling_s), window.which
        which = which[self.stages.repeats[which] <= window.most_u_s]
        if window.least_u_s >= below_s:
            return None
        warm_start, limit_s = window.warm_start or self.warm_start, self.stages.shape.limit_s
        if np.isfinite(limit_s):  # time alone says more of a limit than its price does
            which, time = _fixed_by_reduced_costs(
                partial(self._time_relaxation, window), which, warm_start.time, rounds=1
            )
            self.warm_start = warm_start = replace(warm_start, time=time)
            if time.bound_s > limit_s:
                return None
        which, bound = _fixed_by_reduced_costs(
            partial(self._relaxation, window, below_s), which, warm_start.bound, rounds=ROUNDS
        )
        self.warm_start = warm_start = replace(warm_start, bound=bound)
        if bound.bound_s >= below_s or not len(which):
            return None
        return replace(window, bound_s=max(window.bound_s, bound.bound_s), which=which, warm_start=warm_start)

    def _relaxation(self, window: Window, below_s: float, which: Ints, grid: int = GRID) -> Relaxation:
        return Relaxation(
            self.stages, which, least_u_s=window.least_u_s, below_s=below_s, counts_beside=True, grid=grid
        )

    def _time_relaxation(self, window: Window, which: Ints, grid: int = GRID) -> Relaxation:
        """The same for time alone."""
        limit_s = self.stages.shape.limit_s
        return Relaxation(
            self.stages, which, least_u_s=window.least_u_s, below_s=limit_s, counts_beside=False, grid=grid
        )

    def _tried(self, window: Window, ceiling_s: float, *, beam: int | None = None) -> bool:
        """Meet the window's best choices; whether there are no others that could win."""
        enough = self.keep
        late = self.late if self.pool else lambda: False  # there is always a plan
        while not late():
            below_s, time_only = self._below_s(ceiling_s), None
            if window.bound_s >= below_s:
                return True
            assert window.warm_start is not None, "the window is priced"
            relaxation, bound = self._relaxation(window, below_s, window.which), window.warm_start.bound
            bound = relaxation.bound_at(bound.prices_s, bound.time_multiplier)
            if np.isfinite(self.stages.shape.limit_s):
                timed = self._time_relaxation(window, window.which)
                time_only = timed, timed.bound_at(window.warm_start.time.prices_s, 0.0)
            best = LabelSetting(
                relaxation, bound, most_u_s=window.most_u_s, below_s=below_s, time_only=time_only, enough=enough
            ).run(most=window.labels, beam=beam, late=late)
            for _, choice in best.choices:
                self.meet(choice)
            if not best.complete:
                return False
            if len(best.choices) < enough or best.choices[-1][0] >= self._below_s(ceiling_s):
                return True
            enough *= 4  # choices cost more than the programme says: others may cost less
        return False

    def _decided(self, window: Window) -> float:
        """The bound of a window by CBC and HiGHS, which meet its best choices; infinite if it has none."""
        candidates = self.stages.candidate[window.which]
        which, interval = np.sort(candidates[candidates >= 0]), (window.least_u_s, window.most_u_s)
        bound_s, others_than = window.bound_s, list[Choice]()
        while not self._done(bound_s):
            asked = in_pulp(self.milp, which, interval, others_than)
            result = asked.solve(time_limit_s=self.deadline_s - perf_counter(), gap=self.gap / 10)
            self.solvers[result.solver] = None
            bound_s = max(bound_s, result.bound_s)
            if not result.choice:
                break
            self.meet(result.choice)
            others_than.append(result.choice)  # which may cost more than the programme says
        return bound_s

    def meet(self, choice: Choice) -> float:
        """Judge a choice and remember it."""
        if choice not in self.pool:
            self.pool[choice] = self.seconds(choice)
            self._remember_last()
        return self.pool[choice]

    def _remember_last(self) -> None:
        """What the last of those kept costs."""
        kept = sorted(self.pool.values())[: self.keep]
        self.last_s = min(self.at_most_s, kept[-1]) if len(kept) == self.keep else self.at_most_s


def _fixed_by_reduced_costs(
    relaxation: Callable[..., Relaxation], which: Ints, warm_start: LagrangianBound, rounds: int
) -> tuple[Ints, LagrangianBound]:
    """The stages that can be in a choice that wins, and the best bound from a warm start on; most go at once."""
    offered = relaxation(which, grid=1)
    offered = relaxation(
        offered.which[_not_fixed(offered, offered.bound_at(warm_start.prices_s, warm_start.time_multiplier))]
    )
    offered = offered.only(_not_fixed(offered, offered.bound_at(warm_start.prices_s, warm_start.time_multiplier)))
    for _ in range(rounds):
        warm_start = offered.ascend(warm_start.prices_s, warm_start.time_multiplier)
        offered = offered.only(_not_fixed(offered, warm_start))
        if warm_start.bound_s >= offered.below_s or not len(offered.which):
            break
    return offered.which, warm_start


def _not_fixed(relaxation: Relaxation, bound: LagrangianBound) -> Ints:
    """Places of the stages that reduced costs do not fix out of every choice that wins."""
    return np.flatnonzero(relaxation.through(bound) <= relaxation.below_s)
