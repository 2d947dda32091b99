"""Which pipelines of these stages cost the least? All of them, from the last layer on, but what others are better than.

A label is the end of a pipeline: stages from a boundary on, what they cost and which devices they take. It is dropped
where its cost and the bound of what comes before it (``lagrangian.py``) are too high, and where others of the same
boundary and devices are at least as good in everything that the rest of the pipeline can see. What is left at the first
layer are the best choices, exactly (Irnich & Desaulniers, Shortest path problems with resource constraints, 2005).
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from itertools import accumulate
from operator import mul

import numpy as np
from numpy.typing import NDArray

from edgesim.errors import PlanError
from edgesim.planners.exact.pipelines.candidates import Floats, Ints
from edgesim.planners.exact.pipelines.lagrangian import LagrangianBound, Relaxation
from edgesim.planners.exact.pipelines.stage_table import grouped

Choice = tuple[int, ...]
PAIRS = 1_000_000  # of labels and stages, at a time
ROUNDS = 60  # of labels that others are compared with
TABLES = (0, 1, 2, 4, 8, 16, 32, 64)  # stages behind a boundary for which bounds are made


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """[label] ends of pipelines; ``cost_s`` counts stages and messages between, ``message_*`` are the next one's."""

    depth: Ints
    taken: Ints  # a number for the devices of each kind
    cost_s: Floats
    tail_s: Floats
    prices_s: Floats  # of its devices
    time_prices_s: Floats  # of its devices, in the relaxation of time alone
    message_s: Floats
    returned_s: Floats
    sums: Floats
    peaks: Floats
    bound_s: Floats
    behind: Ints  # the label that the first stage was put before
    stage: Ints

    def take(self, which: Ints) -> "Labels":
        """Some of them."""
        return replace(self, **{field.name: getattr(self, field.name)[which] for field in fields(self)})

    def __len__(self) -> int:
        return len(self.depth)


def joined(parts: list[Labels]) -> Labels:
    """All of them."""
    return Labels(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Labels)})


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSettingResult:
    """Choices of stages with their cost, first stage first, the best first; ``complete`` says that there is no other
    below what was asked for, but for those that are as good as ``enough`` others."""

    choices: tuple[tuple[float, Choice], ...]
    complete: bool


