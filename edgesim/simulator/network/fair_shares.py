"""Which rates are max-min fair, while flows come and go? No flow can gain but at the cost of a slower one.

Each flow uses resources for so many seconds per byte. Rates are max-min fair if, and only if, every flow has a
*bottleneck*: a full resource on which nobody is faster. So few rates are found anew where few flows change: of those
that begin and of those whose bottleneck has changed, then of those that this leaves without one. Who shares with one
other at most, as most do, has its rate at once.
"""

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping
from typing import Generic, TypeVar

from edgesim.simulator.network.filling import Filling
from edgesim.simulator.network.flow import F, Flow, Hops

Changed = list[tuple[F, float]]
"""Flows with new rates, and the rates that they had."""

_ROUNDS = 6  # of looking for flows without a bottleneck; then all that share anything with them get new rates


class FairShares(Generic[F]):
    """Who uses which resource, and at which rate. Resources are numbers; a flow's hops may change."""

    def __init__(self) -> None:
        # [resource] flows, with the seconds that each of their bytes takes
        self.users: defaultdict[int, dict[F, float]] = defaultdict(dict)
        self._begun: dict[F, None] = {}
        self._touched: dict[int, None] = {}  # resources whose flows have changed

    @property
    def unsettled(self) -> bool:
        """Whether there are rates to be found by :meth:`settle`."""
        return bool(self._begun or self._touched)

    def begin(self, flow: F) -> bool:
        """Let a flow use its resources; return whether it has all of them for itself, with its rate then."""
        alone, slowest = True, 0.0
        for resource, seconds_per_byte in flow.hops:
            users = self.users[resource]
            alone = alone and not users
            users[flow] = seconds_per_byte
            if seconds_per_byte > slowest:
                slowest, flow.bottleneck = seconds_per_byte, resource
        flow.rate = 1 / slowest if alone else 0.0
        return alone

    def share(self, flow: F) -> Changed[F]:
        """Return whose rates change because a flow has begun beside others, as far as that is known at once."""
        if (changed := self._at_once(flow)) is not None:
            return changed
        self._begun[flow] = None
        for resource, _ in flow.hops:
            if len(self.users[resource]) > 1:
                self._touched[resource] = None
        return []

    def end(self, flow: F) -> list[int]:
        """Let a flow leave its resources; return those that others use still."""
        freed = []
        for resource, _ in flow.hops:
            users = self.users[resource]
            del users[flow]
            if users:
                freed.append(resource)
        self._begun.pop(flow, None)
        return freed

    def gain(self, freed: Iterable[int]) -> Changed[F]:
        """Return whose rates change because a flow has left these resources, as far as that is known at once."""
        changed: Changed[F] = []
        for resource in freed:
            for other in self.users[resource]:
                if other.bottleneck == resource:  # whom something else limits does not gain by it
                    if (found := self._at_once(other)) is None:
                        self._touched[resource] = None
                        break
                    changed += found
        return changed

    def change(self, flow: F, hops: Hops) -> None:
        """Give a flow other seconds per byte of the resources that it uses; its rate stays until :meth:`settle`."""
        flow.hops = hops
        for resource, seconds_per_byte in hops:
            self.users[resource][flow] = seconds_per_byte
            self._touched[resource] = None
        self._begun[flow] = None

    def _at_once(self, flow: F) -> Changed[F] | None:
        """Set the rates of a flow that shares with one other at most, and that with nobody else; None of all others."""
        other: F | None = None
        for resource, _ in flow.hops:
            users = self.users[resource]
            if len(users) > 1:
                if len(users) > 2:
                    return None
                first, second = users
                partner = second if first is flow else first
                if other is not None and other is not partner:
                    return None
                other = partner
        if other is None:
            seconds_per_byte, resource = max([(seconds, resource) for resource, seconds in flow.hops])
            return _set(flow, 1 / seconds_per_byte, resource)
        for resource, _ in other.hops:
            users = self.users[resource]
            if len(users) > 2 or (len(users) == 2 and flow not in users):
                return None
        return self._of_two(flow, other)

    def _of_two(self, one: F, other: F) -> Changed[F]:
        """Set the rates of two flows that share with each other only."""
        together, one_alone, other_alone = (0.0, -1), (0.0, -1), (0.0, -1)  # the most seconds per byte, and of what
        for resource, seconds in one.hops:
            users = self.users[resource]
            if other in users:
                together = max(together, (seconds + users[other], resource))
            else:
                one_alone = max(one_alone, (seconds, resource))
        for resource, seconds in other.hops:
            if one not in self.users[resource]:
                other_alone = max(other_alone, (seconds, resource))
        if together[0] >= one_alone[0] and together[0] >= other_alone[0]:
            rate = 1 / together[0]
            return _set(one, rate, together[1]) + _set(other, rate, together[1])
        if one_alone < other_alone:
            one, other, one_alone = other, one, other_alone
        rate = 1 / one_alone[0]
        changed = _set(one, rate, one_alone[1])
        left = []  # for the other: the rate at which a resource is full, and which; not less, whatever rounding says
        for resource, seconds in other.hops:
            used = self.users[resource].get(one, 0.0)
            left.append((max(rate, (1 - rate * used) / seconds), resource))
        return changed + _set(other, *min(left))

    def settle(self) -> Changed[F]:
        """Find the rates of all flows anew that what has changed concerns, and return those with their old rates."""
        anew = self._begun
        for resource in self._touched:
            for flow in self.users[resource]:
                if flow.bottleneck == resource:
                    anew[flow] = None
        self._begun, self._touched = {}, {}
        for _ in range(_ROUNDS):
            filling = Filling(self.users, anew)
            if not (stranded := filling.stranded()):
                break
            anew.update(dict.fromkeys(stranded))
        else:
            filling = Filling(self.users, self._component(anew))
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


def _set(flow: F, rate: float, bottleneck: int) -> Changed[F]:
    before, flow.rate, flow.bottleneck = flow.rate, rate, bottleneck
    return [(flow, before)] if rate != before else []


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
        flows[name] = Flow(tuple((numbers.setdefault(resource, len(numbers)), seconds) for resource, seconds in route))
        if not shares.begin(flows[name]):
            shares.share(flows[name])
    shares.settle()
    return {name: flow.rate for name, flow in flows.items()}
