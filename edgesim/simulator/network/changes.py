"""How long do bytes take that are on their way when rates change? Flows under a scenario, exactly.

Bytes are conserved: what has passed until a change counts, the rest goes on at the new rate. Changes are looked at when
a flow starts and while one is on its way.
"""

from collections.abc import Callable
from math import inf

import simpy

from edgesim.cluster import Network
from edgesim.scenario import Scenario
from edgesim.simulator.clock import after
from edgesim.simulator.network.bandwidth import OUTAGE_S_PER_BYTE, Bandwidth
from edgesim.simulator.network.fabric import Pairs, Route, Routes
from edgesim.simulator.network.flow import Hops
from edgesim.simulator.network.links import SharedLinks, Transfer


class ChangingRoutes(Routes):
    """The ways over a network now. Which resources one uses never changes: a limit stays one, and so does none."""

    def __init__(self, network: Network, scenario: Scenario) -> None:
        super().__init__(network)
        self.bandwidths = [Bandwidth(scenario, rank) for rank in range(network.ranks)]
        self.stale: list[set[Pairs]] = [set() for _ in self.bandwidths]  # [rank] routes that its next change changes
        self.nominal: list[dict[int, float]] = [{} for _ in self.bandwidths]  # [rank] its resources' seconds per byte

    def forget(self, rank: int) -> None:
        """Find the rank's routes anew when somebody asks for them."""
        for pairs in self.stale[rank]:
            self.routes.pop(pairs, None)
        self.stale[rank].clear()

    def _find_route(self, pairs: Pairs) -> Route:
        for rank in {rank for pair in pairs for rank in pair}:
            self.stale[rank].add(pairs)
        return super()._find_route(pairs)

    def _hops(self, source: int, destination: int) -> Hops:
        hops = []
        for resource, nominal in self.network.hops(source, destination):
            ranks = resource.ranks or (source, destination)  # the air's, at this moment
            seconds = max(self.bandwidths[rank].seconds_per_byte(nominal, self.network.goodput) for rank in ranks)
            if seconds > 0:
                number = self._number(resource)
                hops.append((number, seconds))
                for rank in resource.ranks:
                    self.nominal[rank][number] = nominal
        return tuple(hops)


class ChangingLinks(SharedLinks):
    """Links whose rates change. Of a rank on whose way nothing is, changes are made up for when something is again."""

    def __init__(self, env: simpy.Environment, routes: ChangingRoutes, flown: Callable[[int], None]) -> None:
        super().__init__(env, routes.network.burst_bytes, flown)
        self.routes, self.bandwidths = routes, routes.bandwidths
        self.flying: list[dict[Transfer, None]] = [{} for _ in self.bandwidths]  # [rank] on its way from, to or past it
        self.waiting = [False for _ in self.bandwidths]  # for the rank's next change

    def send(self, route: Route, nbytes: float, name: int) -> bool:
        for rank in _ranks(route):
            self._catch_up(rank)
        return super().send(self.routes.route(route.pairs), nbytes, name)

    def _begin(self, transfer: Transfer) -> None:
        for rank in _ranks(transfer.route):
            self.flying[rank][transfer] = None
            self._wait(rank)
        if not _is_out(transfer.hops):
            super()._begin(transfer)

    def _end(self, transfer: Transfer) -> None:
        for rank in _ranks(transfer.route):
            del self.flying[rank][transfer]
        super()._end(transfer)

    def _credit(self, asking: list[Transfer]) -> list[float]:
        """Nothing passes at once while a link is out."""
        able = [transfer for transfer in asking if not _is_out(transfer.hops)]
        taken = dict(zip(able, super()._credit(able), strict=True))
        return [taken.get(transfer, 0.0) for transfer in asking]

    def _wait(self, rank: int) -> None:
        """For the rank's next change, if there is anything that it could change."""
        next_s = self.bandwidths[rank].next_s
        if self.flying[rank] and not self.waiting[rank] and next_s < inf:
            self.waiting[rank] = True
            after(self.env, max(0.0, next_s - self.env.now), self._changed, rank)

    def _changed(self, rank: int) -> None:
        self.waiting[rank] = False
        self._catch_up(rank)
        self._wait(rank)

    def _catch_up(self, rank: int) -> None:
        bandwidth, changed = self.bandwidths[rank], False
        while bandwidth.next_s <= self.env.now:
            self._fill_buckets(rank, bandwidth.next_s)
            changed |= bandwidth.step()
        if changed:
            self.routes.forget(rank)
            for transfer in tuple(self.flying[rank]):
                self._reroute(transfer)

    def _fill_buckets(self, rank: int, until_s: float) -> None:
        """Credit for idle time at the old rate."""
        if self.buckets is not None:
            bandwidth, goodput = self.bandwidths[rank], self.routes.network.goodput
            nominal = self.routes.nominal[rank].items()
            hops = tuple((number, bandwidth.seconds_per_byte(seconds, goodput)) for number, seconds in nominal)
            self.buckets.fill(hops, until_s)

    def _reroute(self, transfer: Transfer) -> None:
        """Let bytes that are on their way go on at the new cost. Who waits for the end of an outage takes no air."""
        route = self.routes.route(transfer.route.pairs)
        if route == transfer.route:
            return
        was_out, is_out = _is_out(transfer.hops), _is_out(route.all)
        transfer.route = route
        if was_out or is_out:
            if not was_out:
                self._pause(transfer)
            transfer.hops = route.all
            if is_out:
                return
            transfer.since_s = self.env.now
            super()._begin(transfer)
        else:
            self.shares.change(transfer, route.all)
            self._settle_soon()

    def _pause(self, transfer: Transfer) -> None:
        moved_bytes = transfer.rate * (self.env.now - transfer.since_s)
        transfer.remaining_bytes = max(0.0, transfer.remaining_bytes - moved_bytes)
        transfer.due_s = inf
        self._leave(transfer)


def _ranks(route: Route) -> set[int]:
    return {rank for pair in route.pairs for rank in pair}


def _is_out(hops: Hops) -> bool:
    """Whether one of these resources has a rate of 0."""
    return any(seconds_per_byte == OUTAGE_S_PER_BYTE for _, seconds_per_byte in hops)
