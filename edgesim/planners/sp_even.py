"""Where would sequence parallelism divide tokens? In equal shares (Li et al., ACL 2023, arXiv 2105.13120)."""

from edgesim.plan import Plan
from edgesim.planners import Problem, in_the_name_of
from edgesim.planners.divided import Ranks
from edgesim.planners.even_blocks import even_blocks


def sp_even(problem: Problem, *, ranks: Ranks = "all") -> Plan:
    """Equal shares of tokens, for ``sequence``, whatever the devices. Raises PlanError."""
    plan = even_blocks(problem, units=False, tokens=True, ranks=ranks)
    most = max(plan.stages[0].tokens)
    return in_the_name_of("sp_even", plan, objective="tokens of the rank with most", value=most)
