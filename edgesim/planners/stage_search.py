"""Which choice of stages is best, and how far can another be below it? Branch and bound over the interval of U.

U, what the other micro-batches add to the first one's way, is the slowest stage's. A window is an interval of U: slower
stages are out, and U costs what the interval begins with. Rents of devices give a bound of the window's choices and say
which stages can be in one that wins (``stage_rents.py``); labels find the best of these exactly (``stage_labels.py``).
Where there are too many labels the window is halved, and CBC and HiGHS decide what cannot be halved any more.
"""

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np

from edgesim.planners.solvers import SolveStatus, solve
from edgesim.planners.stage_columns import Ints
from edgesim.planners.stage_ilp import integer_programme
from edgesim.planners.stage_labels import Choice, Enumeration
from edgesim.planners.stage_programme import Programme
from edgesim.planners.stage_rents import Market, Rents
from edgesim.planners.stage_table import Stages

FIRST = 1.5  # ratio of the ends of the first windows
BEAM = 10  # labels that go on from each boundary where a first choice is sought
LABELS = 10_000  # of a window, before it is halved
MORE = 2  # times as many labels in a half
MOST_LABELS = 500_000  # then CBC and HiGHS decide
EXACT = 1e-9  # relative: what the same choice's cost may differ by, counted in another order
HIGHER = 4.0  # by how much the ceiling rises under which there was nothing
NARROW = 1e-3  # relative: a window that is not halved any more
NAME = "labels"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The best choice, first stage first, and the bound; no choice where none exists, or none was found in time.

    ``pool`` are all choices met, best first, with their seconds; ``proven`` says that the search came to its end.
    """

    choice: Choice
    value_s: float
    bound_s: float
    proven: bool
    solver: str
    pool: tuple[tuple[float, Choice], ...]


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
    rents: Rents = field(compare=False)
    labels: int = field(compare=False, default=LABELS)


class Search:
    """One search for the best ``keep`` choices. ``seconds`` judges a whole choice exactly.

    It stops where the bound is within ``gap`` of the value; choices that cost ``to_beat_s`` or more do not matter.
    """

    def __init__(
        self, programme: Programme, *, seconds: Callable[[Choice], float], time_limit_s: float, gap: float,
        keep: int = 1, to_beat_s: float = np.inf, decides: Sequence[str] = ("CBC", "HiGHS"),
    ) -> None:  # fmt: skip
        self.programme, self.seconds, self.gap = programme, seconds, gap
        self.deadline_s = perf_counter() + time_limit_s
        self.stages = Stages(programme)
        self.pool: dict[Choice, float] = {}
        self.keep, self.last_s, self.numbers = keep, to_beat_s, 0
        self.solvers: dict[str, None] = {}
        self.decides = decides  # of those that race, whoever is first: equals may come out

    def late(self) -> bool:
        return perf_counter() > self.deadline_s

    @property
    def to_beat_s(self) -> float:
        """What a choice must cost less than to be among those kept."""
        return self.last_s * (1 - EXACT)

    def _done(self, bound_s: float) -> bool:
        """Whether what costs at least the bound does not matter, or there is no time to look."""
        return bound_s >= self.last_s * (1 - self.gap) or self.late()

    def run(self, known: Iterable[Choice] = ()) -> Found:
        """Search until the gap is closed or time is over; ``known`` choices are met first."""
        for choice in known:
            self.meet(choice)
        everyone = np.arange(len(self.stages))
        least_u_s = self.stages.least_u_s(everyone)
        if not np.isfinite(least_u_s):
            return Found(choice=(), value_s=np.inf, bound_s=np.inf, proven=True, solver="path", pool=())
        bound_s = self._searched(everyone, least_u_s)
        pool = sorted((seconds, choice) for choice, seconds in self.pool.items() if np.isfinite(seconds))
        value_s, choice = pool[0] if pool else (np.inf, ())
        return Found(
            choice=choice, value_s=value_s, bound_s=min(bound_s, value_s), proven=not self.late(),
            solver=" and ".join(self.solvers), pool=tuple(pool),
        )  # fmt: skip

    def _searched(self, everyone: Ints, least_u_s: float) -> float:
        """The bound of all choices that are not met: below a ceiling first, which rises until enough are met."""
        self.solvers[NAME] = None
        kinds = len(self.stages.shape.devices)
        nothing = Rents(rent_s=np.zeros(kinds), hurry=0.0, bound_s=0.0, least_s=np.zeros((0, 0)))
        ceiling_s, dear_s = HIGHER * (least_u_s + self._shortest_s(everyone)), self._dear_s()
        while True:
            ceiling_s = min(ceiling_s, dear_s)
            windows = self._first_windows(everyone, least_u_s, ceiling_s, nothing)
            if self.pool or ceiling_s >= dear_s:
                bound_s = self._closed(windows, ceiling_s)
                if self.last_s <= ceiling_s or ceiling_s >= dear_s or self.late():
                    return bound_s
            ceiling_s *= HIGHER

    def _shortest_s(self, which: Ints) -> float:
        """Of a path, as if devices cost nothing."""
        shortest_s = np.full(self.stages.layers + 1, np.inf)
        shortest_s[0] = 0.0
        for stop, own in self.stages.by_stop(which):
            shortest_s[stop] = np.min(shortest_s[self.stages.start[own]] + self.stages.own_s[own])
        return float(shortest_s[-1])

    def _dear_s(self) -> float:
        """More than any choice costs: every micro-batch through the slowest stages, one by one."""
        s, c, shape = self.stages, self.stages.columns, self.stages.shape
        messages_s = np.max(c.sent_s + c.received_s + c.returned_s + c.taken_back_s)
        air_s = np.max(c.air_forward_s + c.air_backward_s)
        each_s = shape.micro_batches * (np.max(c.both_s) + np.max(c.link_s) + messages_s + air_s)
        most_s = shape.positions * (each_s + np.max(c.beside_s)) + np.max(c.ending_s)
        return float(most_s + self.programme.most_once_s) + 1e-9

    # --- windows ---

    def _below_s(self, ceiling_s: float) -> float:
        return min(ceiling_s, self.to_beat_s)

    def _first_windows(self, which: Ints, least_u_s: float, ceiling_s: float, rents: Rents) -> list[Window]:
        """From the least U up, with a first choice of each where one is quickly found."""
        windows, low_s = [], least_u_s
        while low_s < self._below_s(ceiling_s) and not (self.pool and self._done(low_s)):
            high_s = low_s * FIRST if low_s > 0 else np.inf
            high_s = high_s if high_s < self._below_s(ceiling_s) else np.inf
            self.numbers += 1
            window = self._priced(Window(0.0, self.numbers, low_s, high_s, which, rents), ceiling_s)
            if window is not None:
                self._tried(window, ceiling_s, beam=BEAM)
                windows.append(window)
                rents = window.rents
            low_s = high_s
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
        below_s, s = self._below_s(ceiling_s), self.stages
        which = window.which[s.repeats[window.which] <= window.most_u_s]
        if not len(which) or window.least_u_s >= below_s:
            return None
        market = Market(s, which, least_u_s=window.least_u_s, below_s=below_s, counts_beside=True)
        rents = market.best(window.rents.rent_s, window.rents.hurry)
        if rents.bound_s >= below_s:
            return None
        left = which[market.through(rents) < below_s]
        if not len(left):
            return None
        return replace(window, bound_s=max(window.bound_s, rents.bound_s), which=left, rents=rents)

    def _tried(self, window: Window, ceiling_s: float, *, beam: int | None = None) -> bool:
        """Meet the window's best choices; whether there are no others that could win."""
        enough = self.keep if beam is None else 1
        late = self.late if self.pool else lambda: False  # there is always a plan
        while not late():
            below_s, s = self._below_s(ceiling_s), self.stages
            if window.bound_s >= below_s:
                return True
            market = Market(s, window.which, least_u_s=window.least_u_s, below_s=below_s, counts_beside=True)
            rents = market.offer(window.rents.rent_s, window.rents.hurry)
            clock = self._clock(window) if np.isfinite(s.shape.limit_s) else None
            best = Enumeration(
                market, rents, most_u_s=window.most_u_s, below_s=below_s, clock=clock, enough=enough
            ).run(most=window.labels, beam=beam, late=late)
            for _, choice in best.choices:
                self.meet(choice)
            if not best.complete:
                return False
            if len(best.choices) < enough or best.choices[-1][0] >= self._below_s(ceiling_s):
                return True
            enough *= 4  # choices cost more than the programme says: others may cost less
        return False

    def _clock(self, window: Window) -> tuple[Market, Rents]:
        """The bound of time alone."""
        limit_s = self.stages.shape.limit_s
        market = Market(
            self.stages, window.which, least_u_s=window.least_u_s, below_s=limit_s, counts_beside=False
        )
        return market, market.best(window.rents.rent_s, 0.0)

    def _decided(self, window: Window) -> float:
        """The bound of a window by CBC and HiGHS, which meet its best choice; at least what is to beat if it is closed."""
        s = self.stages
        candidates = s.candidate[window.which]
        which = np.sort(candidates[candidates >= 0])
        forbidden: list[Choice] = []
        while True:
            limit_s = self.deadline_s - perf_counter()
            if limit_s <= 0:
                return window.bound_s
            asked = integer_programme(self.programme, which, (window.least_u_s, window.most_u_s), forbidden)
            answer = solve(asked.problem, time_limit_s=limit_s, gap=self.gap / 10, solvers=self.decides)
            self.solvers[answer.solver] = None
            if answer.status is SolveStatus.INFEASIBLE:
                return np.inf
            bound_s = -np.inf if answer.bound is None else answer.bound * asked.unit_s
            if answer.values:
                chosen = [c for c, name in asked.names.items() if answer.values[name] > 0.5]
                choice = tuple(sorted(chosen, key=lambda c: int(self.programme.columns.start[c])))
                self.meet(choice)
                forbidden.append(choice)
            if self._done(bound_s) or not answer.values:
                return max(bound_s, window.bound_s)

    def meet(self, choice: Choice) -> float:
        """Judge a choice and remember it."""
        if choice not in self.pool:
            self.pool[choice] = self.seconds(choice)
            if len(self.pool) >= self.keep:
                self.last_s = min(self.last_s, sorted(self.pool.values())[self.keep - 1])
        return self.pool[choice]
