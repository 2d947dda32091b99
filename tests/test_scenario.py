"""What happens while the work runs changes what it must, exactly, and nothing else."""

from dataclasses import replace
from itertools import islice, pairwise
from math import inf, sqrt
from pathlib import Path

import pytest
from builders import (
    chain,
    collective,
    compute,
    constant_profile,
    ends_s,
    homogeneous,
    pairs,
    radio,
    receive,
    schedule_of,
    send,
    switched,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from test_properties import Case, cases

from edgesim.cluster import Network
from edgesim.recording import Column, Recording, Unit, read_recording, recording_from_text
from edgesim.scenario import Event, Jitter, Scenario, Slowdown, Walk
from edgesim.schedule import Op, Payload, Task
from edgesim.simulator import simulate
from edgesim.strategies.data import data
from edgesim.trace import Trace
from experiments.configuration.cache import Cache
from experiments.configuration.command_line import composed
from experiments.configuration.places import CODE
from experiments.configuration.setup import prepare

repeatable = settings(max_examples=50, deadline=None, derandomize=True, database=None)
about = pytest.approx
NETWORKS = [switched, radio, pairs]


def recorded(*steps: tuple[float, float], rank: int | None = None, unit: Unit = Unit.FACTOR) -> Recording:
    """One column of (from when, value)."""
    column = Column(rank=rank, unit=unit, values=tuple(value for _, value in steps))
    return Recording(at_s=tuple(at_s for at_s, _ in steps), columns=(column,), source="test")


def outage(lines: str) -> Recording:
    """A table of seconds and Mbit/s, for all."""
    return recording_from_text(f"time_s,rate Mbit/s\n{lines}", source="test")


def slow(rank: int, start_s: float, end_s: float, factor: float) -> Slowdown:
    return Slowdown(rank=rank, start_s=start_s, end_s=end_s, factor=factor, source="test")


def walk(**changed: object) -> Walk:
    fields = {"interval_s": 0.5, "ratio": 1.25, "low": 0.25, "high": 1.0, "start": 0.64, "together": False}
    return Walk(**fields | {"source": "test"} | changed)  # type: ignore[arg-type]


def jitter(variation: float) -> Jitter:
    return Jitter(variation=variation, source="test")


def play(network: Network, *programs: list[Task], events: tuple[Event, ...], forward_s: float = 1.0) -> Trace:
    """Hand-written programs under events; every forward takes ``forward_s``."""
    cluster, model = homogeneous(network.ranks, network=network, disk_bytes_per_s=10), chain(2)
    profile = constant_profile(model, cluster, forward_s=forward_s, backward_s=forward_s)
    return simulate(
        schedule_of(*programs),
        cluster=cluster,
        model=model,
        profile=profile,
        tokens=1,
        scenario=Scenario(events=events),
    )


def message_s(network: Network, nbytes: int, *events: Event) -> float:
    """When a message from rank 0 to 1 has left."""
    return ends_s(play(network, [send(0, 1, nbytes)], [receive(1, 0, nbytes)], events=events))["0SEND_activation0@0>1"]


def two_messages_s(network: Network, sizes: tuple[int, int], *events: Event) -> tuple[float, float]:
    """When messages from rank 0 to 1 and to 2 have left, which start together."""
    programs = [[send(0, 1, sizes[0]), send(0, 2, sizes[1])], [receive(1, 0, sizes[0])], [receive(2, 0, sizes[1])]]
    ends = ends_s(play(network, *programs, events=events))
    return ends["0SEND_activation0@0>1"], ends["0SEND_activation0@0>2"]


def computed_s(work_s: float, *events: Event) -> float:
    """When a computation on rank 0 ends."""
    return play(switched(1), [compute(Op.F, 0)], events=events, forward_s=work_s).makespan_s


# --- bandwidth over time ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", NETWORKS)
def test_a_transfer_of_10_s_whose_rate_halves_half_way_takes_15_s(network) -> None:
    assert message_s(network(2, bytes_per_s=10), 100, recorded((0, 1), (5, 0.5))) == about(15)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_transfer_goes_through_every_step_that_it_meets_and_none_after_its_end(network) -> None:
    """10, 5, 20 and 10 B/s: 40 + 20 + 40 bytes until 10 s."""
    steps = recorded((0, 1), (4, 0.5), (8, 2), (10, 1), (11, 0.001))
    assert message_s(network(2, bytes_per_s=10), 100, steps) == about(10)
    assert message_s(network(2, bytes_per_s=10), 105, steps) == about(10.5)


def test_two_flows_share_the_rate_of_the_moment() -> None:
    """5 B/s each, then 2.5: 20 of 30 bytes and of 60 by 4 s; when the first ends at 8 s, the other gets all 5 B/s."""
    assert two_messages_s(switched(3, bytes_per_s=10), (30, 60), recorded((0, 1), (4, 0.5))) == about((8, 14))


def test_a_flow_that_ends_exactly_at_a_step_leaves_the_new_rate_to_the_other() -> None:
    assert two_messages_s(switched(3, bytes_per_s=10), (20, 60), recorded((0, 1), (4, 0.5))) == about((4, 12))


@pytest.mark.parametrize("network", NETWORKS)
def test_a_flow_that_begins_exactly_at_a_step_has_the_new_rate(network) -> None:
    programs = [compute(Op.F, 0), send(0, 1, 100, needs=["0F0@0"])], [receive(1, 0, 100)]
    trace = play(network(2, bytes_per_s=10), *programs, events=(recorded((0, 1), (4, 0.5)),), forward_s=4)
    assert trace.makespan_s == about(4 + 20)


def test_steps_that_pass_while_nothing_flows_are_not_forgotten() -> None:
    programs = [compute(Op.F, 0), send(0, 1, 100, needs=["0F0@0"])], [receive(1, 0, 100)]
    steps = recorded((0, 1), (1, 3), (2, 0.1), (3, 0.5), (13, 1))
    trace = play(switched(2, bytes_per_s=10), *programs, events=(steps,), forward_s=4)
    assert trace.makespan_s == about(4 + 9 + 5.5)


def test_one_slow_nic_leaves_the_rest_to_others() -> None:
    """Rank 1 receives at 2 B/s from 2 s on: 10 + 5 x 2 bytes by 7 s; the other has 10 + 5 x 8."""
    ends = two_messages_s(switched(3, bytes_per_s=10), (20, 50), recorded((0, 1), (2, 0.2), rank=1))
    assert ends == about((7, 7))


@pytest.mark.parametrize(("network", "slow_s", "other_s"), [(switched, 30, 10), (pairs, 30, 10), (radio, 40, 40)])
def test_a_slow_rank_is_slow_by_itself_but_takes_the_air_from_others(network, slow_s: float, other_s: float) -> None:
    """100 bytes 0>1 and 2>3, rank 1 at a third. On the radio a byte of each takes 0.3 + 0.1 s."""
    programs = [send(0, 1, 100)], [receive(1, 0, 100)], [send(2, 3, 100)], [receive(3, 2, 100)]
    ends = ends_s(play(network(4, bytes_per_s=10), *programs, events=(recorded((0, 1 / 3), rank=1),)))
    assert ends["0SEND_activation0@0>1"] == about(slow_s)
    assert ends["2SEND_activation0@2>3"] == about(other_s)


@pytest.mark.parametrize("network", [pairs, radio])
def test_between_two_ranks_the_lower_counts(network) -> None:
    table = Recording(
        at_s=(0.0,),
        source="test",
        columns=tuple(Column(rank=r, unit=Unit.FACTOR, values=(f,)) for r, f in ((0, 0.5), (1, 0.25))),
    )
    assert message_s(network(2, bytes_per_s=10), 100, table) == about(40)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("nominal", [10.0, inf])
def test_a_recorded_rate_stands_in_the_place_of_the_networks_and_goodput_counts(network, nominal: float) -> None:
    steps = recorded((0, 20), (5, 10), unit=Unit.RATE)
    assert message_s(network(2, bytes_per_s=nominal, goodput=0.8), 120, steps) == about(5 + 40 / 8)


def test_a_wire_without_limit_has_none_at_any_factor() -> None:
    assert message_s(switched(2), 10**9, recorded((0, 0.001))) == 0


def test_latency_stays_as_it_is() -> None:
    network = switched(2, bytes_per_s=10, latency_s=3)
    trace = play(network, [send(0, 1, 100)], [receive(1, 0, 100)], events=(recorded((0, 0.5), (20, 0.001)),))
    assert trace.makespan_s == about(20 + 3)


def test_a_ring_slows_down_with_its_slowest_hop() -> None:
    """All-reduce of 3 ranks: 4/3 of 300 bytes on every hop, 20 s at 20 B/s; rank 2 falls to a half after 10 s."""
    programs = [[task] for task in collective(Op.ALL_REDUCE, range(3), 300)]
    events = (recorded((0, 1), (10, 0.5), rank=2),)
    assert play(switched(3, bytes_per_s=20), *programs, events=events).makespan_s == about(30)


def test_acknowledgements_slow_down_with_their_way_back() -> None:
    """100 B/s each way and a quarter byte back per byte: 80 B/s each; at half rate 40 B/s each."""
    network = replace(switched(2, bytes_per_s=100), acknowledgement=0.25)
    programs = [send(0, 1, 400), receive(0, 1, 400)], [send(1, 0, 400), receive(1, 0, 400)]
    assert play(network, *programs, events=(recorded((0, 1), (3, 0.5)),)).makespan_s == about(3 + 160 / 40)


def test_bytes_that_no_link_holds_up_have_left_at_once_while_the_rate_of_their_acknowledgements_changes() -> None:
    """Only the way back has a limit; it changes before the bytes have arrived, after a latency of 1 s."""
    free, slow_back = (
        {"transmit_bytes_per_s": [inf, 100.0], "receive_bytes_per_s": [100.0, inf]},
        recorded((0, 0.5), (0.05, 1)),
    )
    network = Network.switched(**free, latency_s=1, goodput=1, origin="assumed", source="test", acknowledgement=0.25)
    trace = play(network, [send(0, 1, 1000)], [receive(1, 0, 1000)], events=(slow_back,))
    assert (tuple(trace.start_s), tuple(trace.end_s)) == ((0.0, 1.0), (0.0, 1.0))


# --- token buckets ----------------------------------------------------------------------------------------------------


def test_a_burst_passes_at_once_and_the_rest_at_the_rate_of_the_moment() -> None:
    network = switched(2, bytes_per_s=100, burst_bytes=300)
    assert message_s(network, 1000, recorded((0, 1), (5, 0.5))) == about(5 + 200 / 50)


@pytest.mark.parametrize("others_flow", [False, True])
@pytest.mark.parametrize(
    ("steps", "credit_bytes"),
    [
        ([(0, 1)], 200),
        ([(0, 1), (2, 0.1), (3, 1)], 110),
        ([(0, 1), (1.5, 0.1), (2, 1)], 155),
        ([(0, 1), (1, 0.5), (2, 0.1), (2.5, 2), (3, 1)], 50 + 5 + 100),
        ([(0, 1), (1, 5), (2, 0.1), (3, 1)], 300),
    ],
)
def test_a_bucket_fills_at_the_rate_of_every_moment_of_its_idle_time(
    steps: list[tuple[float, float]], credit_bytes: float, others_flow: bool
) -> None:
    """A message empties the bucket of 300 bytes, and its link is idle from 1 s to 3 s; the next one is of 400."""
    network = switched(4, bytes_per_s=100, burst_bytes=300)
    first, wait = send(0, 1, 400), compute(Op.F, 0, needs=["0SEND_activation0@0>1"])
    programs = [
        [first, wait, send(0, 1, 400, micro_batch=1, needs=[wait.name])],
        [receive(1, 0, 400), receive(1, 0, 400, micro_batch=1)],
        [send(2, 3, 9000)] if others_flow else [],
        [receive(3, 2, 9000)] if others_flow else [],
    ]
    ends = ends_s(play(network, *programs, events=(recorded(*steps),), forward_s=2))
    assert ends[first.name] == about(1)
    assert ends["0SEND_activation1@0>1"] == about(3 + (400 - credit_bytes) / 100)


# --- slow-downs -------------------------------------------------------------------------------------------------------


def test_a_computation_of_10_s_at_a_quarter_from_4_to_8_s_ends_at_13_s() -> None:
    assert computed_s(10, slow(0, 4, 8, 0.25)) == about(13)


@pytest.mark.parametrize(
    ("work_s", "end_s"),
    [(1, 1), (4, 4), (4.5, 6), (5, 8), (5.5, 8.5)],
    ids=["before", "until", "within", "exactly", "after"],
)
def test_only_what_is_computed_while_it_is_slow_takes_longer(work_s: float, end_s: float) -> None:
    assert computed_s(work_s, slow(0, 4, 8, 0.25)) == about(end_s)


@pytest.mark.parametrize(("start_s", "end_s"), [(2, 4), (3, 8), (4, 9), (7, 9.75), (8, 10), (9, 11)])
def test_a_computation_may_begin_before_at_within_or_after_a_slow_down(start_s: float, end_s: float) -> None:
    """2 s of work on rank 1, which rank 0 calls for at ``start_s``."""
    network, model = switched(2), chain(2)
    programs = [
        [compute(Op.F, 0), send(0, 1, 0, needs=["0F0@0"])],
        [receive(1, 0, 0), compute(Op.B, 1, needs=["1RECV_activation0@1<0"])],
    ]
    cluster = homogeneous(2, network=network)
    profile = constant_profile(model, cluster, forward_s=start_s, backward_s=2.0)
    trace = simulate(
        schedule_of(*programs),
        cluster=cluster,
        model=model,
        profile=profile,
        tokens=1,
        scenario=Scenario(events=(slow(1, 4, 8, 0.25),)),
    )
    assert trace.makespan_s == about(end_s)


def test_slow_downs_that_overlap_multiply() -> None:
    """Speeds 1, 1/2, 1/8, 1/4 from 0, 1, 3 and 5 s: 1 + 1 + 0.25 s of work by 5 s."""
    assert computed_s(3.25, slow(0, 1, 5, 0.5), slow(0, 3, inf, 0.25)) == about(5 + 4)


def test_others_and_disks_are_not_slowed_down() -> None:
    programs = [compute(Op.F, 0), replace(compute(Op.CACHE_READ, 0), nbytes=20)], [compute(Op.F, 1)]
    ends = ends_s(play(switched(2), *programs, events=(slow(0, 0, inf, 0.5),)))
    assert ends == about({"0F0@0": 2, "0CACHE_READ0@0": 2, "1F0@1": 1})


# --- jitter -----------------------------------------------------------------------------------------------------------


def test_the_mean_of_many_factors_is_1_and_their_deviation_the_variation() -> None:
    count, variation = 20_000, 0.3
    factors = [jitter(variation).factor(0, i, "0F0@0") for i in range(count)]
    mean = sum(factors) / count
    deviation = sqrt(sum((factor - mean) ** 2 for factor in factors) / count)
    assert mean == pytest.approx(1, abs=4 * variation / sqrt(count))
    assert deviation == pytest.approx(variation, rel=0.05)  # six standard errors, kurtosis included
    assert min(factors) > 0


def test_a_factor_depends_on_seed_iteration_and_task_and_on_nothing_else() -> None:
    one = jitter(0.1)
    words = [(0, 0, "0F0@0"), (1, 0, "0F0@0"), (0, 1, "0F0@0"), (0, 0, "0F1@0")]
    assert len({one.factor(*word) for word in words}) == 4
    assert one.factor(0, 0, "0F0@0") == jitter(0.1).factor(0, 0, "0F0@0")


def test_a_factor_is_the_same_on_every_machine_and_in_every_version() -> None:
    assert jitter(0.1).factor(7, 3, "1F2@0") == pytest.approx(1.0103117151108152, rel=1e-12)


def test_every_computation_takes_its_own_factor_and_nothing_else_does() -> None:
    one = jitter(0.2)
    programs = (
        [compute(Op.F, 0), compute(Op.F, 0, 1), send(0, 1, 10), replace(compute(Op.CACHE_READ, 0), nbytes=20)],
        [receive(1, 0, 10)],
    )
    trace = play(switched(2, bytes_per_s=10), *programs, events=(one,))
    seconds = {span.task.name: span.seconds for span in trace}
    for name in ("0F0@0", "0F1@0"):
        assert seconds[name] == about(one.factor(0, 0, name))
    assert seconds["0SEND_activation0@0>1"] == about(1)
    assert seconds["0CACHE_READ0@0"] == about(2)


def test_jitter_is_more_or_less_work_so_that_a_slow_down_stretches_it() -> None:
    one = jitter(0.2)
    assert computed_s(10, one, slow(0, 0, inf, 0.5)) == about(20 * one.factor(0, 0, "0F0@0"))


# --- walks ------------------------------------------------------------------------------------------------------------


def course(event: Walk, rank: int = 0, seed: int = 0, length: int = 200) -> list[tuple[float, float]]:
    return [(change.at_s, change.value) for change in islice(event.changes(rank, seed), length)]


walks = st.builds(
    lambda low, span, ratio, at, together: walk(
        low=low,
        high=low * span,
        ratio=1 + (sqrt(span) - 1) * ratio,
        start=low * span**at,
        together=together,
    ),
    st.floats(0.01, 2),
    st.floats(1.01, 50),
    st.floats(0, 0.99),
    st.floats(0.1, 0.9),
    st.booleans(),
)


@repeatable
@given(walks, st.integers(0, 5), st.integers(0, 99))
def test_a_walk_stays_within_its_bounds_and_every_step_is_one_ratio(event: Walk, rank: int, seed: int) -> None:
    steps = course(event, rank, seed)
    assert [at_s for at_s, _ in steps] == [i * event.interval_s for i in range(200)]
    assert all(event.low <= value <= event.high for _, value in steps)
    for (_, before), (_, then) in pairwise(steps):
        assert max(before / then, then / before) == pytest.approx(event.ratio)


def test_a_walk_that_goes_on_for_long_reaches_both_bounds() -> None:
    values = {round(value, 6) for _, value in course(walk(), length=2000)}
    assert values == {round(0.64 * 1.25**k, 6) for k in range(-4, 3)}


def test_the_same_seed_gives_the_same_walk_and_another_seed_or_rank_another() -> None:
    assert course(walk()) == course(walk())
    assert course(walk(), seed=1) != course(walk()) != course(walk(), rank=1)
    assert course(walk(together=True)) == course(walk(together=True), rank=1)
    assert course(walk(ranks=(1,))) == []


def test_a_walk_is_the_same_on_every_machine_and_in_every_version() -> None:
    tosses = "".join("+" if then > before else "-" for (_, before), (_, then) in pairwise(course(walk(), length=17)))
    assert tosses == "++----+---+-+++-"


# --- laws -------------------------------------------------------------------------------------------------------------


def lines(case: Case, *events: Event, seed: int = 0) -> str:
    return simulate(
        case.schedule,
        cluster=case.cluster,
        model=case.model,
        profile=case.profile,
        tokens=1,
        scenario=Scenario(events=events, seed=seed),
    ).to_lines()


@repeatable
@given(cases(), st.lists(st.floats(0.001, 1), max_size=20))
def test_a_scenario_of_factor_1_everywhere_changes_nothing(case: Case, intervals: list[float]) -> None:
    """But for rounding where flows meet: undisturbed, they share a clock of bytes."""
    at_s = [0.0]
    for interval_s in intervals:
        at_s.append(at_s[-1] + interval_s)
    still = walk(interval_s=0.01, ratio=1.0, low=1.0, high=1.0, start=1.0)
    ones = recorded(*((t, 1.0) for t in at_s))
    slowdowns = [slow(0, t, t + 0.1, 1.0) for t in at_s]
    trace = Trace.from_lines(lines(case, ones, still, jitter(0.0), *slowdowns), case.schedule)
    assert trace.start_s == pytest.approx(case.trace.start_s, rel=1e-12)
    assert trace.end_s == pytest.approx(case.trace.end_s, rel=1e-12)


@repeatable
@given(cases(), st.integers(0, 9))
def test_a_scenario_plays_the_same_twice_and_only_computations_and_links_change(case: Case, seed: int) -> None:
    events = walk(), jitter(0.1), slow(0, 0.01, 0.05, 0.5)
    text = lines(case, *events, seed=seed)
    assert text == lines(case, *events, seed=seed)
    trace = Trace.from_lines(text, case.schedule)
    ends = ends_s(trace)
    for span in trace:
        assert span.end_s >= span.start_s
        assert all(ends[need] <= span.start_s + 1e-9 for need in span.task.needs)


steps_of_bandwidth = st.lists(st.tuples(st.floats(0.01, 5), st.floats(0.05, 4)), max_size=8)


def rising(steps: list[tuple[float, float]], first: float = 1.0) -> list[tuple[float, float]]:
    """(from when, factor) from (interval, factor)."""
    found = [(0.0, first)]
    for interval_s, factor in steps:
        found.append((found[-1][0] + interval_s, factor))
    return found


def integral(steps: list[tuple[float, float]], start_s: float, end_s: float) -> float:
    """Of a step function."""
    spans = pairwise([*steps, (inf, 1.0)])
    return sum(max(0.0, min(b, end_s) - max(a, start_s)) * factor for (a, factor), (b, _) in spans)


@repeatable
@given(steps_of_bandwidth, st.data(), st.integers(1, 500), st.sampled_from(NETWORKS))
def test_more_bandwidth_at_any_time_never_lengthens_a_flow(
    steps: list[tuple[float, float]], data: st.DataObject, nbytes: int, network
) -> None:
    slower = rising(steps)
    faster = [(at_s, factor * data.draw(st.floats(1, 3))) for at_s, factor in slower]
    slow_s, fast_s = (message_s(network(2, bytes_per_s=10), nbytes, recorded(*each)) for each in (slower, faster))
    assert fast_s <= slow_s * (1 + 1e-12)


@repeatable
@given(steps_of_bandwidth, st.integers(1, 500), st.floats(0, 5), st.sampled_from(NETWORKS))
def test_the_integral_of_the_rate_over_a_flow_is_its_bytes(
    steps: list[tuple[float, float]], nbytes: int, start_s: float, network
) -> None:
    programs = [compute(Op.F, 0), send(0, 1, nbytes, needs=["0F0@0"])], [receive(1, 0, nbytes)]
    changes = rising(steps)
    trace = play(network(2, bytes_per_s=10), *programs, events=(recorded(*changes),), forward_s=start_s)
    assert 10 * integral(changes, start_s, trace.makespan_s) == pytest.approx(nbytes)


@repeatable
@given(steps_of_bandwidth, st.lists(st.integers(1, 200), min_size=1, max_size=5), st.sampled_from([switched, radio]))
def test_flows_that_share_a_resource_use_all_of_it_until_the_last_one_ends(
    steps: list[tuple[float, float]], sizes: list[int], network
) -> None:
    programs = [[send(0, peer, size) for peer, size in enumerate(sizes, 1)]]
    programs += [[receive(peer, 0, size)] for peer, size in enumerate(sizes, 1)]
    changes = rising(steps)
    trace = play(network(len(programs), bytes_per_s=10), *programs, events=(recorded(*changes),))
    assert 10 * integral(changes, 0, trace.makespan_s) == pytest.approx(sum(sizes))


slowdowns = st.lists(
    st.builds(lambda a, b, f: slow(0, a, a + b, f), st.floats(0, 10), st.floats(0.01, 10), st.floats(0.01, 1)),
    max_size=5,
)


@repeatable
@given(slowdowns, st.floats(0.001, 20), st.integers(1, 4))
def test_the_integral_of_the_speed_over_computations_is_their_work(
    events: list[Slowdown], work_s: float, tasks: int
) -> None:
    trace = play(switched(1), [compute(Op.F, 0, m) for m in range(tasks)], events=tuple(events), forward_s=work_s)
    times = sorted({0.0, *(e.start_s for e in events), *(e.end_s for e in events)})
    speeds = []
    for at_s in times:
        speed = 1.0
        for event in events:
            speed *= event.factor if event.start_s <= at_s < event.end_s else 1
        speeds.append((at_s, speed))
    for span in trace:
        assert integral(speeds, span.start_s, span.end_s) == pytest.approx(work_s, abs=1e-9)


# --- recordings -------------------------------------------------------------------------------------------------------

CSV = "# a remark\ntime_s, rate Mbit/s, factor @2\n0, 8, 0.5\n1.5, 16, 1\n"


def test_a_csv_file_holds_times_and_rates_or_factors_for_all_or_for_one_rank(tmp_path: Path) -> None:
    (tmp_path / "rates.csv").write_text(CSV)
    found = read_recording(tmp_path / "rates.csv")
    assert found.at_s == (0, 1.5)
    assert found.columns == (
        Column(rank=None, unit=Unit.RATE, values=(1e6, 2e6)),
        Column(rank=2, unit=Unit.FACTOR, values=(0.5, 1)),
    )
    assert found.source == str(tmp_path / "rates.csv")
    assert found.named == (2,)


def test_a_column_of_its_own_takes_the_place_of_the_one_for_all() -> None:
    found = recording_from_text(CSV, source="rates.csv")
    assert [change.value for change in found.changes(0, 0)] == [1e6, 2e6]
    assert [change.value for change in found.changes(2, 0)] == [0.5, 1]


def test_the_example_that_the_configuration_names_can_be_read() -> None:
    assert read_recording(CODE / "conf/scenario/example.csv").named == (2,)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no line of values (write a line of names, time_s and rate Mbit/s, then values)"),
        ("# only a remark\n", "no line of values"),
        ("seconds,factor\n0,1\n", "no column time_s (columns: seconds, factor; name one time_s or time_ms"),
        ("time,factor\n0,1\n", "column 'time' has no unit (name it time_s or time_ms, or timestamp)"),
        ("time_s,time_ms,factor\n0,0,1\n", "2 columns of time"),
        ("time_s\n0\n", "no column of bandwidth (name one 'factor' or 'rate Mbit/s')"),
        ("time_s,speed\n0,1\n", "unknown column 'speed' (write 'factor' or 'rate Mbit/s', with ' @2' for rank 2"),
        ("time_s,rate\n0,1\n", "unknown column 'rate'"),
        ("time_s,rate mbit/s\n0,1\n", "unknown column 'rate mbit/s'"),  # a thousandth of a bit
        ("time_s,rate Mb/s\n0,1\n", "unknown column 'rate Mb/s'"),  # bit or byte
        ("time_s,rate GFLOP/s\n0,1\n", "unknown column 'rate GFLOP/s'"),
        ("time_s,factor @two\n0,1\n", "unknown column 'factor @two'"),
        ("time_s,factor,factor\n0,1,1\n", "column 'factor' appears twice (drop one)"),
        ("time_s,factor @1,rate Mbit/s @1\n0,1,1\n", "two columns for rank 1 (drop one)"),
        ("time_s,factor\n0,1\n1\n", "line 3: 1 cell for 2 columns: '1'"),
        ("time_s,factor\n0,1\n\n# gap\n2,1\n2,1\n", "line 6: time 2 does not come after the line before"),
        ("time_s,factor\n1,1\n", "line 2: the first time is 1 s, and times begin at 0 s (subtract 1 from all"),
        ("time_s,factor\n0,1\nnan,1\n", "line 3: time nan does not come after the line before"),
        ("time_s,factor\n", "no line of values below the names time_s, factor"),
        ("time_s,factor\n0,1\n1,0\n", "line 3: 'factor' ends at 0, and bytes that wait would never arrive (add a last"),
        ("time_s,factor @1\n0,inf\n", "line 2: inf in 'factor @1' must be finite and >= 0"),
        ("time_s,factor\n0,-1\n1,1\n", "line 2: -1 in 'factor' must be finite and >= 0 (0 is an outage)"),
        ("time_s,factor\n0,54 Mbit/s\n", "line 2: '54 Mbit/s' is not a number (units stand in the column's name)"),
        ("time_s,factor\n0,1\n1,-\n", "line 3: '-' is not a number (write 0 for an outage, or drop the line"),
        ("time_s,factor\n0,1\n1,\n", "line 3: '' is not a number (write 0 for an outage"),
        ("time_s;factor\n0;1\n0,5;1\n", "line 3: '0,5' is not a number (write decimals with a point)"),
        (
            "timestamp,factor\n13,1\n",
            "line 2: 13 is no time since 1970, and so has no unit (name the column",
        ),
        ("timestamp,factor\n2026-13-01,1\n", "line 2: '2026-13-01' is no time"),
        ("0 1 2\n1 1 2\n", "line 1: no line of names above 3 columns"),
        ("1\n0.5\n", "line 2: '0.5' is no whole millisecond, in a file of one column (Mahimahi's deliveries"),
        ("1\n3\n2\n", "line 3: 2 ms follows 3 ms (sort the deliveries by time)"),
        ("1\n3 4\n", "line 2: more than one number"),
    ],
)
def test_a_mistake_in_a_csv_file_is_one_sentence(text: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - compared below
        recording_from_text(text, source="rates.csv")
    message = str(caught.value)
    assert said in message
    assert "\n" not in message


MBIT = 1e6 / 8
TWO_STEPS = ((0.0, 0.5), (54 * MBIT, 24 * MBIT))


@pytest.mark.parametrize(
    "text",
    [
        "time_s,rate Mbit/s\r\n0,54\r\n0.5,24\r\n",
        "time_ms,rate Mbit/s\n0,54\n500,24\n",
        "time (ms)\trate (kbit/s)\n0\t54000\n500\t24000\n",
        "time_s;rate Mbps\n0;54\n0.5;24\n",
        "time_s,rate_bit/s\n0,54e6\n0.5,24e6\n",
        "time_s,bandwidth kB/s\n0,6750\n0.5,3000\n",
        "time_s,throughput byte/s\n0,6750000\n0.5,3000000\n",
        "timestamp,rate Mbit/s\n1700000000,54\n1700000000.5,24\n",
        "timestamp,rate Mbit/s\n1700000000000,54\n1700000000500,24\n",
        "timestamp_s,rate Mbit/s\n0.013,54\n0.513,24\n",
        "timestamp,rate Mbit/s\n2026-03-01T12:00:00,54\n2026-03-01T12:00:00.5,24\n",
        '"time_s","rate Mbit/s"\n0, 54\n"0.5", 24\n',
        "0.0\t54\n0.5\t24\n",
        "0.0 54\n0.5   24\n",
        "0,54\n0.5,24\n",
    ],
)
def test_the_tables_that_people_have_say_the_same(text: str) -> None:
    """Tabs, semicolons, other units, times of day, no names: all are 54 Mbit/s, and 24 Mbit/s from half a second on."""
    recording = recording_from_text(text, source="rates.csv")
    assert recording.at_s == about(TWO_STEPS[0])
    assert recording.columns[0].values == about(TWO_STEPS[1])


def test_a_recording_of_rates_says_whose_rates_it_replaces() -> None:
    told = recording_from_text("time_s,rate Mbit/s,factor @1,rate Mbit/s @2\n0,54,0.5,6\n", source="x.csv")
    assert str(told) == "bandwidth by x.csv (rates of all ranks, rank 2, in the place of the network's)"


def test_what_was_assumed_of_a_file_without_names_is_said_with_the_recording() -> None:
    assert "no line of names: read as time_s and rate Mbit/s" in str(recording_from_text("0 1\n1 2\n", source="x.log"))
    told = recording_from_text("0 1\n500 2\n", source="x.log", columns=["time_ms", "factor"])
    assert (told.at_s, told.columns[0].unit) == ((0, 0.5), Unit.FACTOR)
    assert str(told) == "bandwidth by x.log"
    with pytest.raises(ValueError, match="has a line of names, time_s, factor"):
        recording_from_text("time_s,factor\n0,1\n", source="x.csv", columns=["time_s", "factor"])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
def test_the_mark_that_spreadsheets_write_before_the_text_is_dropped(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "rates.csv").write_text("time_s,rate Mbit/s\n0,54\n0.5,24\n", encoding=encoding)
    assert read_recording(tmp_path / "rates.csv").columns[0].values == TWO_STEPS[1]


def test_a_file_that_is_no_text_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "rates.csv").write_bytes(b"time_s,factor\n0,1\n# caf\xe9\n")
    with pytest.raises(ValueError, match=r"rates.csv, line 3: not utf-8 text \(save it as CSV in UTF-8\)"):
        read_recording(tmp_path / "rates.csv")


