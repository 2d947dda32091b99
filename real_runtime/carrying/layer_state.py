"""What does a layer carry from one rank to another? Weights, statistics of batches and the optimiser's state, flat.

In the order of its parameters: first all weights, then running means and variances, then the state of the weights that
are trained. So its length is what ``edgesim.memory.carried_bytes`` counts. Replicas have statistics of their own
samples; who takes a layer over goes on with those of whom it comes from.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from edgesim.memory import carried_bytes
from edgesim.model import Model
from edgesim.units import BYTES_PER_FLOAT32
from edgesim.workload import Optimiser, Workload
from real_runtime.models import loans_of

# The tensors that an optimiser keeps of a weight, in the order in which they are carried.
_STATES = {
    Optimiser.SGD: (),
    Optimiser.MOMENTUM: ("momentum_buffer",),
    Optimiser.ADAM: ("exp_avg", "exp_avg_sq"),
}


def carried_numbers(model: Model, workload: Workload, layer: int) -> int:
    """How many numbers a layer carries."""
    return round(carried_bytes(model.layers[layer], workload) / BYTES_PER_FLOAT32)


def own_parameters(model: Model, layers: Mapping[int, nn.Module]) -> Iterator[list[nn.Parameter]]:
    """The parameters of each layer, by its index; a weight that two of them share is the first one's.

    Of a model that learns from cached outputs they are those of the side network and of the head, and layers with the
    frozen ones beside carry no others.
    """
    seen: set[int] = set()
    for index, layer in layers.items():
        named = layer.named_parameters()
        if model.hyper.get("cached"):
            lent = {f"head.{loan.name}" for loan in loans_of(model, index)}  # the words of a frozen embedding
            named = iter([(name, p) for name, p in named if not name.startswith("frozen.") and name not in lent])
        parameters = [p for _, p in named]
        yield [p for p in parameters if id(p) not in seen]
        seen |= {id(p) for p in parameters}


@torch.no_grad()
def flat_state(
    parameters: Sequence[nn.Parameter],
    statistics: Sequence[Tensor],
    optimiser: torch.optim.Optimizer,
    workload: Workload,
) -> Tensor:
    """The numbers of a layer, copied. Before the first step there is no optimiser's state, which is zeros."""
    parts = [each.reshape(-1) for each in (*parameters, *statistics)]
    trained = [p for p in parameters if p.requires_grad]
    for name in _STATES[workload.optimiser]:
        parts += [optimiser.state[p].get(name, torch.zeros_like(p)).reshape(-1) for p in trained]
    return torch.cat(parts) if parts else torch.empty(0)


@torch.no_grad()
def put_back(
    numbers: Tensor,
    parameters: Sequence[nn.Parameter],
    statistics: Sequence[Tensor],
    optimiser: torch.optim.Optimizer,
    workload: Workload,
    *,
    version: int,
) -> None:
    """Give a layer the numbers that :func:`flat_state` found after ``version`` steps."""
    trained = [p for p in parameters if p.requires_grad]
    names = _STATES[workload.optimiser]
    sizes = [each.numel() for each in (*parameters, *statistics, *(p for _ in names for p in trained))]
    if sum(sizes) != len(numbers):
        raise ValueError(f"a layer of {sum(sizes)} numbers was sent {len(numbers)}")
    parts = iter(numbers.split(sizes))
    for each in (*parameters, *statistics):
        each.copy_(next(parts).view_as(each))
    for name in names:
        for p in trained:
            optimiser.state[p][name] = next(parts).view_as(p).clone()
    if workload.optimiser is Optimiser.ADAM:
        for p in trained:
            optimiser.state[p]["step"] = torch.tensor(float(version))
