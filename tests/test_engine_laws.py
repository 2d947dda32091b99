"""Laws of time: numbers of ranks mean nothing, all seconds scale and shift alike, parts take what the whole takes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from math import inf
from typing import Any

import pytest
from builders import chain, constant_profile, homogeneous, receive, schedule_of, send
from hypothesis import Phase, assume, given, seed, settings
from hypothesis import strategies as st
from test_old_engine import events, lit, playable, share_buckets
from test_properties import Case, cases, networks

from edgesim.cluster import Network, Topology
from edgesim.recording import Column, Recording, Unit
from edgesim.scenario import Event, Jitter, Scenario, Slowdown, Walk
from edgesim.schedule import COMPUTE, MESSAGE, Op, Schedule, Task
from edgesim.simulator import simulate
from edgesim.trace import Trace

few = settings(max_examples=25, deadline=None, derandomize=True, database=None)
many = settings(few, max_examples=1000, phases=[Phase.generate])
longer = st.sampled_from([0.125, 3.0, 1000.0])  # so many times
disk_bytes = st.integers(0, 2_000_000)


def play(case: Case, schedule: Schedule | None = None, drawn: tuple[Event, ...] = ()) -> Trace:
    """The case, or another schedule on its cluster, under events."""
    return simulate(
        schedule or case.schedule,
        cluster=case.cluster,
        model=case.model,
        profile=case.profile,
        tokens=1,
        scenario=Scenario(events=drawn),
    )


def about(seconds: Sequence[float]) -> object:
    return pytest.approx(sorted(seconds), rel=1e-9, abs=1e-12)


def rewritten(schedule: Schedule, change: Callable[[Task], list[Task]], *, ranks: int = 0) -> Schedule:
    """Every task turned into others, with needs by their new names; all programs move up by so many ranks."""
    new = {task.name: change(task) for task in schedule}
    programs: list[tuple[Task, ...]] = [()] * ranks
    for program in schedule.programs:
        tasks = [each for task in program for each in new[task.name]]
        known = {old: [each.name for each in made] for old, made in new.items()}
        needs = [tuple(name for need in each.needs for name in known.get(need, [need])) for each in tasks]
        programs.append(tuple(replace(each, needs=need) for each, need in zip(tasks, needs, strict=True)))
    return Schedule(tuple(programs))


# --- numbers ----------------------------------------------------------------------------------------------------------


def renumbered_network(network: Network, to: Sequence[int]) -> Network:
    """The same network with rank r called ``to[r]``."""
    old = sorted(range(len(to)), key=to.__getitem__)  # [new] rank
    square = network.topology is not Topology.SWITCHED
    rows = [network.bytes_per_s[i] for i in old] if square else network.bytes_per_s
    return replace(
        network,
        bytes_per_s=tuple(tuple(row[rank] for rank in old) for row in rows),
        latency_s=tuple(tuple(network.latency_s[i][j] for j in old) for i in old),
    )


def renumbered(case: Case, to: Sequence[int]) -> Case:
    """The same case with rank r called ``to[r]``."""
    old = sorted(range(len(to)), key=to.__getitem__)
    cluster = replace(
        case.cluster,
        devices=tuple(case.cluster.devices[rank] for rank in old),
        network=renumbered_network(case.cluster.network, to),
    )
    stages = tuple(replace(stage, ranks=tuple(to[rank] for rank in stage.ranks)) for stage in case.plan.stages)
    return replace(case, plan=replace(case.plan, stages=stages), cluster=cluster)


def event_for(event: Event, to: Sequence[int]) -> Event:
    """The same event with rank r called ``to[r]``."""
    if isinstance(event, Recording):
        columns = [replace(c, rank=None if c.rank is None else to[c.rank]) for c in event.columns]
        return replace(event, columns=tuple(columns))
    return replace(event, rank=to[event.rank]) if isinstance(event, Slowdown) else event


@few
@given(cases(buckets=True), events(), st.data())
def test_numbers_of_ranks_mean_nothing(case: Case, drawn: tuple[Event, ...], data: st.DataObject) -> None:
    """Jitter is drawn for names of tasks, and walks for ranks unless all walk together."""
    drawn = tuple(replace(e, together=True) if isinstance(e, Walk) else e for e in drawn if not isinstance(e, Jitter))
    drawn = playable(drawn, case)
    to = data.draw(st.permutations(range(len(case.cluster.devices))))
    other = renumbered(case, to)
    before, after = play(case, drawn=drawn), play(other, drawn=tuple(event_for(event, to) for event in drawn))
    assert sorted(after.end_s) == about(before.end_s)


RANKS = 5
pairs_of_ranks = st.tuples(st.integers(0, RANKS - 1), st.integers(0, RANKS - 1)).filter(lambda pair: pair[0] != pair[1])
crowds = st.dictionaries(pairs_of_ranks, st.integers(0, 5000), min_size=2, max_size=8)  # bytes by sender and receiver
some_rates = st.lists(st.floats(1e3, 1e6), min_size=RANKS, max_size=RANKS)
bursty = st.builds(
    Network.switched,
    transmit_bytes_per_s=some_rates,
    receive_bytes_per_s=some_rates,
    latency_s=st.just(0.0),
    goodput=st.just(1.0),
    burst_bytes=st.sampled_from([1000.0, 4000.0]),
    origin=st.just("assumed"),
    source=st.just("test"),
)
any_network = bursty | networks(RANKS, ("switched", "radio", "pairs"))


def play_crowd(crowd: Mapping[tuple[int, int], int], network: Network, events: tuple[Event, ...]) -> list[float]:
    """When messages that all begin at once have arrived, in the order of the crowd."""
    programs: list[list[Task]] = [[] for _ in range(RANKS)]
    for (source, to), nbytes in crowd.items():
        programs[source].append(send(source, to, nbytes))
        programs[to].append(receive(to, source, nbytes))
    cluster, model = homogeneous(RANKS, network=network), chain(2)
    profile = constant_profile(model, cluster)
    trace = simulate(
        schedule_of(*programs),
        cluster=cluster,
        model=model,
        profile=profile,
        tokens=1,
        scenario=Scenario(events=events),
    )
    arrived = {(span.task.peers[0], span.task.rank): span.end_s for span in trace if span.task.op is Op.RECV}
    return [arrived[pair] for pair in crowd]


@few
@given(crowds, any_network, st.just(()) | events(), st.permutations(range(RANKS)))
def test_numbers_of_ranks_mean_nothing_to_messages_that_begin_together(
    crowd: dict[tuple[int, int], int], network: Network, drawn: tuple[Event, ...], to: list[int]
) -> None:
    """So that none of them can take a bucket's credit, or any rate, for having been called first."""
    drawn = tuple(replace(e, together=True) if isinstance(e, Walk) else e for e in drawn)
    drawn = tuple(lit(e) if isinstance(e, Recording) else e for e in drawn)
    before = play_crowd(crowd, network, drawn)
    other = {(to[a], to[b]): nbytes for (a, b), nbytes in crowd.items()}
    after = play_crowd(other, renumbered_network(network, to), tuple(event_for(event, to) for event in drawn))
    assert after == pytest.approx(before, rel=1e-9, abs=1e-12)


