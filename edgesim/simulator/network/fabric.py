"""Which resources do bytes use on their way? What all kinds of networks have in common while they are simulated."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import NamedTuple

import simpy

from edgesim.cluster import Network, Resource
from edgesim.simulator.network.flow import Hops

Pairs = tuple[tuple[int, int], ...]


class Route(NamedTuple):
    """What a flow between pairs uses: (resource, seconds per byte) of its bytes, and of these and acknowledgements."""

    pairs: Pairs
    data: Hops
    all: Hops


class Routes:
    """The ways over a network, each found once, over resources that have numbers."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.numbers: dict[Resource, int] = {}
        self.routes: dict[Pairs, Route] = {}

    def route(self, pairs: Pairs) -> Route:
        """Find the resources that a flow over these (source, destination) pairs uses, with seconds per byte of each."""
        if (route := self.routes.get(pairs)) is None:
            route = self.routes[pairs] = self._find_route(pairs)
        return route

    def clear(self) -> None:
        """Find all ways anew; resources keep their numbers."""
        self.routes.clear()

    def _find_route(self, pairs: Pairs) -> Route:
        data = _summed(hop for pair in pairs for hop in self._hops(*pair))
        if not (share := self.network.acknowledgement):
            return Route(pairs, data, data)
        back = [hop for source, destination in pairs for hop in self._hops(destination, source)]
        return Route(pairs, data, _summed((*data, *((resource, share * seconds) for resource, seconds in back))))

    def _hops(self, source: int, destination: int) -> Hops:
        """The resources on the way that have a limit."""
        hops = self.network.hops(source, destination)
        return tuple((self._number(resource), seconds) for resource, seconds in hops if seconds > 0)

    def _number(self, resource: Resource) -> int:
        if (number := self.numbers.get(resource)) is None:
            number = self.numbers[resource] = len(self.numbers)
        return number


class Fabric(ABC):
    """The network of one simulation; it calls ``flown`` with a flow's name when its last byte has left.

    Each flow uses resources (a NIC direction, a link, the air) for so many seconds per byte, and a little of the way
    back for its acknowledgements. A ring collective is one flow over all its hops: it moves at the pace of its slowest.
    """

    def __init__(self, env: simpy.Environment, flown: Callable[[int], None]) -> None:
        self.env, self.flown = env, flown

    @abstractmethod
    def send(self, route: Route, nbytes: float, name: int) -> bool:
        """Move bytes along a route; False if they have left at once, and nothing will be called."""


def _summed(hops: Iterable[tuple[int, float]]) -> Hops:
    """The same seconds per byte, but one hop for each resource."""
    total: dict[int, float] = {}
    for resource, seconds_per_byte in hops:
        total[resource] = total[resource] + seconds_per_byte if resource in total else seconds_per_byte
    return tuple(total.items())
