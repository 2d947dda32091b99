"""How long until the best plan is proven? Layers x devices x replicas, with memory by position: make bench.

The table of sizes and seconds is written to results/planner_speed/sizes.csv when all sizes were timed. Those of blocks
are in blocks.csv (``test_block_planner_speed.py``).
"""

import csv
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
from planner_problems import low_modes, pool

from edgesim.plan import Plan
from edgesim.planners.exact.energy.ilp_energy import energy_front
from edgesim.planners.exact.pipelines.ilp_hybrid_pipeline import ilp_hybrid_pipeline
from edgesim.planners.exact.pipelines.search import SearchOptions
from edgesim.planners.literature.asteroid import asteroid
from edgesim.proof import Status
from experiments.configuration.provenance import command, made, record

LIMIT_S = 60.0  # then the plan so far, with its gap
# Layers, devices, replicas, and the seconds on two cores that the suite aims at.
SIZES = ((24, 8, 4, 3.0), (48, 8, 3, 10.0), (48, 16, 3, 20.0), (96, 32, 2, 30.0))
FEW = 15.0  # times: 100 devices are 6 times 16, in windows that are twice as many kinds
FRONT = (24, 8, 4, 20.0)
POINTS = 10
TABLE = Path(__file__).parents[2] / "results" / "planner_speed" / "sizes.csv"
_rows: list[dict[str, Any]] = []


@pytest.mark.parametrize(("layers", "devices", "replicas", "target_s"), SIZES)
@pytest.mark.timeout(300)
def test_a_plan_is_proven(benchmark: Any, layers: int, devices: int, replicas: int, target_s: float) -> None:
    problem = pool(devices, layers)
    plan = benchmark.pedantic(
        lambda: ilp_hybrid_pipeline(problem, replicas=replicas, time_limit_s=LIMIT_S), rounds=3, iterations=1
    )
    _keep("hybrid pipeline", (layers, devices, replicas, target_s), benchmark, [plan])
    assert plan.proof.status is Status.OPTIMAL


@pytest.mark.timeout(300)
def test_a_front_of_seconds_and_joules_is_proven(benchmark: Any) -> None:
    layers, devices, replicas, _ = FRONT
    problem = pool(devices, layers)

    def front() -> tuple[Plan, ...]:
        options = SearchOptions(replicas=replicas, time_limit_s=LIMIT_S * POINTS)
        return energy_front(problem, points=POINTS, modes=low_modes(), options=options)

    plans = benchmark.pedantic(front, rounds=1, iterations=1)
    _keep(f"energy front, {POINTS} points", FRONT, benchmark, plans)
    assert len(plans) == POINTS
    assert all(plan.proof.status is Status.OPTIMAL for plan in plans)
    _write()


def test_asteroid_plans_for_a_hundred_devices_in_few_times_what_sixteen_take() -> None:
    """Its states grow as the devices, and so do their heads up to a group of all samples."""
    took_s = []
    for devices in (16, 100):
        problem, began_s = pool(devices, 18), perf_counter()
        asteroid(problem)
        took_s.append(perf_counter() - began_s)
    assert took_s[1] < FEW * took_s[0]


def _keep(what: str, size: tuple[int, int, int, float], benchmark: Any, plans: Any) -> None:
    """A row; of several plans the largest gap."""
    layers, devices, replicas, target_s = size
    gaps = [plan.proof.gap for plan in plans]
    _rows.append(
        {
            "problem": what,
            "layers": layers,
            "devices": devices,
            "replicas": replicas,
            "target_s": target_s,
            "seconds": f"{benchmark.stats.stats.median:.2f}",
            "gap": f"{max(gaps):.1e}",
            "status": " and ".join(dict.fromkeys(str(plan.proof.status) for plan in plans)),
            "solver": " and ".join(dict.fromkeys(plan.proof.solver for plan in plans)),
        }
    )


def _write() -> None:
    if len(_rows) != len(SIZES) + 1:
        return
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    with TABLE.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(_rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(_rows)
    record(TABLE.parent, [TABLE.name], made(command("pytest", ["tests/benchmarks/test_planner_speed.py"])))
