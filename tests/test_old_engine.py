"""Does the engine say what the one before it said? That one played all events, and looked at all flows at each."""

from collections import defaultdict
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import numpy as np
import pytest
from block_builders import SAMPLES, TOKENS
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st
from old_engine.engine import simulate as simulate_as_before
from test_block_properties import cases as block_cases
from test_properties import Case, cases, networks

from edgesim.cluster import Cluster
from edgesim.model import Model
from edgesim.profile import Profile, estimate
from edgesim.recording import Column, Recording, Unit
from edgesim.scenario import Event, Jitter, Scenario, Slowdown, Walk
from edgesim.schedule import COLLECTIVE, Op, Schedule, Task
from edgesim.simulator import engine, simulate
from edgesim.simulator.longest_path import NodeTimes, longest_path
from edgesim.trace import Trace

KINDS = ("switched", "radio", "pairs")
few = settings(max_examples=30, deadline=None, derandomize=True, database=None)
many = settings(few, phases=[Phase.generate])


@dataclass(frozen=True, kw_only=True, repr=False)
class Piece:
    """A schedule, and all that it is played on."""

    schedule: Schedule
    cluster: Cluster
    model: Model
    profile: Profile
    tokens: int

    def __repr__(self) -> str:
        return f"{len(self.schedule)} tasks on {self.cluster.network}"


@st.composite
def pipelines(draw: st.DrawFn) -> Piece:
    """Data parallel, pipeline and hybrid plans; some keep activations at their disks."""
    case = draw(cases(buckets=True))
    nbytes = draw(st.sampled_from([None, 0, 20_000]))
    schedule = case.schedule if nbytes is None else with_disks(case.schedule, nbytes)
    return Piece(schedule=schedule, cluster=case.cluster, model=case.model, profile=case.profile, tokens=1)


def with_disks(schedule: Schedule, nbytes: int) -> Schedule:
    """The same schedule in which every forward is read from a disk before, and written to it afterwards."""

    def at_the_disk(op: Op, task: Task, needs: tuple[str, ...]) -> Task:
        return replace(task, op=op, nbytes=nbytes, needs=needs)

    programs = []
    for program in schedule.programs:
        tasks: list[Task] = []
        for task in program:
            if task.op is not Op.F:
                tasks.append(task)
                continue
            read = at_the_disk(Op.CACHE_READ, task, task.needs)
            again = replace(task, needs=(*task.needs, read.name))
            tasks += [read, again, at_the_disk(Op.CACHE_WRITE, task, (again.name,))]
        programs.append(tuple(tasks))
    return Schedule(tuple(programs))


@st.composite
def blocks(draw: st.DrawFn) -> Piece:
    """Heads, columns and tokens of transformers divided among ranks; to train, to infer and to generate."""
    case = draw(block_cases())
    cluster = replace(case.cluster, network=draw(networks(len(case.cluster.devices), KINDS)))
    profile = estimate(case.model, cluster.devices, samples=[SAMPLES], tokens=TOKENS)
    return Piece(schedule=case.schedule, cluster=cluster, model=case.model, profile=profile, tokens=TOKENS)


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
        Walk(interval_s=0.05, ratio=1.2, low=0.25, high=2, start=1, together=draw(st.booleans()), source="test"),
        Slowdown(rank=0, start_s=0.01, end_s=0.05, factor=0.5, source="test"),
        Jitter(variation=0.2, source="test"),
    ]
    return tuple(event for event in drawn if draw(st.booleans()))


def playable(drawn: tuple[Event, ...], piece: Piece | Case) -> tuple[Event, ...]:
    """The events without outages where a link has no limit, of which no factor can be 0."""
    if all(rate < inf for row in piece.cluster.network.bytes_per_s for rate in row):
        return drawn
    return tuple(lit(event) if isinstance(event, Recording) else event for event in drawn)


def lit(recording: Recording) -> Recording:
    columns = [replace(column, values=tuple(value or 0.5 for value in column.values)) for column in recording.columns]
    return replace(recording, columns=tuple(columns))


def share_buckets(trace: Trace, piece: Piece) -> bool:
    """Whether messages began together at one NIC with a token bucket: then the first in the queue took all of it."""
    if not piece.cluster.network.burst_bytes:
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


