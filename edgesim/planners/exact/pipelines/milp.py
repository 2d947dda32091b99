"""Which integer programme says what a choice of stages costs? ``pipeline_time.py`` as rows over candidate stages.

Sets        c candidates (start, stop, position q from the end, kinds);  l layers;  b boundaries, b before layer b
Variables   x[c] = 1 if the plan has the stage
            Cf[b], Cb[b] the message over a boundary and the gradients' way back, 0 where no stages meet
            R[l] backward passes of stages that end at or before l, and messages up to there;  W the tail
            U repeats, (M-1) T;  for GPipe and inference also Uf, Ub, the slowest forward and backward step
Minimise    Σ (E + beside) x + Σ Cf + Σ Cb + U + W       beside: nothing, or joules over watts (``energy/search.py``)
Subject to  (1) the stages are a path:   Σ x[c from 0] = 1;  Σ x[c into (b, q)] = Σ x[c out of (b, q)]
            (2) Σ n[c, k] x[c] <= N[k]                       no more devices of a kind than there are
            (3) U >= (M-1) Σ_{c covers l} max(E, link) x[c]
            (4) U >= (M-1) / K[q] Σ_{c at 1..q} (E and its messages behind) x[c]      around, if shallower than Asteroid
            (5) U >= (M-1) Σ air x[c]                        a shared channel carries everything
            (6) Cf[b] >= Σ_{c to b} sent x[c],  Cf[b] >= Σ_{c from b} received x[c];  Cb alike
            (7) W >= Σ_{c covers l} ending x[c] - R[l]
            GPipe, inference: instead of (3) to (5), Uf and Ub with one direction's times each, and U >= (M-1)(Uf + Ub)
            (8) T = Σ E x + Σ Cf + Σ Cb + U + W <= L - Σ_{c covers l} (L - latest)+ x[c]       if an iteration has a
                limit L: some stages may have an earlier one, as a battery's
            (9) Σ channel x[c] <= L
Once        where something moves beside the iterations, H more is minimised, with
            (10) H >= Σ_{c covers l} one_time x[c]    and, for each resource,  H >= least + Σ one_time_shared x[c]

(3) and (7) have a row per covered layer, not per stage or device: that makes the relaxation tight, and no row needs a
large constant. (4) takes a message to be as long as at its sender's end: where receivers are slower, it is a little
short, and so are bounds of these rows, but not those of labels.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgesim.planners.exact.pipelines.candidate_links import Floats, Ints
from edgesim.planners.exact.pipelines.columns import Columns

INF = float("inf")
Entries = tuple[Ints, Ints, Floats]  # rows, which of the asked columns, values


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What the rows are made for: layers, positions, devices of each kind, micro-batches, depth at each position."""

    layers: int
    positions: int
    devices: tuple[int, ...]
    micro_batches: int
    depths: tuple[int, ...]
    phases: bool  # forward passes end before backward passes begin, or there are none
    limit_s: float = INF  # of an iteration
    one_time: "OneTimeCosts | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OneTimeCosts:
    """What moves once beside the iterations, as its part in an iteration: between these seconds.

    ``shared_least_s`` is [resource] what each is busy with whatever is chosen; ``all_work`` is [kind] whether none of
    its devices may be left out.
    """

    least_s: float = 0.0
    most_s: float = INF
    shared_least_s: tuple[float, ...] = ()
    all_work: tuple[bool, ...] = ()


