"""How many small runs does a sweep make in a second? Ours on two cores, beside the same runs as plain Hydra jobs.

Whole commands are timed, start and merge included. Hydra's jobs, one after the other, get fewer runs: they take long.
"""

import subprocess
import sys
from pathlib import Path
from time import perf_counter

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

ROOT = Path(__file__).parents[2]
TINY = ["model=bert_tiny_bytes", "workload.batch_samples=8", "workload.micro_batch_samples=4", "workload.tokens=16"]
MANY = ["strategy=data,pipeline,hybrid_pipeline", "cluster=demo,demo_20mbit,nanos", "seed=1,2"]
RUNS_PER_RATE = 3 * 3 * 2
WANTED_PER_S = 25


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
