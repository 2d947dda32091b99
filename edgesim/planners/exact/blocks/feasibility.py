"""Can everything be shared out within limits? Exactly for heads and columns, with the bounds on seconds that follow.

A dynamic programme over the ranks, for limits on what each may take:

    most(k, h) = the most columns that k of the ranks so far can hold together with h heads

With tokens divided as well, the memory of one token each is counted here, and whether tokens suffice is checked
separately: what is refused is impossible, what is allowed may still be. The lowest limit on one phase alone with which
everything can be shared out bounds the phase from below.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from math import inf

import numpy as np

from edgesim.model import SplitBy
from edgesim.planners.exact.blocks.memory_rows import Amounts, held_at, room_bytes, share_of
from edgesim.planners.exact.blocks.tables import Array, Tables
from edgesim.planners.exact.blocks.tile_bounds import TileBounds

_HALVINGS = 20

Windows = Mapping[SplitBy, Mapping[int, Array]]


class Feasibility:
    """Which limits on seconds leave a team enough choices to share everything out."""

    def __init__(self, tables: Tables) -> None:
        self.tables, self.team = tables, tables.team
        self._held: dict[tuple[float, tuple[int, ...]], float] = {}

    def holds(self, rank: int, share: Amounts) -> bool:
        """Return whether the rank can hold the share: to the byte, exactly as Plan.check counts."""
        tables, device = self.tables, self.tables.problem.cluster.devices[rank]
        key = device.context_bytes, tuple(share.values())
        if key not in self._held:
            of = share_of(tables.totals, share)
            held = held_at(tables.problem, of, ranks=self.team.size, context_bytes=device.context_bytes)
            self._held[key] = held.total_bytes
        return self._held[key] <= tables.problem.budget_bytes(rank)

    def possible(self, windows: Windows) -> bool:
        """Return whether everything can be shared out within the windows."""
        if not self._each_enough(windows):
            return False
        return SplitBy.HEADS not in windows or self._most_columns(windows) >= self.tables.totals[SplitBy.COLUMNS]

    def _enough(self, by: SplitBy, windows: Mapping[int, Array]) -> bool:
        """Return whether one kind can be shared out, ignoring the others, by the ranks that can have most."""
        amounts = np.asarray(self.tables.amounts[by])
        most = sorted(int(np.max(amounts, where=window, initial=0)) for window in windows.values())
        return most[-self.team.size] > 0 and sum(most[-self.team.size :]) >= self.tables.totals[by]

    def _most_columns(self, windows: Windows) -> float:
        heads, size = self.tables.totals[SplitBy.HEADS], self.team.size
        most = np.full((size + 1, heads + 1), -inf)
        most[0, 0] = 0
        for rank in self.team.members:
            columns = self._columns_beside(rank, windows[SplitBy.COLUMNS][rank])
            after = most.copy() if size < len(self.team.members) else np.full_like(most, -inf)
            for i, amount in enumerate(self.tables.amounts[SplitBy.HEADS]):
                if windows[SplitBy.HEADS][rank][i] and columns[i] > 0:
                    reached = most[:-1, : heads + 1 - amount] + columns[i]
                    np.maximum(after[1:, amount:], reached, out=after[1:, amount:])
            most = after
        return float(most[size, heads])

    def _columns_beside(self, rank: int, window: Array) -> Array:
        """Return, [heads choice], the most columns of the window that fit beside these heads; 0 where none do."""
        amounts = np.asarray(self.tables.amounts[SplitBy.COLUMNS])
        allowed = np.where(window[None, :], amounts[None, :], 0)
        most: Array = np.max(np.where(self._together[rank], allowed, 0), axis=1)
        return most

    @cached_property
    def _together(self) -> Mapping[int, Array]:
        """[rank][heads choice, columns choice] whether memory allows both, and one token."""
        amounts = {by: np.asarray(of) for by, of in self.tables.amounts.items()}
        needs = []
        for row in self.tables.memory:
            each = dict(row.each_bytes)
            tokens = each.get(SplitBy.TOKENS, 0.0) * self.tables.amounts.get(SplitBy.TOKENS, [0])[0]
            heads, columns = (each.get(by, 0.0) * amounts[by] for by in (SplitBy.HEADS, SplitBy.COLUMNS))
            needs.append(row.base_bytes + tokens + heads[:, None] + columns[None, :])
        need = np.max(needs, axis=0)
        return {rank: need <= room_bytes(self.tables.problem, rank) for rank in self.team.members}

    # --- bounds ---

    @cached_property
    def unlimited(self) -> bool:
        """Whether any division fits, however long it takes."""
        return self.possible(self._windows({}))

    @cached_property
    def least_s(self) -> list[float]:
        """[phase] seconds that every division that fits in memory takes at least."""
        return [self._least_s(p) for p in range(len(self.tables.phases))]

    @cached_property
    def bound_s(self) -> float:
        """Seconds that every plan of the team takes at least, whatever its largest tile; inf if there is no plan."""
        return self.tiles.best[0] if self.unlimited else inf

    @cached_property
    def separate_bound_s(self) -> float:
        """The weaker bound that adds up the bounds of every phase and of all exchanges, each on its own."""
        phases = sum(count * least for least, (_, count) in zip(self.least_s, self.tables.phases, strict=True))
        return phases + self.tables.exchanges_s(self.tables.fewest)

    @cached_property
    def tiles(self) -> TileBounds:
        """Bounds for every size of the largest tile."""
        return TileBounds(self.tables, self.least_s)

    def _least_s(self, p: int) -> float:
        """Return the least limit of the phase, among its choices' seconds, with which everything can be shared out."""
        taken = [of[rank][p] for of in self.tables.taken_s.values() for rank in self.team.members]
        times = np.unique(np.concatenate(taken))

        def first(low: int, enough: Callable[[Windows], bool]) -> int:
            high = len(times) - 1
            step = 1  # from the last place, doubling: it is often the first that is tried
            while low < high:
                middle = min(low + step - 1, (low + high) // 2)
                if enough(self._windows({p: float(times[middle])})):
                    high = middle
                else:
                    low, step = middle + 1, 2 * step
            return low

        return float(times[first(first(0, self._each_enough), self.possible)])

    def _each_enough(self, windows: Windows) -> bool:
        """Return whether every kind can be shared out, ignoring the others: quick, and necessary."""
        return all(self._enough(by, of) for by, of in windows.items())

    def stretch(self) -> float:
        """Return by what part all phases must exceed their least seconds, so that everything can be shared out."""
        low, high = 0.0, 0.01
        while not self.possible(self.stretched(high)):
            low, high = high, 2 * high
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (low, middle) if self.possible(self.stretched(middle)) else (middle, high)
            if high - low < 1e-3:
                break
        return high

    def stretched(self, more: float) -> Windows:
        """Return the windows in which all phases, and exchanges, take up to so much more than with the best tile."""
        _, size = self.tiles.best
        return self.tables.windows([least * (1 + more) for least in self.tiles.phases_s(size, size)], size * (1 + more))

    def within(self, value_s: float) -> Windows:
        """Return the windows that hold every plan of at most so many seconds, which are at least the bound."""
        first, last = self.tiles.within(value_s)
        # Whatever the tile in this range: all else than the phase takes at least the bound less the phase's part of it.
        most_s = self.tiles.phases_s(last, first)
        limits_s = [
            min(least + (value_s - self.separate_bound_s) / count, most + (value_s - self.bound_s) / count)
            for least, most, (_, count) in zip(self.least_s, most_s, self.tables.phases, strict=True)
        ]
        return self.tables.windows(limits_s, last)

    def _windows(self, limits_s: Mapping[int, float]) -> Windows:
        """Return the windows with limits on some phases only."""
        limits = [limits_s.get(p, inf) for p in range(len(self.tables.phases))]
        return self.tables.windows(limits, self.tables.tokens)
