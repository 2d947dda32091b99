"""Where do layers go when the surviving stages keep their order? Asteroid's lightweight replay (arXiv 2408.08015).

Where every stage has a rank left, layers stay where they are, and a stage that has lost a replica shares its samples
anew. Where a stage is gone, all layers are divided among the stages that are left, in proportion to what they compute:

    minimise the largest  FLOP of stage p's layers / capacity of p,    capacity = Σ over its ranks of FLOP / seconds

with the whole model's FLOP and seconds, so that no stage needs to be profiled anew. Ranks must have memory for it. If
messages count, what enters stage p takes its seconds as well, and the larger of the two is that of the stage. Of
divisions that are as good, or within a share of the best, the one is taken of which ranks lack the fewest bytes.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from math import inf

from edgesim.cluster import Topology
from edgesim.errors import InfeasibleError, PlanError
from edgesim.job import Held
from edgesim.memory import carried_bytes
from edgesim.plan import Plan, Stage, in_flight, trained_ties
from edgesim.planners.cost_models.infeasible import nothing_fits
from edgesim.planners.cost_models.pipeline_time import iteration_s
from edgesim.planners.cost_models.stage_costs import StageCosts
from edgesim.planners.literature.asteroid_allocation import allocate
from edgesim.planners.partitioning import cheapest_cuts, fastest_cuts
from edgesim.recovery.training_setup import TrainingSetup

NAME = "lightweight"
Groups = Sequence[Sequence[int]]  # [stage] its ranks


@dataclass(frozen=True, slots=True, kw_only=True)
class MovesLeast:
    """What ranks hold in the version to which all go back, and how much slower a stage may be so that less moves.

    Attributes:
        within: as a share of the slowest stage's seconds at best; 0: as published, the best division by FLOP.
    """

    held: Held
    version: int
    within: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.within < inf:
            raise ValueError(f"within must be a share >= 0 of the slowest stage's seconds, got {self.within}")


NOTHING_HELD = MovesLeast(held=Held(), version=0)


def replayed(setup: TrainingSetup, old: Plan, there: Collection[int], holdings: MovesLeast = NOTHING_HELD) -> Plan:
    """Return the old plan without the ranks that are not there. Raises InfeasibleError where the rest cannot do it."""
    groups = [[rank for rank in stage.ranks if rank in there] for stage in old.stages]
    if all(groups) and (plan := shared_anew(setup, old, groups)) is not None:
        return plan
    if not any(groups):
        raise InfeasibleError(f"no rank of the plan is left: {old} (reschedule on other ranks: heavy)")
    return divided_anew(setup, [group for group in groups if group], holdings)


def shared_anew(setup: TrainingSetup, old: Plan, groups: Groups) -> Plan | None:
    """Return the old stages with these ranks, whose samples are shared anew where ranks changed; None: memory."""
    costs, stages = setup.costs, list[Stage]()
    for stage, group in zip(old.stages, groups, strict=True):
        same = tuple(group) == stage.ranks
        shares = stage.samples if same else allocate(costs, stage.layers, group, stage.in_flight)
        if shares is None:
            return None
        anew = Stage(layers=stage.layers, ranks=tuple(group), samples=shares, in_flight=stage.in_flight)
        stages.append(replace(anew, recompute=stage.recompute))
    return _checked(setup, stages)


def divided_anew(setup: TrainingSetup, groups: Groups, holdings: MovesLeast = NOTHING_HELD) -> Plan:
    """Return the plan of these stages, in this order, whose layers are in proportion to what they compute."""
    problem, count, layers = setup.problem, len(groups), len(setup.problem.model.layers)
    if count > layers:
        raise InfeasibleError(f"{count} stages need as many layers, {problem.model.name} has {layers} (leave some out)")
    costs, flop, micro_batches = setup.costs, _flop_before(setup), problem.workload.micro_batches
    capacity = [sum(_capacity(costs, rank, flop[-1]) for rank in group) for group in groups]
    ties, counts = trained_ties(problem.model, problem.workload), setup.counts_messages

    def seconds(p: int, start: int, stop: int) -> float:
        computed_s = (flop[stop] - flop[start]) / capacity[p]
        return max(computed_s, _message_s(costs, start, *groups[p - 1 : p + 1])) if p and counts else computed_s

    depths = [in_flight(setup.depth, stage=p, stages=count, micro_batches=micro_batches) for p in range(count)]

    def fits(p: int, start: int, stop: int) -> bool:
        together = all((start <= one < stop) == (start <= other < stop) for one, other in ties)
        return together and _has_memory(costs, (start, stop), groups[p], depths[p])

    if not (cuts := fastest_cuts(layers, count, seconds, fits)):
        names = " | ".join(",".join(map(str, group)) for group in groups)
        raise nothing_fits(costs, f"pipeline of ranks {names}")
    slowest_s = max(seconds(p, *cut) for p, cut in enumerate(pairwise(cuts)))
    lacked, at_most_s = _bytes_lacked_before(setup, groups, holdings), slowest_s * (1 + holdings.within)
    cuts = cheapest_cuts(
        layers,
        count,
        lambda p, start, stop: lacked[p][stop] - lacked[p][start],
        lambda p, start, stop: seconds(p, start, stop) <= at_most_s and fits(p, start, stop),
    )
    samples = [allocate(costs, cut, groups[p], depths[p]) or () for p, cut in enumerate(pairwise(cuts))]
    return _checked(setup, problem.stages(cuts=cuts, groups=groups, samples=samples, depth=setup.depth))


def _message_s(costs: StageCosts, boundary: int, before: Sequence[int], after: Sequence[int]) -> float:
    """What a micro-batch takes over a boundary and back, at once where directions are apart."""
    step = costs.message(boundary, before, after)
    shared = costs.problem.cluster.network.topology is Topology.RADIO
    return step.both_s if shared else max(step.forward_s, step.backward_s)


def _has_memory(costs: StageCosts, layers: tuple[int, int], group: Sequence[int], depth: int) -> bool:
    """Whether the group can hold these layers with all samples of a micro-batch, each rank at least one."""
    total, replicas = costs.problem.workload.micro_batch_samples, len(group)
    if replicas == 1:
        return costs.fits(group[0], layers, total, depth, 1)
    most = [costs.most_samples(rank, layers, depth, replicas) for rank in group]
    return replicas <= total and min(most) >= 1 and sum(most) >= total


def _bytes_lacked_before(setup: TrainingSetup, groups: Groups, holdings: MovesLeast) -> list[list[float]]:
    """[stage, layer] the bytes of all layers before it that ranks of the stage lack; of version 0 nobody does."""
    held, version, workload = holdings.held, holdings.version, setup.problem.workload
    layers = setup.problem.model.layers
    holders = [held.holders(layer, version) for layer in range(len(layers))] if version else []
    lacked = [
        [
            carried_bytes(layer, workload) * sum(rank not in having for rank in group)
            for layer, having in zip(layers, holders, strict=True)
        ]
        if version
        else [0.0] * len(layers)
        for group in groups
    ]
    return [list(accumulate(each, initial=0.0)) for each in lacked]


def _flop_before(setup: TrainingSetup) -> list[float]:
    """[layer] FLOP of a micro-batch there and back, of all layers before it."""
    workload = setup.problem.workload
    asked = workload.micro_batch_samples, workload.tokens
    layers = setup.problem.model.layers
    return list(accumulate((layer.forward_flop(*asked) + layer.backward_flop(*asked) for layer in layers), initial=0.0))


def _capacity(costs: StageCosts, rank: int, flop: float) -> float:
    """FLOP per second that a rank reaches with the whole model."""
    problem = costs.problem
    seconds = costs.both_s(rank, (0, len(problem.model.layers)), problem.workload.micro_batch_samples)
    if not (seconds > 0 and flop > 0):
        name = problem.cluster.devices[rank].name
        raise PlanError(
            f"{problem.model.name} has {flop:g} FLOP and takes rank {rank} ({name}) {seconds:g} s: a capacity needs "
            "both (profile anew)"
        )
    return flop / seconds


def _checked(setup: TrainingSetup, stages: Sequence[Stage]) -> Plan:
    plan = setup.problem.plan(planner=NAME, stages=stages)
    predicted_s = iteration_s(setup.problem, plan, setup.costs)
    return setup.problem.check(setup.problem.plan(planner=NAME, stages=stages, predicted_s=predicted_s))