# --- seconds ----------------------------------------------------------------------------------------------------------


def slower(case: Case, factor: float) -> Case:
    """The same case in which everything takes so many times as long."""
    network = case.cluster.network
    return replace(
        case,
        cluster=replace(
            case.cluster,
            network=replace(
                network,
                bytes_per_s=tuple(tuple(rate / factor for rate in row) for row in network.bytes_per_s),
                latency_s=tuple(tuple(seconds * factor for seconds in row) for row in network.latency_s),
            ),
        ),
        profile=replace(
            case.profile, points=tuple(replace(p, seconds=p.seconds * factor) for p in case.profile.points)
        ),
    )


def slower_event(event: Event, factor: float) -> Event:
    match event:
        case Recording():
            columns = [
                replace(c, values=tuple(v / factor for v in c.values)) if c.unit is Unit.RATE else c
                for c in event.columns
            ]
            return replace(event, at_s=tuple(at_s * factor for at_s in event.at_s), columns=tuple(columns))
        case Walk():
            return replace(event, interval_s=event.interval_s * factor)
        case Slowdown():
            return replace(event, start_s=event.start_s * factor, end_s=event.end_s * factor)
    return event


@few
@given(cases(buckets=True), events(), longer)
def test_where_all_takes_longer_everything_is_later(case: Case, drawn: tuple[Event, ...], factor: float) -> None:
    drawn = playable(drawn, case)
    before = play(case, drawn=drawn)
    after = play(slower(case, factor), drawn=tuple(slower_event(event, factor) for event in drawn))
    assert sorted(after.end_s) == about([end_s * factor for end_s in before.end_s])


