"""How long does each layer take on this rank? Measured as the worker runs them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from edgesim.model import Model
from edgesim.profile import CALL
from edgesim.schedule import Op
from edgesim.workload import Workload
from real_runtime.chain import Chain
from real_runtime.pacing import MATRIX, MATRIX_FLOP
from real_runtime.statistic import Statistic

# The least of repeats is what a computation takes undisturbed where so many come so near to it, itself among them.
_CONFIRM, _NEAR = 3, 0.02
_MOST = 3  # times as many repeats as asked for, until they do


def machine_flop_per_s(rounds: int) -> float:
    """What one core reaches on a square FP32 matrix product, by thread CPU time; the best of some rounds."""
    a, b = torch.randn(MATRIX, MATRIX), torch.randn(MATRIX, MATRIX)
    seconds = []
    for _ in range(rounds):
        start_s = time.thread_time()
        torch.mm(a, b)
        seconds.append(time.thread_time() - start_s)
    return MATRIX_FLOP / min(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition:
    """Passes over all layers are computed ``repeats`` times for each number of samples.

    The least of them counts where others come near it; until they do there are more, up to three times as many.
    """

    samples: Sequence[int]
    repeats: int
    statistic: Statistic

    def goes_on(self, passes_s: Sequence[float]) -> bool:
        """Whether another pass is to be timed behind these.

        >>> least = Repetition(samples=(), repeats=3, statistic=Statistic.LEAST)
        >>> least.goes_on([1.01, 1.0]), least.goes_on([1.01, 1.0, 1.0]), least.goes_on([1.5, 1.3, 1.0])
        (True, False, True)
        """
        done = len(passes_s)
        if done < self.repeats or self.statistic is not Statistic.LEAST or done >= _MOST * self.repeats:
            return done < self.repeats
        near = sum(each <= (1 + _NEAR) * min(passes_s) for each in passes_s)
        return near < min(_CONFIRM, self.repeats)

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

    And rows of the call, which a stage pays for once (edgesim.profile.CALL). A further pass before the others warms up
    and is not counted. ``tell`` hears what is timed now.
    """
    model, workload = chain.model, chain.workload
    ops = (Op.F, Op.B, Op.UPDATE) if workload.trains else (Op.F,)
    rows: list[dict[str, Any]] = []
    for count in repetition.samples:
        inputs = chain.samples(count)
        passes: dict[Op, list[Sequence[float]]] = {op: [] for op in ops}
        alone: dict[Op, list[float]] = {op: [] for op in ops}
        tell(told := f"profiling {', '.join(ops)} of {count} samples")
        middle = _cheapest_in_the_middle(_whole_pass(chain, inputs)[0])
        passes_s: list[float] = []
        while repetition.goes_on(passes_s):
            tell(told)
            seconds = _whole_pass(chain, inputs)
            passes_s.append(sum(map(sum, seconds)))
            for op, layers in zip(ops, seconds, strict=True):
                passes[op].append(layers)
            if middle is not None:
                for op, layer_s in zip(ops, chain.alone(middle, inputs), strict=True):
                    alone[op].append(layer_s)
        for op in ops:
            layers_s, call_s = repetition.of_parts(passes[op]), 0.0
            if middle is not None:
                within_s = repetition.statistic.of([layers[middle] for layers in passes[op]])
                longer_s = max(0.0, repetition.statistic.of(alone[op]) - within_s)
                layers_s, call_s = _without_call(layers_s, longer_s, backward=op is Op.B)
            repeats = repetition.statistic.charged([sum(layers) for layers in passes[op]])
            rows += _rows(model, workload, op, count, [*layers_s, call_s])
            rows[-1]["repeats"] = repeats
    return rows


def _whole_pass(chain: Chain, inputs: torch.Tensor) -> tuple[list[float], ...]:
    """[operation][layer] seconds of everything that a run does with a batch."""
    return (*chain.training(inputs), chain.updates()) if chain.workload.trains else (chain.inference(inputs),)


def _cheapest_in_the_middle(seconds: Sequence[float]) -> int | None:
    """The layer whose two ways of being timed differ by the call and by little else; None without inner layers."""
    inner = range(1, len(seconds) - 1)
    return min(inner, key=lambda i: seconds[i], default=None)


def _without_call(layers_s: Sequence[float], call_s: float, *, backward: bool) -> tuple[list[float], float]:
    """[layer] seconds without those of the call, which the first layers of a pass have paid for; and the call's.

    A small first layer finds less cold than a large one, and the next one finds the rest: so each of them has paid for
    half of its seconds at most, and a call is at most half of the pass.

    >>> _without_call([1.0, 4.0, 4.0], 1.5, backward=False)
    ([0.5, 3.0, 4.0], 1.5)
    """
    within_s, left_s = list(layers_s), call_s
    for i in reversed(range(len(within_s))) if backward else range(len(within_s)):
        paid_s = min(left_s, within_s[i] / 2)
        within_s[i] -= paid_s
        left_s -= paid_s
    return within_s, call_s - left_s


def _rows(model: Model, workload: Workload, op: Op, count: int, seconds: Sequence[float]) -> list[dict[str, Any]]:
    return [
        {
            "block": name,
            "op": op,
            "samples": 0 if op is Op.UPDATE else count,
            "tokens": workload.tokens,
            "share": 1.0,
            "seconds": block_s,
        }
        for name, block_s in zip([*(layer.name for layer in model.layers), CALL], seconds, strict=True)
    ]