def test_deliveries_as_mahimahi_lists_them_are_bytes_per_millisecond_and_repeat() -> None:
    """Two packets in the first millisecond, none in the second and third, one in the fourth; then the same again."""
    recording = recording_from_text("1\n1\n4\n", source="driving.up")
    assert recording.at_s == (0, 0.001, 0.003)
    assert recording.columns[0].values == (3e6, 0, 1.5e6)
    assert recording.repeat_s == 0.004
    assert [tuple(change)[:2] for change in islice(recording.changes(0, 0), 3, 5)] == [(0.004, 3e6), (0.005, 0)]
    assert "Mahimahi's deliveries, repeated every 0.004 s" in str(recording)


# --- outages ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", NETWORKS)
def test_bytes_wait_while_the_rate_is_zero(network) -> None:
    """54 Mbit/s, nothing from 0.5 s to 1.5 s, then 24 Mbit/s; the last byte leaves when the integral is the message."""
    seconds = message_s(network(2, bytes_per_s=1.0), 5_000_000, outage("0,54\n0.5,0\n1.5,24\n"))
    assert seconds == about(1.5 + (5e6 - 0.5 * 54 * MBIT) / (24 * MBIT), rel=1e-14)


def test_what_is_sent_within_an_outage_waits_for_its_end_and_a_full_bucket_does_not_help() -> None:
    network = switched(2, bytes_per_s=1.0, burst_bytes=1e5)
    assert message_s(network, 3_000_000, outage("0,0\n2,24\n")) == about(2 + 3e6 / (24 * MBIT))