def behind(schedule: Schedule, nbytes: int) -> Schedule:
    """The same schedule, all of which waits until its rank has read so much from its disk."""
    programs = []
    for rank, program in enumerate(schedule.programs):
        read = Task(op=Op.CACHE_READ, rank=rank, stage=99, layers=(0, 0), micro_batch=0, nbytes=nbytes)
        programs.append((read, *(replace(task, needs=(*task.needs, read.name)) for task in program)))
    return Schedule(tuple(programs))


def later_event(event: Event, by_s: float) -> Event:
    match event:
        case Recording():
            return replace(event, at_s=(0.0, *(at_s + by_s for at_s in event.at_s[1:])))
        case Slowdown():
            return replace(event, start_s=event.start_s + by_s, end_s=event.end_s + by_s)
    return event


def recorded(event: Event) -> Event:
    """A walk as a recording of its first steps; walks themselves toss their coins from 0 s on."""
    if not isinstance(event, Walk):
        return event
    changes = list(islice(event.changes(0, seed=0), 100))
    column = Column(rank=None, unit=Unit.FACTOR, values=tuple(change.value for change in changes))
    return Recording(at_s=tuple(change.at_s for change in changes), source="test", columns=(column,))


@few
@given(cases(buckets=True), events(), disk_bytes)
def test_what_begins_later_ends_later(case: Case, drawn: tuple[Event, ...], nbytes: int) -> None:
    """All ranks read from their disks first; what happens to links and devices is as much later. Buckets stay full."""
    drawn = playable(drawn, case)
    if any(isinstance(event, Recording) for event in drawn):
        drawn = tuple(event for event in drawn if not isinstance(event, Walk))
    drawn = tuple(recorded(event) for event in drawn)
    (shift_s,) = {nbytes / board.disk_bytes_per_s for board in case.cluster.devices}
    before = play(case, drawn=drawn)
    after = play(case, behind(case.schedule, nbytes), tuple(later_event(event, shift_s) for event in drawn))
    played = [span.end_s - shift_s for span in after if span.task.op is not Op.CACHE_READ]
    assert sorted(played) == about(before.end_s)


# --- parts ------------------------------------------------------------------------------------------------------------


@few
@given(cases(buckets=True), events(), st.floats(0, 1))
def test_two_parts_of_a_message_take_what_it_takes(case: Case, drawn: tuple[Event, ...], part: float) -> None:
    """Latencies overlap, so that parts cost none. Where messages begin together at one bucket, each part asks anew."""
    drawn = playable(drawn, case)
    whole = play(case, drawn=drawn)
    assume(not share_buckets(whole, case))

    def halves(task: Task) -> list[Task]:
        if task.op not in MESSAGE:
            return [task]
        first = round(part * task.nbytes)
        return [replace(task, tile=0, nbytes=first), replace(task, tile=1, nbytes=task.nbytes - first)]

    trace = play(case, rewritten(case.schedule, halves), drawn)
    computed = [span.end_s for span in trace if span.task.op in COMPUTE]
    assert sorted(computed) == about([span.end_s for span in whole if span.task.op in COMPUTE])


