"""What do stages cost at least if devices are for rent? A bound of a pipeline's cost from each of its boundaries on.

Devices are not counted but paid for, by kind: a Lagrangian of the rows that count them. What is left is a shortest path
from the first layer to a boundary, which knows the tail exactly. Behind the boundary the ending of a stage lasts V
beyond the last backward pass there; a stage before hides its own backward pass of it and may last longer itself:

    least[0, V] = V        least[b, V] = min over stages (i, b) of  cost + rent + least[i, max(ending, V - backward)]

V is taken from a grid; between two of its points the higher one's cost, less the difference, is a bound as well as the
lower one's. A limit of the iteration has a price too, by which time costs more. Rents rise where a path takes too many
devices, by steps of Polyak (USSR Comp. Math. 9, 1969), until the bound is high enough or does not rise any more.
"""

from copy import copy
from dataclasses import dataclass

import numpy as np

from edgesim.planners.exact.pipelines.candidates import Floats, Ints
from edgesim.planners.exact.pipelines.stage_table import Stages, grouped

STEPS = 7  # at a time: fewer stages may be left behind them
STALLED = 3  # steps without a better bound from which on they are shorter
SHORTER = 0.4
RISE = 1e-4  # relative: less is none
LEAST_SIZE = 1e-4  # of a slope: a path that is hardly late would ask for a step without end
REACH = 1.05  # how far above the best bound a step aims
GRID = 32  # values of V


@dataclass(frozen=True, slots=True, kw_only=True)
class Rents:
    """[kind] rents, the price of time beyond its own, the bound of all paths, and ``least`` as above."""

    rent_s: Floats
    hurry: float
    bound_s: float
    least_s: Floats


@dataclass(frozen=True, slots=True)
class Reach:
    """[stage, grid] where in ``least`` a stage leads to, ``low`` and ``high``, and by how much V is below the latter.

    Behind the last place of ``least`` there is one that nothing reaches: a V that is too long leads there.
    """

    low: Ints
    high: Ints
    short_s: Floats

    def take(self, rows: Ints) -> "Reach":
        """Of some stages."""
        return Reach(self.low[rows], self.high[rows], self.short_s[rows])


