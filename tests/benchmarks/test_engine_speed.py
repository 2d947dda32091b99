"""Is the engine fast? One 8 x 64 1F1B iteration, against the least that SimPy needs for the same events.

Both are timed in turn, in one process, and their medians compared, so that a busy machine slows both.
"""

import gc
from collections.abc import Callable, Iterator
from statistics import median
from time import perf_counter

import pytest
import simpy
from builders import chain, constant_profile, homogeneous, pipeline_plan, switched, workload
from pytest_benchmark.fixture import BenchmarkFixture

from edgesim.scenario import Event, Scenario, Slowdown
from edgesim.schedule import Op, Schedule
from edgesim.simulator import simulate
from edgesim.strategies.orders import one_forward_one_backward
from edgesim.strategies.pipeline import pipeline
from edgesim.trace import Trace

STAGES, MICRO_BATCHES = 8, 64
FORWARD_S, BACKWARD_S, LATENCY_S = 0.010, 0.020, 0.002
MAKESPAN_S = 2.378
ROUNDS = 31
MOST_S_PER_TASK = 3e-6  # to write a schedule and to check it


def one_iteration(*events: Event, bytes_per_s: float = float("inf")) -> tuple[Schedule, Callable[[], Trace]]:
    """The schedule, and a function that simulates it; every call is a whole simulation with its trace."""
    model = chain(STAGES)
    cluster = homogeneous(STAGES, network=switched(STAGES, bytes_per_s=bytes_per_s, latency_s=LATENCY_S))
    profile = constant_profile(model, cluster, forward_s=FORWARD_S, backward_s=BACKWARD_S)
    schedule = pipeline(pipeline_plan(model, micro_batches=MICRO_BATCHES), model, workload(micro_batches=MICRO_BATCHES))
    asked = {"cluster": cluster, "model": model, "profile": profile, "tokens": 1, "scenario": Scenario(events=events)}
    return schedule, lambda: simulate(schedule, **asked)


def bare_loop() -> float:
    """A process per stage, a timeout per computation and per message, an event per arrival; nothing is recorded."""
    env = simpy.Environment()
    arrived = {
        (stage, op, m): env.event() for stage in range(STAGES) for op in (Op.F, Op.B) for m in range(MICRO_BATCHES)
    }

    def pass_on(stage: int, op: Op, m: int) -> None:
        arrival = arrived[stage, op, m]
        env.timeout(LATENCY_S).callbacks.append(lambda _: arrival.succeed())

    def run(stage: int) -> Iterator[simpy.Event]:
        for op, m in one_forward_one_backward(micro_batches=MICRO_BATCHES, in_flight=STAGES - stage):
            if op is Op.F:
                if stage > 0:
                    yield arrived[stage, op, m]
                yield env.timeout(FORWARD_S)
                if stage + 1 < STAGES:
                    pass_on(stage + 1, op, m)
            else:
                if stage + 1 < STAGES:
                    yield arrived[stage, op, m]
                yield env.timeout(BACKWARD_S)
                if stage > 0:
                    pass_on(stage - 1, op, m)

    for stage in range(STAGES):
        env.process(run(stage))
    env.run()
    return float(env.now)


def seconds(call: Callable[[], object]) -> float:
    """Time one call, on a clean heap."""
    gc.collect()
    start_s = perf_counter()
    call()
    return perf_counter() - start_s


def test_the_engine_is_faster_than_a_bare_simpy_loop_and_plays_a_million_tasks_a_second() -> None:
    schedule, play = one_iteration()
    assert play().makespan_s == pytest.approx(MAKESPAN_S)
    assert bare_loop() == pytest.approx(MAKESPAN_S)
    times = [(seconds(play), seconds(bare_loop)) for _ in range(ROUNDS)]
    engine_s, loop_s = median(a for a, _ in times), median(b for _, b in times)
    tasks_per_s = len(schedule) / engine_s
    print(
        f"\nengine {engine_s * 1e3:.2f} ms, loop {loop_s * 1e3:.2f} ms, {engine_s / loop_s:.2f} x, {tasks_per_s:.0f}/s"
    )
    assert engine_s <= loop_s
    assert tasks_per_s >= 1_000_000


def test_event_by_event_the_engine_takes_at_most_twice_a_bare_simpy_loop() -> None:
    """A slow-down after the end moves no time, and keeps the engine from finding all times in one pass."""
    later = Slowdown(rank=0, start_s=1e6, end_s=2e6, factor=0.5, source="benchmark")
    _, play = one_iteration(later, bytes_per_s=1e6)
    times = [(seconds(play), seconds(bare_loop)) for _ in range(ROUNDS)]
    engine_s, loop_s = median(a for a, _ in times), median(b for _, b in times)
    print(f"\nevent by event {engine_s * 1e3:.2f} ms, loop {loop_s * 1e3:.2f} ms, {engine_s / loop_s:.2f} x")
    assert engine_s <= 2 * loop_s


def test_time_of_an_iteration_on_wires_without_limit(benchmark: BenchmarkFixture) -> None:
    _, play = one_iteration()
    benchmark(play)


def test_time_of_an_iteration_on_wires_with_a_limit(benchmark: BenchmarkFixture) -> None:
    _, play = one_iteration(bytes_per_s=1e6)
    benchmark(play)


def test_time_of_the_bare_loop(benchmark: BenchmarkFixture) -> None:
    benchmark(bare_loop)


def test_time_of_writing_and_checking_the_schedule(benchmark: BenchmarkFixture) -> None:
    model = chain(STAGES)
    plan, asked = pipeline_plan(model, micro_batches=MICRO_BATCHES), workload(micro_batches=MICRO_BATCHES)
    schedule = benchmark(lambda: pipeline(plan, model, asked))
    assert min(benchmark.stats.stats.data) <= MOST_S_PER_TASK * len(schedule)
