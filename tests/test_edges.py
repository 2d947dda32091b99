"""What is so small, so large or so empty that no sum of doubles holds it? Right, or refused with a sentence."""

from collections.abc import Callable, Sequence
from math import inf, isfinite, nan

import pytest
from builders import (
    block,
    chain,
    collective,
    compute,
    constant_profile,
    device,
    homogeneous,
    pairs,
    power,
    radio,
    receive,
    schedule_of,
    send,
    switched,
    workload,
)

from edgesim.cluster import Cluster, Device, Network
from edgesim.energy import power_over_time
from edgesim.errors import ScheduleError
from edgesim.metrics import Metrics, measure
from edgesim.model import Cost
from edgesim.profile import estimated_s
from edgesim.profile.point import Point, Portion
from edgesim.recording import Column, Recording, Unit
from edgesim.scenario import Event, Jitter, Scenario, Slowdown, Walk
from edgesim.schedule import Op, Task
from edgesim.simulator import simulate
from edgesim.simulator.network import bandwidth
from edgesim.trace import Trace
from edgesim.units import Dimension, quantity

KINDS = {"switched": switched, "radio": radio, "pairs": pairs}
networks = pytest.mark.parametrize("network", KINDS.values(), ids=KINDS)
about = pytest.approx


def recording(values: Sequence[float], *, unit: Unit = Unit.FACTOR, repeat_s: float = inf) -> Recording:
    """All ranks' bandwidth, with a new value every 5 s."""
    column = Column(rank=None, unit=unit, values=tuple(values))
    at_s = tuple(5.0 * i for i in range(len(values)))
    return Recording(at_s=at_s, source="test", columns=(column,), repeat_s=repeat_s)


def walk(**more: float) -> Walk:
    fields = {"interval_s": 1.0, "ratio": 1.2, "low": 0.25, "high": 2.0, "start": 1.0} | more
    return Walk(together=True, source="test", **fields)  # type: ignore[arg-type]


def slowdown(factor: float, *, end_s: float = inf) -> Slowdown:
    return Slowdown(rank=0, start_s=0, end_s=end_s, factor=factor, source="test")


UNCHANGED = recording([1.0, 1.0, 0.5, 1.0])  # at 10 s, when all that is short has ended
happenings = pytest.mark.parametrize("events", [(), (UNCHANGED,)], ids=["undisturbed", "changing"])


def played(cluster: Cluster, *programs: Sequence[Task], events: Sequence[Event] = (), forward_s: float = 1.0) -> Trace:
    """Programs in which every forward takes ``forward_s``."""
    model = chain(2)
    return simulate(
        schedule_of(*programs),
        cluster=cluster,
        model=model,
        profile=constant_profile(model, cluster, forward_s=forward_s, backward_s=forward_s),
        tokens=1,
        scenario=Scenario(events=tuple(events)),
    )


def message(nbytes: int, source: int = 0, to: int = 1) -> list[list[Task]]:
    programs: list[list[Task]] = [[] for _ in range(max(source, to) + 1)]
    programs[source], programs[to] = [send(source, to, nbytes)], [receive(to, source, nbytes)]
    return programs


def measured(trace: Trace, cluster: Cluster) -> Metrics:
    return measure(trace, cluster=cluster, model=chain(2), workload=workload())


def all_numbers(value: object) -> list[float]:
    """Every number in plain data."""
    if isinstance(value, dict):
        return [number for each in value.values() for number in all_numbers(each)]
    if isinstance(value, list | tuple):
        return [number for each in value for number in all_numbers(each)]
    return [value] if isinstance(value, int | float) else []


# --- nothing, and alone -----------------------------------------------------------------------------------------------


@networks
@happenings
@pytest.mark.parametrize("op", [Op.ALL_REDUCE, Op.ALL_GATHER, Op.REDUCE_SCATTER])
def test_a_collective_of_one_rank_passes_nothing_on_and_takes_no_time(network, events, op: Op) -> None:
    cluster = homogeneous(2, network=network(2, bytes_per_s=100, latency_s=0.1))
    program = [compute(Op.F, 0), *collective(op, [0], 1000, needs=["0F0@0"])]
    trace = played(cluster, program, events=events)
    assert trace.end_s == (1.0, 1.0)
    assert measured(trace, cluster).sent_bytes == (0, 0)


