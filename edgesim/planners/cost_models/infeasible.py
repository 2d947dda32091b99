"""Why does no pipeline fit? One error for all planners that found none: which layer, device and number forbid it."""

from edgesim.errors import NothingFitsError
from edgesim.planners.cost_models.stage_costs import StageCosts
from edgesim.units import show


def nothing_fits(costs: StageCosts, form: str, *, samples: int = 1) -> NothingFitsError:
    """Return the error to raise: a layer fits on no device with this many samples, or all layers together do not.

    ``form`` says what was looked for: "pipeline with P - p micro-batches in flight".
    """
    problem = costs.problem
    largest = max(problem.ranks, key=lambda rank: problem.cluster.devices[rank].memory_bytes)
    device = problem.cluster.devices[largest]
    for i, layer in enumerate(problem.model.layers):
        if not any(costs.fits(rank, (i, i + 1), samples, 1, 1) for rank in problem.ranks):
            return NothingFitsError(
                f"layer {layer.name} of {problem.model.name} fits on no device, not even on "
                f"{device.name} with {show(device.memory_bytes, 'B')} (smaller micro-batches, or a larger device)"
            )
    total = sum(device.memory_bytes for device in problem.cluster.devices)
    return NothingFitsError(
        f"no {form} of {problem.model.name} ({show(problem.model.parameter_bytes, 'B')} of weights) "
        f"fits on {problem.cluster.name}, which has {show(total, 'B')}, of it {show(device.memory_bytes, 'B')} on rank "
        f"{largest} ({device.name}), the largest (smaller micro-batches, a leaner optimiser, or more devices)"
    )
