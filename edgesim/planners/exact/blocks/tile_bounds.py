"""How large is the largest tile of tokens? Bounds on a team's seconds for every size.

The larger it may be, the longer exchanges take, and the sooner the ranks finish their tokens, if the fast ones take
more. Bounds that count both are much tighter than those of each phase on its own:

    bound(m) = exchanges(m) + Σ over phases of count · least(m)

Sizes are searched by ranges, whose bound is the exchanges of the first size and the phases of the last one: only ranges
that may hold what is looked for are halved.
"""

from functools import cached_property
from heapq import heappop, heappush
from math import inf
from typing import Any

import numpy as np

from edgesim.model import SplitBy
from edgesim.planners.exact.blocks.tables import Tables

Array = np.ndarray[Any, Any]


class TileBounds:
    """Bounds on a team's seconds; ``least_s`` is [phase] the seconds that it takes at least, whatever the tiles."""

    def __init__(self, tables: Tables, least_s: list[float]) -> None:
        self.tables, self.least_s = tables, least_s
        self._amounts = np.asarray(tables.amounts.get(SplitBy.TOKENS, [0]))
        self.first, self.last = tables.fewest, int(self._amounts[-1])
        self._known: dict[tuple[int, int], float] = {}

    def phases_s(self, first: int, last: int) -> list[float]:
        """Return, [phase], the least seconds of any plan whose largest tile has ``first`` to ``last`` tokens."""
        return [
            max(least, self._shared_s(p, last), self.tables.overlapped_s(p, first))
            for p, least in enumerate(self.least_s)
        ]

    def bound_s(self, first: int, last: int) -> float:
        """Return the least seconds of all phases and exchanges of any such plan."""
        phases_s = zip(self.phases_s(first, last), self.tables.phases, strict=True)
        return sum(count * least for least, (_, count) in phases_s) + self.tables.exchanges_s(first)

    @cached_property
    def best(self) -> tuple[float, int]:
        """The least bound of all sizes, and its size."""
        queue = [(self.bound_s(self.first, self.last), self.first, self.last)]
        while True:
            bound_s, first, last = heappop(queue)
            if first == last:
                return bound_s, first
            middle = (first + last) // 2
            for half in ((first, middle), (middle + 1, last)):
                heappush(queue, (self.bound_s(*half), *half))

    def within(self, value_s: float) -> tuple[int, int]:
        """Return the smallest and the largest size whose bound is at most ``value_s``; ``best`` must be among them."""
        first, last = (self._end(value_s, self.first, self.last, way) for way in (1, -1))
        assert first is not None
        assert last is not None
        return first, last

    def _end(self, value_s: float, first: int, last: int, way: int) -> int | None:
        """Return the first such size in the range; the last one if ``way`` is -1."""
        if self.bound_s(first, last) > value_s:
            return None
        if first == last:
            return first
        middle = (first + last) // 2
        for half in ((first, middle), (middle + 1, last))[::way]:
            if (size := self._end(value_s, *half, way)) is not None:
                return size
        return None

    def _shared_s(self, p: int, largest: int) -> float:
        """Return after how many seconds of a phase the ranks can have taken all tokens, none more than ``largest``."""
        if (p, largest) not in self._known:
            self._known[p, largest] = self._least_s(p, largest) if self.tables.depends(p, SplitBy.TOKENS) else 0.0
        return self._known[p, largest]

    def _least_s(self, p: int, largest: int) -> float:
        taken, times = self._taken[p]
        amounts = self._amounts[self._amounts <= largest]
        taken, size, total = taken[:, : len(amounts)], self.tables.team.size, self.tables.totals[SplitBy.TOKENS]
        low, high = 0, len(times)
        while low < high:
            middle = (low + high) // 2
            most = np.sort(np.max(np.where(taken <= times[middle], amounts, 0), axis=1, initial=0))[-size:]
            low, high = (low, middle) if most[0] > 0 and most.sum() >= total else (middle + 1, high)
        return float(times[low]) if low < len(times) else inf

    @cached_property
    def _taken(self) -> list[tuple[Array, Array]]:
        """[phase] the least seconds of every rank and choice of tokens, ∞ where memory forbids it; and all values."""
        by_rank, fits = self.tables.taken_s[SplitBy.TOKENS], self.tables.fits[SplitBy.TOKENS]
        tables: list[tuple[Array, Array]] = []
        for p in range(len(self.tables.phases)):
            taken = np.stack([np.where(fits[rank], of[p], inf) for rank, of in by_rank.items()])
            times = np.unique(taken)
            tables.append((taken, times[times < inf]))
        return tables
