"""Which last stages are best for so many last layers and devices? Asteroid's dynamic programme (arXiv 2408.08015).

The latency of an HPP-Round (``asteroid_latency.py``) is the sum of two numbers. Both follow when a head stage h and its
message m are put before later steps, so all heads of a state are compared at once; E = forward F + backward B:

    aligned_s = max over s of M E(s) + Σ_{i<s} E(i)                  = max(M E(h), E(h) + M E(m), E(h) + E(m) + later)
    ending_s  = max over s of T_a(s) + Σ_{i<s} F(i) - Σ_{i<s} E(i)   = max(T_a(h), -B(h), later - B(h) - B(m))

Those that come out equal but for rounding are compared as they are written there.
"""

from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from edgesim.planners.cost_models.asteroid_latency import PipelineStep, hpp_round_latency_s
from edgesim.planners.cost_models.stage_memory import Floats, Ints
from edgesim.planners.literature.asteroid_heads import Heads, SlowestPairs
from edgesim.planners.planning_time import require_time

_ROUNDING = 1e-12  # relative: what is nearer than this is compared exactly


@dataclass(frozen=True, slots=True, kw_only=True)
class Suffixes:
    """[first layer, first device] the best suffix of so many stages: its two sums, and where its head ends.

    ``begin`` is the head's first device, which is a later one where devices are left out; ``size`` how many it has, 0
    where there is no suffix; ``stop`` the layer behind it.
    """

    aligned_s: Floats
    ending_s: Floats
    stop: Ints
    begin: Ints
    size: Ints

    @classmethod
    def none(cls, layers: int, devices: int) -> "Suffixes":
        """No suffix for any state; there is one device more, behind the last."""
        shape = layers + 1, devices + 1
        no, nowhere = np.full(shape, np.inf), np.zeros(shape, dtype=np.int64)
        return cls(aligned_s=no, ending_s=no.copy(), stop=nowhere, begin=nowhere.copy(), size=nowhere.copy())


@dataclass(frozen=True, slots=True, kw_only=True)
class StageChoice:
    """A stage of a pipeline: layers, ranks, samples."""

    layers: tuple[int, int]
    ranks: tuple[int, ...]
    samples: tuple[int, ...]


