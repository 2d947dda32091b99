"""How long do ranks' disks take in a job? All at once: as long as the slowest."""

from collections import defaultdict
from collections.abc import Iterable

from edgesim.job import Copy, Refill
from edgesim.memory import carried_bytes
from edgesim.model import Model
from edgesim.schedule import Op
from edgesim.simulator.iterations import Iterations
from edgesim.workload import Workload


def disk_s(
    copies: Iterable[Copy], iterations: Iterations, workload: Workload, model: Model | None = None, *, writes: bool
) -> float:
    """What the slowest disk takes to write its rank's copies, or to read them; of the job's model, or of this one."""
    layers, devices = (model or iterations.model).layers, iterations.cluster.devices
    held: dict[int, float] = defaultdict(float)
    for copy in copies:
        held[copy.rank] += sum(carried_bytes(layer, workload) for layer in layers[slice(*copy.layers)])
    rates = {rank: devices[rank].writes_bytes_per_s if writes else devices[rank].disk_bytes_per_s for rank in held}
    return max((nbytes / rates[rank] for rank, nbytes in held.items()), default=0.0)


def loading_s(refill: Refill, iterations: Iterations) -> float:
    """What the slowest disk takes for the weights with which its rank computes."""
    layers, devices = iterations.model.layers, iterations.cluster.devices
    held = {task.rank: task.layers for task in refill.schedule if task.op is Op.F}
    return max(
        sum(layer.parameter_bytes for layer in layers[slice(*span)]) / devices[rank].disk_bytes_per_s
        for rank, span in held.items()
    )