def twice(rows: Sequence[Sequence[float]]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) * 2 for row in rows)


def doubled(network: Network) -> Network:
    """Twice the ranks. On the radio, whose air all share, the second half has no limit and so takes no air."""
    rates = twice(network.bytes_per_s)
    if network.topology is not Topology.SWITCHED:
        rates = rates * 2
    if network.topology is Topology.RADIO:
        n = network.ranks
        rates = tuple(row if i < n else (inf,) * (2 * n) for i, row in enumerate(rates))
    return replace(network, bytes_per_s=rates, latency_s=twice(network.latency_s) * 2)


def happens_twice(event: Event, ranks: int) -> tuple[Event, ...]:
    """To both halves of the ranks."""
    if isinstance(event, Slowdown):
        return event, replace(event, rank=event.rank + ranks)
    if isinstance(event, Recording):
        more = [replace(c, rank=c.rank + ranks) for c in event.columns if c.rank is not None]
        return (replace(event, columns=(*event.columns, *more)),)
    return (event,)


@few
@given(cases(buckets=True), events())
def test_a_second_job_on_other_ranks_changes_nothing(case: Case, drawn: tuple[Event, ...]) -> None:
    """The same job twice on twice as many devices; what happens, happens to both, but jitter, drawn by tasks' names."""
    drawn = tuple(replace(e, together=True) if isinstance(e, Walk) else e for e in drawn if not isinstance(e, Jitter))
    ranks, network = len(case.cluster.devices), case.cluster.network
    free = case
    if network.topology is Topology.RADIO:
        drawn = tuple(lit(e) if isinstance(e, Recording) else e for e in drawn if not gives_rates(e))
        unlimited = replace(network, bytes_per_s=((inf,) * ranks,) * ranks)
        free = replace(case, cluster=replace(case.cluster, network=unlimited))
    drawn = playable(drawn, case)

    def moved(task: Task) -> list[Task]:
        return [replace(task, rank=task.rank + ranks, peers=tuple(peer + ranks for peer in task.peers))]

    idle = ((),) * (ranks - case.schedule.ranks)
    both = Schedule((*case.schedule.programs, *idle, *rewritten(case.schedule, moved).programs))
    cluster = replace(case.cluster, devices=case.cluster.devices * 2, network=doubled(network))
    together = play(
        replace(case, cluster=cluster), both, tuple(each for event in drawn for each in happens_twice(event, ranks))
    )
    first, second = ([s.end_s for s in together if (s.task.rank >= ranks) == later] for later in (False, True))
    assert sorted(first) == about(play(case, drawn=drawn).end_s)
    assert sorted(second) == about(play(free, drawn=drawn).end_s)


def gives_rates(event: Event) -> bool:
    """Whether it limits what has no limit."""
    return isinstance(event, Recording) and any(column.unit is Unit.RATE for column in event.columns)


# --- thousands --------------------------------------------------------------------------------------------------------

LAWS = {
    test_numbers_of_ranks_mean_nothing: (cases(buckets=True), events(), st.data()),
    test_numbers_of_ranks_mean_nothing_to_messages_that_begin_together: (
        crowds,
        any_network,
        st.just(()) | events(),
        st.permutations(range(RANKS)),
    ),
    test_where_all_takes_longer_everything_is_later: (cases(buckets=True), events(), longer),
    test_what_begins_later_ends_later: (cases(buckets=True), events(), disk_bytes),
    test_two_parts_of_a_message_take_what_it_takes: (cases(buckets=True), events(), st.floats(0, 1)),
    test_a_second_job_on_other_ranks_changes_nothing: (cases(buckets=True), events()),
}


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("shard", range(2))
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__.removeprefix("test_"))
def test_a_law_holds_for_thousands(law: Any, shard: int) -> None:
    """A thousand cases in each shard, so that several workers share them."""
    seed(shard)(many(given(*LAWS[law])(law.hypothesis.inner_test)))()
