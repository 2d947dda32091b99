"""Who shares the network of a simulation? Links that nothing changes, links under a scenario, or a radio channel."""

from collections.abc import Callable

import simpy

from edgesim.cluster import Network, Topology
from edgesim.scenario import Scenario
from edgesim.simulator.air import Air
from edgesim.simulator.changes import ChangingLinks
from edgesim.simulator.fabric import Fabric
from edgesim.simulator.links import SharedLinks


def fabric_of(network: Network, scenario: Scenario, env: simpy.Environment, flown: Callable[[int], None]) -> Fabric:
    """Return the network of one simulation, which calls ``flown`` with a flow's name when its last byte has left."""
    if scenario.bandwidths:
        return ChangingLinks(env, network, flown, scenario)
    return Air(env, network, flown) if network.topology is Topology.RADIO else SharedLinks(env, network, flown)
