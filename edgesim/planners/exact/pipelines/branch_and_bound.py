"""Which choice of stages is best, and how far can another be below it? Branch and bound over the interval of U.

U, what the other micro-batches add to the first one's way, is the slowest stage's. A window is an interval of U: slower
stages are out, and U costs what the interval begins with. Dual prices of devices bound the window's choices and fix out
stages by their reduced costs (``windows.py``); labels find the best of the others exactly (``label_setting.py``).
Where there are too many labels the window is halved. What cannot be halved any more is an integer programme for CBC and
HiGHS (``milp_in_pulp.py``), which may say that it is the best of equals in one run and another of them in the next.
"""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from edgesim.planners.exact.pipelines.candidate_links import Ints
from edgesim.planners.exact.pipelines.label_setting import Choice, LabelSetting
from edgesim.planners.exact.pipelines.milp import StageMilp
from edgesim.planners.exact.pipelines.milp_in_pulp import in_pulp
from edgesim.planners.exact.pipelines.stage_table import Stages
from edgesim.planners.exact.pipelines.windows import Pricing, WarmStart, Window
from edgesim.planners.planning_time import SearchTime

FIRST = 1.5  # ratio of the ends of the first windows
BEAM = 10  # labels that go on from each boundary where a first choice is sought
LABELS = 10_000  # of a window, before it is halved
MORE = 2  # times as many labels in a half
MOST_LABELS = 500_000  # then CBC and HiGHS decide
MOST_IN_PULP, PULP_S = 30_000, 2e-4  # stages of an integer programme, and what writing one of them takes
EXACT = 1e-9  # relative: what the same choice's cost may differ by, counted in another order
HIGHER = 4.0  # by how much the ceiling rises under which there was nothing
NARROW = 1e-3  # relative: a window that is not halved any more
NAME = "labels"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchLimits:
    """When a search may end: after ``time_limit_s``, or with its bound within ``gap`` of the value.

    It is for the best ``keep`` choices; those that cost ``to_beat_s`` or more do not matter.
    """

    time_limit_s: float
    gap: float
    keep: int = 1
    to_beat_s: float = np.inf


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


class Incumbents:
    """The choices met so far, judged by ``seconds``, and what another must cost less than to be among those kept."""

    def __init__(self, seconds: Callable[[Choice], float], at_most_s: float) -> None:
        self.seconds, self.at_most_s = seconds, at_most_s
        self.pool: dict[Choice, float] = {}
        self.keep, self.last_s = 1, at_most_s

    def meet(self, choice: Choice) -> None:
        """Judge a choice and remember it."""
        if choice not in self.pool:
            self.pool[choice] = self.seconds(choice)
            self._remember_last()

    def keep_more(self, keep: int) -> None:
        """From now on, so many are kept."""
        self.keep = keep
        self._remember_last()

    def _remember_last(self) -> None:
        """What the last of those kept costs."""
        kept = sorted(self.pool.values())[: self.keep]
        self.last_s = min(self.at_most_s, kept[-1]) if len(kept) == self.keep else self.at_most_s

    @property
    def to_beat_s(self) -> float:
        """What a choice must cost less than to be among those kept."""
        return self.last_s * (1 - EXACT)

    @property
    def enough(self) -> bool:
        """Whether as many choices were met as are asked for."""
        return self.last_s < np.inf

    def best_first(self) -> tuple[tuple[float, Choice], ...]:
        """All that are possible, with their seconds."""
        return tuple(sorted((seconds, choice) for choice, seconds in self.pool.items() if np.isfinite(seconds)))


