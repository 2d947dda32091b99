"""Which candidate stages are worth a place in a linear programme? Shortest paths by price, through every candidate."""

import numpy as np
from numpy.typing import NDArray

from edgesim.planners.stage_columns import Columns, Floats, Ints

Bools = NDArray[np.bool_]


class Paths:
    """Cheapest ways from the first layer to the last over candidates with prices; devices are not counted."""

    def __init__(self, columns: Columns, *, layers: int, positions: int) -> None:
        self.columns, self.layers, self.positions = columns, layers, positions
        self.by_start = [self._sorted(columns.start, q) for q in range(1, positions + 1)]
        self.by_stop = [self._sorted(columns.stop, q) for q in range(1, positions + 1)]

    def _sorted(self, boundary: Ints, position: int) -> tuple[Ints, Ints, Ints]:
        """The position's candidates in order of a boundary, where each boundary's begin, and which these are."""
        own = np.flatnonzero(self.columns.position == position)
        own = own[np.argsort(boundary[own], kind="stable")]
        which, first = np.unique(boundary[own], return_index=True)
        return own, first, which

    def through(self, price: Floats) -> Floats:
        """[candidate] price of the cheapest path through it; infinite where there is none, or its own price is."""
        c, Q, L = self.columns, self.positions, self.layers
        onward = np.full((Q + 1, L + 1), np.inf)  # from boundary b on, in q stages
        onward[0, L] = 0.0
        for q in range(1, Q + 1):
            own, first, which = self.by_start[q - 1]
            if len(own):
                onward[q, which] = np.minimum.reduceat(price[own] + onward[q - 1, c.stop[own]], first)
        until = np.full((Q + 1, L + 1), np.inf)  # from the first layer to boundary b, q stages to go
        until[1:, 0] = 0.0
        for q in range(Q, 0, -1):
            own, first, which = self.by_stop[q - 1]
            if len(own):
                reached = np.minimum.reduceat(until[q, c.start[own]] + price[own], first)
                until[q - 1, which] = np.minimum(until[q - 1, which], reached)
        whole: Floats = until[c.position, c.start] + price + onward[c.position - 1, c.stop]
        return whole

    def longest_until(self, seconds: Floats) -> Floats:
        """[boundary] the most that candidates before it can add up to; -inf in ``seconds`` for those that may not."""
        c, Q, L = self.columns, self.positions, self.layers
        until = np.full((Q + 1, L + 1), -np.inf)
        until[1:, 0] = 0.0
        for q in range(Q, 0, -1):
            own, first, which = self.by_stop[q - 1]
            if len(own):
                reached = np.maximum.reduceat(until[q, c.start[own]] + seconds[own], first)
                until[q - 1, which] = np.maximum(until[q - 1, which], reached)
        longest: Floats = np.max(until, axis=0)
        return longest
