"""What does a pipeline cost at least, if devices have prices instead of being counted? A Lagrangian bound of it.

The rows that count devices of a kind are relaxed: each device has a dual price. What is left is a shortest path from
the first layer to a boundary, which knows the tail exactly. Behind the boundary the ending of a stage lasts V beyond
the last backward pass there; a stage before hides its own backward pass of it and may last longer itself:

    least[0, V] = V        least[b, V] = min over stages (i, b) of  cost + prices + least[i, max(ending, V - backward)]

V is taken from a grid; between two of its points the higher one's cost, less the difference, is a bound as well as the
lower one's. A limit of the iteration is relaxed too: its dual is the time multiplier. Prices rise where a path takes
too many devices, by subgradient steps of Polyak (USSR Comp. Math. 9, 1969), until the bound is high enough or stalls.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass

import numpy as np

from edgesim.planners.exact.pipelines.candidate_links import Floats, Ints
from edgesim.planners.exact.pipelines.stage_table import Stages, grouped

STEPS = 7  # at a time: fewer stages may be left behind them
STALLED = 3  # steps without a better bound from which on they are shorter
SHORTER = 0.4
RISE = 1e-4  # relative: less is none
LEAST_SIZE = 1e-4  # of a slope: a path that is hardly late would ask for a step without end
REACH = 1.05  # how far above the best bound a step aims
GRID = 32  # values of V


@dataclass(frozen=True, slots=True, kw_only=True)
class DualPrices:
    """What devices of each kind cost [kind], and the multiplier of a limited iteration: time costs so much more."""

    devices_s: Floats
    time: float = 0.0

    @classmethod
    def zero(cls, kinds: int) -> "DualPrices":
        """Devices for nothing, and time at its own cost."""
        return cls(devices_s=np.zeros(kinds))


@dataclass(frozen=True, slots=True)
class GridArcs:
    """[stage, grid] where in ``least`` a stage leads to, ``low`` and ``high``, and by how much V is below the latter.

    Behind the last place of ``least`` there is one that nothing reaches: a V that is too long leads there.
    """

    low: Ints
    high: Ints
    short_s: Floats

    def take(self, rows: Ints) -> "GridArcs":
        """The arcs of some stages."""
        return GridArcs(self.low[rows], self.high[rows], self.short_s[rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowCosts:
    """What counts in a window: U is at least ``least_u_s``, and choices that cost ``below_s`` or more do not matter.

    Costs beside the iteration count only with ``counts_beside``, else the iteration's time alone.
    """

    least_u_s: float
    below_s: float
    counts_beside: bool = True


class Relaxation:
    """The relaxed problem over some of the stages in a window."""

    def __init__(self, stages: Stages, which: Ints, costs: WindowCosts, *, grid: int = GRID) -> None:
        """On a grid of one point tails are as if they were 0."""
        self.stages, self.which = stages, which
        self.least_u_s, self.below_s = costs.least_u_s, costs.below_s
        self.limit_s = stages.shape.limit_s
        self.counts_beside = costs.counts_beside and stages.beside.place is not None
        # Time behind a boundary covers the backward passes that V is hidden by: a longer V is too late.
        self.top_s = max(min(self.below_s, self.limit_s) - self.least_u_s, 0.0)
        points = grid if stages.columns.ending_s[which].any() and self.top_s > 0 else 1
        self.step_s = self.top_s / (points - 1) if points > 1 else 1.0
        self.grid_s = np.arange(points) * self.step_s
        self.nowhere = (stages.layers + 1) * points
        self.own_s, self.taken = stages.own_s[which], stages.replicas[which].astype(float)
        if self.counts_beside:
            self.beside_s = stages.sums[which, stages.beside.place]
        self.arcs = self._arcs(which)
        devices = np.array(stages.shape.devices, dtype=float)
        one_time = stages.shape.one_time
        # Kinds whose devices must all work: their prices may be negative.
        self.devices, self.free = devices, np.array((one_time.all_work if one_time else ()) or (False,) * len(devices))
        self.always_s = stages.least_one_time_s

    def only(self, rows: Ints) -> "Relaxation":
        """The relaxation over some of its stages."""
        fewer = copy(self)
        fewer.which, fewer.arcs = self.which[rows], self.arcs.take(rows)
        fewer.own_s, fewer.taken = self.own_s[rows], self.taken[rows]
        if self.counts_beside:
            fewer.beside_s = self.beside_s[rows]
        return fewer

    def _arcs(self, which: Ints) -> GridArcs:
        s = self.stages
        tail_s = np.maximum(s.columns.ending_s[which][:, None], self.grid_s - s.back_s[which][:, None])
        low, high, short_s = self.places(tail_s)
        start = s.start[which][:, None] * len(self.grid_s)
        return GridArcs(start + low, np.where(high < 0, self.nowhere, start + high), short_s)

    def places(self, tail_s: Floats) -> tuple[Ints, Ints, Floats]:
        """The grid's points around V, and how far it is below the higher one; -1 for a V that is too long."""
        last = len(self.grid_s) - 1
        low = np.floor(tail_s / self.step_s).astype(np.int64) if last else np.zeros(tail_s.shape, dtype=np.int64)
        high = np.where(low > last, -1, np.minimum(low + 1, last))
        low = np.minimum(low, last)
        return low, high, np.where(high > low, (low + 1) * self.step_s - tail_s, 0.0)

    # --- costs at prices ---

    def priced_s(self, prices: DualPrices) -> Floats:
        """[stage] what each costs with the dual prices of its devices."""
        priced_s: Floats = self.taken @ prices.devices_s
        priced_s += (1 + prices.time) * self.own_s if prices.time else self.own_s
        if self.counts_beside:
            priced_s += self.beside_s
        return priced_s

    def constant_s(self, prices: DualPrices) -> float:
        """What belongs to every path: least of U and H, less the prices of all devices and of the limit."""
        limit_s = prices.time * self.limit_s if prices.time else 0.0
        return (1 + prices.time) * self.least_u_s + self.always_s - float(prices.devices_s @ self.devices) - limit_s

    def least(self, prices: DualPrices, *, behind: int = 0) -> Floats:
        """[boundary, V] the least cost up to a boundary that has so many stages behind it, or more."""
        s, arcs, priced_s, which = self.stages, self.arcs, self.priced_s(prices), self.which
        if behind:
            kept = np.flatnonzero(s.furthest[which] > behind)
            which, priced_s, arcs = which[kept], priced_s[kept], arcs.take(kept)
        short_s = arcs.short_s * (1 + prices.time) if prices.time else arcs.short_s
        places = np.full(self.nowhere + 1, np.inf)
        least = places[:-1].reshape(s.layers + 1, len(self.grid_s))
        least[0] = (1 + prices.time) * self.grid_s
        edges = np.searchsorted(s.stop[which], np.arange(s.layers + 2)).tolist()
        for stop in range(1, s.layers + 1):
            rows = slice(edges[stop], edges[stop + 1])
            if edges[stop] == edges[stop + 1]:
                continue
            reached = places.take(arcs.high[rows])
            reached -= short_s[rows]
            np.maximum(reached, places.take(arcs.low[rows]), out=reached)
            reached += priced_s[rows, None]
            reached.min(axis=0, out=least[stop])
        return least

    def before_s(self, least: Floats, table: Ints, boundary: Ints, tail_s: Floats, *, time: float) -> Floats:
        """[row] the least cost up to each boundary behind which the tail is V; ``least`` is [table, boundary, V]."""
        low, high, short_s = self.places(tail_s)
        higher = least[table, boundary, high] - (1 + time) * short_s
        before_s: Floats = np.where(high < 0, np.inf, np.maximum(least[table, boundary, low], higher))
        return before_s

    # --- bounds ---

    def bound_at(self, prices: DualPrices) -> "LagrangianBound":
        """The bound at these prices; a time multiplier of a search with a limit is 0 where there is none."""
        if prices.time and not np.isfinite(self.limit_s):
            prices = DualPrices(devices_s=prices.devices_s)
        least_s = self.least(prices)
        bound_s = float(least_s[-1, 0]) + self.constant_s(prices)
        return LagrangianBound(relaxation=self, prices=prices, bound_s=bound_s, least_s=least_s)

    def ascend(self, prices: DualPrices, late: Callable[[], bool]) -> "LagrangianBound":
        """The highest bound that a few subgradient steps reach from these prices on, or one of at least ``below_s``.

        Fewer steps where it is ``late``.
        """
        best = bound = self.bound_at(prices)
        stalled = 0
        for _ in range(STEPS):
            if best.bound_s >= self.below_s or late() or (subgradient := bound.subgradient()) is None:
                break
            excess, late_s = subgradient
            unit_s = self.limit_s if late_s else 1.0  # a limit counts like a device
            size = max(float(excess @ excess) + (late_s / unit_s) ** 2, LEAST_SIZE)
            aim_s = min(self.below_s, best.bound_s + abs(best.bound_s) * (REACH - 1))
            step_s = (aim_s - bound.bound_s) / size * (1.0 if stalled < STALLED else SHORTER)
            devices_s = bound.prices.devices_s + step_s * excess
            devices_s = np.where(self.free, devices_s, np.maximum(devices_s, 0.0))
            time = max(0.0, bound.prices.time + step_s * late_s / unit_s**2)
            bound = self.bound_at(DualPrices(devices_s=devices_s, time=time))
            stalled = 0 if bound.bound_s > best.bound_s + RISE * abs(best.bound_s) else stalled + 1
            best = bound if bound.bound_s > best.bound_s else best
        return best