class LabelSetting:
    """The search for choices in one window; it is bounded by ``bound``, and by ``time_only`` where time is limited."""

    def __init__(
        self,
        relaxation: Relaxation,
        bound: LagrangianBound,
        *,
        most_u_s: float,
        below_s: float,
        time_only: tuple[Relaxation, LagrangianBound] | None,
        enough: int = 1,
    ) -> None:
        self.relaxation, self.bound, self.time_only = relaxation, bound, time_only
        self.stages, self.most_u_s, self.below_s, self.enough = relaxation.stages, most_u_s, below_s, enough
        shape = self.stages.shape
        # Kinds of devices are digits of a number.
        sizes = [1, *accumulate((n + 1 for n in shape.devices), mul)]
        if sizes[-1] * (shape.positions + 1) >= 2**63:
            raise PlanError(f"{len(shape.devices)} kinds of devices are more than can be counted (leave some out)")
        self.digit = np.array(sizes[:-1], dtype=np.int64)
        self.devices = np.array(shape.devices, dtype=np.int64)
        self.takes: Ints = self.stages.replicas @ self.digit
        self.tables = [behind for behind in TABLES if behind < shape.positions]
        self.table_of = np.searchsorted(self.tables, np.arange(shape.positions + 1), side="right") - 1
        self.least = np.stack([self._least(relaxation, bound, behind) for behind in self.tables])
        self.prices_s: Floats = self.stages.replicas @ bound.prices_s
        self.time_prices_s: Floats = self.stages.replicas @ (time_only[1].prices_s if time_only else 0 * bound.prices_s)
        # [position - 1] how often the way around from there is gone: 0 where there are slots for all behind.
        self.turns = np.array(
            [
                (shape.micro_batches - 1) / K if not shape.phases and min(shape.micro_batches, 2 * q + 1) > K else 0.0
                for q, K in enumerate(shape.depths)
            ]
        )

    @staticmethod
    def _least(relaxation: Relaxation, bound: LagrangianBound, behind: int) -> Floats:
        return relaxation.least(bound.prices_s, bound.time_multiplier, behind=behind) if behind else bound.least_s

    def run(self, *, most: int, beam: int | None = None, late: Callable[[], bool]) -> LabelSettingResult:
        """The best choices below; with a ``beam`` only so many labels go on from each boundary, the most promising."""
        L = self.stages.layers
        waiting: list[list[Labels]] = [[] for _ in range(L + 1)]
        waiting[L].append(self._nothing())
        self.kept: list[Labels | None] = [None] * (L + 1)
        edges = np.searchsorted(self.stages.stop[self.relaxation.which], np.arange(L + 2))
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
            offered = self.relaxation.which[edges[b] : edges[b + 1]] if b else np.zeros(0, dtype=np.int64)
            for part in self._extended(labels, offered, b):
                for start, own in grouped(self.stages.start[part.stage]):
                    waiting[start].append(part.take(own))
        return LabelSettingResult(choices=self._choices(), complete=beam is None)

    def _nothing(self) -> Labels:
        one, number = np.zeros(1), np.zeros(1, dtype=np.int64)
        return Labels(
            depth=number,
            taken=number,
            cost_s=one,
            tail_s=one,
            prices_s=one,
            time_prices_s=one,
            message_s=one,
            returned_s=one,
            bound_s=one,
            sums=np.zeros((1, self.stages.sums.shape[1])),
            peaks=np.full((1, self.stages.peaks.shape[1]), -np.inf),
            behind=number - 1,
            stage=number - 1,
        )

    # --- one stage more ---

    def _extended(self, labels: Labels, offered: Ints, b: int) -> "list[Labels]":
        """All labels with each of the offered stages before them."""
        if not len(offered):
            return []
        height = max(1, PAIRS // len(offered))
        taken, which = np.unique(labels.taken, return_inverse=True)
        takes, of = np.unique(self.takes[offered], return_inverse=True)
        fits = self._fits(taken, takes)
        found = []
        for first in range(0, len(labels), height):
            rows = np.arange(first, min(first + height, len(labels)))
            there = self.stages.candidate[offered][:, labels.depth[rows] + 1].T >= 0
            behind, stage = np.nonzero(there & fits[which[rows]][:, of])
            part = self._put_before(labels, rows[behind], offered[stage], b)
            if len(part):
                found.append(part)
        return found

    def _fits(self, taken: Ints, takes: Ints) -> NDArray[np.bool_]:
        """[devices taken, devices of a stage] whether there are so many."""
        fits = np.ones((len(taken), len(takes)), dtype=bool)
        for digit, most in zip(self.digit, self.devices, strict=True):
            has, wants = taken // digit % (most + 1), takes // digit % (most + 1)
            fits &= has[:, None] + wants[None, :] <= most
        return fits

    def _put_before(self, labels: Labels, behind: Ints, stage: Ints, b: int) -> Labels:
        """Each stage before its label, where that could still be below."""
        longer = self._longer(labels, behind, stage, b)
        longer = replace(longer, bound_s=self._bound_s(longer))
        return longer.take(np.flatnonzero((longer.bound_s < self.below_s) & self._allowed(longer)))

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
        """Of the iteration, without the tail and what is before the labels."""
        u_s = self.stages.repeats_s(labels.sums, labels.peaks)
        found: Floats = labels.cost_s + np.maximum(u_s, self.relaxation.least_u_s)
        return found

    def _beside_s(self, labels: Labels) -> Floats | float:
        """What the objective counts beside the iteration."""
        s = self.stages
        return s.beside.of(labels.sums) + s.one_time_s(labels.sums, labels.peaks)

    def _bound_s(self, labels: Labels) -> Floats:
        """Of whole pipelines: with the least that comes before, and without what belongs to every path twice."""
        relaxation, bound = self.relaxation, self.bound
        start, table = self.stages.start[labels.stage], self.table_of[labels.depth]
        before_s = relaxation.at(self.least, table, start, labels.tail_s, bound.time_multiplier)
        time_s = (1 + bound.time_multiplier) * (self._time_s(labels) - relaxation.least_u_s)
        constant_s = relaxation.constant_s(bound.prices_s, bound.time_multiplier) - relaxation.always_s
        return time_s + before_s + labels.prices_s + self._beside_s(labels) + constant_s

    def _allowed(self, labels: Labels) -> NDArray[np.bool_]:
        """Whether U is in the window, and everything within its limit."""
        s, shape = self.stages, self.stages.shape
        allowed: NDArray[np.bool_] = s.repeats_s(labels.sums, labels.peaks) <= self.most_u_s
        if self.time_only is not None:
            allowed &= self._in_time(labels, *self.time_only)
        if s.channel.place is not None:
            allowed &= s.channel.of(labels.sums) <= shape.limit_s
        if shape.one_time is not None:
            allowed &= s.one_time_s(labels.sums, labels.peaks) <= shape.one_time.most_s
        return allowed

    def _in_time(self, labels: Labels, relaxation: Relaxation, bound: LagrangianBound) -> NDArray[np.bool_]:
        """Whether the iteration can end within its limit, by the relaxation of time alone."""
        start, table = self.stages.start[labels.stage], np.zeros(len(labels), dtype=np.int64)
        least_s = relaxation.at(bound.least_s[None], table, start, labels.tail_s, 0.0)
        ends_s = self._time_s(labels) - relaxation.least_u_s + least_s + labels.time_prices_s
        found: NDArray[np.bool_] = ends_s + relaxation.constant_s(bound.prices_s, 0.0) <= self.stages.limited_s(
            labels.peaks
        )
        return found

    # --- dominance ---

    def _undominated(self, labels: Labels) -> Labels:
        """Without labels that as many others are as good as, as choices are asked for."""
        if len(labels) < 2:
            return labels
        deep = self.turns.any()  # then what is behind a stage counts by its position
        group = labels.taken * (self.stages.shape.positions + 1) + (labels.depth if deep else 0)
        order = np.lexsort((labels.cost_s, group))
        group, cost_s = group[order], labels.cost_s[order]
        seen = [labels.tail_s, labels.depth, *labels.peaks.T, *labels.sums.T]
        seen = [cost_s, *(amount[order] for amount in seen)]
        message_s, returned_s = labels.message_s[order], labels.returned_s[order]
        alive, kept = np.arange(len(labels)), list[Ints]()
        beaten = np.zeros(len(labels), dtype=np.int64)
        for _ in range(ROUNDS):
            if not len(alive):
                break
            leads = np.concatenate([[True], group[alive][1:] != group[alive][:-1]])
            kept.append(alive[leads])
            lead = alive[leads][np.cumsum(leads) - 1]
            better = np.flatnonzero(~leads)
            for amount in seen:
                better = better[amount[lead[better]] <= amount[alive[better]]]
            one, other = lead[better], alive[better]
            more_s = np.maximum(message_s[one] - message_s[other], 0.0)
            more_s += np.maximum(returned_s[one] - returned_s[other], 0.0)
            beaten[other[cost_s[one] + more_s <= cost_s[other]]] += 1
            alive = alive[~leads & (beaten[alive] < self.enough)]
        kept.append(alive)
        return labels.take(order[np.sort(np.concatenate(kept))])

    # --- what is found ---

    def _choices(self) -> tuple[tuple[float, Choice], ...]:
        labels, s = self.kept[0], self.stages
        if labels is None:
            return ()
        time_s = self._time_s(labels) + labels.tail_s
        good = time_s <= s.limited_s(labels.peaks)
        for free, digit, most in zip(self.relaxation.free, self.digit, self.devices, strict=True):
            good &= ~free | (labels.taken // digit % (most + 1) == most)
        value_s = np.where(good, time_s + self._beside_s(labels), np.inf)
        order = np.argsort(value_s, kind="stable")[: self.enough]
        return tuple((float(value_s[i]), self._walk(int(i))) for i in order if np.isfinite(value_s[i]))

    def _walk(self, label: int) -> Choice:
        """The candidates of a label at the first layer."""
        b, found = 0, list[int]()
        while b < self.stages.layers:
            labels = self.kept[b]
            assert labels is not None, "labels are kept"
            stage, depth = int(labels.stage[label]), int(labels.depth[label])
            found.append(int(self.stages.candidate[stage, depth]))
            b, label = int(self.stages.stop[stage]), int(labels.behind[label])
        return tuple(found)
