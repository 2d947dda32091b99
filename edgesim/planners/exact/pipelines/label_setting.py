"""Which pipelines of these stages cost the least? All of them, from the last layer on, but what others are better than.

A label is the end of a pipeline: stages from a boundary on, what they cost and which devices they take. It is dropped
where its cost and the bound of what comes before it (``lagrangian.py``) are too high, and where others of the same
boundary and devices are at least as good in everything that the rest of the pipeline can see. What is left at the first
layer are the best choices, exactly (Irnich & Desaulniers, Shortest path problems with resource constraints, 2005).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgesim.planners.exact.pipelines.candidate_links import Floats, Ints
from edgesim.planners.exact.pipelines.labels import DeviceCounts, Labels, joined, undominated
from edgesim.planners.exact.pipelines.lagrangian import LagrangianBound
from edgesim.planners.exact.pipelines.stage_table import grouped

Choice = tuple[int, ...]
PAIRS = 1_000_000  # of labels and stages, at a time
TABLES = (0, 1, 2, 4, 8, 16, 32, 64)  # stages behind a boundary for which bounds are made


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSettingResult:
    """Choices of stages with their cost, the best choice first, its stages from the first to the last.

    ``complete`` says that none below what was asked for is missing, but those that ``enough`` others are as good as.
    """

    choices: tuple[tuple[float, Choice], ...]
    complete: bool


class LabelSetting:
    """The search for the ``enough`` best choices in one window.

    Pipelines that begin before a label are bounded by ``bound``, and where time is limited by ``time_only`` as well.
    """

    def __init__(
        self, bound: LagrangianBound, *, most_u_s: float, time_only: LagrangianBound | None = None, enough: int = 1
    ) -> None:
        self.bound, self.time_only, self.relaxation = bound, time_only, bound.relaxation
        self.stages, self.most_u_s, self.enough = self.relaxation.stages, most_u_s, enough
        shape = self.stages.shape
        self.counts = DeviceCounts(shape.devices, shape.positions)
        self.takes = self.counts.number(self.stages.replicas)
        self.tables = [behind for behind in TABLES if behind < shape.positions]
        self.table_of = np.searchsorted(self.tables, np.arange(shape.positions + 1), side="right") - 1
        self.least = np.stack([self._least(behind) for behind in self.tables])
        prices_s = bound.prices.devices_s
        self.prices_s: Floats = self.stages.replicas @ prices_s
        self.time_prices_s: Floats = self.stages.replicas @ (
            time_only.prices.devices_s if time_only else np.zeros_like(prices_s)
        )
        # [position - 1] how often the way around from there is gone: 0 where there are slots for all behind.
        self.turns = np.array(
            [
                (shape.micro_batches - 1) / K if not shape.phases and min(shape.micro_batches, 2 * q + 1) > K else 0.0
                for q, K in enumerate(shape.depths)
            ]
        )

    def _least(self, behind: int) -> Floats:
        return self.relaxation.least(self.bound.prices, behind=behind) if behind else self.bound.least_s

    def run(self, *, most: int, beam: int | None = None, late: Callable[[], bool]) -> LabelSettingResult:
        """The best choices below; with a ``beam`` only so many labels go on from each boundary, the most promising."""
        L, which = self.stages.layers, self.relaxation.which
        waiting: list[list[Labels]] = [[] for _ in range(L + 1)]
        waiting[L].append(Labels.empty_end(self.stages.sums.shape[1], self.stages.peaks.shape[1]))
        self.kept: list[Labels | None] = [None] * (L + 1)
        edges = np.searchsorted(self.stages.stop[which], np.arange(L + 2))
        count = 0
        for b in range(L, -1, -1):
            if not waiting[b]:
                continue
            labels = self._undominated(joined(waiting[b]))
            waiting[b] = []
            if beam is not None and len(labels) > beam and b:
                labels = labels.take(np.sort(np.argsort(labels.bound_s, kind="stable")[:beam]))
            self.kept[b] = labels
            count += len(labels)
            if count > most or late():
                return LabelSettingResult(choices=(), complete=False)
            offered = which[edges[b] : edges[b + 1]] if b else np.zeros(0, dtype=np.int64)
            for part in self._extended(labels, offered, b, late):
                for start, own in grouped(self.stages.start[part.stage]):
                    waiting[start].append(part.take(own))
            if late():
                return LabelSettingResult(choices=(), complete=False)
        return LabelSettingResult(choices=self._choices(), complete=beam is None)

    def _undominated(self, labels: Labels) -> Labels:
        """The labels that may be part of the best choices: others of the same devices are not as good."""
        deep = self.turns.any()  # then what is behind a stage counts by its position
        group = labels.taken * (self.stages.shape.positions + 1) + (labels.depth if deep else 0)
        return undominated(labels, group, enough=self.enough)

    # --- one stage more ---

    def _extended(self, labels: Labels, offered: Ints, b: int, late: Callable[[], bool]) -> list[Labels]:
        """All labels with each of the offered stages before them; some of them where time is over."""
        if not len(offered):
            return []
        height = max(1, PAIRS // len(offered))
        taken, which = np.unique(labels.taken, return_inverse=True)
        takes, of = np.unique(self.takes[offered], return_inverse=True)
        fits = self.counts.fit(taken, takes)
        parts = []
        for first in range(0, len(labels), height):
            if late():
                break
            rows = np.arange(first, min(first + height, len(labels)))
            there = self.stages.candidate[offered][:, labels.depth[rows] + 1].T >= 0
            behind, stage = np.nonzero(there & fits[which[rows]][:, of])
            part = self._put_before(labels, rows[behind], offered[stage], b)
            if len(part):
                parts.append(part)
        return parts

    def _put_before(self, labels: Labels, behind: Ints, stage: Ints, b: int) -> Labels:
        """Each stage before its label, where that could still be below."""
        longer = self._longer(labels, behind, stage, b)
        longer = replace(longer, bound_s=self._bound_s(longer))
        return longer.take(np.flatnonzero((longer.bound_s < self.relaxation.below_s) & self._allowed(longer)))

    def _longer(self, labels: Labels, behind: Ints, stage: Ints, b: int) -> Labels:
        s, c, inner = self.stages, self.stages.columns, b < self.stages.layers
        forward_s = np.maximum(labels.message_s[behind], s.sent_s[stage]) * inner
        backward_s = np.maximum(labels.returned_s[behind], s.taken_back_s[stage]) * inner
        cost_s = labels.cost_s[behind] + c.both_s[stage] + forward_s + backward_s
        peaks, depth = np.maximum(labels.peaks[behind], s.peaks[stage]), labels.depth[behind] + 1
        if self.turns.any():
            turns = self.turns[depth - 1]
            peaks[:, s.slowest.place] = np.maximum(peaks[:, s.slowest.place], turns * cost_s)
        return Labels(
            depth=depth,
            taken=labels.taken[behind] + self.takes[stage],
            cost_s=cost_s,
            tail_s=np.maximum(c.ending_s[stage], labels.tail_s[behind] - c.backward_s[stage] - backward_s),
            prices_s=labels.prices_s[behind] + self.prices_s[stage],
            time_prices_s=labels.time_prices_s[behind] + self.time_prices_s[stage],
            message_s=c.received_s[stage],
            returned_s=c.returned_s[stage],
            sums=labels.sums[behind] + s.sums[stage],
            peaks=peaks,
            bound_s=cost_s,
            behind=behind,
            stage=stage,
        )

    def _time_s(self, labels: Labels) -> Floats:
        """Seconds of the iteration, without the tail and what is before the labels."""
        u_s = self.stages.repeats_s(labels.sums, labels.peaks)
        time_s: Floats = labels.cost_s + np.maximum(u_s, self.relaxation.least_u_s)
        return time_s

    def _beside_s(self, labels: Labels) -> Floats | float:
        """What the objective counts beside the iteration."""
        s = self.stages
        return s.beside.of(labels.sums) + s.one_time_s(labels.sums, labels.peaks)

    def _bound_s(self, labels: Labels) -> Floats:
        """Bounds of whole pipelines: with the least that comes before, and what belongs to every path counted once."""
        relaxation, prices = self.relaxation, self.bound.prices
        start, table = self.stages.start[labels.stage], self.table_of[labels.depth]
        before_s = relaxation.before_s(self.least, table, start, labels.tail_s, time=prices.time)
        time_s = (1 + prices.time) * (self._time_s(labels) - relaxation.least_u_s)
        constant_s = relaxation.constant_s(prices) - relaxation.always_s
        return time_s + before_s + labels.prices_s + self._beside_s(labels) + constant_s

    def _allowed(self, labels: Labels) -> NDArray[np.bool_]:
        """Whether U is in the window, and everything within its limit."""
        s, shape = self.stages, self.stages.shape
        allowed: NDArray[np.bool_] = s.repeats_s(labels.sums, labels.peaks) <= self.most_u_s
        if self.time_only is not None:
            allowed &= self._in_time(labels, self.time_only)
        if s.channel.place is not None:
            allowed &= s.channel.of(labels.sums) <= shape.limit_s
        if shape.one_time is not None:
            allowed &= s.one_time_s(labels.sums, labels.peaks) <= shape.one_time.most_s
        return allowed

    def _in_time(self, labels: Labels, bound: LagrangianBound) -> NDArray[np.bool_]:
        """Whether the iteration can end within its limit, by the relaxation of time alone."""
        relaxation = bound.relaxation
        start, table = self.stages.start[labels.stage], np.zeros(len(labels), dtype=np.int64)
        before_s = relaxation.before_s(bound.least_s[None], table, start, labels.tail_s, time=0.0)
        ends_s = self._time_s(labels) - relaxation.least_u_s + before_s + labels.time_prices_s
        in_time: NDArray[np.bool_] = ends_s + relaxation.constant_s(bound.prices) <= self.stages.limited_s(labels.peaks)
        return in_time

    # --- the choices at the first layer ---

    def _choices(self) -> tuple[tuple[float, Choice], ...]:
        labels, s = self.kept[0], self.stages
        if labels is None:
            return ()
        time_s = self._time_s(labels) + labels.tail_s
        good = (time_s <= s.limited_s(labels.peaks)) & self.counts.take_all(labels.taken, self.relaxation.free)
        value_s = np.where(good, time_s + self._beside_s(labels), np.inf)
        order = np.argsort(value_s, kind="stable")[: self.enough]
        return tuple((float(value_s[i]), self._walk(int(i))) for i in order if np.isfinite(value_s[i]))

    def _walk(self, label: int) -> Choice:
        """The candidates of a label at the first layer."""
        b, choice = 0, list[int]()
        while b < self.stages.layers:
            labels = self.kept[b]
            assert labels is not None, "labels are kept"
            stage, depth = int(labels.stage[label]), int(labels.depth[label])
            choice.append(int(self.stages.candidate[stage, depth]))
            b, label = int(self.stages.stop[stage]), int(labels.behind[label])
        return tuple(choice)
