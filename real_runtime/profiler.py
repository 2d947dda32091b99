"""How long does each layer take on this rank? Measured as the worker runs them."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch

from edgesim.model import Model
from edgesim.schedule import Op
from edgesim.workload import Workload
from real_runtime.chain import Chain

_MATRIX = 1024  # large enough that a multiplication runs from cache at full speed
MATRIX_FLOP = 2.0 * _MATRIX**3


def machine_flop_per_s(rounds: int) -> float:
    """What one core reaches on a square FP32 matrix product, by thread CPU time; the best of some rounds."""
    a, b = torch.randn(_MATRIX, _MATRIX), torch.randn(_MATRIX, _MATRIX)
    seconds = []
    for _ in range(rounds):
        start_s = time.thread_time()
        torch.mm(a, b)
        seconds.append(time.thread_time() - start_s)
    return MATRIX_FLOP / min(seconds)


class Statistic(StrEnum):
    """What of a computation's repeats is kept.

    A dilated host charges the least (Dilation). A quota stops whichever task runs when it is used up, and lets the
    short ones before it pass at full speed: only the mean adds up to the time of them all. A whole core is timed as it
    is, by the median.
    """

    LEAST = "least"
    MEAN = "mean"
    MEDIAN = "median"

    def of(self, seconds: Sequence[float]) -> float:
        """The one number that stands for all of them."""
        return _STATISTICS[self](seconds)


_STATISTICS: dict[Statistic, Callable[[Sequence[float]], float]] = {
    Statistic.LEAST: min,
    Statistic.MEAN: statistics.fmean,
    Statistic.MEDIAN: statistics.median,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition:
    """Passes over all layers are computed ``repeats`` times for each number of samples."""

    samples: Sequence[int]
    repeats: int
    statistic: Statistic

    def of_parts(self, repeats: Sequence[Sequence[float]]) -> list[float]:
        """Each layer's seconds, from those of every repeat: their sum is the statistic of whole passes.

        That is what a run charges, which times a stage and not its layers: the least of a sum is more than the sum of
        the least.

        >>> Repetition(samples=(), repeats=2, statistic=Statistic.LEAST).of_parts([[1.0, 3.0], [2.0, 2.0]])
        [1.3333333333333333, 2.6666666666666665]
        """
        whole = self.statistic.of([sum(layers) for layers in repeats])
        parts = [self.statistic.of(layer) for layer in zip(*repeats, strict=True)]
        return [part * whole / sum(parts) for part in parts]


def profile_layers(
    chain: Chain, repetition: Repetition, tell: Callable[[str], object] = lambda what: None
) -> list[dict[str, Any]]:
    """Rows of seconds per layer: forward, and where it is trained backward and update, timed while whole passes run.

    A further pass before the others warms up and is not counted. ``tell`` hears what is timed now.
    """
    model, workload = chain.model, chain.workload
    rows: list[dict[str, Any]] = []
    updates, calls = list[list[float]](), list[float]()
    for count in repetition.samples:
        inputs = chain.samples(count)
        passes: dict[Op, list[list[float]]] = {Op.F: [], Op.B: []} if workload.trains else {Op.F: []}
        for _ in range(repetition.repeats + 1):
            tell(f"profiling {' and '.join(passes)} of {count} samples")
            if not workload.trains:
                passes[Op.F].append(chain.inference(inputs))
                continue
            for op, seconds in zip(passes, chain.training(inputs), strict=True):
                passes[op].append(seconds)
            tell(f"profiling {Op.UPDATE}")
            layers, call_s = chain.update()
            updates.append(layers)
            calls.append(call_s)
        for op, repeats in passes.items():
            rows += _rows(model, workload, op, count, repetition.of_parts(repeats[1:]))
    if workload.trains:
        rows += _rows(model, workload, Op.UPDATE, 0, _updates_s(repetition, updates[1:], calls[1:]))
    return rows


def _updates_s(repetition: Repetition, steps: Sequence[Sequence[float]], calls: Sequence[float]) -> list[float]:
    """[layer] seconds of its part of one step over all layers, in which the call is paid for once and not by each."""
    shared_s = repetition.statistic.of(calls) * (1 - 1 / len(steps[0]))
    return [max(0.0, seconds - shared_s) for seconds in repetition.of_parts(steps)]


def _rows(model: Model, workload: Workload, op: Op, count: int, seconds: Sequence[float]) -> list[dict[str, Any]]:
    return [
        {
            "block": layer.name,
            "op": op,
            "samples": count,
            "tokens": workload.tokens,
            "share": 1.0,
            "seconds": layer_s,
        }
        for layer, layer_s in zip(model.layers, seconds, strict=True)
    ]
