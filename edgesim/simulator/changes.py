"""How long do bytes take that are on their way when rates change? Flows under a scenario, exactly.

Bytes are conserved: what has passed until a change counts, the rest goes on at the new rate. A scenario may go
on for ever; its changes are looked at when a flow starts and while one is on its way.
"""

from collections.abc import Callable
from math import inf, prod

import simpy

from edgesim.cluster import Network
from edgesim.recording import Change, Unit
from edgesim.scenario import Scenario
from edgesim.simulator.clock import after
from edgesim.simulator.fabric import Pairs, Route
from edgesim.simulator.fair_shares import Hops
from edgesim.simulator.links import SharedLinks, Transfer
from edgesim.units import LEAST, MOST

NEVER = Change(inf, 1.0)  # and before the first change
_OUTAGE_S_PER_BYTE = inf
_LOOKED_AT = 1000  # changes to the same value at a time: there may be no end of them
MOST_CHANGES = 10_000_000  # of one rank's bandwidth in an iteration: minutes of playing


class Bandwidth:
    """What a rank's links allow, change by change: what holds now, and when that ends."""

    def __init__(self, scenario: Scenario, rank: int) -> None:
        self.rank = rank
        self._changes = [event.changes(rank, scenario.seed) for event in scenario.bandwidths]
        self._now = [next(changes, NEVER) for changes in self._changes]
        # Without a look at how long it stays: for many simulations it need not be known.
        self._next = [next(changes, NEVER) for changes in self._changes]
        self.next_s = min((change.at_s for change in self._next), default=inf)
        self.steps = 0

    def step(self) -> bool:
        """Go on to the next change, and return whether it changes anything."""
        before, at_s = list(self._now), self.next_s
        self.steps += 1
        if self.steps > MOST_CHANGES:
            raise ValueError(
                f"scenario: bandwidth of rank {self.rank} changes more than {MOST_CHANGES} times until {at_s:g} s, and "
                "bytes are still to be sent (let it change less often, or send less)"
            )
        for i, change in enumerate(self._next):
            if change.at_s <= at_s:
                self._now[i] = change
                self._next[i] = self._following(i)
        self.next_s = min((change.at_s for change in self._next), default=inf)
        return any(a.value != b.value or a.unit != b.unit for a, b in zip(before, self._now, strict=True))

    def _following(self, i: int) -> Change:
        """The next change of an event to another value; in a long row of equal ones, the last that was looked at."""
        now = self._now[i]
        for _ in range(_LOOKED_AT):
            change = next(self._changes[i], NEVER)
            if change is NEVER or (change.value, change.unit) != (now.value, now.unit):
                break
        return change

    def seconds_per_byte(self, nominal: float, goodput: float) -> float:
        """Return what a byte takes that nominally takes so long, which is 0 where there is no limit."""
        rate = min((change.value for change in self._now if change.unit is Unit.RATE), default=None)
        factor = prod(change.value for change in self._now if change.unit is Unit.FACTOR)
        if rate is None and not nominal and not factor:
            raise ValueError(
                f"scenario: rank {self.rank} has unlimited bandwidth, factor 0 of it is none (name a rate)"
            )
        if rate == 0 or not factor:
            return _OUTAGE_S_PER_BYTE
        seconds = nominal / factor if rate is None else 1 / (rate * factor * goodput)
        if not (nominal == 0 and rate is None) and not LEAST <= seconds <= MOST:
            raise ValueError(
                f"scenario: bandwidth of rank {self.rank} is such that a byte takes {seconds:g} s "
                f"(it must take between {LEAST:g} and {MOST:g} s; 0 is an outage)"
            )
        return seconds


class ChangingLinks(SharedLinks):
    """Links whose rates change. Which resources a route uses never does: a limit stays one, and so does none.

    Of a rank on whose way nothing is, changes are made up for when something is again.
    """

    def __init__(
        self, env: simpy.Environment, network: Network, flown: Callable[[int], None], scenario: Scenario
    ) -> None:
        super().__init__(env, network, flown)
        self.bandwidths = [Bandwidth(scenario, rank) for rank in range(network.ranks)]
        self.flying: list[dict[Transfer, None]] = [{} for _ in self.bandwidths]  # [rank] on its way from, to or past it
        self.stale: list[set[Pairs]] = [set() for _ in self.bandwidths]  # [rank] routes that its next change changes
        self.nominal: list[dict[int, float]] = [{} for _ in self.bandwidths]  # [rank] its resources' seconds per byte
        self.waiting = [False] * network.ranks  # for the rank's next change

    def send(self, route: Route, nbytes: float, name: int) -> bool:
        for rank in _ranks(route):
            self._catch_up(rank)
        return super().send(self.route(route.pairs), nbytes, name)

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

    def _begin(self, transfer: Transfer) -> bool:
        for rank in _ranks(transfer.route):
            self.flying[rank][transfer] = None
            self._wait(rank)
        return _is_out(transfer.hops) or super()._begin(transfer)

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
            for pairs in self.stale[rank]:
                self.routes.pop(pairs, None)
            self.stale[rank].clear()
            for transfer in tuple(self.flying[rank]):
                self._reroute(transfer)

    def _fill_buckets(self, rank: int, until_s: float) -> None:
        """Credit for idle time at the old rate."""
        if self.buckets is not None:
            bandwidth, goodput = self.bandwidths[rank], self.network.goodput
            nominal = self.nominal[rank].items()
            hops = tuple((number, bandwidth.seconds_per_byte(seconds, goodput)) for number, seconds in nominal)
            self.buckets.fill(hops, until_s)

    def _reroute(self, transfer: Transfer) -> None:
        """Let bytes that are on their way go on at the new cost. Who waits for the end of an outage takes no air."""
        route = self.route(transfer.route.pairs)
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
            if not super()._begin(transfer):
                self._settle_soon()
        else:
            self.shares.change(transfer, route.all)
            self._settle_soon()

    def _pause(self, transfer: Transfer) -> None:
        moved_bytes = transfer.rate * (self.env.now - transfer.since_s)
        transfer.remaining_bytes = max(0.0, transfer.remaining_bytes - moved_bytes)
        transfer.due_s = inf
        if self.shares.end(transfer):
            self._settle_soon()


def _ranks(route: Route) -> set[int]:
    return {rank for pair in route.pairs for rank in pair}


def _is_out(hops: Hops) -> bool:
    """Whether one of these resources has a rate of 0."""
    return any(seconds_per_byte == _OUTAGE_S_PER_BYTE for _, seconds_per_byte in hops)
