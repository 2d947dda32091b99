"""How long does this schedule take on this cluster? Plays tasks in virtual time; knows time and contention only.

Energy, memory and utilisation are read off its trace. Nodes of the schedule's graph (a computation, a message, a
collective) count down what they wait for and start at zero; SimPy's queue of events is the clock.
"""

from collections import deque
from typing import NamedTuple

import simpy
from old_engine.changes import ChangingFabric, lasts_s
from old_engine.clock import after
from old_engine.network import Fabric, Route

from edgesim.cluster import Cluster
from edgesim.errors import ScheduleError
from edgesim.model import Model
from edgesim.profile import Profile
from edgesim.ring import ring_steps
from edgesim.scenario import Scenario
from edgesim.schedule import COLLECTIVE, COMPUTE, MESSAGE, Op, Schedule, Task
from edgesim.trace import Trace
from edgesim.work import work_of

NOTHING_HAPPENS = Scenario()
AT_FULL_SPEED = NOTHING_HAPPENS.speeds(0)


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

    Raises ScheduleError, ProfileError, and ValueError for a scenario of unknown ranks, before anything is played.
    """
    if len(schedule.programs) > len(cluster.devices):
        raise ScheduleError(
            f"schedule is for {len(schedule.programs)} ranks, cluster {cluster.name} has {len(cluster.devices)}"
        )
    scenario.check(len(cluster.devices))
    seconds = Durations(cluster, model, profile, tokens)
    simulation = (
        _DisturbedSimulation(schedule, cluster, seconds, scenario)
        if scenario.events
        else _Simulation(schedule, cluster, seconds)
    )
    return simulation.play(profile.hash)


class Durations:
    """Seconds of a computation or of disk work, remembered."""

    def __init__(self, cluster: Cluster, model: Model, profile: Profile, tokens: int) -> None:
        self.cluster, self.model, self.profile, self.tokens = cluster, model, profile, tokens
        self.known: dict[tuple[object, ...], float] = {}

    def __call__(self, task: Task) -> float:
        key = (task.op, task.rank, task.layers, task.block, task.samples, task.tokens, task.units, task.nbytes)
        if (seconds := self.known.get(key)) is None:
            seconds = self.known[key] = self._seconds(task)
        return seconds

    def _seconds(self, task: Task) -> float:
        device = self.cluster.devices[task.rank]
        if task.op not in COMPUTE:
            return task.nbytes / device.disk_bytes_per_s
        if task.block:
            work = work_of(task, self.model, self.tokens)
            return self.profile.block_s(device=device.name, block=work.block, op=work.op, portion=work.portion)
        samples = 0 if task.op is Op.UPDATE else task.samples[1] - task.samples[0]
        layers = self.model.layers[slice(*task.layers)]
        return self.profile.layers_s(device=device.name, layers=layers, op=task.op, samples=samples, tokens=self.tokens)


class Wire(NamedTuple):
    """How a node's bytes travel: along a route, then for a latency, after which the tasks in ``receives`` end.

    Of a message that is the receive, which occupies its stream ``lag_s`` after the send; of a collective, all members.
    """

    route: Route
    nbytes: float
    latency_s: float
    receives: tuple[int, ...]
    lag_s: float


class _Simulation:
    """One simulation. Nodes that wait for nothing more queue up in ``ready``; every event begins them at its end."""

    def __init__(self, schedule: Schedule, cluster: Cluster, seconds: Durations) -> None:
        self.schedule, self.network = schedule, cluster.network
        self.graph = graph = schedule.graph
        self.env = simpy.Environment()
        self.fabric = self.wired()
        self.waits = list(graph.waits)
        self.ready = deque(node for node, waits in enumerate(graph.waits) if waits == 0)
        self.start_s = [0.0] * len(graph.tasks)
        self.end_s = [0.0] * len(graph.tasks)
        self.ended = 0
        self.first = [members[0] for members in graph.members]
        # What a node needs to start, looked up once: the seconds of a computation or the way of its bytes.
        self.seconds: dict[int, float] = {}
        self.wires: dict[int, Wire] = {}
        for node, members in enumerate(graph.members):
            task = graph.tasks[members[0]]
            if task.op in MESSAGE or task.op in COLLECTIVE:
                self.wires[node] = self.wire(task, members)
            else:
                self.seconds[node] = seconds(task)

    def wired(self) -> Fabric:
        return Fabric(self.env, self.network, self.flown)

    def play(self, profile_hash: str) -> Trace:
        self.begin()
        self.env.run()
        assert self.ended == len(self.graph.members), "a checked schedule cannot stall"
        return Trace(
            schedule=self.schedule,
            start_s=tuple(self.start_s),
            end_s=tuple(self.end_s),
            player="simulated",
            profile_hash=profile_hash,
        )

    def begin(self) -> None:
        """Start all that is ready, and what that makes ready at once; a queue, so that no chain of them is too deep."""
        env, ready, now_s = self.env, self.ready, self.env.now
        while ready:
            node = ready.popleft()
            self.start_s[self.first[node]] = now_s
            if (wire := self.wires.get(node)) is None:
                after(env, self.seconds[node], self.computed, node)
                continue
            for task in wire.receives:
                self.start_s[task] = now_s + wire.lag_s
            if not self.fabric.send(wire.route, wire.nbytes, node):
                self.sent(node)

    def release(self, nodes: tuple[int, ...]) -> None:
        waits = self.waits
        for node in nodes:
            waits[node] -= 1
            if not waits[node]:
                self.ready.append(node)

    def computed(self, node: int) -> None:
        self.end_s[self.first[node]] = self.env.now
        self.ended += 1
        self.release(self.graph.unlocks[node])
        self.begin()

    def flown(self, node: int) -> None:
        """The fabric's call when a node's last byte has left."""
        self.sent(node)
        self.begin()

    def sent(self, node: int) -> None:
        self.end_s[self.first[node]] = self.env.now
        self.release(self.graph.sent_unlocks[node])
        if latency_s := self.wires[node].latency_s:
            after(self.env, latency_s, self.landed, node)
        else:
            self.arrived(node)

    def landed(self, node: int) -> None:
        self.arrived(node)
        self.begin()

    def arrived(self, node: int) -> None:
        for task in self.wires[node].receives:
            self.end_s[task] = self.env.now
        self.ended += 1
        self.release(self.graph.unlocks[node])

    def wire(self, task: Task, members: tuple[int, ...]) -> Wire:
        """Return the way of a message, or of a ring collective.

        Ring all-reduce of S bytes on n ranks: 2(n-1) steps of S/n; all-gather and reduce-scatter: n-1 steps
        (Patarasuk & Yuan, JPDC 2009).
        """
        if task.op is Op.SEND:
            source, destination = task.rank, task.peers[0]
            latency_s = self.network.latency_s[source][destination]
            return Wire(self.fabric.route(((source, destination),)), task.nbytes, latency_s, members[1:], latency_s)
        ring = tuple(zip(task.peers, (*task.peers[1:], task.peers[0]), strict=True))
        steps = ring_steps(len(ring), all_reduce=task.op is Op.ALL_REDUCE)
        latency_s = steps * max(self.network.latency_s[a][b] for a, b in ring)
        return Wire(self.fabric.route(ring), steps * task.nbytes / len(ring), latency_s, members, 0.0)


class _DisturbedSimulation(_Simulation):
    """A simulation under a scenario. Apart, because planners simulate thousands of plans without one."""

    def __init__(self, schedule: Schedule, cluster: Cluster, seconds: Durations, scenario: Scenario) -> None:
        self.scenario = scenario
        super().__init__(schedule, cluster, seconds)
        speeds = [scenario.speeds(rank) for rank in range(len(schedule.programs))]
        # Jitter changes how much a computation is, slow-downs how fast it goes; ``speeds`` of nodes that may be slowed.
        self.speeds: dict[int, tuple[tuple[float, float], ...]] = {}
        for node in self.seconds:
            task = self.graph.tasks[self.first[node]]
            if task.op in COMPUTE:
                if (jitter := scenario.jitter) is not None:
                    self.seconds[node] *= jitter.factor(scenario.seed, scenario.iteration, task.name)
                if speeds[task.rank] != AT_FULL_SPEED:
                    self.speeds[node] = speeds[task.rank]

    def wired(self) -> Fabric:
        if self.scenario.bandwidths:
            return ChangingFabric(self.env, self.network, self.flown, self.scenario)
        return super().wired()

    def computed(self, node: int) -> None:
        """At full speed it would have ended now; what a slow-down has left goes on."""
        if (speeds := self.speeds.pop(node, None)) is not None:
            slowed_s = lasts_s(speeds, self.start_s[self.first[node]], self.seconds[node])
            # A slow-down never shortens; rounding may, where it begins within the last bit of a computation.
            after(self.env, max(0.0, slowed_s - self.seconds[node]), self.computed, node)
        else:
            super().computed(node)