class BranchAndBound:
    """One search for the best choices. ``seconds`` judges a whole choice exactly."""

    def __init__(
        self,
        milp: StageMilp,
        limits: SearchLimits,
        *,
        seconds: Callable[[Choice], float],
        warm_start: WarmStart | None = None,
    ) -> None:
        """``warm_start`` is that of a search that is much like this one."""
        self.milp, self.limits = milp, limits
        self.time = SearchTime(limits.time_limit_s)
        self.stages = Stages(milp)
        self.pricing = Pricing(self.stages, warm_start, late=self.late)
        self.incumbents = Incumbents(seconds, limits.to_beat_s)
        self.solvers: dict[str, None] = {}
        self.windows_made = 0

    @property
    def warm_start(self) -> WarmStart:
        """What a search that is much like this one may start from."""
        return self.pricing.warm_start

    def late(self) -> bool:
        """Whether the time limit is over; while there is no choice at all, after a little more computing."""
        return self.time.is_over(found=bool(self.incumbents.pool))

    def _done(self, bound_s: float) -> bool:
        """Whether what costs at least the bound does not matter, or there is no time to look."""
        return bound_s >= self.incumbents.last_s * (1 - self.limits.gap) or self.late()

    def run(self, known: Iterable[Choice] = ()) -> SearchResult:
        """Search until the gap is closed or time is over; ``known`` choices are met first."""
        for choice in known:
            self.incumbents.meet(choice)
        everyone = np.arange(len(self.stages))
        least_u_s = self.stages.least_u_s(everyone)
        if not np.isfinite(least_u_s):
            return SearchResult(choice=(), value_s=np.inf, bound_s=np.inf, proven=True, solver="path", pool=())
        bound_s = self._searched(everyone, least_u_s)
        if self.limits.keep > 1 and not self.late():  # the best one first: it says most of the others
            self.incumbents.keep_more(self.limits.keep)
            self._searched(everyone, least_u_s)
        if not self.incumbents.pool and self.late():
            self._meet_hastily(everyone, least_u_s)
        pool = self.incumbents.best_first()
        value_s, choice = pool[0] if pool else (np.inf, ())
        return SearchResult(
            choice=choice,
            value_s=value_s,
            bound_s=min(bound_s, value_s),
            proven=not self.late(),
            solver=" and ".join(self.solvers),
            pool=pool,
        )

    def _searched(self, everyone: Ints, least_u_s: float) -> float:
        """The bound of all choices that are not met: below a ceiling first, which rises until enough are met."""
        self.solvers[NAME] = None
        above_all_s = self.stages.above_all_s + self.milp.most_one_time_s
        ceiling_s = above_all_s
        if not self.incumbents.enough:
            ceiling_s = HIGHER * (least_u_s + self.stages.shortest_s(everyone))
        while True:
            ceiling_s = min(ceiling_s, above_all_s)
            windows = self._first_windows(everyone, least_u_s, ceiling_s)
            if self.incumbents.enough or ceiling_s >= above_all_s or self.late():
                bound_s = self._closed(windows, ceiling_s)
                if self.incumbents.last_s <= ceiling_s or ceiling_s >= above_all_s or self.late():
                    return bound_s
            ceiling_s *= HIGHER

    def _meet_hastily(self, everyone: Ints, least_u_s: float) -> None:
        """Meet what a beam finds among all stages, as if nothing were bounded: a plan, however short the time was."""
        above_all_s = self.stages.above_all_s + self.milp.most_one_time_s
        window = self._window(everyone, 0.0, least_u_s=least_u_s, most_u_s=np.inf)
        window = replace(window, warm_start=WarmStart.cold(len(self.stages.shape.devices)))
        bound, time_only = self.pricing.bounds(window, min(above_all_s, self.incumbents.at_most_s))
        labels = LabelSetting(bound, most_u_s=np.inf, time_only=time_only)
        for _, choice in labels.run(most=MOST_LABELS, beam=5 * BEAM, late=lambda: False).choices:
            self.incumbents.meet(choice)

    # --- windows ---

    def _below_s(self, ceiling_s: float) -> float:
        return min(ceiling_s, self.incumbents.to_beat_s)

    def _window(self, which: Ints, bound_s: float, *, least_u_s: float, most_u_s: float) -> Window:
        self.windows_made += 1
        return Window(
            bound_s=bound_s,
            number=self.windows_made,
            least_u_s=least_u_s,
            most_u_s=most_u_s,
            which=which,
            labels=LABELS,
        )

    def _first_windows(self, which: Ints, least_u_s: float, ceiling_s: float) -> list[Window]:
        """From the least U up; where nothing is known yet, with a first choice of each if one is quickly found."""
        bound_s = 0.0
        if self.incumbents.enough:
            everything = self._window(which, 0.0, least_u_s=least_u_s, most_u_s=np.inf)
            priced = self.pricing.priced(everything, self._below_s(ceiling_s))
            which, bound_s = (priced.which, priced.bound_s) if priced else (which[:0], np.inf)
        windows, low_s = list[Window](), least_u_s if len(which) else np.inf
        while low_s < self._below_s(ceiling_s) and not (self.incumbents.pool and self._done(low_s)):
            high_s = low_s * FIRST if low_s > 0 else np.inf
            high_s = high_s if high_s < self._below_s(ceiling_s) else np.inf
            window = self._window(which, max(bound_s, low_s), least_u_s=low_s, most_u_s=high_s)
            kept = window if self.incumbents.enough else self.pricing.priced(window, self._below_s(ceiling_s))
            if kept and not self.incumbents.enough:
                self._tried(kept, ceiling_s, beam=BEAM)
            windows += [kept] if kept else []
            low_s = high_s
        if low_s < self._below_s(ceiling_s):  # there was no time for the others, which stay open
            windows.append(self._window(which, max(bound_s, low_s), least_u_s=low_s, most_u_s=np.inf))
        return windows

    def _closed(self, windows: list[Window], ceiling_s: float) -> float:
        """The bound of what is left open when nothing can win any more, or time is over."""
        heapq.heapify(windows)
        while windows and windows[0].bound_s < self._below_s(ceiling_s) and not self._done(windows[0].bound_s):
            window = self.pricing.priced(heapq.heappop(windows), self._below_s(ceiling_s))
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
            self.windows_made += 1
            yield replace(
                window, number=self.windows_made, least_u_s=least_u_s, most_u_s=most_u_s, labels=MORE * window.labels
            )

    def _middle_s(self, window: Window) -> float:
        """The middle of the values that U may have in a window."""
        most_s = min(window.most_u_s, float(np.max(self.stages.repeats[window.which])))
        return (window.least_u_s + most_s) / 2 if most_s > window.least_u_s else window.least_u_s * FIRST

    def _tried(self, window: Window, ceiling_s: float, *, beam: int | None = None) -> bool:
        """Meet the window's best choices; whether there are no others that could win."""
        enough = self.incumbents.keep
        while not self.late():
            below_s = self._below_s(ceiling_s)
            if window.bound_s >= below_s:
                return True
            bound, time_only = self.pricing.bounds(window, below_s)
            labels = LabelSetting(bound, most_u_s=window.most_u_s, time_only=time_only, enough=enough)
            best = labels.run(most=window.labels, beam=beam, late=self.late)
            for _, choice in best.choices:
                self.incumbents.meet(choice)
            if not best.complete:
                return False
            if len(best.choices) < enough or best.choices[-1][0] >= self._below_s(ceiling_s):
                return True
            enough *= 4  # choices cost more than the programme says: others may cost less
        return False

    def _can_be_written(self, stages: int) -> bool:
        """Whether there is time and memory to write an integer programme of so many stages."""
        return stages <= MOST_IN_PULP and perf_counter() + stages * PULP_S < self.time.deadline_s

    def _decided(self, window: Window) -> float:
        """The bound of a window by CBC and HiGHS, which meet its best choices; infinite if it has none."""
        candidates = self.stages.candidate[window.which]
        which, interval = np.sort(candidates[candidates >= 0]), (window.least_u_s, window.most_u_s)
        bound_s, others_than = window.bound_s, list[Choice]()
        while not self._done(bound_s) and self._can_be_written(len(which)):
            milp = in_pulp(self.milp, which, interval, others_than)
            result = milp.solve(time_limit_s=self.time.deadline_s - perf_counter(), gap=self.limits.gap / 10)
            self.solvers[result.solver] = None
            bound_s = max(bound_s, result.bound_s)
            if not result.choice:
                break
            self.incumbents.meet(result.choice)
            others_than.append(result.choice)  # which may cost more than the programme says
        return bound_s
