"""Is a scenario that is told from a second on the same one?"""

from itertools import takewhile
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.recording import BandwidthChange, Column, Drawn, Recording, Unit
from edgesim.scenario import Event, Jitter, Join, Moment, Outage, Scenario, Slowdown, Walk
from edgesim.scenario.steady import as_it_is, steady_until_s

repeatable = settings(max_examples=200, deadline=None, derandomize=True, database=None)
WALK = Walk(interval_s=0.75, ratio=1.25, low=0.25, high=1.0, start=0.64, together=False, source="test")


def recorded(*steps: tuple[float, float], repeat_s: float = inf) -> Recording:
    column = Column(rank=None, unit=Unit.FACTOR, values=tuple(value for _, value in steps))
    return Recording(at_s=tuple(at_s for at_s, _ in steps), columns=(column,), source="test", repeat_s=repeat_s)


EVENTS: list[Event] = [
    recorded((0, 1.0), (1.5, 0.5), (4, 0.25)),
    recorded((0, 1.0), (1.5, 0.0), (2, 0.25), repeat_s=3.25),
    recorded((0, 0.5), repeat_s=2.0),
    WALK,
    Outage(rank=0, start_s=2.0, end_s=5.5),
]


def factor(scenario: Scenario, at_s: float) -> float:
    """What is left of the bandwidth of rank 0 at a second."""
    product = 1.0
    for event in scenario.bandwidths:
        past = takewhile(lambda change: change.at_s <= at_s, event.changes(0, scenario.seed))
        for now in past:
            last = now
        product *= last.value
    return product


@repeatable
@given(st.sampled_from(EVENTS), st.integers(0, 200), st.integers(0, 200))
def test_bandwidth_goes_on_as_it_would_have(event: Event, begin: int, later: int) -> None:
    """Quarters and eighths of seconds, which have no rounding; also at the very changes."""
    scenario = Scenario(events=(event,), seed=3)
    at_s, after_s = begin / 8, later / 8
    assert factor(scenario.from_second(at_s), after_s) == factor(scenario, at_s + after_s)


@repeatable
@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 100))
def test_what_is_later_of_later_is_later(first: int, second: int, after: int) -> None:
    for event in EVENTS:
        scenario = Scenario(events=(event,), seed=3)
        twice = scenario.from_second(first / 8).from_second(second / 8)
        assert factor(twice, after / 8) == factor(scenario.from_second((first + second) / 8), after / 8)


@repeatable
@given(st.integers(0, 60), st.integers(1, 60))
def test_a_walk_that_has_been_going_on_is_drawn_at_the_same_times(since: int, until: int) -> None:
    walk = Scenario(events=(WALK,)).from_second(since / 8).events[0]
    assert isinstance(walk, Walk)

    def changes(rank: int) -> list[BandwidthChange]:
        return list(takewhile(lambda change: change.at_s <= until / 8, walk.changes(rank, 3)))

    drawn = Drawn(walk.interval_s, walk.whose, lambda rank: walk.changes(rank, 3), walk.since_s)
    times_s = drawn.times_s(until / 8)
    assert times_s.tolist() == [change.at_s for change in changes(0)]
    assert drawn.values(0, len(times_s))[1].tolist() == [change.value for change in changes(0)]


@pytest.mark.parametrize(("at_s", "left"), [(0.0, (2, 5)), (2.0, (0, 3)), (4.5, (0, 0.5)), (5.0, None)])
def test_of_what_has_a_beginning_and_an_end_the_rest_is_left(at_s: float, left: tuple[float, float] | None) -> None:
    slow = Slowdown(rank=1, start_s=2.0, end_s=5.0, factor=0.5, source="test")
    events = Scenario(events=(slow,)).from_second(at_s).events
    assert [(event.start_s, event.end_s) for event in events if isinstance(event, Slowdown)] == ([left] if left else [])


def test_who_is_lost_leaves_or_joins_is_left_out() -> None:
    jitter = Jitter(variation=0.1, source="test")
    scenario = Scenario(events=(jitter, Join(rank=1, when=Moment(at_s=3.0))))
    assert scenario.from_second(1.0).events == (jitter,)


def test_until_something_changes_all_is_as_it_is() -> None:
    slow = Slowdown(rank=1, start_s=2.0, end_s=5.0, factor=0.5, source="test")
    scenario = Scenario(events=(recorded((0, 0.5), (3, 1.0)), slow))
    for at_s, until_s, factors, speed in (
        (0.0, 2.0, 0.5, 1),
        (2.0, 1.0, 0.5, 0.5),
        (3.0, 2.0, 1.0, 0.5),
        (6, inf, 1, 1),
    ):
        later = scenario.from_second(at_s)
        now = as_it_is(later, 2)
        assert now is not None
        assert steady_until_s(later) == until_s
        assert steady_until_s(now) == inf
        assert factor(now, 100.0) == factors
        assert now.speeds(1) == ((0.0, speed),)


@pytest.mark.parametrize(
    "event", [Jitter(variation=0.1, source="test"), Outage(rank=1, start_s=0.0, end_s=1.0)], ids=str
)
def test_some_things_cannot_stay_as_they_are(event: Event) -> None:
    assert as_it_is(Scenario(events=(event,)), 2) is None


def test_an_outage_without_an_end_is_refused() -> None:
    with pytest.raises(ValueError, match="a link that never comes back is a loss"):
        Outage(rank=1, start_s=0.0, end_s=inf)
