"""Who shares the network of a simulation? Links that nothing changes, links under a scenario, or a radio channel."""

from collections.abc import Callable

import simpy

from edgesim.cluster import Topology
from edgesim.simulator.network.air import Air
from edgesim.simulator.network.changes import ChangingLinks, ChangingRoutes
from edgesim.simulator.network.fabric import Fabric, Routes
from edgesim.simulator.network.links import SharedLinks


def fabric_of(routes: Routes, env: simpy.Environment, flown: Callable[[int], None]) -> Fabric:
    """Return who shares what these routes use, and calls ``flown`` with a flow's name when its last byte has left."""
    if isinstance(routes, ChangingRoutes):
        return ChangingLinks(env, routes, flown)
    network = routes.network
    return Air(env, flown) if network.topology is Topology.RADIO else SharedLinks(env, network.burst_bytes, flown)
