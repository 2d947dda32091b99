"""Does each step cost as much as it does work? CPU seconds of schedules up to a million tasks, and how they grow.

The table of pipelines is written to results/simulator_speed/growth.csv.
"""

from collections.abc import Callable, Iterator
from math import log
from pathlib import Path

import numpy as np
import pytest
from block_builders import SAMPLES, STRATEGIES, block_plan
from builders import chain, constant_profile, data_plan, homogeneous, pipeline_plan, switched, workload
from kept import keep
from timing import cpu_s

from edgesim.cluster import Cluster
from edgesim.energy import power_over_time
from edgesim.metrics import measure
from edgesim.model import Model
from edgesim.perfetto import save_perfetto
from edgesim.schedule import Schedule
from edgesim.simulator import simulate
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.trace import Trace
from edgesim.workload import Purpose, Workload
from edgesim.zoo.bert import bert

# Stages and micro-batches: about 10^3, 10^4, 10^5 and 10^6 tasks. What is done once, whatever the size, hides how the
# first grows.
SIZES = ((32, 5), (100, 17), (316, 54), (1000, 170))
MOST_US_PER_TASK = {
    "write and check": 3.0,
    "play": 3.0,
    "metrics": 2.0,
    "power over time": 2.0,
    "hash": 3.0,
    "picture": 10.0,
}
EXPONENT = 1.05
ROUNDS = 3
DIVIDED = ((16, 4), (32, 8), (64, 12))  # ranks and layers: up to 800 000 tasks, most of them of a kind of its own
INFER, TRAIN = Purpose.INFER, Purpose.TRAIN
DIVISIONS: dict[str, tuple[str, Purpose, dict[str, object]]] = {
    "tensor": ("tensor", TRAIN, {}),
    "sequence": ("sequence", TRAIN, {}),
    "Galaxy, with overlap": ("hybrid_model", INFER, {"overlap": True}),
    "Galaxy, without overlap": ("hybrid_model", INFER, {"overlap": False}),
    "Galaxy, over a hub": ("hybrid_model", INFER, {"overlap": False, "exchange": "star"}),
    "Galaxy, training": ("hybrid_model", TRAIN, {}),
}


def written(stages: int, micro_batches: int) -> tuple[Model, Workload, Schedule]:
    """A pipeline of one rank per stage."""
    model, asked = chain(stages), workload(micro_batches=micro_batches)
    return model, asked, hybrid_pipeline(pipeline_plan(model, micro_batches=micro_batches), model, asked)


def trace_of(schedule: Schedule) -> Trace:
    """Every rank's tasks one after the other, a millisecond each: as many numbers as a trace that was played."""
    first = schedule.columns.first
    start_s = (np.arange(len(schedule)) - np.repeat(first[:-1], np.diff(first))) * 1e-3
    return Trace(schedule=schedule, start_s=start_s.tolist(), end_s=(start_s + 1e-3).tolist(), player="simulated")


def steps(stages: int, micro_batches: int, folder: Path) -> Iterator[tuple[str, float]]:
    """CPU seconds per task of every step."""
    model, asked, schedule = written(stages, micro_batches)
    cluster = homogeneous(stages, network=switched(stages, bytes_per_s=1e6, latency_s=0.002))
    profile, trace = constant_profile(model, cluster), trace_of(schedule)

    def again() -> Trace:
        """The trace of a schedule whose hash nobody has asked for, and whose spans nobody has counted."""
        return Trace(schedule=Schedule(schedule.columns), start_s=trace.start_s, end_s=trace.end_s, player="simulated")

    calls: dict[str, Callable[[], object]] = {
        "write and check": lambda: written(stages, micro_batches),
        "play": lambda: simulate(schedule, cluster=cluster, model=model, profile=profile, tokens=1),
        "metrics": lambda: measure(again(), cluster=cluster, model=model, workload=asked),
        "power over time": lambda: all_power(again(), cluster),
        "hash": lambda: again().schedule.hash,
        "picture": lambda: save_perfetto(folder / "trace.json", [trace]),
    }
    for name, call in calls.items():
        yield name, min(cpu_s(call) for _ in range(ROUNDS)) / len(schedule)