def test_a_rank_alone_never_asks_for_the_way_to_itself() -> None:
    """The diagonal of a network's rates is not read, whatever stands there."""
    rates = [[0.0, 1.0], [1.0, 0.0]]
    network = Network.pairs(bytes_per_s=rates, latency_s=0, goodput=1, origin="assumed", source="test")
    assert played(homogeneous(2, network=network), collective(Op.ALL_REDUCE, [0], 1000)).end_s == (0.0,)


@networks
@happenings
def test_a_message_of_no_bytes_arrives_a_latency_later(network, events) -> None:
    cluster = homogeneous(2, network=network(2, bytes_per_s=100, latency_s=0.1))
    assert played(cluster, *message(0), events=events).end_s == (0.0, about(0.1))


@pytest.mark.parametrize("programs", [[], [[]], [[compute(Op.F, 0)]]], ids=["no rank", "no task", "no second"])
@happenings
def test_what_takes_no_time_is_played_and_has_no_rate(programs, events) -> None:
    cluster = homogeneous(1)
    trace = played(cluster, *programs, events=() if cluster.network.slowest_bytes_per_s == inf else events, forward_s=0)
    assert trace.makespan_s == 0
    with pytest.raises(ScheduleError, match=r"nothing to measure: [01] tasks take 0 s"):
        measured(trace, cluster)


def test_ten_thousand_tasks_without_a_second_end_at_once() -> None:
    trace = played(homogeneous(1), [compute(Op.F, 0, i) for i in range(10_000)], forward_s=0, events=[slowdown(0.5)])
    assert set(trace.end_s) == {0.0}


# --- small and large --------------------------------------------------------------------------------------------------


@networks
@happenings
@pytest.mark.parametrize(("bytes_per_s", "seconds"), [(1e-99, 1e102), (1e-20, 1e23), (1e20, 1e-17), (1e99, 1e-96)])
def test_a_message_takes_its_bytes_over_its_rate_at_any_rate(network, events, bytes_per_s, seconds) -> None:
    cluster = homogeneous(2, network=network(2, bytes_per_s=bytes_per_s))
    trace = played(cluster, *message(1000), events=events)
    assert trace.end_s == about((seconds, seconds), rel=1e-9)
    if seconds >= 1e-100:
        figures = measured(trace, cluster)
        assert figures.samples_per_s == about(1 / seconds)
        assert all(map(isfinite, all_numbers(figures.to_dict())))


@networks
@happenings
def test_two_messages_share_a_rate_of_nearly_nothing(network, events) -> None:
    cluster = homogeneous(3, network=network(3, bytes_per_s=1e-90))
    programs = [[send(0, 1, 1000), send(0, 2, 3000)], [receive(1, 0, 1000)], [receive(2, 0, 3000)]]
    ends = dict(zip(["first", "second"], played(cluster, *programs, events=events).end_s, strict=False))
    together = network is not pairs
    assert ends == {"first": about(2e93 if together else 1e93), "second": about(4e93 if together else 3e93)}


@happenings
@pytest.mark.parametrize(("seconds", "makespan_s"), [(1e100, 4e100), (1e-99, 4e-99), (5e-324, 2e-323)])
def test_seconds_add_up_at_any_size(events, seconds: float, makespan_s: float) -> None:
    cluster = homogeneous(1, network=switched(1, bytes_per_s=1e3))
    trace = played(cluster, [compute(Op.F, 0, i) for i in range(4)], events=events, forward_s=seconds)
    assert trace.makespan_s == about(makespan_s, rel=1e-12, abs=0)
    if makespan_s > 1e-100:
        figures = measured(trace, cluster)
        assert figures.edp_js == about(5 * makespan_s**2, rel=1e-9, abs=0)  # computing draws 5 W
        assert figures.utilisation == (about(1.0),)
        assert all(map(isfinite, all_numbers(figures.to_dict())))
    else:
        with pytest.raises(ScheduleError, match="nothing to measure: 4 tasks take"):
            measured(trace, cluster)


def test_energy_beyond_all_numbers_is_refused() -> None:
    cluster = homogeneous(1, power=power(compute_w=1e308))
    trace = played(cluster, [compute(Op.F, 0)], forward_s=1e3)
    with pytest.raises(ScheduleError, match=r"too much to measure: inf J in 1000 s"):
        measured(trace, cluster)
    assert power_over_time(trace, cluster, 0)[0] == (0.0, 1e308)


