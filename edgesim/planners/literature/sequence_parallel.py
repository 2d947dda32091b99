"""Sequence parallelism's division (Li et al., ACL 2023, arXiv 2105.13120): tokens in equal shares."""

from edgesim.plan import Plan
from edgesim.planners.baselines.even_blocks import even_blocks
from edgesim.planners.block_division import Ranks
from edgesim.planners.problem import Problem, in_the_name_of
from edgesim.proof import Objective


def sequence_parallel(problem: Problem, *, ranks: Ranks = "all") -> Plan:
    """Return equal shares of tokens, for ``sequence``, whatever the devices. Raises PlanError."""
    plan = even_blocks(problem, units=False, tokens=True, ranks=ranks)
    most = max(plan.stages[0].tokens)
    return in_the_name_of("sequence_parallel", plan, objective=Objective.TOKENS_OF_A_RANK, value=most)
