"""Which good choices are found at once? The shortest pipelines whose groups stand in an order of devices."""

from collections.abc import Iterator, Sequence

import numpy as np

from edgesim.planners.stage_columns import Columns, Floats, Ints
from edgesim.planners.stage_programme import Shape

Choice = tuple[int, ...]


class OrderedChoices:
    """A dynamic programme over layers, devices in an order, and positions; devices may be left out.

    ``best[q, n, i]`` are the least seconds there and back of layers i.. in q stages on devices n.. of the order.
    """

    def __init__(self, columns: Columns, shape: Shape) -> None:
        self.columns, self.shape = columns, shape
        groups, self.group_of = np.unique(columns.replicas, axis=0, return_inverse=True)
        self.groups = {tuple(int(n) for n in group): g for g, group in enumerate(groups)}
        self.largest = int(groups.sum(axis=1).max(initial=1))

    def table(self, allowed: Ints) -> tuple[Floats, Ints]:
        """[group, position, start, stop] the fewest seconds of the candidates there, and whose they are."""
        c, L, Q = self.columns, self.shape.layers, self.shape.positions
        seconds = np.full((len(self.groups), Q + 1, L + 1, L + 1), np.inf)
        order = allowed[np.argsort(-c.way_s[allowed], kind="stable")]  # the fewest are written last
        where = (self.group_of[order], c.position[order], c.start[order], c.stop[order])
        seconds[where] = c.way_s[order]
        owner = np.full(seconds.shape, -1, dtype=np.int64)
        owner[where] = order
        return seconds, owner

    def along(self, kinds: Sequence[int], seconds: Floats, owner: Ints) -> Choice:
        """The shortest choice along devices of these kinds; empty where there is none."""
        L, Q, N = self.shape.layers, self.shape.positions, len(kinds)
        best = np.full((Q + 1, N + 1, L + 1), np.inf)
        best[0, :, L] = 0.0
        steps: dict[tuple[int, int], list[tuple[int, int, Floats]]] = {}
        for q in range(1, Q + 1):
            for n in range(N - 1, -1, -1):
                best[q, n] = best[q, n + 1]
                for size, g in self._groups_at(kinds, n):
                    reached = seconds[g, q] + best[q - 1, n + size]
                    best[q, n] = np.minimum(best[q, n], np.min(reached, axis=1))
                    steps.setdefault((q, n), []).append((size, g, reached))
        q = int(np.argmin(best[:, 0, 0]))
        if not np.isfinite(best[q, 0, 0]):
            return ()
        return tuple(self._walk(best, steps, owner, q))

    def _groups_at(self, kinds: Sequence[int], n: int) -> Iterator[tuple[int, int]]:
        """(devices, group) of what may begin at a device of the order."""
        counts = [0] * len(self.shape.devices)
        for size in range(1, min(self.largest, len(kinds) - n) + 1):
            counts[kinds[n + size - 1]] += 1
            if (g := self.groups.get(tuple(counts))) is not None:
                yield size, g

    def _walk(
        self, best: Floats, steps: dict[tuple[int, int], list[tuple[int, int, Floats]]], owner: Ints, q: int
    ) -> Iterator[int]:
        n, layer = 0, 0
        while q:
            taken = [
                (size, g, int(np.argmin(reached[layer])))
                for size, g, reached in steps.get((q, n), [])
                if np.min(reached[layer]) <= best[q, n, layer]
            ]
            if not taken:  # the device is left out
                n += 1
                continue
            size, g, stop = taken[0]
            yield int(owner[g, q, layer, stop])
            q, n, layer = q - 1, n + size, stop


def orders(devices: Sequence[int], seconds_of_all: Sequence[float]) -> list[tuple[int, ...]]:
    """Orders of kinds, device by device: as they are, by speed both ways, and dealt in turn."""
    kinds = [kind for kind, count in enumerate(devices) for _ in range(count)]
    fast = sorted(kinds, key=lambda kind: seconds_of_all[kind])
    dealt = tuple(kind for i in range(max(devices)) for kind, count in enumerate(devices) if i < count)
    return list(dict.fromkeys([tuple(kinds), tuple(fast), tuple(reversed(fast)), dealt]))
