"""How fast does each message flow? Max-min fair sharing of NICs, links or air (Bertsekas & Gallager, 1992, 6.5.2).

Each flow uses resources (a NIC direction, a link, the air) for so many seconds per byte, and a little of the way back
for its acknowledgements. Rates of all flows rise together until a resource is full; its flows keep their rate, the
others rise on. A flow that shares nothing costs one event.
A ring collective is one flow over all its hops: the ring moves at the pace of its slowest hop.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import simpy
from old_engine.clock import after

from edgesim.cluster import Network, Resource

Pairs = tuple[tuple[int, int], ...]
Hops = tuple[tuple[int, float], ...]


class Route(NamedTuple):
    """What a flow between pairs uses: (resource, seconds per byte) of its bytes, and of these and acknowledgements."""

    pairs: Pairs
    data: Hops
    all: Hops


class Flow:
    """Bytes on their way; ``version`` counts changes of their rate, so that outdated timers are known."""

    __slots__ = ("name", "rate", "remaining_bytes", "route", "since_s", "version")

    def __init__(self, name: int, route: Route, nbytes: float, now_s: float) -> None:
        self.name, self.route, self.remaining_bytes, self.since_s = name, route, nbytes, now_s
        self.rate, self.version = 0.0, 0


class Fabric:
    """The network of one simulation; it calls ``flown`` with a flow's name when its last byte has left."""

    def __init__(self, env: simpy.Environment, network: Network, flown: Callable[[int], None]) -> None:
        self.env, self.network, self.flown = env, network, flown
        self.numbers: dict[Resource, int] = {}
        self.active: list[dict[Flow, None]] = []
        self.senders: list[int] = []  # flows whose bytes, not just acknowledgements, use a resource
        self.routes: dict[Pairs, Route] = {}
        self.credit_bytes: list[float] = []
        self.idle_since_s: list[float] = []

    def route(self, pairs: Pairs) -> Route:
        """Find the resources that a flow over these (source, destination) pairs uses, with seconds per byte of each."""
        if pairs not in self.routes:
            there, both = defaultdict[int, float](float), defaultdict[int, float](float)
            for source, destination in pairs:
                for shared, seconds_per_byte in self.network.hops(source, destination):
                    if seconds_per_byte > 0:
                        there[self._number(shared)] += seconds_per_byte
                        both[self._number(shared)] += seconds_per_byte
            if share := self.network.acknowledgement:
                for source, destination in pairs:
                    for shared, seconds_per_byte in self.network.hops(destination, source):
                        if seconds_per_byte > 0:
                            both[self._number(shared)] += share * seconds_per_byte
            self.routes[pairs] = Route(pairs, tuple(there.items()), tuple(both.items()))
        return self.routes[pairs]

    def _number(self, resource: Resource) -> int:
        if resource not in self.numbers:
            self.numbers[resource] = len(self.numbers)
            self.active.append({})
            self.senders.append(0)
            self.credit_bytes.append(self.network.burst_bytes)
            self.idle_since_s.append(0.0)
        return self.numbers[resource]

    def send(self, route: Route, nbytes: float, name: int) -> bool:
        """Move bytes along a route; False if they have left at once, and nothing will be called."""
        if not route.data:
            return False
        now_s = self.env.now
        if self.network.burst_bytes:
            nbytes -= self._take_credit(route.data, nbytes, now_s)
        if nbytes <= 0:
            return False
        flow = Flow(name, route, nbytes, now_s)
        others = any(self.active[resource] for resource, _ in route.all)
        for resource, _ in route.all:
            self.active[resource][flow] = None
        for resource, _ in route.data:
            self.senders[resource] += 1
        if others:
            self._share(flow)
        else:
            self._run_at(flow, 1 / max(seconds_per_byte for _, seconds_per_byte in route.all), now_s)
        return True

    def _take_credit(self, route: Hops, nbytes: float, now_s: float) -> float:
        """Bytes that the token buckets let through at once."""
        self._fill(route, now_s)
        taken = min(nbytes, *(self.credit_bytes[resource] for resource, _ in route))
        for resource, _ in route:
            self.credit_bytes[resource] -= taken
        return taken

    def _fill(self, route: Hops, now_s: float) -> None:
        """A bucket fills while its link is idle."""
        for resource, seconds_per_byte in route:
            if not self.senders[resource]:
                filled = self.credit_bytes[resource] + (now_s - self.idle_since_s[resource]) / seconds_per_byte
                self.credit_bytes[resource] = min(self.network.burst_bytes, filled)
                self.idle_since_s[resource] = now_s

    def _run_at(self, flow: Flow, rate: float, now_s: float) -> None:
        flow.rate, flow.since_s = rate, now_s
        flow.version += 1
        after(self.env, flow.remaining_bytes / rate, self._ended, (flow, flow.version))

    def _ended(self, flow_version: tuple[Flow, int]) -> None:
        flow, version = flow_version
        if version != flow.version:
            return  # its rate has changed since; a later event ends it
        shared: dict[Flow, None] = {}
        for resource, _ in flow.route.all:
            flows = self.active[resource]
            del flows[flow]
            shared |= flows
        for resource, _ in flow.route.data:
            self.senders[resource] -= 1
            self.idle_since_s[resource] = self.env.now  # read only if no sender is left
        if shared:
            self._share(*shared)
        self.flown(flow.name)

    def _share(self, *seeds: Flow) -> None:
        """New rates for all flows that share resources with the seeds, directly or through others."""
        now_s = self.env.now
        flows = self._component(seeds)
        rates = self._fair_rates(flows)
        for flow in flows:
            if rates[flow] != flow.rate:
                flow.remaining_bytes = max(0.0, flow.remaining_bytes - flow.rate * (now_s - flow.since_s))
                self._run_at(flow, rates[flow], now_s)

    def _fair_rates(self, flows: Sequence[Flow]) -> dict[Flow, float]:
        return max_min_rates({flow: flow.route.all for flow in flows})

    def _component(self, seeds: Iterable[Flow]) -> list[Flow]:
        reached = dict.fromkeys(seeds)
        queue = list(reached)
        for flow in queue:  # grows while it is walked
            for resource, _ in flow.route.all:
                for other in self.active[resource]:
                    if other not in reached:
                        reached[other] = None
                        queue.append(other)
        return queue