def compare(piece: Piece, drawn: tuple[Event, ...], chance: int) -> None:
    """Play it as it is played now, and as it was before."""
    scenario = Scenario(events=playable(drawn, piece), seed=chance)
    asked: dict[str, Any] = {name: getattr(piece, name) for name in ("cluster", "model", "profile", "tokens")}
    now = simulate(piece.schedule, scenario=scenario, **asked)
    before = simulate_as_before(piece.schedule, scenario=scenario, **asked)
    if not share_buckets(now, piece):
        np.testing.assert_allclose(now.start_s, before.start_s, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(now.end_s, before.end_s, rtol=1e-9, atol=1e-12)


happenings = st.just(()) | events()


# --- without an event -------------------------------------------------------------------------------------------------


@st.composite
def steps(draw: st.DrawFn) -> tuple[Event, ...]:
    """Some of: bandwidth and speeds that change every few hundredths of a second, walks and jitter; no outage."""
    count, step_s = draw(st.integers(1, 40)), draw(st.floats(5e-3, 0.05))
    at_s = tuple(i * step_s for i in range(count))
    factors = draw(st.lists(st.sampled_from([0.5, 0.9, 1.0, 1.1]), min_size=1, max_size=7))
    values = tuple(factors[i % len(factors)] for i in range(count))
    unit = draw(st.sampled_from([Unit.FACTOR, Unit.RATE]))
    column = Column(
        rank=draw(st.sampled_from([None, 0])),
        unit=unit,
        values=tuple(value * (1.0 if unit is Unit.FACTOR else 1e5) for value in values),
    )
    repeat_s = draw(st.sampled_from([inf, max(1.0, count * step_s)]))
    slow = [
        Slowdown(rank=0, start_s=start_s, end_s=start_s + step_s, factor=min(1.0, value), source="test")
        for start_s, value in zip(at_s, values, strict=True)
    ]
    drawn: list[Event] = [
        Recording(at_s=at_s, source="test", columns=(column,), repeat_s=repeat_s),
        Walk(interval_s=0.05, ratio=1.2, low=0.25, high=2, start=1, together=draw(st.booleans()), source="test"),
        Jitter(variation=0.2, source="test"),
    ]
    return (*(event for event in drawn if draw(st.booleans())), *(slow if draw(st.booleans()) else ()))


def test_schedules_under_scenarios_are_found_without_an_event_and_have_the_times_that_they_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At least a third of those in which anything happens: else their equality would say little of the longest path."""
    found: list[bool] = []

    def counted(*asked: Any) -> NodeTimes | None:
        times = longest_path(*asked)
        found.append(times is not None)
        return times

    monkeypatch.setattr(engine, "longest_path", counted)

    @settings(few, max_examples=30)
    @given(pipelines(), steps().filter(bool), st.integers(0, 9))
    def check(piece: Piece, drawn: tuple[Event, ...], chance: int) -> None:
        network = replace(piece.cluster.network, burst_bytes=0.0)
        compare(replace(piece, cluster=replace(piece.cluster, network=network)), drawn, chance)

    check()
    print(f"{sum(found)} of {len(found)} without an event")
    assert sum(found) >= len(found) / 3 >= 10


@few
@given(pipelines(), happenings, st.integers(0, 9))
def test_every_task_has_the_times_that_it_had(piece: Piece, drawn: tuple[Event, ...], chance: int) -> None:
    compare(piece, drawn, chance)


@settings(few, max_examples=10)
@given(blocks(), happenings, st.integers(0, 9))
def test_every_task_of_divided_blocks_has_the_times_that_it_had(
    piece: Piece, drawn: tuple[Event, ...], chance: int
) -> None:
    compare(piece, drawn, chance)


# --- thousands, in shards that several workers share ------------------------------------------------------------------


def compare_many(pieces: st.SearchStrategy[Piece], count: int, shard: int) -> None:
    seed(shard)(settings(many, max_examples=count)(given(pieces, happenings, st.integers(0, 9))(compare)))()


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("shard", range(4))
def test_every_task_of_a_thousand_schedules_of_divided_blocks_has_the_times_that_it_had(shard: int) -> None:
    compare_many(blocks(), 250, shard)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("shard", range(20))
def test_every_task_of_ten_thousand_schedules_has_the_times_that_it_had(shard: int) -> None:
    compare_many(pipelines(), 500, shard)
