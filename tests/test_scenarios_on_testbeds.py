"""Do emulated hosts live through a scenario as simulated ones do? Slow-downs, rates, outages; and who is heard then."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial

import pytest
from runtime_builders import SAMPLES, data, three_hosts

from edgesim.cluster import Origin
from edgesim.job import Activity, Heartbeat, Job, Recover, Safety
from edgesim.plan import Depth, Plan, make_stages
from edgesim.planners.problem import Problem
from edgesim.profile import Profile, estimate
from edgesim.recording import Column, Recording, Unit
from edgesim.recovery.restart import restart
from edgesim.recovery.training_setup import TrainingSetup
from edgesim.scenario import Event, Jitter, Loss, LossKind, Moment, Scenario, Slowdown, Walk
from edgesim.simulator import simulate
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.workload import Workload
from edgesim.zoo.bert import bert
from real_runtime.assignment import Assignment
from real_runtime.control.heartbeats.datagram import read
from real_runtime.control.heartbeats.heartbeats import Heartbeats
from real_runtime.jobs.execute_job import execute_job
from real_runtime.testbeds import netns
from real_runtime.testbeds.network_fit import message_schedule
from real_runtime.testbeds.opening import open_testbed
from real_runtime.testbeds.scenarios.starts import lines_of
from real_runtime.testbeds.spec import TestbedSpec
from real_runtime.testbeds.testbed import Testbed

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("testbed"), pytest.mark.timeout(300)]

KINDS = [
    pytest.param("loopback", marks=pytest.mark.soak),  # as long again, of what the first has shown
    pytest.param(
        "netns",
        marks=[
            pytest.mark.netns,
            pytest.mark.skipif(netns.problem() is not None, reason=f"network namespaces: {netns.problem()}"),
        ],
    ),
]
# Messages of 100 KB, which take about as long as the computations of tens of milliseconds between them.
MODEL = bert(name="wide", layers=2, hidden=128, heads=2, columns=256, vocabulary=259, positions=32)
TOKENS, MICRO_BATCHES, MBIT_PER_S, ITERATIONS = 32, 4, 16.0, 3
WORK = Workload(
    purpose="train",
    batch_samples=MICRO_BATCHES * SAMPLES,
    micro_batch_samples=SAMPLES,
    tokens=TOKENS,
    optimiser="momentum",
    learning_rate=0.01,
)
PLAN = Plan(
    model=MODEL.name,
    stages=make_stages(
        cuts=[0, 2, 3, len(MODEL.layers)],
        groups=((0,), (1,), (2,)),
        samples=((SAMPLES,),) * 3,
        depth=Depth.ONE_F_ONE_B,
        micro_batches=MICRO_BATCHES,
    ),
    micro_batches=MICRO_BATCHES,
    micro_batch_samples=SAMPLES,
    planner="by hand",
)
SCHEDULE = hybrid_pipeline(PLAN, MODEL, WORK)
ASSIGNMENT = Assignment(
    schedule=SCHEDULE, model=MODEL, workload=WORK, data=data(MODEL), iterations=1 + ITERATIONS, seed=1
)
ERROR, TRIES, PERIOD_S, TIMEOUT_S = 0.10, 3, 0.05, 0.4
BURST_BYTES = 15_300  # of application bytes, as calibrations of slow lines find them


@pytest.fixture(scope="module", params=KINDS)
def testbed(request: pytest.FixtureRequest) -> Iterator[Testbed]:
    spec = TestbedSpec(kind=request.param, fractions=(0.15, 0.1, 0.1), deadline_s=20)
    with open_testbed(spec, three_hosts(MBIT_PER_S)) as opened:
        yield opened


@pytest.fixture(scope="module")
def simulated_s(testbed: Testbed) -> Callable[..., float]:
    """Seconds of an iteration under events, with the hosts' own seconds of layers."""
    points = testbed.profile_layers(MODEL, WORK, samples=[SAMPLES], repeats=6)
    profile = Profile(model=MODEL.name, origin=Origin.MEASURED, source="test", points=tuple(points))

    # What an idle token bucket lets through at once counts beside messages of 100 KB.
    bucket_bytes = 0 if testbed.hosts.paces else BURST_BYTES
    network = replace(testbed.cluster.network, burst_bytes=bucket_bytes)

    def simulated(*events: Event) -> float:
        return simulate(
            SCHEDULE,
            cluster=replace(testbed.cluster, network=network),
            model=MODEL,
            profile=profile,
            tokens=TOKENS,
            scenario=Scenario(events=events),
        ).makespan_s

    return simulated


def measured_s(testbed: Testbed, *events: Event) -> float:
    """The same, measured: the least, for whatever disturbs emulated hosts makes them slower."""
    traces = testbed.execute(ASSIGNMENT, scenario=Scenario(events=events)).traces
    return min(trace.makespan_s for trace in traces[1:])


