"""Where would blocks be divided if all devices were equal? Heads, columns and tokens as even as whole units go."""

from edgesim.plan import Plan
from edgesim.planners.block_division import Ranks, chosen_ranks, has_divisible_blocks, plan_by_weights
from edgesim.planners.problem import Problem


def even_blocks(problem: Problem, *, units: bool, tokens: bool, ranks: Ranks = "all") -> Plan:
    """Return equal shares of heads and columns (``units``), of tokens, or both; the remainder goes to the first ranks.

    This is how Megatron-LM and sequence parallelism divide, among unequal devices too (as baselines of Galaxy,
    arXiv 2405.17245). A rank alone also takes models without attention and MLP, of which it divides nothing. Raises
    PlanError.
    """
    chosen = chosen_ranks(problem, ranks)
    if len(chosen) == 1 and not has_divisible_blocks(problem):
        return problem.alone(planner="even_blocks", rank=chosen[0])
    even = [1] * len(chosen)
    return plan_by_weights(
        problem, planner="even_blocks", ranks=chosen, units=even if units else (), tokens=even if tokens else ()
    )
