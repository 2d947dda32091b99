"""Who may work together, and around which ring? All of them, or every number of them where devices may stay out."""

from collections.abc import Iterator, Sequence
from itertools import combinations

from edgesim.cluster import Network, Topology
from edgesim.errors import PlanError
from edgesim.planners.cost_models.block_time import ring
from edgesim.planners.exact.blocks.tables import Team
from edgesim.planners.problem import Problem

_MOST_RANKS = 10  # whose subsets are all tried, where links may all differ


def teams(problem: Problem, ranks: Sequence[int], *, leave_out: bool, most: int) -> list[Team]:
    """Return teams of at most ``most`` ranks that include the best one. Raises PlanError if there are too many subsets.

    Where links are alike it does not matter who works, only how many. Behind a switch the slowest NIC sets the pace:
    one team for each pace and number. Otherwise all subsets are tried.
    """
    network = problem.cluster.network
    if not leave_out:
        return [Team(members=tuple(ranks), size=len(ranks), ring=ring(network, ranks))]
    if alike(network, ranks):
        return [
            Team(members=tuple(ranks), size=size, ring=ring(network, ranks[:size]))
            for size in range(1, min(most, len(ranks)) + 1)
        ]
    if network.topology is Topology.SWITCHED and _even_latency(network, ranks):
        return list(_by_pace(network, ranks, most))
    if len(ranks) > _MOST_RANKS:
        raise PlanError(
            f"{len(ranks)} ranks on links of unequal rates or latencies make too many rings to leave some out: at most "
            f"{_MOST_RANKS} (name fewer ranks, or say leave_out=false)"
        )
    return [
        Team(members=chosen, size=size, ring=ring(network, chosen))
        for size in range(1, min(most, len(ranks)) + 1)
        for chosen in combinations(ranks, size)
    ]


def _by_pace(network: Network, ranks: Sequence[int], most: int) -> Iterator[Team]:
    """Yield, for every rate that the slowest NIC can have, teams of the ranks that are at least as fast."""
    rate = {rank: min(rates[rank] for rates in network.bytes_per_s) for rank in ranks}
    for slowest in sorted(set(rate.values()), reverse=True):
        members = tuple(rank for rank in ranks if rate[rank] >= slowest)
        slow_first = sorted(members, key=lambda rank: (rate[rank], rank))
        # A rank alone sends nothing: it is of the team of all.
        for size in range(1 if len(members) == len(ranks) else 2, min(most, len(members)) + 1):
            yield Team(members=members, size=size, ring=ring(network, slow_first[:size]))


def _even_latency(network: Network, ranks: Sequence[int]) -> bool:
    return len({network.latency_s[a][b] for a in ranks for b in ranks if a != b}) <= 1


def alike(network: Network, ranks: Sequence[int]) -> bool:
    """Return whether all links among the ranks have the same rates and latencies."""
    rates = {tuple(s for _, s in network.hops(a, b)) for a in ranks for b in ranks if a != b}
    return len(rates) <= 1 and _even_latency(network, ranks)


def equal_pairs(problem: Problem, team: Team) -> list[tuple[int, int]]:
    """Return pairs of members that could change places, each with the one before it: equal devices on equal links."""
    network, devices = problem.cluster.network, problem.cluster.devices
    all_alike = alike(network, team.members)
    pairs: list[tuple[int, int]] = []
    for i, rank in enumerate(team.members):
        for before in reversed(team.members[:i]):
            if devices[before] == devices[rank] and (all_alike or _same_card(network, team.members, before, rank)):
                pairs.append((before, rank))
                break
    return pairs


def _same_card(network: Network, ranks: Sequence[int], a: int, b: int) -> bool:
    """Return whether two ranks have equal network cards behind a switch."""
    switched = network.topology is Topology.SWITCHED and _even_latency(network, ranks)
    return switched and all(rates[a] == rates[b] for rates in network.bytes_per_s)
