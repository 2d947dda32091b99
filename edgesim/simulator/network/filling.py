"""At which rates are resources full? Rates of some flows beside others that keep theirs: all rise together.

As soon as a resource is full its flows keep their rate, and the others rise on (Bertsekas & Gallager, Data Networks,
1992, 6.5.2).
"""

from collections.abc import Mapping
from heapq import heapify, heappop, heappush
from typing import Generic

from edgesim.simulator.network.flow import F

_ROUNDING = 4e-16  # of a resource, per flow: so far may a sum be off
_SAME_RATE = 1 + 1e-12
_FAR = 1 / 16  # of a sum from which so much has been taken away that it is added up anew, against rounding


class Filling(Generic[F]):
    """New rates of some flows, and who of the others cannot keep theirs beside them."""

    def __init__(self, users: Mapping[int, dict[F, float]], anew: Mapping[F, None]) -> None:
        self.users = users
        self.rising: dict[int, dict[F, float]] = {}  # [resource] flows that rise still
        rising = self.rising
        for flow in anew:
            for resource, seconds_per_byte in flow.hops:
                if resource in rising:
                    rising[resource][flow] = seconds_per_byte
                else:
                    rising[resource] = {flow: seconds_per_byte}
        self.spare: dict[int, float] = {}  # [resource] its share that nobody uses
        self.kept: dict[int, list[F]] = {}  # [resource] flows on it that keep their rate, where there are any
        for resource, mine in rising.items():
            spare, everyone = 1.0, users[resource]
            if len(mine) < len(everyone):
                self.kept[resource] = kept = [flow for flow in everyone if flow not in mine]
                spare -= sum([flow.rate * everyone[flow] for flow in kept])
            self.spare[resource] = spare
        self.load = {resource: sum(mine.values()) for resource, mine in rising.items()}  # [resource] per byte of all
        self.shares: dict[F, tuple[float, int]] = {}  # [flow] its rate and its bottleneck
        self.limits: dict[int, float] = {}  # [resource] the rate of the flows whose bottleneck it is
        self._fill()

    def _fill(self) -> None:
        rising, spare, load, shares = self.rising, self.spare, self.load, self.shares
        whole = load.copy()  # when they were added up
        # The rate at which a resource is full if nothing else limits its flows.
        level = {resource: max(0.0, spare[resource]) / load[resource] for resource in rising}
        queue = [(rate, resource) for resource, rate in level.items()]
        heapify(queue)
        while queue:
            rate, full = heappop(queue)
            if not rising[full] or rate != level[full]:
                continue  # all its flows are limited elsewhere, or their number has changed since
            self.limits[full] = rate
            touched: dict[int, None] = {}
            for flow in rising[full]:
                shares[flow] = rate, full
                for resource, seconds_per_byte in flow.hops:
                    if resource != full:
                        del rising[resource][flow]
                        spare[resource] -= rate * seconds_per_byte
                        load[resource] -= seconds_per_byte
                        touched[resource] = None
            spare[full], rising[full] = 0.0, {}
            for resource in touched:
                if mine := rising[resource]:
                    if load[resource] < whole[resource] * _FAR:
                        load[resource] = whole[resource] = sum(mine.values())
                    # Rates only rise, whatever rounding says.
                    level[resource] = max(rate, max(0.0, spare[resource]) / load[resource])
                    heappush(queue, (level[resource], resource))

    def stranded(self) -> list[F]:
        """Flows that kept their rate and are now without a bottleneck, or deny one to another."""
        stranded, shares = [], self.shares
        for resource, kept in self.kept.items():
            users = self.users[resource]
            fastest = max([shares[flow][0] for flow in users if flow in shares])
            has_room = self.spare[resource] > _ROUNDING * (len(users) + 4)
            limit = self.limits.get(resource)
            for flow in kept:
                slowed = limit is not None and flow.rate > limit * _SAME_RATE
                if slowed or (flow.bottleneck == resource and (has_room or fastest > flow.rate * _SAME_RATE)):
                    stranded.append(flow)
        return stranded

    def apply(self) -> list[tuple[F, float]]:
        """Set the rates, and return the flows whose rate has changed with the one that they had."""
        changed = []
        for flow, (rate, bottleneck) in self.shares.items():
            if rate != flow.rate:
                changed.append((flow, flow.rate))
            flow.rate, flow.bottleneck = rate, bottleneck
        return changed
