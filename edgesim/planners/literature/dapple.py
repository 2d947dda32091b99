"""DAPPLE's planner (Fan et al., PPoPP 2021, arXiv 2007.01045): where are the stages of a synchronous pipeline?

Every stage is sliced over its replicas. Steps are stages, and the messages between them. The pivot Q is the step with
the fewest bubbles; around it

    L = T_w + T_s + T_e,   T_w = Σ_{i<=Q} F_i,   T_s = (M - 1)(F_Q + B_Q)
    T_e = max over s of AR_s + (Σ_{s<=i<=Q} B_i where s <= Q,  -Σ_{Q<i<s} B_i after Q)

Q starts at the last step; going forward, s takes its place if (M - 1) E_s > (M - 1) E_Q + Σ_{s<i<Q} E_i, E = F + B.

The dynamic programme keeps, for j layers on m devices, the best planned stages; the later layers are one stage on all
other devices, until they are planned too. So whole pipelines are compared, and keeping one per state is what makes it a
heuristic. Replicas slice every micro-batch evenly. The three placements (fresh first, append first, scatter first) say
which devices of which host are taken; with one device per host they are the same: the next ranks in order.

The recurrence and L are recalled; the bounds of the sum after Q are derived. Ours: a state also counts its stages, for
on slow links whatever is planned first looks better the fewer devices are left to synchronise, and long pipelines were
never met; and of all pipelines compared, the fastest that fits in memory is taken.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise, product, takewhile
from math import inf
from time import perf_counter

from edgesim.apportion import even_shares
from edgesim.plan import Depth, Plan
from edgesim.planners.cost_models.asteroid_latency import PipelineStep
from edgesim.planners.cost_models.infeasible import nothing_fits
from edgesim.planners.cost_models.stage_costs import StageCosts
from edgesim.planners.planning_time import require_time
from edgesim.planners.problem import Problem
from edgesim.proof import Objective, Proof


def pivot(steps: Sequence[PipelineStep], micro_batches: int) -> int:
    """Return the place of the step with the fewest bubbles; the last of equals."""
    q, between_s = len(steps) - 1, 0.0
    for s in range(len(steps) - 2, -1, -1):
        if (micro_batches - 1) * (steps[s].both_s - steps[q].both_s) > between_s:
            q, between_s = s, 0.0
        else:
            between_s += steps[s].both_s
    return q


def latency_s(steps: Sequence[PipelineStep], micro_batches: int) -> float:
    """Return the seconds of an iteration: warm-up, steady phase and ending around the pivot."""
    q = pivot(steps, micro_batches)
    warm_up_s = sum(step.forward_s for step in steps[: q + 1])
    steady_s = (micro_batches - 1) * steps[q].both_s
    ending_s = max(
        step.all_reduce_s
        + sum(later.backward_s for later in steps[s : q + 1])
        - sum(between.backward_s for between in steps[q + 1 : s])
        for s, step in enumerate(steps)
    )
    return warm_up_s + steady_s + ending_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """The first stages of a pipeline: cuts, groups of ranks, and steps, the messages between the stages included."""

    cuts: tuple[int, ...] = (0,)
    groups: tuple[tuple[int, ...], ...] = ()
    steps: tuple[PipelineStep, ...] = ()

    @property
    def devices(self) -> int:
        """How many devices the stages take."""
        return sum(len(group) for group in self.groups)


class SlicedCosts(StageCosts):
    """The costs of stages whose ranks slice every micro-batch evenly, each computed once."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.sliced, self.between = cache(self._sliced), cache(self.message)

    def _sliced(self, start: int, stop: int, ranks: tuple[int, ...]) -> PipelineStep:
        return self.stage((start, stop), ranks, self.slices(ranks))

    def slices(self, ranks: Sequence[int]) -> tuple[int, ...]:
        """Return [rank] samples; some ranks have none where there are more replicas than samples."""
        return even_shares(self.problem.workload.micro_batch_samples, len(ranks))


