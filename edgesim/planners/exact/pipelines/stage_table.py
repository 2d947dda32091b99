"""Which stages are there, wherever in a pipeline they stand? Candidates without their positions, by their last layer.

Times, messages and joules of a candidate do not depend on its position, only whether it fits in memory does. So a stage
is a row here, and says at which positions it is a candidate.

What a path of stages adds up to is in ``sums``, of what only the largest counts is in ``peaks``; both hold just what
the problem asks for: [stage, amount].
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgesim.planners.exact.pipelines.candidate_links import Floats, Ints
from edgesim.planners.exact.pipelines.milp import StageMilp


@dataclass(frozen=True, slots=True)
class PathAmount:
    """Where a sum or a peak stands in its table; ``None`` where the problem does not ask for it."""

    place: int | None

    def of(self, table: Floats) -> Floats | float:
        """[row] the amount; 0 where nobody asks."""
        return 0.0 if self.place is None else table[:, self.place]


class Stages:
    """The stages of a programme's candidates; ``candidate`` is [stage, position] the candidate's number, -1 if none."""

    def __init__(self, milp: StageMilp) -> None:
        c, shape = milp.columns, milp.shape
        self.shape, self.layers = shape, shape.layers
        code = np.ravel_multi_index(
            (c.stop, c.start, c.group, c.split),
            (shape.layers + 1, shape.layers + 1, int(c.group.max(initial=0)) + 1, int(c.split.max(initial=0)) + 1),
        )
        _, first, row = np.unique(code, return_index=True, return_inverse=True)
        self.candidate = np.full((len(first), shape.positions + 1), -1, dtype=np.int64)
        self.candidate[row, c.position] = np.arange(len(c))
        self.furthest: Ints = np.max((self.candidate >= 0) * np.arange(shape.positions + 1), axis=1, initial=0)
        self.columns = c = c.take(first)
        self.start, self.stop = c.start, c.stop
        self.replicas = c.replicas
        self.repeats = milp.repeats[first]
        # Messages over the boundary behind a stage, by its own end; the other end's may be longer.
        inner = c.stop < shape.layers
        self.sent_s, self.taken_back_s = np.where(inner, c.sent_s, 0.0), np.where(inner, c.taken_back_s, 0.0)
        self.own_s = c.both_s + self.sent_s + self.taken_back_s
        self.back_s = c.backward_s + self.taken_back_s
        self._tables()

    def _tables(self) -> None:
        c, shape = self.columns, self.shape
        sums: list[Floats] = []
        peaks: list[Floats] = []

        def kept(table: list[Floats], values: Floats, *, asked: bool) -> PathAmount:
            if not asked:
                return PathAmount(None)
            table.append(values)
            return PathAmount(len(table) - 1)

        radio = bool(c.air_forward_s.any() or c.air_backward_s.any())
        self.beside = kept(sums, c.beside_s, asked=bool(c.beside_s.any()))
        self.channel = kept(sums, c.channel_s, asked=bool(c.channel_s.any()) and np.isfinite(shape.limit_s))
        self.air_forward = kept(sums, c.air_forward_s, asked=radio)
        self.air_backward = kept(sums, c.air_backward_s, asked=radio)
        self.one_time_shared = [
            kept(sums, c.one_time_shared_s[:, r], asked=shape.one_time is not None)
            for r in range(c.one_time_shared_s.shape[1])
        ]
        phases = shape.phases
        self.slowest = kept(peaks, self.repeats, asked=not phases)
        self.slowest_forward = kept(peaks, np.maximum(c.forward_s, c.link_forward_s), asked=phases)
        self.slowest_backward = kept(peaks, np.maximum(c.backward_s, c.link_backward_s), asked=phases)
        # The earliest limit of all, so the largest of their negatives.
        self.latest = kept(peaks, -c.latest_s, asked=bool(np.isfinite(c.latest_s).any()))
        self.one_time = kept(peaks, c.one_time_s, asked=shape.one_time is not None)
        self.sums = np.stack(sums, axis=1) if sums else np.zeros((len(c), 0))
        self.peaks = np.stack(peaks, axis=1)

    def __len__(self) -> int:
        return len(self.start)

    def least_u_s(self, which: Ints) -> float:
        """The least U with which some of these stages are a path at all; infinite if they are none."""
        values = np.unique(self.repeats[which])
        low, high = 0, len(values)
        while low < high:
            middle = (low + high) // 2
            open_ = self._is_path(which[self.repeats[which] <= values[middle]])
            low, high = (low, middle) if open_ else (middle + 1, high)
        return float(values[low]) if low < len(values) else np.inf

    def _is_path(self, which: Ints) -> bool:
        reached = np.zeros(self.layers + 1, dtype=bool)
        reached[0] = True
        for stop, own in self.by_stop(which):
            reached[stop] = reached[self.start[own]].any()
        return bool(reached[self.layers])

    def shortest_s(self, which: Ints) -> float:
        """Seconds of the shortest path of these stages, as if there were devices enough."""
        shortest_s = np.full(self.layers + 1, np.inf)
        shortest_s[0] = 0.0
        for stop, own in self.by_stop(which):
            shortest_s[stop] = np.min(shortest_s[self.start[own]] + self.own_s[own])
        return float(shortest_s[-1])

    @property
    def above_all_s(self) -> float:
        """A cost above every choice's, but for what moves once: each micro-batch through the slowest, one by one."""
        c, shape = self.columns, self.shape
        messages_s = np.max(c.sent_s + c.received_s + c.returned_s + c.taken_back_s)
        air_s = np.max(c.air_forward_s + c.air_backward_s)
        each_s = shape.micro_batches * (np.max(c.both_s) + np.max(c.link_s) + messages_s + air_s)
        return float(shape.positions * (each_s + np.max(c.beside_s)) + np.max(c.ending_s)) + 1e-9

    def by_stop(self, which: Ints) -> Iterator[tuple[int, Ints]]:
        """Boundaries with the stages that end there, in order; ``which`` is in the order of stages."""
        for stop, rows in grouped(self.stop[which]):
            yield stop, which[rows]

    def limited_s(self, peaks: Floats) -> Floats:
        """[row] the latest that an iteration may be."""
        if self.latest.place is None:
            return np.full(len(peaks), self.shape.limit_s)
        return np.minimum(self.shape.limit_s, -peaks[:, self.latest.place])

    def repeats_s(self, sums: Floats, peaks: Floats) -> Floats:
        """[row] U: what the other micro-batches add, by what was added up and the largest."""
        rounds = self.shape.micro_batches - 1
        forward, backward = self.air_forward.of(sums), self.air_backward.of(sums)
        if self.shape.phases:
            slowest = np.maximum(self.slowest_forward.of(peaks), forward)
            in_phases_s: Floats = rounds * (slowest + np.maximum(self.slowest_backward.of(peaks), backward))
            return in_phases_s
        repeats_s: Floats = np.maximum(self.slowest.of(peaks), rounds * (forward + backward))
        return repeats_s

    @property
    def least_one_time_s(self) -> float:
        """The least H."""
        one_time = self.shape.one_time
        return 0.0 if one_time is None else max(one_time.least_s, *one_time.shared_least_s, 0.0)

    def one_time_s(self, sums: Floats, peaks: Floats) -> Floats | float:
        """[row] H: what moves once beside the iterations."""
        one_time = self.shape.one_time
        if one_time is None:
            return 0.0
        one_time_s = np.maximum(self.one_time.of(peaks), one_time.least_s)
        least = one_time.shared_least_s or (0.0,) * len(self.one_time_shared)
        for amount, least_s in zip(self.one_time_shared, least, strict=True):
            one_time_s = np.maximum(one_time_s, least_s + amount.of(sums))
        return one_time_s


def grouped(keys: Ints) -> Iterator[tuple[int, Ints]]:
    """Each key in order, and the rows that have it."""
    order = np.argsort(keys, kind="stable")
    values, first = np.unique(keys[order], return_index=True)
    for key, low, high in zip(values.tolist(), first, [*first[1:], len(keys)][: len(values)], strict=True):
        yield key, order[low:high]