@networks
@happenings
@pytest.mark.parametrize("nbytes", [10**101, 10**400, nan, inf], ids=["1e101", "1e400", "nan", "inf"])
def test_more_bytes_than_can_be_counted_are_refused(network, events, nbytes) -> None:
    cluster = homogeneous(2, network=network(2, bytes_per_s=100))
    with pytest.raises(ScheduleError, match=r"0SEND_activation@0>1 takes more than 1e\+100 bytes"):
        played(cluster, *message(nbytes), events=events)
    ring = [[task] for task in collective(Op.ALL_REDUCE, [0, 1], nbytes)]
    with pytest.raises(ScheduleError, match=r"0ALL_REDUCE@0 takes more than 1e\+100 bytes"):
        played(cluster, *ring, events=events)


def at_the_disk(nbytes: int) -> Task:
    return Task(op=Op.CACHE_READ, rank=0, stage=0, layers=(0, 1), micro_batch=0, samples=(0, 1), nbytes=nbytes)


def test_work_at_a_disk_takes_its_bytes_over_its_rate_and_what_cannot_be_counted_is_refused() -> None:
    slow = homogeneous(1, disk_bytes_per_s=1e-100)
    assert played(slow, [at_the_disk(1000)]).end_s == (about(1e103),)
    with pytest.raises(ScheduleError, match=r"0CACHE_READ@0 takes more than 1e\+100 bytes"):
        played(slow, [at_the_disk(10**400)])


@networks
@happenings
def test_latencies_that_cannot_be_added_up_are_refused(network, events) -> None:
    cluster = homogeneous(3, network=network(3, bytes_per_s=1e9, latency_s=1e308))
    ring = [[task] for task in collective(Op.ALL_REDUCE, [0, 1, 2], 1000)]
    with pytest.raises(ScheduleError, match=r"0ALL_REDUCE@0 takes more than 1e\+100 seconds of latency"):
        played(cluster, *ring, events=events)


# --- what lies far apart ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fast", [1e3, 1e6, 1e9, 1e12, 1e15, 1e17, 1e20, 1e100])
@pytest.mark.parametrize("many", [10, 10**6, 10**15])
@pytest.mark.parametrize("repeats", [1, 3])
def test_a_slow_and_a_fast_station_take_their_air_time_together(fast: float, many: int, repeats: int) -> None:
    """The air is never idle, so that the last byte leaves when all have had their time: 10 s, and many / fast."""
    rates = [[fast] * 4 for _ in range(4)]
    rates[0][1] = 1.0
    network = Network.radio(bytes_per_s=rates, latency_s=0, goodput=1, origin="assumed", source="test")
    slow = [[op(a, b, 10, micro_batch=i) for i in range(repeats)] for op, a, b in ((send, 0, 1), (receive, 1, 0))]
    quick = message(many, 2, 3)[2:]
    trace = played(homogeneous(4, network=network), *slow, *quick)
    assert max(trace.end_s) == about(10 * repeats + many / fast, rel=1e-9)


def test_few_bytes_take_their_time_beside_very_many() -> None:
    """10 bytes at 1 B/s begin when 10^16 have gone: no clock of bytes may be too coarse for them."""
    rates = [[1e12] * 4 for _ in range(4)]
    rates[0][1] = 1.0
    network = Network.radio(bytes_per_s=rates, latency_s=0, goodput=1, origin="assumed", source="test")
    programs = [
        [compute(Op.F, 0), send(0, 1, 10, needs=["0F0@0"])],
        [receive(1, 0, 10)],
        [send(2, 3, 10**17)],
        [receive(3, 2, 10**17)],
    ]
    trace = played(homogeneous(4, network=network), *programs, forward_s=1e4)
    assert trace.end_s[:2] == about((1e4, 1e4 + 10), rel=1e-12)
    assert max(trace.end_s) == about(1e5 + 10, rel=1e-12)