def dapple(problem: Problem, *, time_limit_s: float | None = None) -> Plan:
    """Return the fastest pipeline compared that fits, on all devices. Raises PlanError and InfeasibleError.

    With a time limit it is the fastest of those compared until then: the programme looks at all devices that each
    further stage could have, so 64 devices take minutes.
    """
    problem.require_training("dapple", instead="pipeedge or prima")
    problem.let_all_work("dapple")
    costs = SlicedCosts(problem)
    until_s = inf if time_limit_s is None else perf_counter() + time_limit_s
    compared = list(takewhile(lambda _: perf_counter() < until_s, _compared(costs)))
    method = f"dapple, the first {len(compared)} pipelines" if perf_counter() >= until_s else "dapple"
    compared.sort(key=lambda entry: entry[0])  # the first of equals stays first
    fastest = next((entry for entry in compared if _fits(costs, entry[1])), None)
    if fastest is None:
        raise nothing_fits(costs, f"pipeline of all {len(problem.ranks)} devices in rank order, sliced evenly,")
    best_s, best = fastest
    proof = Proof(method=method, objective=Objective.PIPELINE_LATENCY, value=best_s)
    plan = problem.plan(
        planner="dapple",
        stages=problem.stages(
            cuts=best.cuts,
            groups=best.groups,
            samples=[costs.slices(group) for group in best.groups],
            depth=Depth.ONE_F_ONE_B,
        ),
        proof=proof,
        predicted_s=best_s,
    )
    return plan


def _compared(costs: SlicedCosts) -> Iterator[tuple[float, Pipeline]]:
    """Yield the whole pipelines that the programme compares, and their seconds; it extends the first of the fastest."""
    L, N = len(costs.problem.model.layers), len(costs.problem.ranks)
    states = {(0, 0): Pipeline()}  # by layers and devices, of so many stages
    yield _completed(costs, Pipeline())
    while states:
        longer: dict[tuple[int, int], tuple[float, Pipeline]] = {}
        for (j, m), planned in sorted(states.items()):
            require_time("dapple")
            for stop, taken in product(range(j + 1, L), range(m + 1, N)):
                further = _with_stage(costs, planned, stop, taken)
                seconds, whole = _completed(costs, further)
                yield seconds, whole
                if seconds < longer.get((stop, taken), (inf, further))[0]:
                    longer[stop, taken] = seconds, further
        states = {state: pipeline for state, (_, pipeline) in longer.items()}


def _completed(costs: SlicedCosts, planned: Pipeline) -> tuple[float, Pipeline]:
    """Return the pipeline whose last stage is all that is not planned yet, and its seconds."""
    whole = _with_stage(costs, planned, len(costs.problem.model.layers), len(costs.problem.ranks))
    return latency_s(whole.steps, costs.problem.workload.micro_batches), whole


def _with_stage(costs: SlicedCosts, planned: Pipeline, stop: int, taken: int) -> Pipeline:
    """Return the pipeline with one stage more: the layers up to ``stop``, on the ranks below ``taken``."""
    start, ranks = planned.cuts[-1], tuple(range(planned.devices, taken))
    message = (costs.between(start, planned.groups[-1], ranks),) if planned.groups else ()
    return Pipeline(
        cuts=(*planned.cuts, stop),
        groups=(*planned.groups, ranks),
        steps=(*planned.steps, *message, costs.sliced(start, stop, ranks)),
    )


def _fits(costs: SlicedCosts, pipeline: Pipeline) -> bool:
    """Whether every device gets a sample and can hold its slice of the stage, with 1F1B's micro-batches in flight."""
    stages = list(zip(pairwise(pipeline.cuts), pipeline.groups, strict=True))
    most = costs.problem.workload.micro_batch_samples
    return all(
        len(ranks) <= most and costs.all_fit(ranks, layers, costs.slices(ranks), len(stages) - p)
        for p, (layers, ranks) in enumerate(stages)
    )