def test_what_waits_for_bytes_that_met_an_outage_begins_when_they_have_arrived() -> None:
    """40 of 100 bytes until the outage from 4 to 6 s, the others until 12 s, and the answer until 22 s."""
    answer = [receive(1, 0, 100), send(1, 0, 100, needs=["1RECV_activation0@1<0"], payload=Payload.GRADIENT)]
    asked = [send(0, 1, 100), receive(0, 1, 100, payload=Payload.GRADIENT)]
    assert play(switched(2, bytes_per_s=10), asked, answer, events=(recorded((0, 1), (4, 0), (6, 1)),)).makespan_s == 22


@pytest.mark.parametrize("network", NETWORKS)
def test_who_waits_for_the_end_of_an_outage_takes_nothing_from_the_others(network) -> None:
    """Rank 2 is out until 19 s: what rank 0 sends it waits, and what it sends rank 1 is as fast as if it were alone."""
    ends = two_messages_s(network(3, bytes_per_s=10), (100, 50), recorded((0, 0), (19, 1), rank=2))
    assert ends == (10, about(24))


def test_an_outage_that_begins_and_ends_while_others_share_gives_them_the_air_for_so_long() -> None:
    """5 B/s each until 2 s; alone at 10 B/s until rank 2 is back at 4 s; 5 B/s each again."""
    ends = two_messages_s(radio(3, bytes_per_s=10), (40, 40), recorded((0, 1), (2, 0), (4, 1), rank=2))
    assert ends == about((6, 8))


