"""What is the problem of those who are there? The same on a smaller cluster, whose ranks are counted anew."""

from collections.abc import Sequence
from dataclasses import replace

from edgesim.cluster import Cluster, Network, Topology
from edgesim.plan import Plan
from edgesim.planners.problem import Planner, Problem, ask


def planned_among(planner: Planner, problem: Problem, ranks: Sequence[int]) -> Plan:
    """Return the plan that a planner makes for some ranks alone, by the ranks that they have in the whole cluster."""
    plan = ask(planner, among(problem, ranks))
    stages = tuple(replace(stage, ranks=tuple(ranks[rank] for rank in stage.ranks)) for stage in plan.stages)
    return problem.check(replace(plan, stages=stages))


def among(problem: Problem, ranks: Sequence[int]) -> Problem:
    """Return the problem of some ranks alone, which are 0, 1, 2 ... in it."""
    whole = problem.cluster
    cluster = Cluster(
        name=f"{whole.name} (ranks {', '.join(map(str, ranks))})",
        devices=tuple(whole.devices[rank] for rank in ranks),
        network=_between(whole.network, ranks),
    )
    return replace(problem, cluster=cluster)


def _between(network: Network, ranks: Sequence[int]) -> Network:
    rows = ranks if network.topology is not Topology.SWITCHED else range(len(network.bytes_per_s))
    return replace(
        network,
        bytes_per_s=tuple(tuple(network.bytes_per_s[row][rank] for rank in ranks) for row in rows),
        latency_s=tuple(tuple(network.latency_s[a][b] for b in ranks) for a in ranks),
    )
