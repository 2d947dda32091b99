"""What is the plan that you spell out? Its groups, cuts and shares: for plans by hand and for searches."""

from collections.abc import Sequence

from edgesim.apportion import even_shares
from edgesim.errors import PlanError
from edgesim.plan import Depth, Plan
from edgesim.planners.partitioning import even_cuts
from edgesim.planners.problem import Groups, Problem
from edgesim.planners.recomputation import Recompute, recomputed


def manual(
    problem: Problem,
    *,
    groups: Groups,
    depth: Depth,
    cuts: Sequence[int] | None = None,
    samples: Sequence[Sequence[int]] | None = None,
    recompute: Recompute = "never",
) -> Plan:
    """Return the plan of these cuts and shares of a micro-batch; None: even ones.

    Stages recompute activations as :func:`edgesim.planners.recomputation.recomputed` says. Raises PlanError.
    """
    formed = problem.group(groups)
    if cuts is not None and len(cuts) != len(formed) + 1:
        raise PlanError(f"{len(formed)} stages lie between {len(formed) + 1} cuts, got {list(cuts)}")
    if samples is not None and [len(shares) for shares in samples] != [len(group) for group in formed]:
        raise PlanError(f"groups {formed} need a share for each rank, got {[list(shares) for shares in samples]}")
    micro_batch_samples = problem.workload.micro_batch_samples
    plan = problem.plan(
        planner="manual",
        stages=problem.stages(
            cuts=cuts or even_cuts(len(problem.model.layers), len(formed)),
            groups=formed,
            samples=samples or [even_shares(micro_batch_samples, len(group)) for group in formed],
            depth=depth,
        ),
    )
    return recomputed(problem, plan, recompute)