class StageMilp:
    """Rows and continuous variables, and each candidate's entries in the rows."""

    def __init__(self, columns: Columns, shape: Shape) -> None:
        self.columns, self.shape = columns, shape
        self.lower: list[float] = []
        self.upper: list[float] = []
        self.base: list[tuple[int, int, float]] = []  # row, variable, value
        self.variables: list[str] = []
        # Solvers compute in so many seconds, so that their tolerances mean something: a tenth of the longest stage.
        self.unit_s = float(np.max(columns.both_s, initial=0.0)) / 10 or 1.0
        self._make_variables()
        self._make_rows()
        self._make_one_time_rows()
        self.repeats = self._repeats()
        self.in_seconds = np.ones(len(self.lower), dtype=bool)
        self.in_seconds[[self.source, *self.kind, *self.node[self.node >= 0]]] = False

    # --- variables and rows ---

    def _make_variables(self) -> None:
        L = self.shape.layers

        def several(name: str, count: int) -> list[int]:
            self.variables += [f"{name}{i}" for i in range(count)]
            return list(range(len(self.variables) - count, len(self.variables)))

        self.U, self.Uf, self.Ub, self.W = (several(name, 1)[0] for name in ("U", "Uf", "Ub", "W"))
        self.R, self.Cf, self.Cb = several("R", L), several("Cf", L), several("Cb", L)
        self.H = several("H", 1 if self.shape.one_time else 0)
        self.priced = [self.U, self.W, *self.Cf, *self.Cb, *self.H]  # at 1 each

    def _row(self, lower: float, upper: float, *entries: tuple[int, float]) -> int:
        row = len(self.lower)
        self.lower.append(lower)
        self.upper.append(upper)
        self.base += [(row, variable, value) for variable, value in entries]
        return row

    def _make_rows(self) -> None:
        s, Q, L, M = self.shape, self.shape.positions, self.shape.layers, self.shape.micro_batches
        self.source = self._row(1, 1)
        self.node = np.full((s.layers + 1, Q + 1), -1)
        for b in range(1, s.layers):
            for q in range(1, Q):
                self.node[b, q] = self._row(0, 0)
        all_work = (s.one_time.all_work if s.one_time else ()) or (False,) * len(s.devices)
        self.kind = [self._row(n if all_ else -INF, n) for all_, n in zip(all_work, s.devices, strict=True)]
        self.cover = [self._row(0, INF, (self.U, 1.0)) for _ in range(0 if s.phases else s.layers)]
        self.cover_f = [self._row(0, INF, (self.Uf, 1.0)) for _ in range(s.layers if s.phases else 0)]
        self.cover_b = [self._row(0, INF, (self.Ub, 1.0)) for _ in range(s.layers if s.phases else 0)]
        if s.phases:
            self._row(0, INF, (self.U, 1.0), (self.Uf, 1.0 - M), (self.Ub, 1.0 - M))
            self.air = [self._row(0, INF, (self.Uf, 1.0)), self._row(0, INF, (self.Ub, 1.0))]
        else:
            self.air = [self._row(0, INF, (self.U, 1.0))]
        self.around = [
            self._row(0, INF, (self.U, 1.0)) if not s.phases and min(M, 2 * q + 1) > K else -1
            for q, K in enumerate(s.depths)
        ]
        self.ends_back, self.tail = list[int](), list[int]()
        self.sent, self.received, self.returned, self.taken_back = (list[int]() for _ in range(4))
        for b in range(L):
            before = [(self.R[b - 1], -1.0)] if b else []
            self.ends_back.append(self._row(0, 0, (self.R[b], 1.0), (self.Cb[b], -1.0), *before))
            self.tail.append(self._row(0, INF, (self.W, 1.0), (self.R[b], 1.0)))
            for rows, message in (
                (self.sent, self.Cf),
                (self.received, self.Cf),
                (self.returned, self.Cb),
                (self.taken_back, self.Cb),
            ):
                rows.append(self._row(0, INF, (message[b], 1.0)))
        self.latest, self.channel = self._limit_rows()

    def _limit_rows(self) -> tuple[list[int], list[int]]:
        """Rows of the iteration's limit, one a layer where stages have limits of their own; and the channel's."""
        if not np.isfinite(self.shape.limit_s):
            return [], []
        limit = self.shape.limit_s / self.unit_s
        own = bool(np.any(self.columns.latest_s < self.shape.limit_s))
        seconds = [(variable, 1.0) for variable in self.priced]
        latest = [self._row(-INF, limit, *seconds) for _ in range(self.shape.layers if own else 1)]
        return latest, [self._row(-INF, limit)] if np.any(self.columns.channel_s) else []

    def _make_one_time_rows(self) -> None:
        self.one_time, self.one_time_shared = list[int](), list[int]()
        if self.shape.one_time is None:
            return
        H, one_time = self.H[0], self.shape.one_time
        self._row(one_time.least_s / self.unit_s, INF, (H, 1.0))
        self._row(-INF, one_time.most_s / self.unit_s, (H, 1.0))
        self.one_time = [self._row(0, INF, (H, 1.0)) for _ in range(self.shape.layers)]
        resources = self.columns.one_time_shared_s.shape[1]
        least = one_time.shared_least_s or (0.0,) * resources
        self.one_time_shared = [self._row(s / self.unit_s, INF, (H, 1.0)) for s in least]

    @property
    def most_one_time_s(self) -> float:
        """More than H is in any plan."""
        if self.shape.one_time is None or not len(self.columns):
            return 0.0
        shared = np.max(self.columns.one_time_shared_s, axis=0, initial=0.0) * self.shape.positions
        longest = np.max(self.columns.one_time_s) + np.sum(shared) + sum(self.shape.one_time.shared_least_s)
        return float(max(longest, self.shape.one_time.least_s))

    def _repeats(self) -> Floats:
        """[candidate] the least that U is if the plan has it."""
        c, M = self.columns, self.shape.micro_batches
        if self.shape.phases:
            return (M - 1) * (self._forward_step() + self._backward_step())
        repeats: Floats = (M - 1) * np.maximum(c.both_s, c.link_s)
        return repeats

    def _forward_step(self) -> Floats:
        return np.maximum(self.columns.forward_s, self.columns.link_forward_s)

    def _backward_step(self) -> Floats:
        return np.maximum(self.columns.backward_s, self.columns.link_backward_s)

    # --- what a candidate adds to each row ---

    def entries(self, which: Ints) -> Entries:
        """The rows of these candidates, column after column in no particular order of rows."""
        c, numbers = self.columns.take(which), np.arange(len(which))
        parts = list(self._path_entries(c, numbers))
        for rows, values in self._covering(which):
            layers, of = _covered(c.start, c.stop)
            parts.append((rows[layers], of, -values[of]))
        parts += [(rows[at], numbers, values) for rows, at, values in self._located(c)]
        parts += [(np.full(len(which), row), numbers, -values) for row, values in self._shared(c)]
        rows, of, values = (np.concatenate(part) for part in zip(*parts, strict=True))
        if len(self.latest) > 1:  # a candidate is twice in rows of layers that it covers: by its time and its own limit
            rows, of, values = _summed_cells(rows, of, values, len(self.lower))
        used = values != 0
        return rows[used], of[used], values[used]

    def _path_entries(self, c: Columns, numbers: Ints) -> Iterator[Entries]:
        first, last = c.start == 0, c.stop == self.shape.layers
        one = np.ones(len(numbers))
        yield np.full(int(first.sum()), self.source), numbers[first], one[first]
        yield self.node[c.start, c.position][~first], numbers[~first], -one[~first]
        yield self.node[c.stop, c.position - 1][~last], numbers[~last], one[~last]
        for k, row in enumerate(self.kind):
            yield np.full(len(numbers), row), numbers, c.replicas[:, k].astype(float)

    def _covering(self, which: Ints) -> Iterator[tuple[Ints, Floats]]:
        """Rows by layer, and each candidate's value in those that it covers."""
        yield np.array(self.tail), self.columns.ending_s[which]
        if self.one_time:
            yield np.array(self.one_time), self.columns.one_time_s[which]
        if len(self.latest) > 1:  # what is covered is subtracted
            yield np.array(self.latest), np.minimum(self.columns.latest_s[which] - self.shape.limit_s, 0.0)
        if not self.shape.phases:
            yield np.array(self.cover), self.repeats[which]
            return
        yield np.array(self.cover_f), self._forward_step()[which]
        yield np.array(self.cover_b), self._backward_step()[which]

    def _located(self, c: Columns) -> Iterator[tuple[Ints, Ints, Floats]]:
        """Rows by boundary, where each candidate has its own, and its value there."""
        L = self.shape.layers
        end = np.minimum(c.stop, L - 1)  # the last stage sends nothing
        yield np.array(self.ends_back), end, np.where(c.stop < L, -c.backward_s, 0.0)
        yield np.array(self.sent), end, -c.sent_s
        yield np.array(self.received), c.start, -c.received_s
        yield np.array(self.returned), c.start, -c.returned_s
        yield np.array(self.taken_back), end, -c.taken_back_s

    def _around(self, c: Columns) -> Iterator[tuple[int, Floats]]:
        """Rows of positions whose way around holds a candidate, and its value."""
        way_s = c.both_s + c.sent_s + c.taken_back_s  # the last stage sends nothing
        for q, (row, K) in enumerate(zip(self.around, self.shape.depths, strict=True)):
            if row >= 0:
                yield row, np.where(c.position <= q + 1, way_s, 0.0) * ((self.shape.micro_batches - 1) / K)

    def _shared(self, c: Columns) -> Iterator[tuple[int, Floats]]:
        """Rows that all candidates are in, and their values."""
        yield from self._around(c)
        for resource, row in enumerate(self.one_time_shared):
            yield row, c.one_time_shared_s[:, resource]
        yield from ((row, -c.both_s) for row in self.latest)
        yield from ((row, -c.channel_s) for row in self.channel)
        if self.shape.phases:
            yield self.air[0], c.air_forward_s
            yield self.air[1], c.air_backward_s
        else:
            yield self.air[0], (self.shape.micro_batches - 1) * (c.air_forward_s + c.air_backward_s)


def _summed_cells(rows: Ints, of: Ints, values: Floats, count: int) -> Entries:
    """Entries of one cell added up; ``count`` is how many rows there are."""
    cells, where = np.unique(of * count + rows, return_inverse=True)
    return cells % count, cells // count, np.bincount(where, weights=values, minlength=len(cells)).astype(float)


def _covered(start: Ints, stop: Ints) -> tuple[Ints, Ints]:
    """Every layer of every range, and whose it is."""
    lengths = stop - start
    of = np.repeat(np.arange(len(start)), lengths)
    first = np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.arange(len(of)) - first + np.repeat(start, lengths), of