def test_a_ring_waits_for_its_member_that_is_out() -> None:
    programs = [[task] for task in collective(Op.ALL_REDUCE, (0, 1), 1000)]
    plain = play(switched(2, bytes_per_s=10), *programs, events=())
    out = play(switched(2, bytes_per_s=10), *programs, events=(recorded((0, 0), (4, 1), rank=1),))
    assert out.makespan_s == about(4 + plain.makespan_s)


def test_a_factor_of_nothing_where_there_is_no_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="rank 0 has unlimited bandwidth, factor 0 of it is none"):
        message_s(switched(2), 1, recorded((0, 0), (4, 1)))


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event", [slow(2, 0, 1, 0.5), walk(ranks=(0, 2)), recorded((0, 1), rank=2)], ids=["slow-down", "walk", "recording"]
)
def test_a_rank_that_the_cluster_has_not_is_refused_before_anything_is_played(event: Event) -> None:
    with pytest.raises(ValueError, match="names rank 2, the cluster has ranks 0 to 1"):
        play(switched(2), [compute(Op.F, 0)], [], events=(event,))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: slow(0, 2, 2, 0.5), "needs 0 <= start_s < end_s, got 2 and 2"),
        (lambda: slow(0, 0, 2, 0), r"factor must lie in \(0, 1\], got 0"),
        (lambda: slow(0, 0, 2, 1.5), r"factor must lie in \(0, 1\], got 1.5"),
        (lambda: walk(interval_s=0), "interval_s must be positive and finite, got 0"),
        (lambda: walk(start=2), "needs 0 < low <= start <= high, got low 0.25, start 2, high 1.0"),
        (lambda: walk(low=0), "needs 0 < low <= start <= high"),
        (lambda: walk(ratio=2.1), "two steps must fit between low 0.25 and high 1.0, got 2.1"),
        (lambda: walk(ratio=0.9), "ratio must be at least 1"),
        (lambda: jitter(-0.1), "variation must be finite and >= 0, got -0.1"),
        (lambda: Scenario(iteration=-1), "iteration must be >= 0, got -1"),
        (lambda: Scenario(events=(jitter(0.1), jitter(0.2))), "only one Jitter can be played"),
        (lambda: Scenario(events=(walk(), walk())), "only one Walk can be played"),
    ],
)
def test_what_makes_no_sense_is_refused(make, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


# --- the front door ---------------------------------------------------------------------------------------------------


def test_a_plan_does_not_know_the_scenario_and_is_made_once_for_all() -> None:
    cache = Cache()
    tiny = ("model=bert_tiny_bytes", "planner=exhaustive", "strategy=data")
    hot = ("scenario=throttled", "scenario.events.throttled.start_s=0", "scenario.events.throttled.factor=0.01")
    plain, throttled = (prepare(composed(*tiny, *more), cache) for more in ((), hot))
    assert throttled.plan is plain.plan
    assert throttled.setup.seconds(plain.plan, data) == plain.setup.seconds(plain.plan, data)
    first, second = (prepared.setup.simulate(prepared.schedule).makespan_s for prepared in (plain, throttled))
    assert second > 10 * first


def test_a_recording_that_was_written_anew_is_read_anew(tmp_path: Path) -> None:
    path, cache = tmp_path / "rates.csv", Cache()
    wanted = composed("model=bert_tiny_bytes", "scenario=trace", f"scenario.events.trace.path={path}")
    seconds = []
    for factor in (1, 0.1):
        path.write_text(f"time_s,factor\n0,{factor}\n")
        prepared = prepare(wanted, cache)
        seconds.append(prepared.setup.simulate(prepared.schedule).makespan_s)
    assert seconds[1] > seconds[0]
