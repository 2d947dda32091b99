"""Which rates are max-min fair, while flows come and go? No flow can gain but at the cost of a slower one.

Each flow uses resources for so many seconds per byte. The rates of all rise together until a resource is full; its
flows keep their rate, the others rise on (Bertsekas & Gallager, Data Networks, 1992, 6.5.2).

Rates are max-min fair if, and only if, every flow has a *bottleneck*: a full resource on which nobody is faster. So
few rates are found anew where few flows change: first of those that begin and of those whose bottleneck lost a flow,
then of those that this leaves without one.
"""

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

Hops = tuple[tuple[int, float], ...]  # (resource, seconds per byte)

_ROUNDING = 4e-16  # of a resource, per flow: so far may a sum be off
_SAME_RATE = 1 + 1e-12
_ROUNDS = 6  # of looking for flows without a bottleneck; then all that share anything with them get new rates


class Flow:
    """What shares resources: its hops, its rate in bytes per second, and the resource that limits it."""

    __slots__ = ("bottleneck", "hops", "rate")

    def __init__(self, hops: Hops) -> None:
        self.hops, self.rate, self.bottleneck = hops, 0.0, -1


F = TypeVar("F", bound=Flow)


class FairShares(Generic[F]):
    """Who uses which resource, and at which rate. Resources are numbers; a flow's hops may change."""

    def __init__(self) -> None:
        # [resource] flows, with the seconds that each of their bytes takes
        self.users: defaultdict[int, dict[F, float]] = defaultdict(dict)
        self._begun: dict[F, None] = {}
        self._freed: dict[int, None] = {}

    def begin(self, flow: F) -> bool:
        """Let a flow use its resources, and return whether it has all of them for itself, with its rate then."""
        alone, slowest = True, 0.0
        for resource, seconds_per_byte in flow.hops:
            users = self.users[resource]
            alone = alone and not users
            users[flow] = seconds_per_byte
            if seconds_per_byte > slowest:
                slowest, flow.bottleneck = seconds_per_byte, resource
        if alone:
            flow.rate = 1 / slowest
        else:
            flow.rate = 0.0
            self._begun[flow] = None
        return alone

    def end(self, flow: F) -> bool:
        """Let a flow leave its resources, and return whether others may be faster now."""
        freed = False
        for resource, _ in flow.hops:
            users = self.users[resource]
            del users[flow]
            if users:
                self._freed[resource] = None
                freed = True
        self._begun.pop(flow, None)
        return freed

    def change(self, flow: F, hops: Hops) -> None:
        """Give a flow other seconds per byte of the resources that it uses, and the rate 0 until :meth:`settle`."""
        flow.hops = hops
        for resource, seconds_per_byte in hops:
            self.users[resource][flow] = seconds_per_byte
            self._freed[resource] = None
        self._begun[flow] = None

    def settle(self) -> list[tuple[F, float]]:
        """Find the rates of all flows anew that what has changed concerns, and return those with their old rates."""
        anew = self._begun
        for resource in self._freed:
            for flow in self.users[resource]:
                if flow.bottleneck == resource:
                    anew[flow] = None
        self._begun, self._freed = {}, {}
        for _ in range(_ROUNDS):
            filling = _Filling(self.users, anew)
            if not (stranded := filling.stranded()):
                break
            anew.update(dict.fromkeys(stranded))
        else:
            filling = _Filling(self.users, self._component(anew))
        return filling.apply()

    def _component(self, seeds: Iterable[F]) -> dict[F, None]:
        """All flows that share resources with the seeds, directly or through others."""
        reached = dict.fromkeys(seeds)
        queue = list(reached)
        for flow in queue:  # grows while it is walked
            for resource, _ in flow.hops:
                for other in self.users[resource]:
                    if other not in reached:
                        reached[other] = None
                        queue.append(other)
        return reached


class _Filling(Generic[F]):
    """New rates of some flows, beside others that keep theirs: all rise together until their resources are full."""

    def __init__(self, users: Mapping[int, dict[F, float]], anew: Mapping[F, None]) -> None:
        self.users = users
        self.rising: dict[int, dict[F, float]] = {}  # [resource] flows that rise still
        for flow in anew:
            for resource, seconds_per_byte in flow.hops:
                self.rising.setdefault(resource, {})[flow] = seconds_per_byte
        self.spare: dict[int, float] = {}  # [resource] its share that nobody uses
        self.kept: dict[int, list[F]] = {}  # [resource] flows on it that keep their rate, where there are any
        for resource, mine in self.rising.items():
            spare, everyone = 1.0, users[resource]
            if len(mine) < len(everyone):
                self.kept[resource] = kept = [flow for flow in everyone if flow not in mine]
                spare -= sum(flow.rate * everyone[flow] for flow in kept)
            self.spare[resource] = spare
        self.shares: dict[F, tuple[float, int]] = {}  # [flow] its rate and its bottleneck
        self.limits: dict[int, float] = {}  # [resource] the rate of the flows whose bottleneck it is
        self._fill()

    def _fill(self) -> None:
        rising, spare = self.rising, self.spare
        level = {resource: self._level(resource) for resource in rising}
        queue = [(rate, resource) for resource, rate in level.items()]
        heapify(queue)
        while queue:
            rate, full = heappop(queue)
            if not rising[full] or rate != level[full]:
                continue  # all its flows are limited elsewhere, or their number has changed since
            self.limits[full] = rate
            touched: dict[int, None] = {}
            for flow in rising[full]:
                self.shares[flow] = rate, full
                for resource, seconds_per_byte in flow.hops:
                    if resource != full:
                        del rising[resource][flow]
                        spare[resource] -= rate * seconds_per_byte
                        touched[resource] = None
            spare[full], rising[full] = 0.0, {}
            for resource in touched:
                if rising[resource]:
                    level[resource] = max(rate, self._level(resource))  # rates only rise, whatever rounding says
                    heappush(queue, (level[resource], resource))

    def _level(self, resource: int) -> float:
        """The rate at which a resource is full if nothing else limits its flows."""
        return max(0.0, self.spare[resource]) / sum(self.rising[resource].values())

    def stranded(self) -> list[F]:
        """Flows that kept their rate and are now without a bottleneck, or deny one to another."""
        stranded = []
        for resource, kept in self.kept.items():
            users = self.users[resource]
            fastest = max(self.shares[flow][0] for flow in users if flow in self.shares)
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


N = TypeVar("N", bound=Hashable)


def max_min_rates(routes: Mapping[N, Collection[tuple[Hashable, float]]]) -> dict[N, float]:
    """Return max-min fair rates in bytes per second of flows that begin together.

    ``routes`` gives for each flow its resources and the resource seconds that a byte takes.

    >>> rates = max_min_rates({"A": [(0, 1 / 10), (1, 1 / 4)], "B": [(0, 1 / 10)]})
    >>> {flow: round(rate, 9) for flow, rate in rates.items()}
    {'A': 4.0, 'B': 6.0}
    """
    shares, numbers = FairShares[Flow](), dict[Hashable, int]()
    flows: dict[N, Flow] = {}
    for name, route in routes.items():
        for resource, _ in route:
            if resource not in numbers:
                numbers[resource] = len(numbers)
        flows[name] = Flow(tuple((numbers[resource], seconds_per_byte) for resource, seconds_per_byte in route))
        shares.begin(flows[name])
    shares.settle()
    return {name: flow.rate for name, flow in flows.items()}