def recorded(*steps: tuple[float, float], rank: int | None = None) -> Recording:
    column = Column(rank=rank, unit=Unit.FACTOR, values=tuple(value for _, value in steps))
    return Recording(at_s=tuple(at_s for at_s, _ in steps), columns=(column,), source="test")


def slow(rank: int, start_s: float, end_s: float, factor: float) -> Slowdown:
    return Slowdown(rank=rank, start_s=start_s, end_s=end_s, factor=factor, source="test")


def agree(measured: Callable[[], float], expected: float) -> bool:
    """Whether what is measured is as expected, in one of a few tries: beside other load hosts are slower."""
    return any(measured() == pytest.approx(expected, rel=ERROR) for _ in range(TRIES))


HAPPENS: dict[str, Callable[[float], tuple[Event, ...]]] = {
    "a slow-down that begins and ends within the iteration": lambda s: (slow(1, 0.2 * s, 1.2 * s, 0.3),),
    "rates that halve and come back": lambda s: (recorded((0, 1), (0.2 * s, 0.4), (1.1 * s, 1)),),
    "an outage of one host's line": lambda s: (recorded((0, 1), (0.3 * s, 0), (0.3 * s + 0.2, 1), rank=1),),
    "lines that wander, and a slow host": lambda s: (
        Walk(interval_s=0.1, ratio=1.25, low=0.25, high=1, start=0.64, together=False, source="test"),
        slow(2, 0, s, 0.5),
    ),
}


@pytest.mark.parametrize("what", HAPPENS)
def test_what_happens_to_hosts_makes_their_iterations_longer(
    what: str, testbed: Testbed, simulated_s: Callable[..., float]
) -> None:
    """By half as much at least as is simulated, in one of a few tries, whatever else this machine does."""
    undisturbed_s = simulated_s()
    events = HAPPENS[what](undisturbed_s)
    longer = simulated_s(*events) / undisturbed_s - 1
    assert longer > 0.1, "it must make a difference"
    assert any(measured_s(testbed, *events) / measured_s(testbed) > 1 + longer / 2 for _ in range(TRIES))


@pytest.mark.soak
@pytest.mark.parametrize("what", HAPPENS)
def test_measured_and_simulated_iterations_take_as_much_longer_under(
    what: str, testbed: Testbed, simulated_s: Callable[..., float]
) -> None:
    undisturbed_s = simulated_s()
    events = HAPPENS[what](undisturbed_s)
    expected = simulated_s(*events) / undisturbed_s
    assert expected > 1.1, "it must make a difference"
    assert agree(lambda: measured_s(testbed, *events) / measured_s(testbed), expected)


