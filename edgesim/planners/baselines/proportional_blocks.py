"""Where would blocks be divided if only compute counted? Heads and columns by speed, tokens by speed or equally."""

from typing import Literal

from edgesim.errors import PlanError
from edgesim.plan import Plan
from edgesim.planners.block_division import Ranks, capacities, chosen_ranks, plan_by_weights
from edgesim.planners.problem import Problem


def proportional_blocks(
    problem: Problem,
    *,
    units: bool,
    tokens: bool,
    connective_tokens: Literal["equal", "proportional"],
    ranks: Ranks = "all",
) -> Plan:
    """Return heads and columns (``units``) in proportion to capacity, V_d (Galaxy, arXiv 2405.17245, step 1).

    Tokens are divided so too, where only tokens are divided. Where both are, the rest of a layer is its connective
    blocks: their tokens are divided as ``connective_tokens`` says, equally in Galaxy (step 3). Its second step, moving
    shares off devices without memory, is not taken: what does not fit is refused. Raises PlanError.
    """
    if connective_tokens not in ("equal", "proportional"):
        raise PlanError(f"unknown connective_tokens {connective_tokens!r} (try 'equal' or 'proportional')")
    chosen = chosen_ranks(problem, ranks)
    by_speed = capacities(problem, chosen)
    equal = units and connective_tokens == "equal"
    return plan_by_weights(
        problem,
        planner="proportional_blocks",
        ranks=chosen,
        units=by_speed if units else (),
        tokens=([1] * len(chosen) if equal else by_speed) if tokens else (),
    )
