"""Where should both phases of fine-tuning with parallel adapters live, provably, and is an activation cache worth it?

PAC (arXiv 2408.10746) plans its first epoch as if there were no others. Here an integer programme decides together: the
pipeline of the first epoch, whether its frozen layers' outputs are cached at all, which devices train the adapters from
the cache in the epochs after it, with how many samples of a micro-batch each, and what each keeps in memory and on
disk. ``search.py`` states the objective, ``cached_phase.py`` and ``redistribution.py`` every assumption.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from time import perf_counter

from edgesim.errors import PlanError
from edgesim.plan import Depth, Plan
from edgesim.planners.device_types import interchangeable
from edgesim.planners.exact.pipelines.explain import why_no_pipeline
from edgesim.planners.exact.pipelines.many_kinds.affordable import searched
from edgesim.planners.exact.pipelines.milp import INF
from edgesim.planners.exact.pipelines.search import SearchOptions
from edgesim.planners.exact.two_phases.cached_phase import CachedPhase, KeptSamples
from edgesim.planners.exact.two_phases.search import CacheSearch, CachingSearch, Incumbent, without_cache
from edgesim.planners.problem import Problem
from edgesim.proof import Objective, Proof, bound_or_none

NAME = "ilp_two_phases"
OF_1F1B = SearchOptions(depth=Depth.ONE_F_ONE_B)


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoPhases:
    """Both phases, with the proof of their seconds together; ``second`` is None where no cache is worth it.

    ``second`` is a plan of ``edgesim.finetuning.cached(model)``. ``predicted_s`` of a plan is of its iterations; an
    epoch has ``iterations``. Every rank that takes part in the second phase has its entry in ``kept``.
    """

    first: Plan
    second: Plan | None
    kept: tuple[KeptSamples, ...]
    redistribution_s: float
    epochs: int
    iterations: int
    proof: Proof

    @property
    def total_s(self) -> float:
        """The seconds of all epochs."""
        first_s = self.first.predicted_s or 0.0
        if self.second is None:
            return self.epochs * self.iterations * first_s
        later_s = (self.epochs - 1) * self.iterations * (self.second.predicted_s or 0.0)
        return self.iterations * first_s + self.redistribution_s + later_s


def ilp_two_phases(
    problem: Problem,
    *,
    samples: int,
    disk_bytes: float | Sequence[float] | None = None,
    depth: Depth = Depth.ONE_F_ONE_B,
    replicas: int | None = None,
    stages: int | None = None,
    time_limit_s: float = 60.0,
    gap: float = 1e-6,
) -> Plan:
    """Return the first phase of :func:`two_phases`; its proof is of both phases together."""
    options = SearchOptions(depth=depth, replicas=replicas, stages=stages, time_limit_s=time_limit_s, gap=gap)
    return two_phases(problem, samples=samples, disk_bytes=disk_bytes, options=options).first


def two_phases(
    problem: Problem,
    *,
    samples: int,
    disk_bytes: float | Sequence[float] | None = None,
    options: SearchOptions = OF_1F1B,
) -> TwoPhases:
    """Return the best pair of phases for ``workload.epochs`` epochs of so many samples, proven within gap or time.

    ``workload.cache`` allows a cache; a single epoch never has one. ``disk_bytes`` is what each rank may keep on disk;
    None: without a limit.

    Raises InfeasibleError if the whole model fits nowhere, naming a device and a number; PlanError for a cache without
    parallel adapters, for inference, and where the workload says itself how many samples stay in memory.
    """
    began_s = perf_counter()
    workload, iterations = problem.workload, _iterations(problem, samples)
    family = options.family(problem, interchangeable(problem.cluster))
    # Phases with a cache have the other half of the time, if the first search needs it all.
    first_s = options.time_limit_s / (2 if workload.cache and workload.epochs > 1 else 1)
    search, result = searched(problem, family, planner=NAME, time_limit_s=first_s, gap=options.gap)
    if not result.choice:
        raise why_no_pipeline(search.candidates, result, until_s=began_s + options.time_limit_s)
    best = without_cache(search, result, workload.epochs * iterations)
    if workload.cache and workload.epochs > 1:
        disks, depth = _disks(problem, disk_bytes), Depth(options.depth)
        phase = CachedPhase(problem=problem, iterations=iterations, disk_bytes=disks, depth=depth)
        deadline_s = began_s + options.time_limit_s
        caching = CacheSearch(phase=phase, epochs=workload.epochs, deadline_s=deadline_s, gap=options.gap)
        caching.improve(best, first_bound_s=result.bound_s)
    return _planned(problem, best, iterations, perf_counter() - began_s)


def _iterations(problem: Problem, samples: int) -> int:
    """Return the iterations of an epoch. Raises PlanError for what this planner is not for."""
    workload = problem.workload
    if samples < 1:
        raise PlanError(f"{NAME}: an epoch has at least one sample, got samples={samples}")
    problem.require_training(NAME, instead="galaxy")
    if workload.cached_in_memory_samples:
        raise PlanError(
            f"{NAME} decides itself how many samples stay in memory, the workload says "
            f"cached_in_memory_samples={workload.cached_in_memory_samples} (leave it at 0)"
        )
    technique = problem.model.hyper.get("technique")
    if workload.cache and technique != "parallel_adapters":
        raise PlanError(
            f"{NAME}: a cache needs parallel adapters, {problem.model.name} has none "
            "(finetuning=parallel_adapters, or workload.cache=false)"
        )
    return ceil(samples / workload.batch_samples)


def _disks(problem: Problem, disk_bytes: float | Sequence[float] | None) -> tuple[float, ...]:
    """Return, [rank], how many bytes may be kept."""
    ranks = len(problem.ranks)
    if disk_bytes is None or isinstance(disk_bytes, int | float):
        disks = (INF if disk_bytes is None else float(disk_bytes),) * ranks
    else:
        disks = tuple(float(nbytes) for nbytes in disk_bytes)
    if len(disks) != ranks or min(disks) < 0:
        raise PlanError(f"{NAME}: disk_bytes must be one number >= 0 or one for each of {ranks} ranks, got {disks}")
    return disks


def _planned(problem: Problem, best: Incumbent, iterations: int, seconds: float) -> TwoPhases:
    """Return the plans of the incumbent, the second one checked; planning took so many seconds."""
    epochs = problem.workload.epochs
    proof = Proof(
        seconds=seconds,
        method="branch and bound over stages and shares",
        value=best.total_s,
        bound=bound_or_none(best.bound_s, best.total_s),
        objective=Objective.JOB_TIME,
        details=f"{epochs} epochs of {iterations} iterations",
        solver=" and ".join(best.solvers),
    )
    first_s = best.search.seconds(best.choice)
    second, kept, redistribution_s = None, tuple[KeptSamples, ...](), 0.0
    if best.to and isinstance(best.search, CachingSearch):
        first_s, redistribution_s = best.search.first_s(best.choice), best.search.redistribution_s(best.choice)
        kept, second = tuple(best.to.kept), _second(best, proof)
    return TwoPhases(
        first=best.search.draft(best.choice, proof=proof, predicted_s=first_s),
        second=second,
        kept=kept,
        redistribution_s=redistribution_s,
        epochs=epochs,
        iterations=iterations,
        proof=proof,
    )


def _second(best: Incumbent, proof: Proof) -> Plan:
    """Return the checked plan of the second phase."""
    assert best.to is not None
    phase = best.to.phase
    problem, first = phase.second, best.search.draft(best.choice)
    plan = replace(
        first,
        model=problem.model.name,
        stages=(phase.stage_of(best.to.shares),),
        proof=proof,
        predicted_s=best.second_s,
        profile_hash=problem.profile.hash,
    )
    return problem.check(plan)
