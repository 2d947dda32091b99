"""Why does no division of blocks fit? Which device lacks how much memory, if as little as possible is added in all."""

from collections.abc import Sequence

import pulp

from edgesim.errors import NothingFitsError
from edgesim.planners.exact.blocks.memory_rows import Divisible, budget_bytes, held_at, memory_rows, share_of
from edgesim.planners.problem import Problem
from edgesim.planners.solvers.race import solve
from edgesim.units import show

_MEGA = 1e6
_TIME_LIMIT_S = 10.0  # where nobody says when


def shortage(
    problem: Problem, members: Sequence[int], division: Divisible, *, time_limit_s: float = _TIME_LIMIT_S
) -> NothingFitsError:
    """Return the error to raise, which names a device, how much it lacks, and what would be enough.

    Rows of memory are made elastic, and the sum of what is added to the devices is minimised, all members working.
    """
    roomy = sorted(members, key=lambda rank: (-budget_bytes(problem, rank), rank))
    members = tuple(sorted(roomy[: division.most_ranks]))  # where some would get nothing: those with most room
    lacking = lacking_bytes(problem, members, division, time_limit_s=time_limit_s)
    if not lacking:
        return NothingFitsError(
            f"no division among ranks {tuple(members)} fits; there was no time to find out who lacks how much memory "
            "(raise time_limit_s to know; add devices, or take a smaller model)"
        )
    rank = max(lacking, key=lambda r: (lacking[r], -r))
    device, room = problem.cluster.devices[rank], budget_bytes(problem, rank)
    rest = sorted(((lacks, r) for r, lacks in lacking.items() if r != rank and lacks > 0), reverse=True)
    others = ", ".join(f"rank {r} {show(lacks, 'B')}" for lacks, r in rest[:3]) + ", ..." * (len(rest) > 3)
    beside = f" (and {others})" if others else ""
    return NothingFitsError(
        f"no division among ranks {tuple(members)} fits; with the least added in all, rank {rank} "
        f"({device.name}) lacks {show(max(lacking[rank], 1.0), 'B')} beside the {show(max(room, 0.0), 'B')} that it "
        f"has for the model{beside} (give it that much more, add devices, or take a smaller model)"
    )


def lacking_bytes(
    problem: Problem, members: Sequence[int], division: Divisible, *, time_limit_s: float = _TIME_LIMIT_S
) -> dict[int, float]:
    """Return by rank the bytes to add, so that all members together can hold everything; their sum is the least.

    Rows choose the division, to a few bytes; what each rank lacks for it is exact. Empty if time was too short.
    """
    n, totals, multiples = len(members), division.totals, division.multiples
    elastic = pulp.LpProblem("shortage", pulp.LpMinimize)
    added = {rank: elastic.add_variable(f"added_{rank:03d}", lowBound=0) for rank in members}
    amounts = {
        rank: {
            by: elastic.add_variable(
                f"{by}_{rank:03d}", lowBound=1, upBound=total // multiples[by] - n + 1, cat=pulp.LpInteger
            )
            for by, total in totals.items()
        }
        for rank in members
    }
    elastic += pulp.lpSum(added.values())
    for by, total in totals.items():
        elastic += pulp.lpSum(amounts[rank][by] for rank in members) == total // multiples[by]
    for rank in members:
        for row in memory_rows(problem, totals, ranks=n):
            need = pulp.lpSum(each * multiples[by] / _MEGA * amounts[rank][by] for by, each in row.each_bytes)
            elastic += need + row.base_bytes / _MEGA - added[rank] <= budget_bytes(problem, rank) / _MEGA
    result = solve(elastic, time_limit_s=time_limit_s, gap=1e-4)
    if not result.values:
        return {}
    lacking: dict[int, float] = {}
    for rank in members:
        share = {by: multiples[by] * round(result.values[variable.name]) for by, variable in amounts[rank].items()}
        held = held_at(problem, share_of(totals, share), ranks=n, context_bytes=0.0)
        lacking[rank] = max(held.total_bytes - budget_bytes(problem, rank), 0.0)
    return lacking
