"""For how long does nothing change? Until some second all is as it is now, which is a simpler scenario."""

from itertools import islice
from math import inf, prod

from edgesim.recording import BandwidthChange, Column, Recording, Unit
from edgesim.scenario.outage import Outage
from edgesim.scenario.scenario import Scenario
from edgesim.scenario.slowdown import Slowdown
from edgesim.scenario.walk import Walk


def steady_until_s(scenario: Scenario) -> float:
    """Return the first second after 0 at which bandwidth or a speed may change; infinity where none ever does."""
    return min(map(_first_change_s, scenario.events), default=inf)


def _first_change_s(event: object) -> float:
    if isinstance(event, Recording):
        return event.at_s[1] if len(event.at_s) > 1 else inf
    if isinstance(event, Walk):
        return next(islice(event.changes(next(iter(event.ranks), 0), 0), 1, None)).at_s
    if isinstance(event, Slowdown | Outage):
        return event.start_s or event.end_s
    return inf


def as_it_is(scenario: Scenario, ranks: int) -> Scenario | None:
    """Return the scenario in which bandwidths and speeds stay as they are at 0 s.

    None where they cannot: in an outage bytes would never arrive, and jitter differs from one iteration to the next.
    """
    if scenario.jitter:
        return None
    columns = []
    for rank in range(ranks):
        now = [next(event.changes(rank, scenario.seed), BandwidthChange(0.0, 1.0)) for event in scenario.bandwidths]
        rate = next((change.value for change in now if change.unit is Unit.RATE), None)
        factor = prod(change.value for change in now if change.unit is Unit.FACTOR)
        if not factor or rate == 0:
            return None
        if rate is not None:
            columns.append(Column(rank=rank, unit=Unit.RATE, values=(rate * factor,)))
        elif factor != 1:
            columns.append(Column(rank=rank, unit=Unit.FACTOR, values=(factor,)))
    slow = ((rank, scenario.speeds(rank)[0][1]) for rank in range(ranks))
    return Scenario(
        events=(
            *([Recording(at_s=(0.0,), columns=tuple(columns), source="as it is")] if columns else []),
            *(_slowed(rank, factor) for rank, factor in slow if factor != 1),
        )
    )


def _slowed(rank: int, factor: float) -> Slowdown:
    return Slowdown(rank=rank, start_s=0.0, end_s=inf, factor=factor, source="as it is")
