"""Does the engine say what the one before it said? That one played all events, and looked at all flows at each."""

from collections import defaultdict
from dataclasses import replace
from math import inf

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from old_engine.engine import simulate as simulate_as_before
from test_properties import Case, cases

from edgesim.recording import Column, Recording, Unit
from edgesim.scenario import Event, Jitter, Scenario, Slowdown, Walk
from edgesim.schedule import COLLECTIVE, Op
from edgesim.simulator import simulate
from edgesim.trace import Trace

few = settings(max_examples=100, deadline=None, derandomize=True, database=None)
many = settings(few, max_examples=10_000, phases=[Phase.generate])


@st.composite
def events(draw: st.DrawFn) -> tuple[Event, ...]:
    """Some of: a recording with outages, a walk, a slow-down, jitter."""
    changes = draw(st.lists(st.tuples(st.floats(1e-3, 0.1), st.sampled_from([0.0, 0.3, 1.0, 2.0])), max_size=6))
    at_s = [0.0]
    for interval_s, _ in changes:
        at_s.append(at_s[-1] + interval_s)
    values = (*(value for _, value in changes), 1.0)
    unit = draw(st.sampled_from([Unit.FACTOR, Unit.RATE]))
    scale = 1.0 if unit is Unit.FACTOR else 1e5
    column = Column(
        rank=draw(st.sampled_from([None, 0])), unit=unit, values=tuple(scale * (value or 0.0) for value in values)
    )
    drawn: list[Event] = [
        Recording(at_s=tuple(at_s), source="test", columns=(column,)),
        Walk(interval_s=0.01, ratio=1.2, low=0.25, high=2, start=1, together=draw(st.booleans()), source="test"),
        Slowdown(rank=0, start_s=0.01, end_s=0.05, factor=0.5, source="test"),
        Jitter(variation=0.2, source="test"),
    ]
    return tuple(event for event in drawn if draw(st.booleans()))


def playable(drawn: tuple[Event, ...], case: Case) -> tuple[Event, ...]:
    """The events without outages where a link has no limit, of which no factor can be 0."""
    if all(rate < inf for row in case.cluster.network.bytes_per_s for rate in row):
        return drawn
    return tuple(lit(event) if isinstance(event, Recording) else event for event in drawn)


def lit(recording: Recording) -> Recording:
    columns = [replace(column, values=tuple(value or 0.5 for value in column.values)) for column in recording.columns]
    return replace(recording, columns=tuple(columns))


def both(case: Case, scenario: Scenario) -> tuple[Trace, Trace]:
    """The case as it is played now, and as it was before."""
    asked = {"cluster": case.cluster, "model": case.model, "profile": case.profile, "tokens": 1, "scenario": scenario}
    return simulate(case.schedule, **asked), simulate_as_before(case.schedule, **asked)


def share_buckets(trace: Trace, case: Case) -> bool:
    """Whether messages began together at one NIC with a token bucket: then the first in the queue took all of it."""
    if not case.cluster.network.burst_bytes:
        return False
    began = defaultdict[tuple[str, int, float], int](int)
    for span in trace:
        if span.task.op is Op.SEND:
            began["transmit", span.task.rank, span.start_s] += 1
            began["receive", span.task.peers[0], span.start_s] += 1
        elif span.task.op in COLLECTIVE:
            began["transmit", span.task.rank, span.start_s] += 1
            began["receive", span.task.rank, span.start_s] += 1
    return max(began.values(), default=0) > 1


def compare(case: Case, drawn: tuple[Event, ...], seed: int) -> None:
    now, before = both(case, Scenario(events=playable(drawn, case), seed=seed))
    if not share_buckets(now, case):
        assert now.start_s == pytest.approx(before.start_s, rel=1e-9, abs=1e-12)
        assert now.end_s == pytest.approx(before.end_s, rel=1e-9, abs=1e-12)


@few
@given(cases(), events(), st.integers(0, 9))
def test_every_task_has_the_times_that_it_had(case: Case, drawn: tuple[Event, ...], seed: int) -> None:
    compare(case, drawn, seed)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@many
@given(cases(), events(), st.integers(0, 9))
def test_every_task_of_ten_thousand_schedules_has_the_times_that_it_had(
    case: Case, drawn: tuple[Event, ...], seed: int
) -> None:
    compare(case, drawn, seed)


@few
@given(cases())
def test_every_task_has_the_times_that_it_had_where_nothing_happens(case: Case) -> None:
    compare(case, (), 0)
