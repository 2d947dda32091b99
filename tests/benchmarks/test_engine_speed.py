"""Is the engine fast? One 8 x 64 1F1B iteration, against a bare SimPy loop and against SimGrid's engine in C++.

All are timed in turn, in one process, and their medians compared, so that a busy machine slows all. The table is
written to results/simulator_speed/iteration.csv.
"""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest
from in_simgrid import MISSING, SimGrid, compiled, is_installed
from iteration import (
    LATENCY_S,
    LIMIT,
    MAKESPAN_S,
    NO_LIMIT,
    SECONDS,
    SLOW,
    bare_loop,
    iteration,
)
from kept import keep
from pytest_benchmark.fixture import BenchmarkFixture
from timing import second_call_s

ROUNDS = 31
MOST_S_PER_TASK = 3e-6  # to write a schedule and to check it
MOST_OF_THE_LOOP = 1 / 3  # to play where no two messages meet
LINKS = {NO_LIMIT: "without limit", LIMIT: "1 MB/s, no two messages meet", SLOW: "0.05 MB/s, messages meet"}
LOOP, PLAY, EVENTS, SIMGRID = "bare SimPy loop", "simulate", "simulate event by event", "SimGrid (C++)"
WRITE, METRICS = "write and check", "plan to metrics"
Contender = tuple[str, float]


def contenders(simgrid: Path | None) -> dict[Contender, Callable[[], float]]:
    """Whose seconds are compared: what is done, on which links, and a function that times it once."""
    timed: dict[Contender, Callable[[], float]] = {(LOOP, NO_LIMIT): lambda: second_call_s(bare_loop)}
    for bytes_per_s in LINKS:
        case = iteration(bytes_per_s=bytes_per_s)
        timed[PLAY, bytes_per_s] = lambda case=case: second_call_s(case.play)
        timed[METRICS, bytes_per_s] = lambda case=case: second_call_s(case.measure)
    if simgrid is not None:
        other = in_simgrid(simgrid, LIMIT)
        timed[SIMGRID, LIMIT] = lambda: other.play(2)[1][1]
    limited = iteration(bytes_per_s=LIMIT)
    timed[EVENTS, LIMIT] = lambda: second_call_s(limited.play_events)
    timed[WRITE, NO_LIMIT] = lambda: second_call_s(limited.write)
    return timed


@pytest.fixture(scope="module")
def simgrid(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """SimGrid's program, where SimGrid is."""
    return compiled(tmp_path_factory.mktemp("simgrid")) if is_installed() else None


def in_simgrid(program: Path, bytes_per_s: float) -> SimGrid:
    """The iteration as SimGrid plays it. A stage's messages to one other do not wait for each other there."""
    schedule = iteration(bytes_per_s=bytes_per_s).schedule
    return SimGrid(program, schedule, seconds=SECONDS, bytes_per_s=bytes_per_s, latency_s=LATENCY_S)


def test_events_say_the_same_as_the_pass_over_the_graph() -> None:
    case = iteration(bytes_per_s=LIMIT)
    assert case.play_events().makespan_s == pytest.approx(case.play().makespan_s, rel=1e-9)


def test_simgrid_says_the_same(simgrid: Path | None) -> None:
    if simgrid is None:
        pytest.skip(MISSING)
    simulated_s, _ = in_simgrid(simgrid, LIMIT).play(1)
    assert simulated_s == pytest.approx(iteration(bytes_per_s=LIMIT).play().makespan_s, rel=1e-9)


def test_an_iteration_is_played_in_less_than_a_bare_loop_takes_and_less_than_simgrid(simgrid: Path | None) -> None:
    case = iteration()
    assert case.play().makespan_s == pytest.approx(MAKESPAN_S)
    assert bare_loop() == pytest.approx(MAKESPAN_S)
    timed, took = contenders(simgrid), defaultdict[Contender, list[float]](list)
    for _ in range(ROUNDS):
        for who, seconds in timed.items():
            took[who].append(seconds())
    medians = {who: median(each) for who, each in took.items()}
    loop_s, tasks = medians[LOOP, NO_LIMIT], len(case.schedule)
    rows = [
        {
            "what": what,
            "links": LINKS[bytes_per_s],
            "median_ms": f"{seconds * 1e3:.3f}",
            "least_ms": f"{min(took[what, bytes_per_s]) * 1e3:.3f}",
            "of_the_loop": f"{seconds / loop_s:.2f}",
            "tasks": tasks,
            "rounds": ROUNDS,
        }
        for (what, bytes_per_s), seconds in sorted(medians.items(), key=lambda entry: entry[1])
    ]
    print(*("  ".join(f"{value:<28}" for value in row.values()) for row in rows), sep="\n")
    if simgrid is not None:
        keep("iteration.csv", rows, Path(__file__).name)
        assert medians[PLAY, LIMIT] < medians[SIMGRID, LIMIT]
    assert medians[PLAY, NO_LIMIT] <= MOST_OF_THE_LOOP * loop_s
    assert medians[PLAY, LIMIT] <= MOST_OF_THE_LOOP * loop_s
    assert medians[EVENTS, LIMIT] <= 2.5 * loop_s
    assert medians[WRITE, NO_LIMIT] <= MOST_S_PER_TASK * tasks


@pytest.mark.parametrize("bytes_per_s", [NO_LIMIT, LIMIT, SLOW])
def test_time_of_an_iteration(benchmark: BenchmarkFixture, bytes_per_s: float) -> None:
    benchmark(iteration(bytes_per_s=bytes_per_s).play)


def test_time_of_the_bare_loop(benchmark: BenchmarkFixture) -> None:
    benchmark(bare_loop)


def test_time_of_writing_and_checking_the_schedule(benchmark: BenchmarkFixture) -> None:
    benchmark(iteration().write)