@pytest.mark.parametrize("share", [0.0, 0.02, 1e-17, 1e-100])
@pytest.mark.parametrize("fast", [1e3, 1e15, 1e17, 1e100])
def test_a_slow_receiver_takes_nothing_from_a_fast_one(fast: float, share: float) -> None:
    network = Network.switched(
        transmit_bytes_per_s=[fast, fast, fast],
        receive_bytes_per_s=[fast, 1.0, fast],
        latency_s=0,
        goodput=1,
        acknowledgement=share,
        origin="assumed",
        source="test",
    )
    programs = [[send(0, 1, 10), send(0, 2, 10**6)], [receive(1, 0, 10)], [receive(2, 0, 10**6)]]
    trace = played(homogeneous(3, network=network), *programs)
    assert trace.end_s[0] == about(10.0, rel=1e-9)
    assert trace.end_s[1] == about(10**6 / fast, rel=0.01)  # the slow one has one byte per second of the sender's NIC


@happenings
@pytest.mark.parametrize("burst_bytes", [1e-100, 1e-90, 1e-9])
def test_a_bucket_of_nearly_nothing_changes_nothing(events, burst_bytes: float) -> None:
    cluster = homogeneous(3, network=switched(3, bytes_per_s=200, burst_bytes=burst_bytes))
    programs = [[send(0, 1, 700), send(0, 2, 1000)], [receive(1, 0, 700)], [receive(2, 0, 1000)]]
    trace = played(cluster, *programs, events=events)
    assert trace.end_s[:2] == about((7.0, 8.5), rel=1e-9)


@happenings
def test_a_bucket_that_holds_everything_lets_everything_through(events) -> None:
    cluster = homogeneous(2, network=switched(2, bytes_per_s=200, burst_bytes=1e100))
    assert played(cluster, *message(1000), events=events).end_s == (0.0, 0.0)


# --- what happens -----------------------------------------------------------------------------------------------------


@networks
@pytest.mark.parametrize(
    ("event", "seconds"),
    [
        (recording([1e-100, 1.0]), 15.0),  # nearly nothing for 5 s
        (recording([0.0, 1e-90]), 1e91),
        (recording([1e90, 1.0]), 1e-89),
        (recording([1e-31, 1e-31]), 1e32),
        (recording([1e-31, 1e-31], unit=Unit.RATE), 1e34),
        (recording([1e-100, 1.0], repeat_s=1e300), 15.0),
        (walk(low=1e-90, high=1e-89, start=1e-90, ratio=1, interval_s=1e300), 1e91),
        (walk(low=1e-100, high=1e100, ratio=1e100, interval_s=20), 10.0),
    ],
)
def test_a_changed_rate_may_be_nearly_nothing_or_nearly_endless(network, event: Event, seconds: float) -> None:
    cluster = homogeneous(2, network=network(2, bytes_per_s=100))
    assert played(cluster, *message(1000), events=[event]).end_s == about((seconds, seconds), rel=1e-9)


def test_a_walk_over_all_magnitudes_never_leaves_them() -> None:
    """Steps of 10^60 between 10^-100 and 10^100: from 1 they reach 10^-60 and 10^60."""
    event = walk(low=1e-100, high=1e100, ratio=1e60)
    values = {change.value for change, _ in zip(event.changes(0, seed=0), range(200), strict=False)}
    assert sorted(values) == about([1e-60, 1.0, 1e60])


