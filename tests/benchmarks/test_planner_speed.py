"""How long until the best plan is proven? Layers x devices x replicas, with memory by position: make bench.

The table of sizes and seconds is written to results/planner_speed/sizes.csv when all sizes were timed.
"""

import csv
from pathlib import Path
from typing import Any

import pytest
from planner_problems import pool

from edgesim.planners.ilp_hybrid_pipeline import ilp_hybrid_pipeline

# Layers, devices, replicas, and the seconds on two cores that the suite aims at.
LIMIT_S = 40.0  # then the plan so far, with its gap
SIZES = ((24, 8, 4, 3.0), (48, 8, 3, 10.0), (48, 16, 3, 20.0), (96, 32, 2, 30.0))
TABLE = Path(__file__).parents[2] / "results" / "planner_speed" / "sizes.csv"
_rows: list[dict[str, Any]] = []


@pytest.mark.parametrize(("layers", "devices", "replicas", "target_s"), SIZES)
@pytest.mark.timeout(300)
def test_a_plan_is_proven(benchmark: Any, layers: int, devices: int, replicas: int, target_s: float) -> None:
    problem = pool(devices, layers)
    plan = benchmark.pedantic(
        lambda: ilp_hybrid_pipeline(problem, replicas=replicas, time_limit_s=LIMIT_S), rounds=1, iterations=1
    )
    proof = plan.proof
    _rows.append(
        {
            "layers": layers, "devices": devices, "replicas": replicas, "target_s": target_s, "limit_s": LIMIT_S,
            "seconds": f"{benchmark.stats.stats.median:.2f}", "value_s": f"{proof.value:.6g}",
            "gap": f"{proof.gap:.2e}", "status": str(proof.status), "solver": proof.solver,
        }
    )  # fmt: skip
    assert proof.gap is not None
    if len(_rows) == len(SIZES):
        TABLE.parent.mkdir(parents=True, exist_ok=True)
        with TABLE.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(_rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(_rows)
