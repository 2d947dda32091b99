"""How long does each layer take on this rank? Measured as the worker runs them."""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from edgesim.model import Model
from edgesim.schedule import Op
from edgesim.workload import Workload
from real_runtime.models import architecture, build_layers
from real_runtime.pacing import Dilation
from real_runtime.stages.module import flatten_gradients, make_optimiser

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
    """Each layer is computed ``repeats`` times for each number of samples; the statistic of these is its row."""

    samples: Sequence[int]
    repeats: int
    statistic: Statistic


def profile_layers(
    model: Model,
    workload: Workload,
    repetition: Repetition,
    dilation: Dilation,
    tell: Callable[[str], object] = lambda what: None,
) -> list[dict[str, Any]]:
    """Rows of seconds per layer: forward, backward and update, each as in a stage, one layer after the other.

    A further repeat before the others warms up and is not counted. ``tell`` hears what is timed now.
    """
    layers = [build_layers(model, [i], seed=0) for i in range(len(model.layers))]
    flats = [flatten_gradients(layer.parameters()) for layer in layers]
    optimisers = [make_optimiser(layer.parameters(), workload) for layer in layers]
    seconds: dict[tuple[int, str, int], list[float]] = defaultdict(list)

    def timed(index: int, op: Op, count: int, work: Callable[[], Any]) -> Any:
        tell(f"profiling {op} of {model.layers[index].name}")
        result, start_s, end_s = dilation.run(work, (index, op, count))
        seconds[index, op, count].append(end_s - start_s)
        return result

    def update(index: int) -> None:
        optimisers[index].step()
        flats[index].zero_()

    dilation.forget()
    # All repeats of one count together, as a run repeats one count.
    for count in repetition.samples:
        for _ in range(repetition.repeats + 1):
            entered, outputs = _forward(model, workload, layers, count, timed)
            gradient: Tensor | None = None
            for i in reversed(range(len(layers))):
                timed(i, Op.B, count, partial(outputs[i].backward, gradient))
                gradient = entered[i].grad
            for i in range(len(layers)):
                timed(i, Op.UPDATE, 0, partial(update, i))
    return [
        {
            "block": model.layers[i].name,
            "op": op,
            "samples": count,
            "tokens": workload.tokens,
            "share": 1.0,
            "seconds": repetition.statistic.of(values[1:]),
        }
        for (i, op, count), values in seconds.items()
    ]


class _Timed(Protocol):
    def __call__(self, index: int, op: Op, count: int, work: Callable[[], Any]) -> Any: ...


def _forward(
    model: Model, workload: Workload, layers: Sequence[torch.nn.Module], count: int, timed: _Timed
) -> tuple[list[Tensor], list[Tensor]]:
    """Inputs and outputs of all layers; each layer starts a graph of its own, the last ends in the loss."""
    arch = architecture(model)
    first = arch.sample(model.hyper, workload.tokens)
    tensor = first.repeat(count, *[1] * (first.dim() - 1))
    entered, outputs = [], []
    for i, layer in enumerate(layers):
        leaf = tensor.detach()
        if leaf.is_floating_point() and i > 0:
            leaf.requires_grad_()

        def work(i: int = i, leaf: Tensor = leaf, layer: torch.nn.Module = layer) -> Tensor:
            output: Tensor = layer(leaf)
            if i + 1 < len(layers):
                return output
            target = torch.zeros(output.shape[:-1], dtype=torch.long)
            return arch.loss(model.hyper, workload.tokens, output, target) / count

        tensor = timed(i, Op.F, count, work)
        entered.append(leaf)
        outputs.append(tensor)
    return entered, outputs
