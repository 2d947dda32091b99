"""How long does what is under way take when rates change? Computations and flows under a scenario, exactly.

Work and bytes are conserved: what was done until a change counts, the rest goes on at the new rate. A scenario may go
on for ever; its changes are looked at when a flow starts and while one is on its way.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import inf, prod

import simpy
from old_engine.clock import after
from old_engine.network import Fabric, Flow, Hops, Route

from edgesim.cluster import Network, Topology
from edgesim.recording import BandwidthChange, Unit
from edgesim.scenario import Scenario

NEVER = BandwidthChange(inf, 1.0)  # and before the first change
# What stands for a rate of 0: so few bytes that no sum of doubles changes, in any time that a link is out.
_OUTAGE_BYTES_PER_S = 1e-30


def lasts_s(speeds: Sequence[tuple[float, float]], start_s: float, work_s: float) -> float:
    """Return how long work of ``work_s`` at full speed takes from ``start_s`` on, at these :meth:`Scenario.speeds`.

    >>> lasts_s([(0, 1), (4, 0.25), (8, 1)], 0, 10)
    13.0
    """
    passed_s = 0.0
    for i in range(max(0, bisect_right(speeds, (start_s, inf)) - 1), len(speeds)):
        speed, until_s = speeds[i][1], speeds[i + 1][0] if i + 1 < len(speeds) else inf
        left_s = until_s - start_s - passed_s
        if left_s > 0:
            if work_s <= left_s * speed:
                break
            work_s -= left_s * speed
            passed_s = until_s - start_s
    return passed_s + work_s / speed


class Course:
    """One rank's bandwidth by one event: what holds now, and what comes next."""

    def __init__(self, changes: Iterator[BandwidthChange]) -> None:
        self.changes = changes
        self.now, self.next = NEVER, next(changes, NEVER)

    def step(self) -> None:
        self.now, self.next = self.next, next(self.changes, NEVER)


class Rates:
    """The network's rates under a scenario, change by change."""

    def __init__(self, scenario: Scenario, network: Network) -> None:
        self.nominal = network
        self.courses = [
            [Course(event.changes(rank, scenario.seed)) for event in scenario.bandwidths]
            for rank in range(network.ranks)
        ]
        self.next_s = 0.0

    def step(self) -> Network:
        """Return the network from the next change on."""
        courses = [course for rank in self.courses for course in rank]
        for course in courses:
            if course.next.at_s <= self.next_s:
                course.step()
        self.next_s = min(course.next.at_s for course in courses)
        return replace(self.nominal, bytes_per_s=self._bytes_per_s())

    def _bytes_per_s(self) -> tuple[tuple[float, ...], ...]:
        rates = self.nominal.bytes_per_s
        if self.nominal.topology is Topology.SWITCHED:
            return tuple(tuple(self._rate(rank, rate) for rank, rate in enumerate(row)) for row in rates)
        return tuple(
            tuple(min(self._rate(i, rate), self._rate(j, rate)) for j, rate in enumerate(row))
            for i, row in enumerate(rates)
        )

    def _rate(self, rank: int, nominal: float) -> float:
        """What the rank allows of a nominal rate."""
        now = [course.now for course in self.courses[rank]]
        recorded = [change.value for change in now if change.unit is Unit.RATE]
        factor = prod(change.value for change in now if change.unit is Unit.FACTOR)
        rate = min(recorded, default=nominal)
        if rate == inf and not factor:
            raise ValueError(f"scenario: rank {rank} has unlimited bandwidth, factor 0 of it is none (name a rate)")
        return max(rate * factor, _OUTAGE_BYTES_PER_S)


class ChangingFabric(Fabric):
    """A network whose rates change. Which resources a route uses never does: a limit stays one, and so does none."""

    def __init__(
        self, env: simpy.Environment, network: Network, flown: Callable[[int], None], scenario: Scenario
    ) -> None:
        self.rates = Rates(scenario, network)
        super().__init__(env, self.rates.step(), flown)  # every event says what holds from 0 s on
        self.waiting = False  # for the next change

    def send(self, route: Route, nbytes: float, name: int) -> bool:
        self._catch_up()
        on_its_way = super().send(self.routes[route.pairs], nbytes, name)
        self._wait()
        return on_its_way

    def _fair_rates(self, flows: Sequence[Flow]) -> dict[Flow, float]:
        """Who waits for the end of an outage takes nothing from the others, not even air."""
        moving = [flow for flow in flows if not _is_out(flow.route.all)]
        return dict.fromkeys(flows, _OUTAGE_BYTES_PER_S) | super()._fair_rates(moving)

    def _take_credit(self, route: Hops, nbytes: float, now_s: float) -> float:
        return 0.0 if _is_out(route) else super()._take_credit(route, nbytes, now_s)

    def _wait(self) -> None:
        """For the next change, if there is anything that it could change."""
        if not self.waiting and self.rates.next_s < inf and any(self.active):
            self.waiting = True
            after(self.env, self.rates.next_s - self.env.now, self._changed, None)

    def _changed(self, _: None) -> None:
        self.waiting = False
        self._catch_up()
        self._wait()

    def _catch_up(self) -> None:
        while (at_s := self.rates.next_s) <= self.env.now:
            network = self.rates.step()
            if network.bytes_per_s != self.network.bytes_per_s:
                self._fill_buckets(at_s)
                self.network = network
                self._reroute()

    def _fill_buckets(self, until_s: float) -> None:
        """Credit for the idle time at the old rates."""
        if self.network.burst_bytes:
            for route in self.routes.values():
                self._fill(route.data, until_s)

    def _reroute(self) -> None:
        """Route all flows anew at the new costs; those whose cost has changed get new rates."""
        known, self.routes = self.routes, {}
        for pairs in known:
            self.route(pairs)
        flying: dict[Flow, None] = {}
        for flows in self.active:
            flying |= flows
        moved = [flow for flow in flying if self.routes[flow.route.pairs] != flow.route]
        for flow in moved:
            flow.route = self.routes[flow.route.pairs]
        if moved:
            self._share(*moved)


def _is_out(hops: Hops) -> bool:
    """Whether one of these resources has a rate of 0."""
    return any(seconds_per_byte >= 1 / _OUTAGE_BYTES_PER_S for _, seconds_per_byte in hops)