@dataclass(frozen=True, slots=True, kw_only=True)
class LagrangianBound:
    """The bound of all paths of a relaxation at dual prices; ``least_s`` is ``least`` as above."""

    relaxation: Relaxation
    prices: DualPrices
    bound_s: float
    least_s: Floats

    def subgradient(self) -> tuple[Floats, float] | None:
        """How many devices of each kind a cheapest path takes too many, and by how much it is late; None if neither."""
        relaxation, prices = self.relaxation, self.prices
        cheapest = self.path()
        if cheapest is None:
            return None
        path, time_s = cheapest
        excess: Floats = relaxation.stages.replicas[path].sum(axis=0) - relaxation.devices
        excess = np.where((prices.devices_s <= 0) & (excess < 0) & ~relaxation.free, 0.0, excess)
        limited = np.isfinite(relaxation.limit_s) and relaxation.counts_beside
        late_s = time_s - relaxation.limit_s if limited else 0.0
        late_s = 0.0 if prices.time <= 0 and late_s < 0 else late_s
        return (excess, late_s) if excess.any() or late_s else None

    def path(self) -> tuple[Ints, float] | None:
        """A cheapest path's stages, and its seconds; None where there is none."""
        relaxation, priced_s = self.relaxation, self.relaxation.priced_s(self.prices)
        s, which = relaxation.stages, relaxation.which
        edges = np.searchsorted(s.stop[which], np.arange(s.layers + 2))
        boundary, tail_s, path = s.layers, 0.0, list[int]()
        while boundary:
            rows = np.arange(edges[boundary], edges[boundary + 1])
            own = which[rows]
            tails = np.maximum(s.columns.ending_s[own], tail_s - s.back_s[own])
            low, high, _ = relaxation.places(tails)
            reached = np.where(high < 0, np.inf, priced_s[rows] + self.least_s[s.start[own], low])
            if not len(rows) or not np.isfinite(np.min(reached)):
                return None
            chosen = int(np.argmin(reached))
            path.append(int(own[chosen]))
            tail_s, boundary = float(tails[chosen]), int(s.start[own[chosen]])
        stages = np.array(path, dtype=np.int64)
        return stages, float(s.own_s[stages].sum()) + relaxation.least_u_s + tail_s

    def through_s(self) -> Floats:
        """[stage] a bound of every pipeline that has it: what reduced-cost fixing compares."""
        relaxation, prices = self.relaxation, self.prices
        s, which, priced_s = relaxation.stages, relaxation.which, relaxation.priced_s(prices)
        behind = np.full(s.layers + 1, np.inf)  # of the stages from a boundary on, whatever their tail
        behind[s.layers] = 0.0
        for start, rows in reversed(list(grouped(s.start[which]))):
            behind[start] = np.min(priced_s[rows] + behind[s.stop[which[rows]]])
        tables = np.zeros(len(which), dtype=np.int64)
        ending_s = s.columns.ending_s[which]
        before = relaxation.before_s(self.least_s[None], tables, s.start[which], ending_s, time=prices.time)
        more_u_s = (1 + prices.time) * np.maximum(s.repeats[which] - relaxation.least_u_s, 0.0)
        through_s: Floats = priced_s + before + behind[s.stop[which]] + more_u_s + relaxation.constant_s(prices)
        return through_s
