"""Megatron-LM's tensor parallelism (Shoeybi et al., 2019, arXiv 1909.08053): heads and columns in equal shares."""

from edgesim.plan import Plan
from edgesim.planners.baselines.even_blocks import even_blocks
from edgesim.planners.block_division import Ranks
from edgesim.planners.problem import Problem, in_the_name_of
from edgesim.proof import Objective


def megatron(problem: Problem, *, ranks: Ranks = "all") -> Plan:
    """Return equal shares of heads and columns, for ``tensor``, whatever the devices. Raises PlanError."""
    plan = even_blocks(problem, units=True, tokens=False, ranks=ranks)
    most = max(plan.stages[0].columns)
    return in_the_name_of("megatron", plan, objective=Objective.COLUMNS_OF_A_RANK, value=most)