def test_all_is_as_before_when_a_scenario_is_over(testbed: Testbed) -> None:
    before_s = measured_s(testbed)
    under_s = measured_s(testbed, recorded((0, 0.3)), slow(0, 0, 1e9, 0.3))
    assert under_s > 2 * before_s
    assert measured_s(testbed) < 1.3 * before_s


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (Jitter(variation=0.1, source="test"), "the testbed cannot play a scenario in which durations vary"),
        (Loss(rank=1, when=Moment(at_s=1)), "rank 1 is killed at 1 s: only a job can go on after that"),
        (slow(7, 0, 1, 0.5), "names rank 7, the cluster has ranks 0 to 2"),
    ],
)
def test_what_cannot_be_played_is_refused_before_anything_is(testbed: Testbed, event: Event, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        testbed.execute(ASSIGNMENT, scenario=Scenario(events=(event,)))


# --- jobs -------------------------------------------------------------------------------------------------------------


def job_of(testbed: Testbed, iterations: int, recover: Callable[[TrainingSetup], Recover | None]) -> Job:
    """A job of the same pipeline."""
    profile = estimate(MODEL, testbed.cluster.devices, samples=range(1, SAMPLES + 1), tokens=TOKENS)
    setup = TrainingSetup(
        problem=Problem(model=MODEL, cluster=testbed.cluster, profile=profile, workload=WORK),
        strategy=partial(hybrid_pipeline, model=MODEL, workload=WORK),
        depth=Depth.ONE_F_ONE_B,
        replicate=False,
    )
    safety = Safety(heartbeat=Heartbeat(period_s=PERIOD_S, timeout_s=TIMEOUT_S), replicate_every=None)
    phase = setup.phase(PLAN, iterations=iterations)
    return Job(phases=(phase,), members=(0, 1, 2), safety=safety, recover=recover(setup))


def test_a_jobs_iterations_get_longer_when_its_scenario_says_so(
    testbed: Testbed, simulated_s: Callable[..., float]
) -> None:
    """Rates fall and a host slows down in the midst of ten iterations; those that are wholly before and after count."""
    expected = simulated_s(recorded((0, 0.5)), slow(1, 0, 1e9, 0.4)) / simulated_s()
    job = job_of(testbed, 10, lambda setup: None)

    def measured() -> float:
        change_s = 4.5 * simulated_s()
        events = (recorded((0, 1), (change_s, 0.5)), slow(1, change_s, 1e9, 0.4))
        trace = execute_job(testbed, job, ASSIGNMENT, scenario=Scenario(events=events))
        traces = [(span.start_s, span.end_s, span.trace) for span in trace.of(Activity.TRAINING) if span.trace]
        before = [each.makespan_s for _, end_s, each in traces[1:] if end_s < change_s]
        after = [each.makespan_s for start_s, _, each in traces if start_s > change_s]
        return min(after) / min(before)

    assert agree(measured, expected)


def test_a_job_goes_on_without_a_host_whose_cable_is_pulled(testbed: Testbed) -> None:
    """On loopback too, where cables exist in our mind only."""
    loss = Loss(rank=2, when=Moment(iteration=2), kind=LossKind.LINK_DOWN)
    trace = execute_job(testbed, job_of(testbed, 5, restart), ASSIGNMENT, scenario=Scenario(events=(loss,)))
    (resumed,) = trace.resumptions
    assert resumed.change.lost == (2,)
    assert resumed.change.noticed_s - resumed.change.at_s < TIMEOUT_S + 4 * PERIOD_S
    assert len(trace.losses) == 5
    assert set(resumed.plan.ranks) == {0, 1}


# --- heartbeats -------------------------------------------------------------------------------------------------------


@pytest.fixture
def heartbeats(testbed: Testbed) -> Iterator[Heartbeats]:
    with closing(Heartbeats(testbed.hosts.listener(), PERIOD_S)) as made:
        for rank in testbed.coordinator.ranks:
            rank.tell(made.order(rank.rank, generation=1))
        made.watch(range(3), generation=1)
        wait_until(lambda: all(heard_within(made, rank, 0.1) for rank in range(3)))
        yield made


def heard_within(heartbeats: Heartbeats, rank: int, seconds: float) -> bool:
    return time.monotonic() - heartbeats.last_heard_s(rank) < seconds


def wait_until(true: Callable[[], bool], *, within_s: float = 10.0) -> float:
    """Return after how long it was true."""
    begun_s = time.monotonic()
    while not true():
        assert time.monotonic() - begun_s < within_s
        time.sleep(0.002)
    return time.monotonic() - begun_s


def test_a_stopped_rank_is_silent_after_the_time_out_and_heard_again_when_it_goes_on(
    testbed: Testbed, heartbeats: Heartbeats
) -> None:
    pid = testbed.coordinator.pids[1]
    os.kill(pid, signal.SIGSTOP)
    try:
        seconds = wait_until(lambda: heartbeats.silent(TIMEOUT_S) == (1,))
    finally:
        os.kill(pid, signal.SIGCONT)
    assert TIMEOUT_S - PERIOD_S < seconds < TIMEOUT_S + 4 * PERIOD_S
    wait_until(lambda: heartbeats.silent(TIMEOUT_S) == ())


def test_a_host_without_its_cable_is_silent_until_it_is_plugged_in(testbed: Testbed, heartbeats: Heartbeats) -> None:
    with lines_of(testbed.hosts, testbed.coordinator, testbed.cluster, slow_motion=1) as lines:
        lines.cut(2)
        wait_until(lambda: heartbeats.silent(TIMEOUT_S) == (2,))
        wait_until(lambda: testbed.coordinator.ranks[2].board.head().link_down)
        lines.mend(2)
        wait_until(lambda: heartbeats.silent(TIMEOUT_S) == ())
        wait_until(lambda: not testbed.coordinator.ranks[2].board.head().link_down)


@pytest.fixture
def delays_s(testbed: Testbed) -> Iterator[list[float]]:
    """From each heartbeat's sending to its arrival, as they come: its number is when it was sent."""
    found: list[float] = []
    with closing(Heartbeats(testbed.hosts.listener(), PERIOD_S)) as ear:
        listener, order = testbed.hosts.listener(), ear.order(0, generation=1)
    host, port = listener.getsockname()
    for rank in testbed.coordinator.ranks:
        rank.tell(order | {"host": host, "port": port, "rank": rank.rank})
    over = threading.Event()

    def listen() -> None:
        while not over.is_set():
            beat = read(listener.recv(1000), bytes.fromhex(order["token"]))
            assert beat is not None
            found.append(time.monotonic() - beat.number / 1e9)

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    wait_until(lambda: len(found) > 3)
    yield found
    over.set()
    thread.join()
    listener.close()


def test_heartbeats_overtake_the_messages_that_wait_for_the_line(testbed: Testbed, delays_s: list[float]) -> None:
    """A message of 1.6 MB takes 0.8 s at 16 Mbit/s; a queue of up to 0.4 s is full of its packets."""
    message = message_schedule([(0, 1), (1, 2), (2, 0)], 1_600_000)
    delays_s.clear()
    (trace,) = testbed.execute(replace(ASSIGNMENT, schedule=message, iterations=1)).traces
    assert trace.makespan_s > 0.7
    assert len(delays_s) > 3 * 0.5 / PERIOD_S
    assert sorted(delays_s)[len(delays_s) * 9 // 10] < 0.03
