"""Asteroid's algorithm 1 (Ye et al., MobiCom 2024, arXiv 2408.08015): who of a group computes which samples?"""

from collections.abc import Sequence

from edgesim.apportion import largest_remainder
from edgesim.planners.cost_models.stage_costs import Layers, StageCosts
from edgesim.planners.partitioning import move_from_stragglers


def allocate(costs: StageCosts, layers: Layers, ranks: Sequence[int], in_flight: int) -> tuple[int, ...] | None:
    """Return [rank] samples of a micro-batch, at least one each; None where memory does not allow it.

    First by capacity, ``v_d = 1 / Σ (t_f(B) + t_b(B))``, and what a device cannot hold to those with room, in
    proportion again; then samples move from the slowest to the fastest with room while the slowest time falls.
    """
    total = costs.problem.workload.micro_batch_samples
    if len(ranks) > total:
        return None
    most = [costs.most_samples(rank, layers, in_flight, len(ranks)) for rank in ranks]
    if min(most) < 1 or sum(most) < total:
        return None
    speeds = [1 / costs.both_s(rank, layers, total) for rank in ranks]
    return move_from_stragglers(
        _within_memory(total, speeds, most), lambda i, share: costs.both_s(ranks[i], layers, share), most
    )


def _within_memory(total: int, speeds: Sequence[float], most: Sequence[int]) -> list[int]:
    """Give one sample to each, and the rest by speed; what a device's memory cannot take is shared out again."""
    shares = [1] * len(speeds)
    while left := total - sum(shares):
        room = [i for i in range(len(shares)) if shares[i] < most[i]]
        wanted = largest_remainder(left, [speeds[i] for i in room])
        for i, more in zip(room, wanted, strict=True):
            shares[i] = min(shares[i] + more, most[i])
    return shares
