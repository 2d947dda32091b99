"""Who lacks how much memory, if no division fits? The least memory that would have to be added, and where."""

from collections.abc import Sequence

import pulp

from edgesim.plan import OUT_OF_MEMORY
from edgesim.planners.exact.blocks.memory_rows import Amounts, budget_bytes, held_at, memory_rows, share_of
from edgesim.planners.problem import Problem
from edgesim.planners.solvers.race import solve
from edgesim.units import show

_MEGA = 1e6
_TIME_LIMIT_S = 10.0


def shortage(problem: Problem, members: Sequence[int], totals: Amounts, units: Amounts) -> str:
    """What an InfeasibleError says: a device, how much it lacks, and what would do.

    Rows of memory are made elastic, and what is added to all devices in all is minimised, for all members at work.
    """
    most = min(total // units[by] for by, total in totals.items())
    roomy = sorted(members, key=lambda rank: (-budget_bytes(problem, rank), rank))
    members = tuple(sorted(roomy[:most]))  # of more than can have one of everything, those with most room
    lacking = lacking_bytes(problem, members, totals, units)
    rank = max(lacking, key=lambda r: (lacking[r], -r))
    device, room = problem.cluster.devices[rank], budget_bytes(problem, rank)
    rest = sorted(((lacks, r) for r, lacks in lacking.items() if r != rank and lacks > 0), reverse=True)
    others = ", ".join(f"rank {r} {show(lacks, 'B')}" for lacks, r in rest[:3]) + ", ..." * (len(rest) > 3)
    beside = f" (and {others})" if others else ""
    return (
        f"{OUT_OF_MEMORY}: no division among ranks {tuple(members)} fits; with the least added in all, rank {rank} "
        f"({device.name}) lacks {show(max(lacking[rank], 1.0), 'B')} beside the {show(max(room, 0.0), 'B')} that it "
        f"has for the model{beside} (give it that much more, add devices, or take a smaller model)"
    )


def lacking_bytes(problem: Problem, members: Sequence[int], totals: Amounts, units: Amounts) -> dict[int, float]:
    """[rank] bytes to be added, so that all members together can hold everything; the least in all.

    Rows choose the division, to a few bytes; what it lacks is exact.
    """
    n = len(members)
    elastic = pulp.LpProblem("shortage", pulp.LpMinimize)
    added = {rank: elastic.add_variable(f"added_{rank:03d}", lowBound=0) for rank in members}
    amounts = {
        rank: {
            by: elastic.add_variable(
                f"{by}_{rank:03d}", lowBound=1, upBound=total // units[by] - n + 1, cat=pulp.LpInteger
            )
            for by, total in totals.items()
        }
        for rank in members
    }
    elastic += pulp.lpSum(added.values())
    for by, total in totals.items():
        elastic += pulp.lpSum(amounts[rank][by] for rank in members) == total // units[by]
    for rank in members:
        for row in memory_rows(problem, totals, ranks=n):
            need = pulp.lpSum(each * units[by] / _MEGA * amounts[rank][by] for by, each in row.each_bytes)
            elastic += need + row.base_bytes / _MEGA - added[rank] <= budget_bytes(problem, rank) / _MEGA
    result = solve(elastic, time_limit_s=_TIME_LIMIT_S, gap=1e-4)
    lacking: dict[int, float] = {}
    for rank in members:
        share = {by: units[by] * round(result.values[variable.name]) for by, variable in amounts[rank].items()}
        held = held_at(problem, share_of(totals, share), ranks=n, context_bytes=0.0)
        lacking[rank] = max(held.total_bytes - budget_bytes(problem, rank), 0.0)
    return lacking
