"""Which stages fit on which device, and how far from a pipeline's end? ``memory.py``, asked once per range of layers.

Memory is linear in the samples of a micro-batch and in the micro-batches in flight, so what ``held_bytes`` says of one
and of two samples tells all others; requests, whose largest block may change with the samples, are asked for each.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from edgesim.memory import Memory, RankLoad, boundary_bytes, held_bytes, ring_bytes
from edgesim.planners.problem import Problem

Layers = tuple[int, int]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class StageMemory:
    """Bytes of every range of layers, [range], without the framework's context."""

    def __init__(self, problem: Problem, ranges: Sequence[Layers]) -> None:
        self.problem, self.ranges = problem, ranges
        workload = problem.workload
        self.trains = workload.trains
        asked = range(1, workload.micro_batch_samples + 1)
        samples = list(asked)[:2] if self.trains else list(asked)
        self.held = {n: [self._held(layers, n) for layers in ranges] for n in samples}
        self.resting = {n: np.array([m.resting_bytes for m in held]) for n, held in self.held.items()}
        self.needs = {n: np.array([m.stash_bytes + m.transient_bytes for m in held]) for n, held in self.held.items()}
        self.trained = np.array([m.gradient_bytes for m in self.held[1]])
        self._leaving, self._ring = cache(self._leaving_bytes), cache(self._ring_bytes)

    def _held(self, layers: Layers, samples: int) -> Memory:
        """With one micro-batch in flight, on one rank."""
        workload = self.problem.workload
        return held_bytes(
            self.problem.model,
            workload,
            RankLoad(
                layers=layers,
                samples=samples,
                in_flight=1,
                micro_batches=workload.micro_batches,
                replicas=1,
                context_bytes=0.0,
            ),
        )

    def total_bytes(self, samples: int, in_flight: int, replicas: int) -> Floats:
        """[range] what a rank holds with so many samples and micro-batches in flight, as one of so many replicas."""
        more = in_flight - 1 if self.trains else 0  # outputs and stashes of further micro-batches
        resting = self._at(self.resting, samples) + more * self._leaving(samples)
        needs = self._at(self.needs, samples) * (in_flight if self.trains else 1)
        return resting + np.maximum(needs, self._ring(replicas))

    def _at(self, known: dict[int, Floats], samples: int) -> Floats:
        if samples in known:
            return known[samples]
        return known[1] + (samples - 1) * (known[2] - known[1])

    def _leaving_bytes(self, samples: int) -> Floats:
        model, tokens = self.problem.model, self.problem.workload.tokens
        by_stop = {stop: start for start, stop in self.ranges}
        leaving = {
            stop: boundary_bytes(model, (start, stop), samples=samples, tokens=tokens)[1]
            for stop, start in by_stop.items()
        }
        return np.array([leaving[stop] for _, stop in self.ranges])

    def _ring_bytes(self, replicas: int) -> Floats:
        return np.array([ring_bytes(trained, replicas=replicas) for trained in self.trained])

    def furthest(self, rank: int, samples: int, replicas: int, depths: Sequence[int]) -> Ints:
        """[range] the furthest position from the end, counted from 1, at which the rank can hold it; 0 for none.

        ``depths`` are the micro-batches in flight at position 1, 2 and so on; they never fall.
        """
        budget = self.problem.budget_bytes(rank) - self.problem.cluster.devices[rank].context_bytes
        fits = {K: self.total_bytes(samples, K, replicas) <= budget for K in set(depths)}
        furthest: Ints = np.sum([fits[K] for K in depths], axis=0, dtype=np.int64)
        return furthest