F = TypeVar("F")


def max_min_rates(routes: Mapping[F, Iterable[tuple[int, float]]]) -> dict[F, float]:
    """Return max-min fair rates in bytes per second: no flow can gain but at the cost of a slower one.

    ``routes`` gives for each flow its resources and the resource seconds that a byte takes.

    >>> rates = max_min_rates({"A": [(0, 1 / 10), (1, 1 / 4)], "B": [(0, 1 / 10)]})
    >>> {flow: round(rate, 9) for flow, rate in rates.items()}
    {'A': 4.0, 'B': 6.0}
    """
    spare: dict[int, float] = {}
    load: dict[int, float] = {}
    for route in routes.values():
        for resource, seconds_per_byte in route:
            spare[resource] = 1.0
            load[resource] = load.get(resource, 0.0) + seconds_per_byte
    rates: dict[F, float] = {}
    rising = dict(routes)
    while rising:
        level = min(spare[resource] / load[resource] for route in rising.values() for resource, _ in route)
        full = {
            resource
            for resource in load
            if load[resource] > 0 and spare[resource] / load[resource] <= level * (1 + 1e-12)
        }
        for flow in [flow for flow, route in rising.items() if any(resource in full for resource, _ in route)]:
            rates[flow] = level
            for resource, seconds_per_byte in rising.pop(flow):
                spare[resource] -= level * seconds_per_byte
                load[resource] -= seconds_per_byte
        load = {resource: sum(s for route in rising.values() for r, s in route if r == resource) for resource in load}
    return {flow: rates[flow] for flow in routes}
