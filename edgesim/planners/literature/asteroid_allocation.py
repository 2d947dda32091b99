"""Asteroid's algorithm 1 (Ye et al., MobiCom 2024, arXiv 2408.08015): who of a group computes which samples?

Its planner asks of many stages of the same devices, so everything here is a table: [stage, member of the group].
"""

from collections.abc import Callable, Sequence

import numpy as np

from edgesim.planners.cost_models.stage_costs import Layers, StageCosts
from edgesim.planners.cost_models.stage_memory import Floats, Ints

SecondsOf = Callable[[Ints, Ints], Floats]  # of these stages, [stage], with these shares, [stage, member]


def allocate(costs: StageCosts, layers: Layers, ranks: Sequence[int], in_flight: int) -> tuple[int, ...] | None:
    """Return [rank] samples of a micro-batch, at least one each; None where memory does not allow it."""
    total = costs.problem.workload.micro_batch_samples
    if len(ranks) > total:
        return None
    most = np.array([[costs.most_samples(rank, layers, in_flight, len(ranks)) for rank in ranks]])
    if most.min() < 1 or most.sum() < total:
        return None

    def seconds(_: Ints, shares: Ints) -> Floats:
        members = [list(zip(ranks, row.tolist(), strict=True)) for row in shares]
        return np.array([[costs.both_s(rank, layers, share) for rank, share in row] for row in members])

    speeds = np.array([[1 / costs.both_s(rank, layers, total) for rank in ranks]])
    return tuple(allocations(total, speeds, most, seconds)[0].tolist())


def allocations(total: int, speeds: Floats, most: Ints, seconds: SecondsOf) -> Ints:
    """Return [stage, member] samples, where memory allows each member at least one and all of them together enough.

    First by capacity, ``v_d = 1 / Σ (t_f(B) + t_b(B))``, the ``speeds``, and what a device cannot hold to those with
    room, in proportion again; then samples move from the slowest to the fastest with room while the slowest time falls.
    """
    return _moved(_within_memory(total, speeds, most), most, seconds)


def _within_memory(total: int, speeds: Floats, most: Ints) -> Ints:
    """Give one sample to each, and the rest by speed; what a device's memory cannot take is shared out again.

    Each time by largest remainders, as in ``apportion.py``.
    """
    shares = np.ones_like(most)
    while len(open_ := np.flatnonzero(shares.sum(axis=1) < total)):
        left = total - shares[open_].sum(axis=1, keepdims=True)
        room = shares[open_] < most[open_]
        weights = np.where(room, speeds[open_], 0.0)
        exact = left * weights / np.cumsum(weights, axis=1)[:, -1:]  # added up one by one, as Python adds
        wanted = np.floor(exact).astype(np.int64)
        by_remainder = np.argsort(np.where(room, wanted - exact, np.inf), axis=1, kind="stable")
        wanted += np.argsort(by_remainder, axis=1) < left - wanted.sum(axis=1, keepdims=True)
        shares[open_] = np.minimum(shares[open_] + wanted, most[open_])
    return shares


def _moved(shares: Ints, most: Ints, seconds: SecondsOf) -> Ints:
    """Move samples off the slowest member of each stage, one at a time, while its time falls."""
    stages = np.arange(len(shares))
    while len(stages):
        own, at = shares[stages], np.arange(len(stages))
        now_s = seconds(stages, own)
        slowest = np.argmax(now_s, axis=1)
        can_take = own < most[stages]
        can_take[at, slowest] = False
        more_s = np.where(can_take, seconds(stages, own + can_take), np.inf)
        taker = np.argmin(more_s, axis=1)
        moves = (own[at, slowest] > 1) & (more_s[at, taker] < now_s[at, slowest])
        stages, slowest, taker = stages[moves], slowest[moves], taker[moves]
        shares[stages, slowest] -= 1
        shares[stages, taker] += 1
    return shares