class Market:
    """Stages on offer in a window: U is at least ``least_u_s``, and an iteration takes less than ``below_s``."""

    def __init__(
        self, stages: Stages, which: Ints, *, least_u_s: float, below_s: float, counts_beside: bool, grid: int = GRID
    ) -> None:
        """On a grid of one point tails are as if they were 0."""
        self.stages, self.which, self.least_u_s, self.below_s = stages, which, least_u_s, below_s
        self.limit_s = stages.shape.limit_s
        self.counts_beside = counts_beside and stages.beside.place is not None
        # Time behind a boundary covers the backward passes that V is hidden by: a longer V is too late.
        self.top_s = max(min(below_s, self.limit_s) - least_u_s, 0.0)
        points = grid if stages.columns.ending_s[which].any() and self.top_s > 0 else 1
        self.step_s = self.top_s / (points - 1) if points > 1 else 1.0
        self.grid_s = np.arange(points) * self.step_s
        self.nowhere = (stages.layers + 1) * points
        self.own_s, self.takes = stages.own_s[which], stages.replicas[which].astype(float)
        if self.counts_beside:
            self.beside_s = stages.sums[which, stages.beside.place]
        self.reach = self._reach(which)
        devices = np.array(stages.shape.devices, dtype=float)
        once = stages.shape.once
        self.devices, self.free = devices, np.array((once.all_work if once else ()) or (False,) * len(devices))
        self.always_s = stages.least_once_s

    def only(self, rows: Ints) -> "Market":
        """With some of the stages on offer."""
        fewer = copy(self)
        fewer.which, fewer.reach = self.which[rows], self.reach.take(rows)
        fewer.own_s, fewer.takes = self.own_s[rows], self.takes[rows]
        if self.counts_beside:
            fewer.beside_s = self.beside_s[rows]
        return fewer

    def _reach(self, which: Ints) -> Reach:
        s = self.stages
        tail_s = np.maximum(s.columns.ending_s[which][:, None], self.grid_s - s.back_s[which][:, None])
        low, high, short_s = self._places(tail_s)
        start = s.start[which][:, None] * len(self.grid_s)
        return Reach(start + low, np.where(high < 0, self.nowhere, start + high), short_s)

    def _places(self, tail_s: Floats) -> tuple[Ints, Ints, Floats]:
        """The grid's points around V, and how far it is below the higher one; -1 for a V that is too long."""
        last = len(self.grid_s) - 1
        low = np.floor(tail_s / self.step_s).astype(np.int64) if last else np.zeros(tail_s.shape, dtype=np.int64)
        high = np.where(low > last, -1, np.minimum(low + 1, last))
        low = np.minimum(low, last)
        return low, high, np.where(high > low, (low + 1) * self.step_s - tail_s, 0.0)

    # --- bounds ---

    def prices(self, rent_s: Floats, hurry: float) -> Floats:
        """[stage on offer] what each costs with its devices."""
        price: Floats = self.takes @ rent_s
        price += (1 + hurry) * self.own_s if hurry else self.own_s
        if self.counts_beside:
            price += self.beside_s
        return price

    def least(self, rent_s: Floats, hurry: float, *, behind: int = 0) -> Floats:
        """[boundary, V] the least cost up to a boundary that has so many stages behind it, or more."""
        s, reach, price, which = self.stages, self.reach, self.prices(rent_s, hurry), self.which
        if behind:
            kept = np.flatnonzero(s.furthest[which] > behind)
            which, price, reach = which[kept], price[kept], reach.take(kept)
        short_s = reach.short_s * (1 + hurry) if hurry else reach.short_s
        places = np.full(self.nowhere + 1, np.inf)
        least = places[:-1].reshape(s.layers + 1, len(self.grid_s))
        least[0] = (1 + hurry) * self.grid_s
        edges = np.searchsorted(s.stop[which], np.arange(s.layers + 2)).tolist()
        for stop in range(1, s.layers + 1):
            rows = slice(edges[stop], edges[stop + 1])
            if edges[stop] == edges[stop + 1]:
                continue
            reached = places.take(reach.high[rows])
            reached -= short_s[rows]
            np.maximum(reached, places.take(reach.low[rows]), out=reached)
            reached += price[rows, None]
            reached.min(axis=0, out=least[stop])
        return least

    def at(self, least: Floats, table: Ints, boundary: Ints, tail_s: Floats, hurry: float) -> Floats:
        """[row] the least cost up to each boundary behind which the tail is V; ``least`` is [table, boundary, V]."""
        low, high, short_s = self._places(tail_s)
        higher = least[table, boundary, high] - (1 + hurry) * short_s
        found: Floats = np.where(high < 0, np.inf, np.maximum(least[table, boundary, low], higher))
        return found

    def constant_s(self, rent_s: Floats, hurry: float) -> float:
        """What belongs to every path: least of U and H, less the rents of all devices, less the limit's price."""
        limit_s = hurry * self.limit_s if hurry else 0.0
        return (1 + hurry) * self.least_u_s + self.always_s - float(rent_s @ self.devices) - limit_s

    def best(self, rent_s: Floats, hurry: float) -> Rents:
        """The highest bound of all paths that a few steps find from these rents on, or one of at least ``below_s``."""
        best = offer = self.offer(rent_s, hurry)
        stalled = 0
        for _ in range(STEPS):
            if best.bound_s >= self.below_s or (ascent := self._ascent(offer)) is None:
                break
            excess, late_s = ascent
            unit_s = self.limit_s if late_s else 1.0  # a limit counts like a device
            size = max(float(excess @ excess) + (late_s / unit_s) ** 2, LEAST_SIZE)
            aim_s = min(self.below_s, best.bound_s + abs(best.bound_s) * (REACH - 1))
            step_s = (aim_s - offer.bound_s) / size * (1.0 if stalled < STALLED else SHORTER)
            rent_s = offer.rent_s + step_s * excess
            rent_s = np.where(self.free, rent_s, np.maximum(rent_s, 0.0))
            offer = self.offer(rent_s, max(0.0, offer.hurry + step_s * late_s / unit_s**2))
            stalled = 0 if offer.bound_s > best.bound_s + RISE * abs(best.bound_s) else stalled + 1
            best = offer if offer.bound_s > best.bound_s else best
        return best

    def _ascent(self, offer: Rents) -> tuple[Floats, float] | None:
        """How many devices of each kind a cheapest path takes too many, and by how much it is late; None if neither."""
        taken = self.path(offer)
        if taken is None:
            return None
        path, time_s = taken
        excess: Floats = self.stages.replicas[path].sum(axis=0) - self.devices
        excess = np.where((offer.rent_s <= 0) & (excess < 0) & ~self.free, 0.0, excess)
        limited = np.isfinite(self.limit_s) and self.counts_beside
        late_s = time_s - self.limit_s if limited else 0.0
        late_s = 0.0 if offer.hurry <= 0 and late_s < 0 else late_s
        return (excess, late_s) if excess.any() or late_s else None

    def offer(self, rent_s: Floats, hurry: float) -> Rents:
        """The bound at these rents; what a search before paid for its limit is nothing where there is none."""
        hurry = hurry if np.isfinite(self.limit_s) else 0.0
        least_s = self.least(rent_s, hurry)
        bound_s = float(least_s[-1, 0]) + self.constant_s(rent_s, hurry)
        return Rents(rent_s=rent_s, hurry=hurry, bound_s=bound_s, least_s=least_s)

    def path(self, offer: Rents) -> tuple[Ints, float] | None:
        """A cheapest path's stages, and its seconds; None where there is none."""
        s, price = self.stages, self.prices(offer.rent_s, offer.hurry)
        edges = np.searchsorted(s.stop[self.which], np.arange(s.layers + 2))
        boundary, tail_s, path = s.layers, 0.0, list[int]()
        while boundary:
            rows = np.arange(edges[boundary], edges[boundary + 1])
            own = self.which[rows]
            tails = np.maximum(s.columns.ending_s[own], tail_s - s.back_s[own])
            low, high, _ = self._places(tails)
            reached = np.where(high < 0, np.inf, price[rows] + offer.least_s[s.start[own], low])
            if not len(rows) or not np.isfinite(np.min(reached)):
                return None
            chosen = int(np.argmin(reached))
            path.append(int(own[chosen]))
            tail_s, boundary = float(tails[chosen]), int(s.start[own[chosen]])
        stages = np.array(path, dtype=np.int64)
        return stages, float(s.own_s[stages].sum()) + self.least_u_s + tail_s

    def through(self, offer: Rents) -> Floats:
        """[stage on offer] a bound of every pipeline that has it."""
        s, which, price = self.stages, self.which, self.prices(offer.rent_s, offer.hurry)
        behind = np.full(s.layers + 1, np.inf)  # of the stages from a boundary on, whatever their tail
        behind[s.layers] = 0.0
        for start, rows in reversed(list(grouped(s.start[which]))):
            behind[start] = np.min(price[rows] + behind[s.stop[which[rows]]])
        tables = np.zeros(len(which), dtype=np.int64)
        before = self.at(offer.least_s[None], tables, s.start[which], s.columns.ending_s[which], offer.hurry)
        more_u_s = (1 + offer.hurry) * np.maximum(s.repeats[which] - self.least_u_s, 0.0)
        found: Floats = price + before + behind[s.stop[which]] + more_u_s + self.constant_s(offer.rent_s, offer.hurry)
        return found