def all_power(trace: Trace, cluster: Cluster) -> list[list[tuple[float, float]]]:
    return [power_over_time(trace, cluster, rank) for rank in range(len(cluster.devices))]


@pytest.mark.timeout(900)
def test_every_step_up_to_a_million_tasks_costs_as_much_as_it_does_work(tmp_path: Path) -> None:
    counts = [len(written(*size)[2]) for size in SIZES]
    tables = [dict(steps(*size, tmp_path)) for size in SIZES]
    print(f"\n{'microseconds of CPU per task':30}" + "".join(f"{count:>12}" for count in counts) + "    exponent")
    exponents, rows = {}, []
    for name in MOST_US_PER_TASK:
        us = [table[name] * 1e6 for table in tables]
        exponents[name] = 1 + float(np.polyfit(np.log(counts[1:]), np.log(us[1:]), 1)[0])
        print(f"{name:30}" + "".join(f"{each:12.2f}" for each in us) + f"{exponents[name]:12.2f}")
        for (stages, micro_batches), count, each in zip(SIZES, counts, us, strict=True):
            row = {"step": name, "stages": stages, "micro_batches": micro_batches, "tasks": count}
            rows.append(row | {"us_per_task": f"{each:.3f}", "exponent": f"{exponents[name]:.3f}"})
    keep("growth.csv", rows, Path(__file__).name)
    assert all(tables[-1][name] * 1e6 <= most for name, most in MOST_US_PER_TASK.items())
    assert {name: exponent for name, exponent in exponents.items() if exponent > EXPONENT} == {}


@pytest.mark.parametrize("ranks", [1000, 3000, 10_000])
def test_an_all_reduce_of_ten_thousand_ranks_is_written_within_a_second(ranks: int) -> None:
    model, asked = chain(1), workload(micro_batch_samples=ranks)
    plan = data_plan(model, [1] * ranks)
    took_s = min(cpu_s(lambda: hybrid_pipeline(plan, model, asked)) for _ in range(ROUNDS))
    print(f"\n{ranks} ranks: {took_s:.3f} s")
    assert took_s <= ranks / 10_000


def divided(ranks: int, layers: int, strategy: str, purpose: Purpose, how: dict[str, object]) -> Callable[[], Schedule]:
    """What writes and checks a transformer's schedule: a head, four columns and four tokens for each rank."""
    columns, tokens = (4,) * ranks, (4,) * ranks
    sizes = {"layers": layers, "hidden": 256, "heads": ranks, "columns": 4 * ranks, "positions": 4 * ranks}
    model = bert(name="bert", vocabulary=1000 * ranks, **sizes)
    plan = block_plan(model, strategy, ranks, columns=columns, tokens=tokens)
    asked = workload(micro_batch_samples=SAMPLES, tokens=4 * ranks, purpose=purpose)
    return lambda: STRATEGIES[strategy](plan, model, asked, **how)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", DIVISIONS)
def test_divided_blocks_are_written_and_checked_in_three_microseconds_per_task(name: str) -> None:
    writers = [divided(*size, *DIVISIONS[name]) for size in DIVIDED]
    counts = [len(write()) for write in writers]
    us = [min(cpu_s(write) for _ in range(ROUNDS)) * 1e6 / count for write, count in zip(writers, counts, strict=True)]
    exponent = 1 + log(us[-1] / us[0]) / log(counts[-1] / counts[0])
    told = ", ".join(f"{count} tasks {each:.2f}" for count, each in zip(counts, us, strict=True))
    print(f"\n{name}: {told} microseconds of CPU per task; exponent {exponent:.2f}")
    assert us[-1] <= MOST_US_PER_TASK["write and check"]
    assert exponent <= EXPONENT
