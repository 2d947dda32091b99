"""What does a scenario do to the nodes of a schedule? Jitter changes what is computed, slow-downs how fast it goes.

And links change the rates of flows. Both who plays events and who looks for the longest path go by this.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim.cluster import Network
from edgesim.scenario import Scenario
from edgesim.scenario.paces import Pace
from edgesim.schedule import COMPUTE, Graph
from edgesim.simulator.node_costs import NodeCosts
from edgesim.simulator.rates import Rates

AT_FULL_SPEED = Scenario().speeds(0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Disturbance:
    """What happens to nodes; nothing, unless it says so.

    Attributes:
        factors: [node] of the seconds that it computes.
        speeds: [kind] of computations on ranks that are slowed down.
        rates: of flows, where bandwidths change.
    """

    factors: NDArray[np.float64] | None = None
    speeds: dict[int, Pace] = field(default_factory=dict)
    rates: Rates | None = None


UNDISTURBED = Disturbance()


def disturbance_of(graph: Graph, costs: NodeCosts, network: Network, scenario: Scenario) -> Disturbance:
    """Return what a scenario does to these nodes. Raises ValueError for slow-downs that leave nothing."""
    if not scenario.events:
        return UNDISTURBED
    kinds = graph.columns.kinds
    computed = [kind for kind in costs.seconds if kinds[kind].op in COMPUTE]
    speeds = {kind: scenario.speeds(kinds[kind].rank) for kind in computed}
    return Disturbance(
        factors=_jittered(graph, costs, computed, scenario),
        speeds={kind: mine for kind, mine in speeds.items() if mine != AT_FULL_SPEED},
        rates=Rates(scenario, network) if scenario.bandwidths else None,
    )


def _jittered(graph: Graph, costs: NodeCosts, computed: list[int], scenario: Scenario) -> NDArray[np.float64] | None:
    if (jitter := scenario.jitter) is None:
        return None
    factors = np.ones(len(costs.kind))
    names = graph.columns.names()
    nodes = np.flatnonzero(np.isin(costs.kind, computed))
    for node, task in zip(nodes.tolist(), graph.member_tasks[graph.member_starts[nodes]].tolist(), strict=True):
        factors[node] = jitter.factor(scenario.seed, scenario.iteration, names[task])
    return factors


def by_kind(values: dict[int, Any], costs: NodeCosts) -> NDArray[np.object_]:
    """Return [node] the value of its kind, or None."""
    table = np.full(costs.kind.max(initial=-1) + 1, None, dtype=object)
    for kind, value in values.items():
        table[kind] = value
    return table[costs.kind]
