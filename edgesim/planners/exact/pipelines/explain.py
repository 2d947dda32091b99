"""Why does no pipeline fit? Weights that must lie together, or which device lacks how much memory; what would do.

To say what would do takes a search for each factor of the memory. Where the planner's time is over, the factor is the
best that was found in a little more.
"""

from dataclasses import replace
from time import perf_counter

import numpy as np

from edgesim.cluster import Cluster
from edgesim.errors import InfeasibleError, NothingFitsError
from edgesim.plan import trained_ties
from edgesim.planners.cost_models.stage_memory import StageMemory
from edgesim.planners.exact.pipelines.branch_and_bound import BranchAndBound, SearchLimits, SearchResult
from edgesim.planners.exact.pipelines.candidates import Candidates, TooManyStagesError
from edgesim.planners.exact.pipelines.milp import Shape, StageMilp
from edgesim.planners.planning_time import LateError, planning_until
from edgesim.units import show

_MOST = 1024.0  # times the memory there is: beyond that nobody buys
EXPLAIN_S = 2.0  # that explaining may take, however late it is
_STEPS = 12  # halvings of the factor's logarithm


def why_no_pipeline(candidates: Candidates, result: SearchResult, *, until_s: float) -> InfeasibleError:
    """The error to raise; candidates are all that fit, ``result`` is of a search that ended without a choice.

    ``until_s`` is until when the planner has time, by ``perf_counter``.
    """
    until_s = max(until_s, perf_counter() + EXPLAIN_S)
    with planning_until(until_s):
        return _why(candidates, result, until_s)


def _why(candidates: Candidates, result: SearchResult, until_s: float) -> InfeasibleError:
    problem = candidates.problem
    if (tied := _tied_weights(candidates, until_s)) is not None:
        return tied
    if not result.proven:
        return InfeasibleError(
            f"no pipeline of {problem.model.name} on {problem.cluster.name} was found in time, and none is excluded: "
            "memory is nearly full (raise time_limit_s, take smaller micro-batches, or more devices)"
        )
    return _layer_that_fits_nowhere(candidates) or _memory_that_would_do(candidates, until_s)


def _tied_weights(candidates: Candidates, until_s: float) -> InfeasibleError | None:
    """Where only layers that share trained weights, and so must lie in one stage, stand in the way."""
    problem = candidates.problem
    try:
        if candidates.together.all() or not _has_a_pipeline(candidates.untied(), until_s):
            return None
    except (LateError, TooManyStagesError):
        return None
    (one, other), *_ = trained_ties(problem.model, problem.workload)
    owner, layer = problem.model.layers[one], problem.model.layers[other]
    return InfeasibleError(
        f"layers {owner.name} and {layer.name} of {problem.model.name} share trained weights, so one stage must hold "
        f"them, and with it all between: no such pipeline fits on {problem.cluster.name}, while memory would do for "
        "others (untie them: model.tied=false, or freeze them)"
    )


def _ranks(candidates: Candidates) -> list[int]:
    return sorted(rank for kind in candidates.kinds for rank in kind)


def _layer_that_fits_nowhere(candidates: Candidates) -> InfeasibleError | None:
    problem = candidates.problem
    ranges = [(i, i + 1) for i in range(candidates.layers)]
    memory = StageMemory(problem, ranges)
    largest = max(_ranks(candidates), key=lambda rank: problem.cluster.devices[rank].memory_bytes)
    device = problem.cluster.devices[largest]
    least = memory.total_bytes(1, 1, 1) + device.context_bytes  # alone, one sample, one in flight
    worst = int(np.argmax(least))
    budget = problem.budget_bytes(largest)
    if least[worst] <= budget:
        return None
    return NothingFitsError(
        f"layer {problem.model.layers[worst].name} of {problem.model.name} alone needs "
        f"{show(float(least[worst]), 'B')}, and rank {largest} ({device.name}), the largest device, has "
        f"{show(budget, 'B')} (smaller micro-batches, a leaner optimiser, or a larger device)"
    )


def _memory_that_would_do(candidates: Candidates, until_s: float) -> InfeasibleError:
    """By how much all memories would have to grow."""
    problem = candidates.problem
    low, high = 0.0, float(np.log2(_MOST))
    fits = _fits(candidates, 2.0**high, until_s)
    if fits is None:
        return NothingFitsError(
            f"no pipeline of {problem.model.name} ({show(problem.model.parameter_bytes, 'B')} of weights) fits on "
            f"{problem.cluster.name}; there was no time to find out with how much more memory one would "
            "(raise time_limit_s to know; smaller micro-batches, a leaner optimiser, or more devices help)"
        )
    if not fits:
        return InfeasibleError(
            f"no pipeline of {problem.model.name} fits on {problem.cluster.name}, whatever the memory: "
            f"{len(_ranks(candidates))} devices share micro-batches of {problem.workload.micro_batch_samples} samples "
            "(allow more stages, more replicas or larger micro-batches)"
        )
    for _ in range(_STEPS):
        middle = (low + high) / 2
        fits = _fits(candidates, 2.0**middle, until_s)
        if fits is None:  # no time left: the last factor that is known to do
            break
        low, high = (low, middle) if fits else (middle, high)
    factor = 2.0**high
    smallest = min(_ranks(candidates), key=lambda rank: problem.cluster.devices[rank].memory_bytes)
    device = problem.cluster.devices[smallest]
    return NothingFitsError(
        f"no pipeline of {problem.model.name} ({show(problem.model.parameter_bytes, 'B')} of weights) "
        f"fits on {problem.cluster.name}. With about {factor:.3g} times the memory on every device one would: rank "
        f"{smallest} ({device.name}) then has {show(factor * device.memory_bytes, 'B')}, now "
        f"{show(device.memory_bytes, 'B')} (smaller micro-batches, a leaner optimiser, or more devices help too)"
    )


def _fits(candidates: Candidates, factor: float, until_s: float) -> bool | None:
    """Whether there is a pipeline if every device had so many times its memory; None where time does not tell."""
    problem = candidates.problem
    devices = tuple(
        replace(
            d, memory_bytes=factor * d.memory_bytes, installed_bytes=max(d.installed_bytes, factor * d.memory_bytes)
        )
        for d in problem.cluster.devices
    )
    roomy = replace(
        problem, cluster=Cluster(name=problem.cluster.name, devices=devices, network=problem.cluster.network)
    )
    try:
        return _has_a_pipeline(candidates.of(roomy), until_s)
    except (LateError, TooManyStagesError):
        return None


def _has_a_pipeline(candidates: Candidates, until_s: float) -> bool | None:
    """Whether some of these candidates make a whole pipeline; None where time does not tell."""
    columns = candidates.columns
    if not len(columns):
        return False
    shape = Shape(
        layers=candidates.layers,
        positions=candidates.most,
        devices=candidates.devices,
        micro_batches=candidates.problem.workload.micro_batches,
        depths=tuple(candidates.depths),
        phases=False,
    )
    limits = SearchLimits(time_limit_s=until_s - perf_counter(), gap=1.0)  # any choice ends it
    result = BranchAndBound(StageMilp(columns, shape), limits, seconds=lambda choice: 1.0).run()
    return True if result.choice else False if result.proven else None
