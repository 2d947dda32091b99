"""How long does each layer take on this rank, and each message on this network? Measured as the worker runs them."""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgesim.cluster import Network, Origin
from edgesim.model import Model
from edgesim.schedule import Op, Payload, Schedule, Task
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


# A dilated host charges the least (Dilation). A quota stops whichever task runs when it is used up, and lets the short
# ones before it pass at full speed: only the mean adds up to the time of them all. A whole core is timed as it is.
ROWS: dict[str, Callable[[Sequence[float]], float]] = {
    "least": min,
    "mean": statistics.fmean,
    "median": statistics.median,
}


def profile_blocks(
    model: Model, workload: Workload, samples: Sequence[int], repeats: int, dilation: Dilation, *, row: str
) -> list[dict[str, Any]]:
    """Rows of seconds per layer: forward, backward and update, each as in a stage, one layer after the other.

    The first repeat warms up and is not counted. ``row`` says what of the others a row is (ROWS).
    """
    layers = [build_layers(model, [i], seed=0) for i in range(len(model.layers))]
    flats = [flatten_gradients(layer.parameters()) for layer in layers]
    optimisers = [make_optimiser(layer.parameters(), workload) for layer in layers]
    seconds: dict[tuple[int, str, int], list[float]] = defaultdict(list)

    def timed(index: int, op: Op, count: int, work: Any) -> Any:
        result, start_s, end_s = dilation.run(work, (index, op, count))
        seconds[index, op, count].append(end_s - start_s)
        return result

    dilation.forget()
    # All repeats of one count together, as a run repeats one count.
    for count in samples:
        for _ in range(repeats + 1):
            entered, outputs = _forward(model, workload, layers, count, timed)
            gradient: Tensor | None = None
            for i in reversed(range(len(layers))):
                timed(i, Op.B, count, partial(outputs[i].backward, gradient))
                gradient = entered[i].grad
            for i, (optimiser, flat) in enumerate(zip(optimisers, flats, strict=True)):
                timed(i, Op.UPDATE, 0, lambda optimiser=optimiser, flat=flat: (optimiser.step(), flat.zero_()))
    return [
        {
            "block": model.layers[i].name,
            "op": op,
            "samples": count,
            "tokens": workload.tokens,
            "share": 1.0,
            "seconds": ROWS[row](values[1:]),
        }
        for (i, op, count), values in seconds.items()
    ]


def _forward(
    model: Model, workload: Workload, layers: Sequence[torch.nn.Module], count: int, timed: Any
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


def message_schedule(pairs: Sequence[tuple[int, int]], nbytes: int) -> Schedule:
    """A message from source to destination for each pair, all at once."""
    programs: list[list[Task]] = [[] for _ in range(1 + max(max(pair) for pair in pairs))]
    for source, destination in pairs:
        message = partial(Task, payload=Payload.WEIGHTS, nbytes=nbytes, stage=0, layers=(0, 0), micro_batch=0)
        programs[source].append(message(op=Op.SEND, rank=source, peers=(destination,)))
        programs[destination].append(message(op=Op.RECV, rank=destination, peers=(source,)))
    return Schedule(tuple(map(tuple, programs)))


def fit_network(
    messages: Mapping[tuple[int, int], Sequence[tuple[int, float]]],
    both_ways: Mapping[tuple[int, int], tuple[int, float]],
    ranks: int,
    *,
    source: str,
) -> Network:
    """A switched network from timed messages.

    ``messages`` holds [(bytes, seconds)] per pair, of three sizes or more: ``seconds = latency + (bytes - burst) /
    rate``. The slope of the larger sizes gives the rate, the smallest message the latency, the intercept the burst. A
    NIC's rate is the best it reached with any peer. ``both_ways`` holds (bytes, seconds) of two messages at once, one
    each way: what they take longer than one alone are the acknowledgements.
    """
    rate = np.zeros((ranks, ranks))
    latency = np.zeros((ranks, ranks))
    bursts = []
    for (i, j), timed in messages.items():
        (small, *large) = sorted(timed)
        slope, intercept = np.polyfit([size for size, _ in large], [seconds for _, seconds in large], 1)
        rate[i, j] = 1 / slope
        latency[i, j] = small[1]
        bursts.append(max(0.0, (latency[i, j] - intercept) * rate[i, j]))
    shares = []
    for (i, j), (nbytes, seconds) in both_ways.items():
        alone_s = (nbytes - np.median(bursts)) / min(rate[i, j], rate[j, i])
        shares.append(max(0.0, (seconds - max(latency[i, j], latency[j, i])) / alone_s - 1))
    return Network.switched(
        transmit_bytes_per_s=[float(row.max()) for row in rate],
        receive_bytes_per_s=[float(column.max()) for column in rate.T],
        latency_s=[[float(s) for s in row] for row in latency],
        goodput=1.0,
        burst_bytes=float(np.median(bursts)),
        acknowledgement=float(np.median(shares)),
        origin=Origin.MEASURED,
        source=source,
    )