class SuffixSearch:
    """The dynamic programme over suffixes; if told so, devices may be left out before and behind any stage."""

    def __init__(self, heads: Heads, *, leave_out: bool) -> None:
        self.heads, self.leave_out, problem = heads, leave_out, heads.costs.problem
        self.micro_batches = problem.workload.micro_batches
        self.devices = len(heads.order)
        self.slowest = SlowestPairs(heads.bytes_per_s, heads.largest)
        samples, tokens = problem.workload.micro_batch_samples, problem.workload.tokens
        layers = problem.model.layers
        # [boundary], nothing before the first layer
        self.sent = np.array([0.0, *(layer.output_bytes(samples, tokens) for layer in layers)])
        self.returned = np.array([0.0, *(layer.gradient_bytes(samples, tokens) for layer in layers)])
        self.of: list[Suffixes] = []  # [stages - 1]
        self.steps = cache(self._steps)
        self._stage, self._message = cache(self._stage_step), cache(heads.costs.message)

    def pipelines(self) -> list[tuple[float, list[StageChoice]]]:
        """Return the best pipeline of each number of stages, and its latency; none where none fits."""
        for p in range(1, self.heads.positions + 1):
            self.of.append(self._extended(p))
        counts = [p for p, suffixes in enumerate(self.of, 1) if suffixes.size[0, 0]]
        return [(self._latency_s(self.steps(p, 0, 0)), self._stages(p)) for p in counts]

    def _extended(self, p: int) -> Suffixes:
        """The best suffixes of p stages, given those of one stage less."""
        heads = self.heads
        found = Suffixes.none(heads.layers, self.devices)
        forward_s, backward_s = heads.at(p)
        for start in range(heads.layers - p + 1):
            require_time("asteroid")
            if p == 1:
                stops = np.array([heads.layers])
            else:
                stops = np.arange(start + 1, heads.layers - p + 2)
                stops = stops[(self.of[-1].size[stops] > 0).any(axis=1)][::-1]  # the shortest rest first
            if len(stops):
                of = heads.range_of[start, stops]
                self._best_heads(found, (p, start), stops, (forward_s[of], backward_s[of], heads.all_reduce_s[of]))
        return found

    def _best_heads(
        self, found: Suffixes, state: tuple[int, int], stops: Ints, head_s: tuple[Floats, Floats, Floats]
    ) -> None:
        """Write the best heads of all states [device] with these first layers; they end at one of ``stops``."""
        (p, start), M, largest = state, self.micro_batches, self.heads.largest
        forward_s, backward_s, all_reduce_s = head_s  # [stop, first, size - 1]
        both_s = forward_s + backward_s
        if p == 1:
            aligned_s, ending_s = M * both_s, all_reduce_s.copy()
            if not self.leave_out:
                behind = np.arange(self.devices)[:, None] + np.arange(1, largest + 1)
                aligned_s = np.where(behind == self.devices, aligned_s, np.inf)
        else:
            aligned_s, ending_s = self._before_later(stops, forward_s, backward_s, all_reduce_s)
        seconds = np.moveaxis(aligned_s + ending_s, 1, 0)[..., ::-1]  # [first, stop, the largest size first]
        flat = seconds.reshape(self.devices, -1)
        least_s = flat.min(axis=1)
        for first in np.flatnonzero(np.isfinite(least_s)).tolist():
            near = np.flatnonzero(flat[first] <= least_s[first] * (1 + _ROUNDING))
            ends = [(int(stops[at // largest]), largest - at % largest) for at in near.tolist()]
            stop, size = ends[0] if len(ends) == 1 else min(ends, key=partial(self._exact_s, state, first))
            where = int(np.flatnonzero(stops == stop)[0]), first, size - 1
            found.aligned_s[start, first], found.ending_s[start, first] = aligned_s[where], ending_s[where]
            found.stop[start, first], found.begin[start, first], found.size[start, first] = stop, first, size
        if self.leave_out:
            self._leave_out(found, start)

    def _before_later(
        self, stops: Ints, forward_s: Floats, backward_s: Floats, all_reduce_s: Floats
    ) -> tuple[Floats, Floats]:
        """[stop, first, size - 1] the two sums, of heads and the best suffixes behind them."""
        M, later = self.micro_batches, self.of[-1]
        first, size = np.indices((self.devices, self.heads.largest))
        size += 1
        behind = np.minimum(first + size, self.devices)
        at = (stops[:, None, None], behind[None])
        possible = (later.size[at] > 0) & np.isfinite(forward_s)
        where = np.nonzero(possible)
        stop, first, size = stops[where[0]], where[1], where[2] + 1
        state = (stop, first + size)
        group = (first, size)
        rest = (later.begin[state], later.size[state])
        F, B = forward_s[where], backward_s[where]
        Fm, Bm = self.sent[stop] / self.slowest(*group, *rest), self.returned[stop] / self.slowest(*rest, *group)
        aligned_s, ending_s = np.full(possible.shape, np.inf), np.full(possible.shape, np.inf)
        aligned_s[where] = np.maximum(
            np.maximum(M * (F + B), F + B + M * (Fm + Bm)), F + B + Fm + Bm + later.aligned_s[state]
        )
        ending_s[where] = np.maximum(np.maximum(all_reduce_s[where], -B), later.ending_s[state] - B - Bm)
        return aligned_s, ending_s

    def _leave_out(self, found: Suffixes, start: int) -> None:
        """Where a suffix of fewer last devices is as good, the first one is left out."""
        for first in range(self.devices - 2, -1, -1):
            after = found.aligned_s[start, first + 1] + found.ending_s[start, first + 1]
            if after <= found.aligned_s[start, first] + found.ending_s[start, first] and found.size[start, first + 1]:
                for table in (found.aligned_s, found.ending_s, found.stop, found.begin, found.size):
                    table[start, first] = table[start, first + 1]

    # --- exactly ---

    def _latency_s(self, steps: tuple[PipelineStep, ...]) -> float:
        return hpp_round_latency_s(steps, self.micro_batches)

    def _exact_s(self, state: tuple[int, int], first: int, end: tuple[int, int]) -> float:
        (p, start), (stop, size) = state, end
        return self._latency_s(self._headed(p, (start, stop), (first, size)))

    def _steps(self, p: int, start: int, first: int) -> tuple[PipelineStep, ...]:
        """The steps of the best suffix of a state, first stage first."""
        found = self.of[p - 1]
        window = int(found.begin[start, first]), int(found.size[start, first])
        return self._headed(p, (start, int(found.stop[start, first])), window)

    def _headed(self, p: int, layers: tuple[int, int], window: tuple[int, int]) -> tuple[PipelineStep, ...]:
        step = self._stage(p, layers, window)
        if p == 1:
            return (step,)
        behind, later = sum(window), self.of[p - 2]
        rest = int(later.begin[layers[1], behind]), int(later.size[layers[1], behind])
        message = self._message(layers[1], self._ranks(window), self._ranks(rest))
        return (step, message, *self.steps(p - 1, layers[1], behind))

    def _ranks(self, window: tuple[int, int]) -> tuple[int, ...]:
        first, size = window
        return self.heads.order[first : first + size]

    def _stage_step(self, p: int, layers: tuple[int, int], window: tuple[int, int]) -> PipelineStep:
        return self.heads.costs.stage(layers, self._ranks(window), self.heads.samples(p, layers, window))

    def _stages(self, p: int) -> list[StageChoice]:
        """The stages of the best pipeline of p stages."""
        stages, start, first = list[StageChoice](), 0, 0
        for position in range(p, 0, -1):
            found = self.of[position - 1]
            layers = start, int(found.stop[start, first])
            window = int(found.begin[start, first]), int(found.size[start, first])
            samples = self.heads.samples(position, layers, window)
            stages.append(StageChoice(layers=layers, ranks=self._ranks(window), samples=samples))
            start, first = layers[1], sum(window)
        return stages
