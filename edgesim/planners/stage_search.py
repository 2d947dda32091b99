"""Which choice of stages is best, and how far can another be below it? Branch and bound over the interval of U.

U, what the other micro-batches add to the first one's way, is the slowest stage's; the tail W is one stage's too. For
fixed U and W a plan is a shortest path that counts devices, whose relaxation is nearly whole. So a node is an interval
of each: candidates that would exceed one are out, and the relaxation of the others is a bound. Where stages come out in
parts, the interval is cut that they would exceed by more, or else the pipeline by its number of stages or by whether it
has a boundary. Where few candidates could still win, CBC and HiGHS decide among them as an integer programme.
"""

import heapq
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import numpy as np
import pulp
from numpy.typing import NDArray

from edgesim.planners.answer import SolverError
from edgesim.planners.solvers import SolveStatus, solve
from edgesim.planners.stage_columns import Floats, Ints
from edgesim.planners.stage_orders import OrderedChoices, orders
from edgesim.planners.stage_prices import Bools, Paths
from edgesim.planners.stage_programme import Programme
from edgesim.planners.stage_relaxation import Interval, Relaxation, Relaxed

LEAF = 60  # candidates that an integer programme decides among
TRIAL = 120  # candidates among which a better plan is sought, every so many nodes
EVERY = 64
NARROW = 2000  # candidates of a search within another where time is limited, whose first nodes were tried before
LIMITED_LEAF = 500  # as LEAF, where time is limited: such nodes branch poorly, and solvers cut the limit's row well
FEWER = 3  # as few candidates left are worth programmes of their own
LIMITS = 10  # of U, under which first plans are sought
WIDE = 0.02  # of the bound: how far stages in parts may exceed an interval before it is cut
Choice = tuple[int, ...]


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
class Node:
    """Intervals of U and W, and who may be in a choice; the lowest bound comes first, then the first made."""

    bound_s: float
    number: int
    repeats_s: Interval = field(compare=False)
    tail_s: Interval = field(compare=False)
    allowed: Bools = field(compare=False)

    @property
    def capped(self) -> bool:
        return bool(np.isfinite(self.repeats_s[1]))


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
        self.paths = Paths(programme.columns, layers=programme.shape.layers, positions=programme.shape.positions)
        self.pool: dict[Choice, float] = {}
        self.keep, self.last_s, self.numbers = keep, to_beat_s, 0
        self.solvers: dict[str, None] = {}
        self.decides = decides  # of those that race, whoever is first: equals may come out

    def late(self) -> bool:
        return perf_counter() > self.deadline_s

    def run(self, known: Iterable[Choice] = ()) -> Found:
        """Search until the gap is closed or time is over; ``known`` choices are met first."""
        for choice in known:
            self.meet(choice)
        columns, repeats = self.programme.columns, self.programme.repeats
        shortest_s = self.paths.through(columns.way_s)
        if not np.isfinite(shortest_s).any():
            return Found(choice=(), value_s=np.inf, bound_s=np.inf, proven=True, solver="path", pool=())
        least_u_s = self._least_u_s(np.isfinite(shortest_s))
        # A choice costs at least the shortest way through each of its stages, and what that makes of U and of W.
        tails = np.maximum(self._tails(np.isfinite(shortest_s)), 0.0)
        at_least_s = shortest_s + np.maximum(repeats, least_u_s) + tails
        if not self.pool:
            self._first_choices(at_least_s)
        root = Node(float(np.min(at_least_s)), 0, (0.0, np.inf), (0.0, np.inf), at_least_s < self.to_beat_s)
        try:
            bound_s = self._narrowed(root) if self.pool else self.explore(root)
        except (ImportError, SolverError) as error:
            warnings.warn(
                f"HiGHS is left out: {error}; CBC goes on alone, which takes longer", RuntimeWarning, stacklevel=2
            )
            self.decides = ("CBC",)
            bound_s = max(root.bound_s, self._decide(root)[0])
        pool = sorted((seconds, choice) for choice, seconds in self.pool.items() if np.isfinite(seconds))
        value_s, choice = pool[0] if pool else (np.inf, ())
        return Found(
            choice=choice, value_s=value_s, bound_s=min(bound_s, value_s), proven=not self.late(),
            solver=" and ".join(self.solvers), pool=tuple(pool),
        )  # fmt: skip

    def _first_choices(self, at_least_s: Floats) -> None:
        """The shortest choices along some orders of devices, under some limits of U and of W."""
        columns, repeats, shape = self.programme.columns, self.programme.repeats, self.programme.shape
        possible = np.isfinite(at_least_s)
        tails, scale_s, ordered = self._tails(possible), float(np.min(at_least_s)), OrderedChoices(columns, shape)
        per_layer = columns.both_s / (columns.stop - columns.start)
        speeds = [
            _median(per_layer[(columns.replicas[:, k] > 0) & (columns.replicas.sum(axis=1) == 1)])
            for k in range(len(shape.devices))
        ]
        kinds = orders(shape.devices, speeds)

        def tried(limit_s: float, tail_s: float) -> None:
            fits = (repeats <= limit_s) & (tails <= tail_s) & (at_least_s < self.to_beat_s)
            table = ordered.table(np.flatnonzero(fits))
            for choice in (ordered.along(order, *table) for order in kinds):
                if choice:
                    self.meet(choice)

        for limit_s in self._least_u_s(possible) * np.geomspace(1.0, 16.0, LIMITS):
            for tail_s in (scale_s / 32, scale_s / 8, np.inf):
                tried(limit_s, tail_s)
                if self.late() and self.pool:
                    return
        for _ in range(LIMITS if self.pool else 0):  # and just below the best
            best = list(min(self.pool.items(), key=lambda met: met[1])[0])
            limit_s, tail_s, before_s = np.max(repeats[best]), np.max(tails[best]), min(self.pool.values())
            tried(0.97 * limit_s, np.inf)
            tried(0.9 * limit_s, np.inf)
            tried(1.05 * limit_s, 0.7 * tail_s if tail_s > 0 else 0.0)
            if self.late() or min(self.pool.values()) >= before_s:
                return

    def explore(self, root: Node) -> float:
        """The bound of what is left open in a node when nothing can win any more, or time is over."""
        relaxation = Relaxation(self.programme, self.paths, late=self.late)
        self.solvers[relaxation.name] = None
        clock = Relaxation(self.programme.of_time, self.paths, late=self.late) if self.programme.latest else None
        closed_s = np.inf  # the least bound of nodes that are done with
        at_least_s = np.full(len(self.programme.columns), -np.inf)  # of every choice that has the candidate
        heap, leaf = [root], LEAF if clock is None else LIMITED_LEAF
        while heap and heap[0].bound_s < self.to_beat_s and not self.late():
            node = heapq.heappop(heap)
            node = replace(node, allowed=node.allowed & (at_least_s < self.to_beat_s))
            if node is not root and int(node.allowed.sum()) * FEWER < len(node.allowed):
                closed_s = min(closed_s, self._narrowed(node))
                continue
            if clock is not None:  # time alone says more of a limit than a row of it does
                timed = clock.solve(
                    node.allowed, repeats_s=node.repeats_s, tail_s=node.tail_s, beat_s=self.programme.shape.limit_s
                )
                if timed is None:
                    continue
                if timed.whole:
                    self.meet(self._in_order(timed.chosen))
                node = replace(node, allowed=node.allowed & (timed.through <= self.programme.shape.limit_s))
            relaxed = relaxation.solve(
                node.allowed, repeats_s=node.repeats_s, tail_s=node.tail_s, beat_s=self.to_beat_s
            )
            if relaxed is None:
                continue
            if node.number == 0:
                at_least_s = relaxed.through
            bound_s = max(relaxed.bound, node.bound_s)
            if self.late():
                closed_s = min(closed_s, bound_s)
                break
            if relaxed.whole:
                for child in self._others(replace(node, bound_s=bound_s), self._in_order(relaxed.chosen)):
                    heapq.heappush(heap, child)
                continue
            narrow = clock is not None and node.number < 2 and len(node.allowed) < NARROW  # tried before
            if node.capped and not narrow and (not self.pool or node.number % EVERY < 2):
                self._try(relaxed, node)
            node = replace(node, bound_s=bound_s, allowed=node.allowed & (relaxed.through < self.to_beat_s))
            children = list(self._children(node, relaxed)) if int(node.allowed.sum()) > leaf else []
            if not children:
                decided_s, choice = self._decide(node)
                node = replace(node, bound_s=max(bound_s, decided_s))
                children = list(self._others(node, choice)) if choice and not self.late() else []
                closed_s = closed_s if children else min(closed_s, node.bound_s)
            for child in children:
                heapq.heappush(heap, child)
        return min([closed_s, *(node.bound_s for node in heap)])

    def _tails(self, allowed: Bools) -> Floats:
        """[candidate] the least that W is if a choice has it: what the longest way before it leaves of its ending."""
        c = self.programme.columns
        back_s = c.backward_s + c.returned_s + c.taken_back_s  # a message is at most both its ends'
        before_s = self.paths.longest_until(np.where(allowed, back_s, -np.inf))
        return c.ending_s - before_s[c.start]

    def _least_u_s(self, everyone: Bools) -> float:
        """The least U with which there is a path at all."""
        c, repeats = self.programme.columns, self.programme.repeats
        values = np.unique(repeats[everyone])
        low, high = 0, len(values) - 1
        while low < high:
            middle = (low + high) // 2
            open_ = np.isfinite(self.paths.through(np.where(repeats <= values[middle], c.cost_s, np.inf))).any()
            low, high = (low, middle) if open_ else (middle + 1, high)
        return float(values[low])

    def _narrowed(self, node: Node) -> float:
        """The bound of a node by a search among its candidates alone, whose programmes are that much smaller."""
        which = np.flatnonzero(node.allowed)
        if not len(which):
            return np.inf
        inner = Search(
            Programme(self.programme.columns.take(which), self.programme.shape), gap=self.gap,
            seconds=lambda choice: self.meet(tuple(which[list(choice)].tolist())),
            time_limit_s=self.deadline_s - perf_counter(), keep=self.keep, to_beat_s=self.last_s,
            decides=self.decides,
        )  # fmt: skip
        place = {c: i for i, c in enumerate(which.tolist())}
        for choice in [choice for choice in self.pool if place.keys() >= set(choice)]:
            inner.meet(tuple(place[c] for c in choice))
        bound_s = inner.explore(replace(node, number=0, allowed=np.ones(len(which), dtype=bool)))
        self.solvers |= inner.solvers
        return max(node.bound_s, bound_s)

    @property
    def to_beat_s(self) -> float:
        """What a choice must cost less than to be among those kept."""
        return self.last_s * (1 - self.gap)

    def _others(self, node: Node, choice: Choice) -> Iterable[Node]:
        """All choices of the node but this one, which is judged: the programme may take it for cheaper than it is.

        They differ from it in their first stage, or in their second behind the same first, and so on.
        """
        c = self.programme.columns
        if self.meet(choice) <= node.bound_s * (1 + self.gap) and self.keep == 1:
            return
        same = node.allowed
        for chosen in choice:
            self.numbers += 1
            without = same.copy()
            without[chosen] = False
            yield replace(node, number=self.numbers, allowed=without)
            same = same & ((c.stop <= c.start[chosen]) | (c.start >= c.stop[chosen]))
            same[chosen] = True

    def _children(self, node: Node, relaxed: Relaxed) -> Iterable[Node]:
        """The node in two: by the interval that stages in parts would exceed by most, else by a boundary in parts."""
        p, chosen = self.programme, relaxed.chosen
        tails = self._tails(node.allowed)
        over_u = float(np.max(p.repeats[chosen])) - relaxed.repeats_s
        over_w = float(np.max(tails[chosen])) - relaxed.tail_s
        self.numbers += 2
        node = replace(node, allowed=node.allowed & (tails <= node.tail_s[1]))
        if not node.allowed[chosen].all():  # fewer stages before them are left than when they were let in
            yield replace(node, number=self.numbers)
            return
        low, high = replace(node, number=self.numbers), replace(node, number=self.numbers + 1)
        if max(over_u, over_w) > WIDE * min(relaxed.bound, p.shape.limit_s):
            if over_u >= over_w:
                cut_s = relaxed.repeats_s + over_u / 2
                yield replace(low, repeats_s=(node.repeats_s[0], cut_s), allowed=node.allowed & (p.repeats <= cut_s))
                yield replace(high, repeats_s=(cut_s, node.repeats_s[1]))
            else:
                cut_s = relaxed.tail_s + over_w / 2
                yield replace(low, tail_s=(node.tail_s[0], cut_s), allowed=node.allowed & (tails <= cut_s))
                yield replace(high, tail_s=(cut_s, node.tail_s[1]))
            return
        up_to = np.cumsum(np.bincount(p.columns.position[chosen], relaxed.parts * (p.columns.start[chosen] == 0)))
        most = int(np.argmax(_in_parts(up_to)))
        if _in_parts(up_to)[most] > 0.01:  # more stages than that, or not?
            starts = p.columns.start == 0
            yield replace(low, allowed=node.allowed & ~(starts & (p.columns.position > most)))
            yield replace(high, allowed=node.allowed & ~(starts & (p.columns.position <= most)))
            return
        yield from self._cut_where(node, relaxed, low, high)

    def _cut_where(self, node: Node, relaxed: Relaxed, low: Node, high: Node) -> Iterable[Node]:
        """By how many devices of a kind hold a layer, or by a boundary: whichever is most in parts."""
        c, chosen, parts, layers = self.programme.columns, relaxed.chosen, relaxed.parts, self.programme.shape.layers
        meets = np.bincount(c.start[chosen], weights=parts, minlength=layers)
        covers = (c.start[chosen] <= np.arange(layers)[:, None]) & (np.arange(layers)[:, None] < c.stop[chosen])
        holds = covers @ (parts[:, None] * c.replicas[chosen])  # [layer, kind]
        layer, kind = np.unravel_index(np.argmax(_in_parts(holds)), holds.shape)
        b = int(np.argmax(_in_parts(meets)))
        if max(_in_parts(holds)[layer, kind], _in_parts(meets)[b]) < 0.01:
            if self.programme.latest or c.beside_s.any():
                yield from self._by_devices(low, high, relaxed)
            return
        if _in_parts(holds)[layer, kind] >= _in_parts(meets)[b]:
            covering = (c.start <= layer) & (layer < c.stop)
            few = c.replicas[:, kind] <= np.floor(holds[layer, kind])
            yield replace(low, allowed=node.allowed & (~covering | few))
            yield replace(high, allowed=node.allowed & (~covering | ~few))
        else:
            yield replace(low, allowed=node.allowed & ~((c.start < b) & (b < c.stop)))
            yield replace(high, allowed=node.allowed & (c.start != b) & (c.stop != b))

    def _by_devices(self, low: Node, high: Node, relaxed: Relaxed) -> Iterable[Node]:
        """With and without some of the candidates for one range of layers: those of the same devices, or the faster."""
        c, chosen = self.programme.columns, relaxed.chosen
        parted = np.abs(relaxed.parts - 0.5)
        first = int(chosen[np.argmin(parted)])
        if parted.min() > 0.5 - 1e-7:
            return
        there = (c.start == c.start[first]) & (c.stop == c.stop[first]) & low.allowed
        some = there & (c.replicas == c.replicas[first]).all(axis=1)
        mine = chosen[some[chosen]]
        if there[chosen].sum() == len(mine):  # they differ in shares or modes
            some &= c.both_s <= (c.both_s[mine].min() + c.both_s[mine].max()) / 2
            if some[mine].all():
                some = np.zeros_like(there)
                some[first] = True
        apart = (c.stop <= c.start[first]) | (c.start >= c.stop[first])
        yield replace(low, allowed=low.allowed & (some | apart))
        yield replace(high, allowed=high.allowed & ~some)

    def _try(self, relaxed: Relaxed, node: Node) -> None:
        """Look for a choice among the candidates that the relaxation likes most."""
        liked = np.argsort(np.where(node.allowed, relaxed.through, np.inf), kind="stable")[:TRIAL]
        among = np.zeros_like(node.allowed)
        among[liked] = node.allowed[liked]
        among[relaxed.chosen] = True
        self._decide(replace(node, allowed=among), time_limit_s=0.5)

    def _decide(self, node: Node, *, time_limit_s: float = np.inf) -> tuple[float, Choice]:
        """The bound of a node's integer programme and its choice; infinite, and none, if none can be below the best."""
        which = np.flatnonzero(node.allowed)
        if not len(which):
            return np.inf, ()
        most_u_s = min(node.repeats_s[1], self.last_s)
        problem, x = integer_programme(self.programme, which, (node.repeats_s[0], most_u_s), node.tail_s)
        limit_s = max(0.05, min(time_limit_s, self.deadline_s - perf_counter()))
        answer = solve(problem, time_limit_s=limit_s, gap=self.gap / 10, solvers=self.decides)
        self.solvers[answer.solver] = None
        if answer.status is SolveStatus.INFEASIBLE:
            return np.inf, ()
        bound_s = -np.inf if answer.bound is None else answer.bound * self.unit_s
        if not answer.values:
            return bound_s, ()
        choice = self._in_order(np.array([c for c in which.tolist() if answer.values[x[c]] > 0.5]))
        self.meet(choice)
        return bound_s, choice

    def meet(self, choice: Choice) -> float:
        """Judge a choice and remember it."""
        if choice not in self.pool:
            self.pool[choice] = self.seconds(choice)
            if len(self.pool) >= self.keep:
                self.last_s = min(self.last_s, sorted(self.pool.values())[self.keep - 1])
        return self.pool[choice]

    def _in_order(self, chosen: Ints) -> Choice:
        return tuple(int(c) for c in sorted(chosen, key=lambda c: self.programme.columns.start[c]))

    @property
    def unit_s(self) -> float:
        return self.programme.unit_s


