"""How long does this schedule take on this cluster? Plays tasks in virtual time; knows time and contention only.

Energy, memory and utilisation are read off its trace. Nodes of the schedule's graph (a computation, a message, a
collective) count down what they wait for and start at zero; SimPy's queue of events is the clock. Where no two flows
meet, one pass over the graph says the same (``longest_path``).
"""

from collections import deque

import numpy as np
import simpy

from edgesim.cluster import Cluster
from edgesim.errors import ScheduleError
from edgesim.model import Model
from edgesim.profile import Profile
from edgesim.scenario import NOTHING_HAPPENS, Scenario
from edgesim.scenario.paces import Pace, lasts_s
from edgesim.schedule import Graph, Schedule
from edgesim.simulator.clock import after
from edgesim.simulator.disturbance import Disturbance, by_kind, disturbance_of
from edgesim.simulator.kind_costs import KindCosts, kept_costs
from edgesim.simulator.longest_path import NodeTimes, longest_path
from edgesim.simulator.network.changes import ChangingRoutes
from edgesim.simulator.network.fabric import Routes
from edgesim.simulator.network.topology import fabric_of
from edgesim.simulator.node_costs import NodeCosts, node_costs
from edgesim.trace import Times, Trace


def simulate(
    schedule: Schedule,
    *,
    cluster: Cluster,
    model: Model,
    profile: Profile,
    tokens: int,
    scenario: Scenario = NOTHING_HAPPENS,
) -> Trace:
    """Play one iteration in virtual time, with what happens in it, and return its trace.

    Raises ScheduleError, ProfileError, and ValueError for a scenario of unknown ranks, or in which ranks are lost,
    leave or join, before anything is played; and ValueError for a scenario whose bandwidth changes millions of times.
    """
    if schedule.ranks > len(cluster.devices):
        raise ScheduleError(
            f"schedule is for {schedule.ranks} ranks, cluster {cluster.name} has {len(cluster.devices)}"
        )
    scenario.check(len(cluster.devices))
    if scenario.membership:
        raise ValueError(f"scenario: {scenario.membership[0]}: only a job can go on after that (edgesim run +job=...)")
    graph, network = schedule.graph, cluster.network
    if scenario.bandwidths:
        known = KindCosts(cluster, model, profile, tokens, ChangingRoutes(network, scenario))
    else:
        known = kept_costs(cluster, model, profile, tokens)
    costs = node_costs(graph, known)
    disturbance = disturbance_of(graph, costs, network, scenario)
    times = None if network.burst_bytes else longest_path(graph, costs, disturbance)
    if times is None:
        simulation = (_DisturbedSimulation if scenario.events else _Simulation)(graph, known.routes)
        times = simulation.play(costs, disturbance)
    return _trace(schedule, costs, times, network.hand_over_s, profile.hash)


def _trace(schedule: Schedule, costs: NodeCosts, times: NodeTimes, handed_s: float, profile_hash: str) -> Trace:
    """Turn times of nodes into spans of tasks; of a message, the two ends have times of their own."""
    graph = schedule.graph
    start_s, end_s = times.start_s[graph.task_nodes], times.end_s[graph.task_nodes]
    end_s[graph.sends] = times.sent_s[graph.task_nodes[graph.sends]]
    start_s[graph.receives] += costs.latency_s[graph.task_nodes[graph.receives]]
    if handed_s:
        # A span is between the two hand-overs, as it is where it is measured.
        handed = np.where(costs.latency_s > 0, handed_s, 0.0)[graph.task_nodes]
        start_s += handed
        end_s -= handed
        end_s[graph.sends] += 2 * handed_s
        start_s[graph.receives] -= 2 * handed_s
    return Trace(
        schedule=schedule,
        start_s=Times(start_s),
        end_s=Times(end_s),
        player="simulated",
        profile_hash=profile_hash,
    )


