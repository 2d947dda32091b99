"""How long until the best division of a transformer's blocks is proven? Sixteen devices, 64 heads: make bench.

Of four types, and all different. The table of sizes and seconds is written to results/planner_speed/blocks.csv when all
were timed.
"""

import csv
from pathlib import Path
from typing import Any

import builders
import pytest
from planner_problems import TYPES

from edgesim.cluster import Cluster, Network
from edgesim.planners.exact.blocks.ilp_blocks import ilp_blocks
from edgesim.planners.problem import Problem
from edgesim.profile import estimate
from edgesim.workload import Purpose, Workload
from edgesim.zoo.gpt2 import gpt2
from experiments.configuration.provenance import command, made, record

DEVICES, HEADS, VOCABULARY = 16, 64, 50257
TARGET_S, LIMIT_S = 2.0, 40.0  # what the suite aims at; then the plan so far, with its gap
FASTER = 0.013  # of a rank than the one before it, where all are different

# Layers, width and tokens. The small one (as wide and deep as OPT-1.3B) fits on every device, as it must where only
# tokens are divided; weights of the large one (Llama-65B's size) fill most of the memory of all.
MODELS = {"small": (24, 2048, 512), "large": (80, 8192, 128)}
WAYS = {  # units, tokens, overlap
    "tensor": (True, False, False),
    "sequence": (False, True, False),
    "hybrid_model": (True, True, False),
    "hybrid_model, overlap": (True, True, True),
}
SIZES = [
    (model, way, types)
    for model in MODELS
    for way in WAYS
    for types in (len(TYPES), DEVICES)
    if (model, way) != ("large", "sequence")
]
TABLE = Path(__file__).parents[2] / "results" / "planner_speed" / "blocks.csv"
_rows: list[dict[str, Any]] = []


def request(model: str, types: int) -> Problem:
    """One request on boards of so many types; weights take two bytes."""
    layers, hidden, tokens = MODELS[model]
    transformer = gpt2(
        name=model,
        layers=layers,
        hidden=hidden,
        heads=HEADS,
        columns=4 * hidden,
        vocabulary=VOCABULARY,
        positions=2048,
        tied=False,
    )
    of = [TYPES[rank % len(TYPES)] for rank in range(DEVICES)]
    boards = tuple(
        builders.device(
            f"type{rank % types}",
            memory_bytes=memory_bytes,
            flop_per_s=flop_per_s * (1 + FASTER * rank if types == DEVICES else 1),
        )
        for rank, (flop_per_s, memory_bytes, _) in enumerate(of)
    )
    network = Network.switched(
        transmit_bytes_per_s=[rate for *_, rate in of],
        latency_s=0.0002,
        goodput=1.0,
        origin="assumed",
        source="benchmark",
    )
    workload = Workload(
        purpose=Purpose.INFER,
        batch_samples=1,
        micro_batch_samples=1,
        tokens=tokens,
        learning_rate=0.0,
        optimiser="sgd",
        weight_bytes=2,
    )
    profile = estimate(transformer, boards, samples=[1], tokens=tokens)
    cluster = Cluster(name="boards", devices=boards, network=network)
    return Problem(model=transformer, cluster=cluster, profile=profile, workload=workload)


@pytest.mark.parametrize(("model", "way", "types"), SIZES)
@pytest.mark.timeout(300)
def test_a_division_is_proven(benchmark: Any, model: str, way: str, types: int) -> None:
    problem, (units, tokens, overlap) = request(model, types), WAYS[way]
    plan = benchmark.pedantic(
        lambda: ilp_blocks(problem, units=units, tokens=tokens, overlap=overlap, time_limit_s=LIMIT_S),
        rounds=1,
        iterations=1,
    )
    layers, hidden, length = MODELS[model]
    proof = plan.proof
    assert proof.gap is not None
    _rows.append(
        {
            "way": way,
            "layers": layers,
            "hidden": hidden,
            "heads": HEADS,
            "tokens": length,
            "devices": DEVICES,
            "types": types,
            "target_s": TARGET_S,
            "limit_s": LIMIT_S,
            "seconds": f"{benchmark.stats.stats.median:.2f}",
            "value_s": f"{proof.value:.6g}",
            "gap": f"{proof.gap:.2e}",
            "status": str(proof.status),
            "solver": proof.solver,
        }
    )
    if len(_rows) == len(SIZES):
        TABLE.parent.mkdir(parents=True, exist_ok=True)
        with TABLE.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(_rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(_rows)
        record(TABLE.parent, [TABLE.name], made(command("pytest", ["tests/benchmarks/test_block_planner_speed.py"])))
