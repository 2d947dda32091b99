"""Where should a model live if all devices were equal? Layers and samples shared evenly: the baseline to beat."""

from edgesim.apportion import even_shares
from edgesim.plan import Depth, Plan
from edgesim.planners.partitioning import even_cuts
from edgesim.planners.problem import Groups, Problem
from edgesim.planners.recomputation import Recompute, recomputed


def even(problem: Problem, *, groups: Groups, depth: Depth, recompute: Recompute = "never") -> Plan:
    """Return equal numbers of layers per stage and samples per rank, the remainder to the first.

    Stages recompute activations as :func:`edgesim.planners.recomputation.recomputed` says. Raises PlanError.
    """
    formed = problem.group(groups)
    plan = problem.plan(
        planner="even",
        stages=problem.stages(
            cuts=even_cuts(len(problem.model.layers), len(formed)),
            groups=formed,
            samples=[even_shares(problem.workload.micro_batch_samples, len(group)) for group in formed],
            depth=depth,
        ),
    )
    return recomputed(problem, plan, recompute)
