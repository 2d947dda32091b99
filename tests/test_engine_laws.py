"""Laws of time: numbers of ranks mean nothing, all seconds scale and shift alike, parts take what the whole takes."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_old_engine import events, playable
from test_properties import Case, cases

from edgesim.cluster import Topology
from edgesim.recording import Recording, Unit
from edgesim.scenario import Event, Jitter, Scenario, Slowdown, Walk
from edgesim.schedule import COMPUTE, MESSAGE, Op, Schedule, Task
from edgesim.simulator import simulate
from edgesim.trace import Trace

repeatable = settings(max_examples=60, deadline=None, derandomize=True, database=None)


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


def renumbered(case: Case, to: Sequence[int]) -> Case:
    """The same case with rank r called ``to[r]``."""
    old = sorted(range(len(to)), key=to.__getitem__)  # [new] rank
    network = case.cluster.network
    square = network.topology is not Topology.SWITCHED
    rows = [network.bytes_per_s[i] for i in old] if square else network.bytes_per_s
    cluster = replace(
        case.cluster,
        devices=tuple(case.cluster.devices[rank] for rank in old),
        network=replace(
            network,
            bytes_per_s=tuple(tuple(row[rank] for rank in old) for row in rows),
            latency_s=tuple(tuple(network.latency_s[i][j] for j in old) for i in old),
        ),
    )
    stages = tuple(replace(stage, ranks=tuple(to[rank] for rank in stage.ranks)) for stage in case.plan.stages)
    return replace(case, plan=replace(case.plan, stages=stages), cluster=cluster)


def event_for(event: Event, to: Sequence[int]) -> Event:
    """The same event with rank r called ``to[r]``."""
    if isinstance(event, Recording):
        columns = [replace(c, rank=None if c.rank is None else to[c.rank]) for c in event.columns]
        return replace(event, columns=tuple(columns))
    return replace(event, rank=to[event.rank]) if isinstance(event, Slowdown) else event


@repeatable
@given(cases(), events(), st.data())
def test_numbers_of_ranks_mean_nothing(case: Case, drawn: tuple[Event, ...], data: st.DataObject) -> None:
    """Jitter is drawn for names of tasks, and walks for ranks unless all walk together."""
    drawn = tuple(replace(e, together=True) if isinstance(e, Walk) else e for e in drawn if not isinstance(e, Jitter))
    drawn = playable(drawn, case)
    to = data.draw(st.permutations(range(len(case.cluster.devices))))
    other = renumbered(case, to)
    before, after = play(case, drawn=drawn), play(other, drawn=tuple(event_for(event, to) for event in drawn))
    assert sorted(after.end_s) == about(before.end_s)


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


@repeatable
@given(cases(), events(), st.sampled_from([0.125, 3.0, 1000.0]))
def test_where_all_takes_longer_everything_is_later(case: Case, drawn: tuple[Event, ...], factor: float) -> None:
    drawn = playable(drawn, case)
    before = play(case, drawn=drawn)
    after = play(slower(case, factor), drawn=tuple(slower_event(event, factor) for event in drawn))
    assert sorted(after.end_s) == about([end_s * factor for end_s in before.end_s])


@repeatable
@given(cases(), st.integers(1, 10_000))
def test_what_begins_later_ends_later(case: Case, nbytes: int) -> None:
    """Behind a barrier, an all-gather among all ranks, everything is as it is from the start."""
    assume(not case.cluster.network.burst_bytes)
    members = tuple(case.plan.ranks)
    assume(len(members) > 1)
    barrier = {
        rank: Task(op=Op.ALL_GATHER, rank=rank, stage=99, layers=(0, 1), peers=members, nbytes=nbytes)
        for rank in members
    }

    def behind(task: Task) -> list[Task]:
        return [replace(task, needs=(*task.needs, barrier[task.rank].name)) if task.op in COMPUTE else task]

    late = rewritten(case.schedule, behind)
    late = Schedule(
        tuple((barrier[rank], *program) if rank in barrier else program for rank, program in enumerate(late.programs))
    )
    trace = play(case, late)
    shift_s = next(span.end_s for span in trace if span.task.op is Op.ALL_GATHER)
    computed = [span.end_s - shift_s for span in trace if span.task.op in COMPUTE]
    assert sorted(computed) == about([span.end_s for span in case.trace if span.task.op in COMPUTE])


# --- parts ------------------------------------------------------------------------------------------------------------


@repeatable
@given(cases(), st.floats(0, 1))
def test_two_parts_of_a_message_take_what_it_takes(case: Case, part: float) -> None:
    assume(not case.cluster.network.burst_bytes)  # of which each part would ask for its share

    def halves(task: Task) -> list[Task]:
        if task.op not in MESSAGE:
            return [task]
        first = round(part * task.nbytes)
        return [replace(task, tile=0, nbytes=first), replace(task, tile=1, nbytes=task.nbytes - first)]

    trace = play(case, rewritten(case.schedule, halves))
    computed = [span.end_s for span in trace if span.task.op in COMPUTE]
    assert sorted(computed) == about([span.end_s for span in case.trace if span.task.op in COMPUTE])


@repeatable
@given(cases(kinds=("switched", "pairs")), events())
def test_a_second_job_on_other_ranks_changes_nothing(case: Case, drawn: tuple[Event, ...]) -> None:
    """The same job twice on twice as many devices; what happens, happens to both."""
    drawn = tuple(e for e in playable(drawn, case) if not isinstance(e, Jitter | Slowdown) and not e.named)
    drawn = tuple(replace(e, together=True) if isinstance(e, Walk) else e for e in drawn)
    ranks = len(case.cluster.devices)
    network = case.cluster.network

    def moved(task: Task) -> list[Task]:
        return [replace(task, rank=task.rank + ranks, peers=tuple(peer + ranks for peer in task.peers))]

    def twice(rows: Sequence[Sequence[float]]) -> tuple[tuple[float, ...], ...]:
        return tuple(tuple(row) * 2 for row in rows)

    square = network.topology is Topology.PAIRS
    double = replace(
        network,
        bytes_per_s=twice(network.bytes_per_s) * (2 if square else 1),
        latency_s=twice(network.latency_s) * 2,
    )
    idle = ((),) * (ranks - case.schedule.ranks)
    both = Schedule((*case.schedule.programs, *idle, *rewritten(case.schedule, moved).programs))
    cluster = replace(case.cluster, devices=case.cluster.devices * 2, network=double)
    alone = play(case, drawn=drawn)
    together = play(replace(case, cluster=cluster), both, drawn)
    assert sorted(together.end_s) == about([*alone.end_s, *alone.end_s])
