"""How many small runs does a sweep make in a second? Ours on two cores, beside the same runs as plain Hydra jobs.

Whole commands are timed, start and merge included. Hydra's jobs, one after the other, get fewer runs: they take long.
"""

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter, process_time

import pytest
from omegaconf import OmegaConf
from pytest_benchmark.fixture import BenchmarkFixture

from experiments.configuration.command_line import composed
from experiments.configuration.setup import prepare
from experiments.execution.play import play
from experiments.sweeps.grid import Composer, parse
from experiments.sweeps.rows import Runner

ROOT = Path(__file__).parents[2]
TINY = ["model=bert_tiny_bytes", "workload.batch_samples=8", "workload.micro_batch_samples=4", "workload.tokens=16"]
MANY = ["strategy=data,pipeline,hybrid_pipeline", "cluster=demo,demo_20mbit,nanos", "seed=1,2"]
RUNS_PER_RATE = 3 * 3 * 2
WANTED_PER_S = 25
WANTED_RATIO = 5  # of a run that is composed for itself to one of a sweep, in CPU seconds; 23 when it was written


def seconds(results: Path, *words: str) -> float:
    begin_s = perf_counter()
    command = [sys.executable, "-m", "experiments.run", "-m", f"results={results}", *TINY, *MANY, *words]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=900)
    return perf_counter() - begin_s


def rates(count: int) -> str:
    return "network.rate=" + ",".join(f"{10 * (i + 1)} Mbit/s" for i in range(count))


@pytest.mark.timeout(1200)
def test_a_sweep_makes_25_runs_a_second_and_outruns_plain_hydra(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    ours_s = benchmark.pedantic(
        lambda: seconds(tmp_path / "ours", "launcher.workers=2", "sweep.name=s", rates(112)), rounds=1, iterations=1
    )
    hydra_s = seconds(tmp_path / "hydra", "hydra/launcher=basic", rates(3))
    ours, hydra = 112 * RUNS_PER_RATE / ours_s, 3 * RUNS_PER_RATE / hydra_s
    benchmark.extra_info |= {"runs": 112 * RUNS_PER_RATE, "runs_per_s": ours, "hydra_runs_per_s": hydra}
    print(f"{ours:.0f} runs/s, plain Hydra {hydra:.1f} runs/s")
    assert ours >= WANTED_PER_S
    assert ours > hydra


@pytest.mark.timeout(600)
def test_a_run_of_a_sweep_costs_a_fifth_of_composing_and_simulating_it_alone(benchmark: BenchmarkFixture) -> None:
    sweep = parse([*TINY, rates(40)])
    runner = Runner(Composer(sweep), study="s", code="c")

    def in_a_sweep(overrides: tuple[str, ...]) -> None:
        assert runner.row(overrides, *runner.key(overrides))["status"] == "done"

    def alone(overrides: tuple[str, ...]) -> None:
        cfg = composed(*sweep.fixed, *overrides)
        play(cfg, prepare(OmegaConf.create(OmegaConf.to_container(cfg, resolve=True))))

    for work in (in_a_sweep, alone):  # what all runs share is built once
        work(sweep.runs[0])
    ours_s = benchmark.pedantic(lambda: cpu_s(in_a_sweep, sweep.runs[1:]), rounds=1, iterations=1)
    alone_s = cpu_s(alone, sweep.runs[1:9])
    benchmark.extra_info |= {"cpu_s_per_run": ours_s, "cpu_s_alone": alone_s}
    print(f"CPU: {1e3 * ours_s:.1f} ms a run, {1e3 * alone_s:.0f} ms alone")
    assert WANTED_RATIO * ours_s <= alone_s


def cpu_s(work: Callable[[tuple[str, ...]], None], runs: Sequence[tuple[str, ...]]) -> float:
    begin_s = process_time()
    for overrides in runs:
        work(overrides)
    return (process_time() - begin_s) / len(runs)