def _median(values: Floats) -> float:
    return float(np.median(values)) if len(values) else np.inf


def _in_parts(amounts: NDArray[Any]) -> Floats:
    """How far from whole; 1/2 at most."""
    distance: Floats = np.abs(amounts - np.round(amounts))
    return distance


def integer_programme(
    programme: Programme, which: Ints, repeats_s: Interval, tail_s: Interval
) -> tuple[pulp.LpProblem, dict[int, str]]:
    """The programme over these candidates, in its unit, and their variables' names."""
    problem, unit_s = pulp.LpProblem("stages", pulp.LpMinimize), programme.unit_s
    others = [problem.add_variable(name, lowBound=0) for name in programme.variables]
    chosen = [problem.add_variable(f"x{c}", cat=pulp.LpBinary) for c in which]
    costs = dict(zip(chosen, (programme.columns.cost_s[which] / unit_s).tolist(), strict=True))
    problem.setObjective(pulp.LpAffineExpression(costs | {others[i]: 1.0 for i in programme.priced}))
    rows: list[dict[pulp.LpVariable, float]] = [{} for _ in programme.lower]
    for row, variable, value in programme.base:
        rows[row][others[variable]] = value
    for row, of, value in zip(*(part.tolist() for part in programme.entries(which)), strict=True):
        rows[row][chosen[of]] = value / unit_s if programme.in_seconds[row] else value
    for terms, lower, upper in zip(rows, programme.lower, programme.upper, strict=True):
        if not terms:
            continue
        expression = pulp.LpAffineExpression(terms)
        if lower == upper:
            problem += expression == lower
        elif np.isfinite(lower):
            problem += expression >= lower
        elif np.isfinite(upper):
            problem += expression <= upper
    for variable, (least_s, most_s) in ((others[programme.U], repeats_s), (others[programme.W], tail_s)):
        variable.lowBound = least_s / unit_s
        variable.upBound = most_s / unit_s if np.isfinite(most_s) else None
    return problem, {int(c): f"x{c}" for c in which}