@networks
@pytest.mark.parametrize(
    "event",
    [
        walk(interval_s=1e-9),
        walk(interval_s=5e-324),
        recording([1.0], repeat_s=1e-300),
        recording([1, 0.5], repeat_s=6),
    ],
    ids=str,
)
def test_bandwidth_that_changes_without_end_is_refused(network, event: Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last message takes 10^12 s, and the rate changes every few seconds."""
    monkeypatch.setattr(bandwidth, "MOST_CHANGES", 100)
    cluster = homogeneous(2, network=network(2, bytes_per_s=100))
    with pytest.raises(
        ValueError, match=r"bandwidth of rank [01] changes more than 100 times until .* s, and bytes are"
    ):
        played(cluster, *message(10**14), events=[event])


@networks
@pytest.mark.parametrize("factor", [1e-100, 1e100])
def test_factors_that_multiply_to_nothing_or_to_everything_are_refused(network, factor: float) -> None:
    cluster = homogeneous(2, network=network(2, bytes_per_s=factor))
    events = [walk(low=factor, high=factor, start=factor, ratio=1), recording([factor])]
    with pytest.raises(ValueError, match=r"bandwidth of rank [01] is such that a byte takes"):
        played(cluster, *message(1000), events=events)


@pytest.mark.parametrize(("factor", "seconds"), [(1e-100, 1e100), (1e-3, 1e3), (1.0, 1.0)])
def test_a_slow_down_stretches_at_any_factor(factor: float, seconds: float) -> None:
    assert played(homogeneous(1), [compute(Op.F, 0)], events=[slowdown(factor)]).end_s == (about(seconds),)


def test_slow_downs_that_multiply_to_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match=r"slow-downs leave rank 0 1e-120 of its speed at 0 s"):
        played(homogeneous(1), [compute(Op.F, 0)], events=[slowdown(1e-60), slowdown(1e-60)])


def test_jitter_as_large_as_can_be_is_a_number() -> None:
    factors = [Jitter(variation=1e100, source="test").factor(0, 0, str(i)) for i in range(100)]
    assert all(map(isfinite, factors))
    assert min(factors) > 0


# --- refusals at the door ---------------------------------------------------------------------------------------------


def a_point(seconds: float) -> Point:
    return Point(block="l0", device="board", op="F", samples=1, tokens=1, share=1.0, seconds=seconds)


def seconds_of(flop: float, board: Device) -> float:
    return estimated_s(board, block(flop=flop), "F", Portion(1, 1))


@pytest.mark.parametrize("bad", [inf, nan, -1.0, 1e308])
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda bad: a_point(bad), "l0 on board: seconds must be >= 0, got"),
        (lambda bad: Jitter(variation=bad, source="test"), "variation must be finite and >= 0, got"),
        (lambda bad: walk(high=bad), "needs 0 < low <= start <= high"),
        (lambda bad: recording([1.0, bad]), "bandwidth of all ranks must be finite and >= 0"),
        (lambda bad: switched(2, bytes_per_s=100, burst_bytes=bad), "burst_bytes must be finite and >= 0"),
    ],
    ids=["profile", "jitter", "walk", "recording", "burst"],
)
def test_what_is_endless_or_no_number_is_refused_by_its_name(make: Callable[[float], object], said: str, bad) -> None:
    with pytest.raises(ValueError, match=said):
        make(bad)


@pytest.mark.parametrize("bad", [inf, -inf, nan, 1e308])
def test_work_without_end_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="cost: per_sample must be a number of at most"):
        Cost(per_sample=bad)


@networks
@pytest.mark.parametrize("rate", [5e-324, 1e-310, 1e-101, 1e101, 1e308, 0.0, -1.0, nan])
def test_a_rate_that_cannot_be_reckoned_with_is_refused(network, rate: float) -> None:
    with pytest.raises(ValueError, match=r"bandwidth must (be positive|lie between 1e-100 and 1e\+100 B/s)"):
        network(2, bytes_per_s=rate)


@pytest.mark.parametrize("value", [5e-324, 1e308, nan, 0.0])
@pytest.mark.parametrize("name", ["flop_per_s", "disk_bytes_per_s", "memory_bytes_per_s"])
def test_a_device_beyond_all_magnitudes_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"device board: {name} must (be positive|lie between)"):
        device(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("share", [5e-324, 1e-101, nan])
def test_shares_of_nearly_nothing_are_refused(share: float) -> None:
    with pytest.raises(ValueError, match="goodput must lie in"):
        switched(2, bytes_per_s=100, goodput=share)
    with pytest.raises(ValueError, match="acknowledgement must lie in"):
        Network.switched(
            transmit_bytes_per_s=[1.0],
            latency_s=0,
            goodput=1,
            acknowledgement=share,
            origin="assumed",
            source="test",
        )
    with pytest.raises(ValueError, match="factor must lie in"):
        slowdown(share)


def test_an_estimate_is_work_over_speed_at_any_size() -> None:
    assert seconds_of(1e90, device(flop_per_s=1e50)) == about(1e40, rel=1e-9)
    assert seconds_of(1e-90, device(flop_per_s=1e50)) == about(1e-140, rel=1e-9, abs=0)


def test_a_whole_number_larger_than_any_float_is_no_quantity() -> None:
    for value in (10**400, -(10**400)):
        with pytest.raises(ValueError, match="end_s: expected a time, 0 or more"):
            quantity(value, Dimension.TIME, name="end_s")
