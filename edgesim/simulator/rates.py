"""How many bytes per second does a flow alone reach, over time? Routes whose resources' bandwidths a scenario changes.

The bandwidths of all ranks change at moments of one grid. So a resource's seconds per byte are an array over the grid,
and routes add and compare arrays as they do numbers.
"""

from collections.abc import Sequence
from math import inf
from typing import cast

import numpy as np

from edgesim.cluster import Network
from edgesim.recording import Course, Floats, TooManyChangesError, Unit
from edgesim.scenario import Scenario
from edgesim.scenario.paces import Pace
from edgesim.simulator.network.fabric import Route, Routes
from edgesim.simulator.network.flow import Hops
from edgesim.simulator.node_costs import NodeCosts
from edgesim.units import LEAST, MOST


class UnknownRateError(Exception):
    """A rate that no pace can tell. The simulation must be played, which says what is wrong with it, if anything is."""


class Rates:
    """The paces of a simulation's flows, as far as somebody asks for them."""

    def __init__(self, scenario: Scenario, network: Network) -> None:
        self.scenario, self.network = scenario, network

    def paces(self, costs: NodeCosts, until_s: float) -> dict[int, Pace]:
        """Return [kind] of wires whose rate changes until then the pace of their bytes.

        Raises UnknownRateError.
        """
        try:
            courses = [(course, course.times_s(until_s)) for course in self.scenario.courses]
        except TooManyChangesError:
            raise UnknownRateError from None
        if not any(self._changes(course, len(at_s)) for course, at_s in courses):
            return {}
        routes = _RoutesOverTime(self.network, courses)
        # Bytes that no link holds up have left at once, whatever their acknowledgements meet.
        held_up = {kind: wire.route for kind, wire in costs.wires.items() if wire.route.data and wire.nbytes > 0}
        paces = {kind: routes.pace(route.pairs) for kind, route in held_up.items()}
        return {kind: pace for kind, pace in paces.items() if len(pace) > 1}

    def _changes(self, course: Course, count: int) -> bool:
        """Whether any of these values is another than the first, on any rank."""
        ranks = {whose: rank for rank in range(self.network.ranks) if (whose := course.whose(rank))}
        values = [course.values(rank, count)[1] for rank in ranks.values()]
        return any((each != each[0]).any() for each in values)


class _RoutesOverTime(Routes):
    """Routes whose seconds per byte are arrays [moment]."""

    def __init__(self, network: Network, courses: Sequence[tuple[Course, Floats]]) -> None:
        super().__init__(network)
        self.courses = courses
        times = [at_s for _, at_s in self.courses]
        self.at_s = times[0] if len(times) == 1 else np.unique(np.concatenate(times))
        self._whose: dict[int, tuple[str, ...]] = {}
        self._seconds: dict[tuple[float, tuple[str, ...]], Floats | None] = {}
        self._paces: dict[frozenset[int], Pace] = {}

    def pace(self, pairs: tuple[tuple[int, int], ...]) -> Pace:
        """Bytes per second of a flow alone; one step where nothing changes."""
        route: Route = self.route(pairs)
        arrays = [cast(Floats, seconds_per_byte) for _, seconds_per_byte in route.all]
        key = frozenset(map(id, arrays))  # the routes keep them
        if (pace := self._paces.get(key)) is None:
            pace = self._paces[key] = self._slowest(arrays) if arrays else [(0.0, inf)]
        return pace

    def _slowest(self, seconds_per_byte: list[Floats]) -> Pace:
        rates = 1 / np.max(seconds_per_byte, axis=0)
        steps = np.flatnonzero(np.diff(rates, prepend=-1.0))
        return list(zip(self.at_s[steps].tolist(), rates[steps].tolist(), strict=True))

    def _hops(self, source: int, destination: int) -> Hops:
        hops = []
        for resource, nominal in self.network.hops(source, destination):
            ranks = resource.ranks or (source, destination)  # the air's, at this moment
            arrays = [self._seconds_per_byte(rank, nominal) for rank in ranks]
            limits = [array for array in arrays if array is not None]
            if limits:
                seconds = limits[0] if all(each is limits[0] for each in limits) else np.max(limits, axis=0)
                hops.append((self._number(resource), cast(float, seconds)))
        return tuple(hops)

    def _seconds_per_byte(self, rank: int, nominal: float) -> Floats | None:
        """What a byte takes that nominally takes so long; None where there is no limit."""
        if rank not in self._whose:
            self._whose[rank] = tuple(course.whose(rank) for course, _ in self.courses)
        key = nominal, self._whose[rank]
        if key not in self._seconds:
            self._seconds[key] = self._over_time(rank, nominal)
        return self._seconds[key]

    def _over_time(self, rank: int, nominal: float) -> Floats | None:
        """As :meth:`Bandwidth.seconds_per_byte`, at all moments."""
        changes = [(course, at_s) for course, at_s in self.courses if course.whose(rank)]
        units = [course.values(rank, len(at_s)) for course, at_s in changes]
        values = [
            (unit, each if at_s is self.at_s else each[np.searchsorted(at_s, self.at_s, side="right") - 1])
            for (unit, each), (_, at_s) in zip(units, changes, strict=True)
        ]
        rate = next((each for unit, each in values if unit is Unit.RATE), None)
        factor = np.ones(len(self.at_s))
        for unit, each in values:
            factor = factor * each if unit is Unit.FACTOR else factor
        if rate is None and not nominal:
            if not factor.all():
                raise UnknownRateError
            return None
        with np.errstate(all="ignore"):  # an outage's bytes take for ever
            seconds = nominal / factor if rate is None else 1 / (rate * factor * self.network.goodput)
        out = factor == 0 if rate is None else (factor == 0) | (rate == 0)
        if not np.all(out | ((seconds >= LEAST) & (seconds <= MOST))):
            raise UnknownRateError
        return cast(Floats, np.where(out, inf, seconds))