class _Simulation:
    """One simulation. Nodes that wait for nothing more queue up in ``ready``; every event begins them at its end."""

    def __init__(self, graph: Graph, routes: Routes) -> None:
        self.graph = graph
        self.env = simpy.Environment()
        self.fabric = fabric_of(routes, self.env, self.flown)

    def play(self, costs: NodeCosts, disturbance: Disturbance) -> NodeTimes:
        """Play all nodes, event by event."""
        self.load(costs, disturbance)
        self.begin()
        self.env.run()
        assert not any(self.waits), "a checked schedule cannot stall"
        return NodeTimes(*(np.array(times, dtype=np.float64) for times in (self.start_s, self.sent_s, self.end_s)))

    def load(self, costs: NodeCosts, disturbance: Disturbance) -> None:
        """Look up what every node waits for, and what it takes."""
        graph = self.graph
        self.waits, self.unlocks, self.sent_unlocks = list(graph.waits), graph.unlocks, graph.sent_unlocks
        self.ready = deque(node for node, waits in enumerate(graph.waits) if waits == 0)
        self.start_s = [0.0] * len(self.waits)
        self.sent_s, self.end_s = self.start_s[:], self.start_s[:]
        # What a node needs to start: the seconds of a computation or the way of its bytes.
        kinds = costs.kind.tolist()
        self.seconds = [costs.seconds.get(kind, 0.0) for kind in kinds]
        self.wires = [costs.wires.get(kind) for kind in kinds]

    def begin(self) -> None:
        """Start all that is ready, and what that makes ready at once; a queue, so that no chain of them is too deep."""
        env, ready, now_s = self.env, self.ready, self.env.now
        while ready:
            node = ready.popleft()
            self.start_s[node] = now_s
            if (wire := self.wires[node]) is None:
                after(env, self.seconds[node], self.computed, node)
            elif not self.fabric.send(wire.route, wire.nbytes, node):
                self.sent(node)

    def release(self, nodes: tuple[int, ...]) -> None:
        waits = self.waits
        for node in nodes:
            left = waits[node] = waits[node] - 1
            if not left:
                self.ready.append(node)

    def computed(self, node: int) -> None:
        self.end_s[node] = self.env.now
        self.release(self.unlocks[node])
        self.begin()

    def flown(self, node: int) -> None:
        """The fabric's call when a node's last byte has left."""
        self.sent(node)
        if self.ready:
            self.begin()

    def sent(self, node: int) -> None:
        self.sent_s[node] = self.env.now
        if nodes := self.sent_unlocks[node]:
            self.release(nodes)
        wire = self.wires[node]
        assert wire is not None, "only wires send"
        if wire.latency_s:
            after(self.env, wire.latency_s, self.landed, node)
        else:
            self.arrived(node)

    def landed(self, node: int) -> None:
        self.arrived(node)
        if self.ready:
            self.begin()

    def arrived(self, node: int) -> None:
        self.end_s[node] = self.env.now
        self.release(self.unlocks[node])


class _DisturbedSimulation(_Simulation):
    """A simulation under a scenario. Apart, because planners simulate thousands of plans without one."""

    def load(self, costs: NodeCosts, disturbance: Disturbance) -> None:
        """Look up what nodes take, and what happens to them."""
        super().load(costs, disturbance)
        if disturbance.factors is not None:
            self.seconds = (np.array(self.seconds) * disturbance.factors).tolist()
        paces = enumerate(by_kind(disturbance.speeds, costs).tolist())
        self.speeds: dict[int, Pace] = {node: pace for node, pace in paces if pace is not None}

    def computed(self, node: int) -> None:
        """At full speed it would have ended now; what a slow-down has left goes on."""
        if (speeds := self.speeds.pop(node, None)) is not None:
            slowed_s = lasts_s(speeds, self.start_s[node], self.seconds[node])
            # A slow-down never shortens; rounding may, where it begins within the last bit of a computation.
            after(self.env, max(0.0, slowed_s - self.seconds[node]), self.computed, node)
        else:
            super().computed(node)
