"""Does an inventory become a validated plan by four commands, on four hosts with an sshd, a key and a line of each?"""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ssh_lab
from ssh_lab import PYTHON, Lab, lab

PROBLEM = ssh_lab.problem()
pytestmark = [
    pytest.mark.soak,
    pytest.mark.netns,
    pytest.mark.timeout(1800),
    pytest.mark.xdist_group("ssh"),
    pytest.mark.skipif(PROBLEM is not None, reason=str(PROBLEM)),
]
ROOT = Path(__file__).parent.parent
MOST_S = 600.0  # it takes two minutes on two cores
SPEEDS, MEMORY_GIB, MBIT_PER_S = (0.4, 0.3, 0.2, 0.15), (3, 2, 2, 1), (200, 100, 100, 50)
AHEAD_S = (0.05, -0.05, 0.0, 12.0)
TESTBED = """
defaults: [ssh, _self_]
fractions: {speeds}
memory_limit: true
reaching: {{ ssh_config: {config} }}
hosts:
"""
HOST = """
  board-{rank}:
    _target_: real_runtime.ssh.inventory.Host
    address: h{rank}
    interface: eth0
    python: {python}
    device: board-{rank}
    memory_bytes: {gib} GiB
"""
CLUSTER = """
# @package _global_
defaults: [four_hosts, _self_]
devices:
{devices}
cluster:
  name: lab
  network: {{ transmit_bytes_per_s: [{rates}], source: "the lines that the lab was given" }}
"""
DEVICE = "  {letter}: {{ name: board-{rank}, memory_bytes: '${{si:\"{gib} GiB\"}}' }}"
VALIDATION = """
# @package _global_
validation:
  name: lab
  rates: [{ rate: 50 Mbit/s, iterations: 2 }]
  plans:
    - { name: data, strategy: data, depth: one_f_one_b, cuts: [0, 4], groups: [[0, 1, 2, 3]], samples: [[3, 2, 2, 1]] }
    - { name: pipeline, strategy: pipeline, depth: one_f_one_b, cuts: [0, 1, 2, 3, 4], groups: [[0], [1], [2], [3]],
        samples: [[8], [8], [8], [8]] }
    - { name: hybrid 2+2, strategy: hybrid_pipeline, depth: asteroid, cuts: [0, 2, 4], groups: [[0, 1], [2, 3]],
        samples: [[5, 3], [4, 4]] }
    - { name: planned, planner: { _target_: edgesim.planners.exact.pipelines.ilp_hybrid_pipeline.ilp_hybrid_pipeline,
        _partial_: true }, strategy: hybrid_pipeline }
"""
MODEL = ("model=bert_tiny_bytes", "workload.batch_samples=32", "workload.micro_batch_samples=8")


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("lab"), 4, mbit_per_s=MBIT_PER_S, ahead_s=AHEAD_S) as made:
        yield made


@pytest.fixture
def files(four: Lab, tmp_path: Path) -> Path:
    """The user's own folder: an inventory, a cluster, and the plans to validate."""
    folder = tmp_path / "my_conf"
    hosts = (HOST.format(rank=rank, python=PYTHON, gib=gib) for rank, gib in enumerate(MEMORY_GIB))
    devices = (
        DEVICE.format(letter=letter, rank=rank, gib=gib)
        for rank, (letter, gib) in enumerate(zip("abcd", MEMORY_GIB, strict=True))
    )
    rates = ", ".join(f"'${{si:\"{rate} Mbit/s\"}}'" for rate in MBIT_PER_S)
    head = TESTBED.format(speeds=list(SPEEDS), config=four.folder / "config")
    texts = {
        "testbed/lab": head + "".join(hosts),
        "cluster/lab": CLUSTER.format(devices="\n".join(devices), rates=rates),
        "experiment/lab": VALIDATION,
    }
    for name, text in texts.items():
        (path := folder / f"{name}.yaml").parent.mkdir(parents=True)
        path.write_text(text.lstrip())
    return folder


def said(files: Path, module: str, *words: str) -> str:
    """What a command puts out, started as a user does."""
    whole = [sys.executable, "-m", f"experiments.{module}", *words, "--config-dir", str(files)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    done = subprocess.run(whole, cwd=files.parent, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{module}: {done.stderr}\n{done.stdout}"
    return done.stdout


def test_an_inventory_becomes_a_validated_plan_by_four_commands(four: Lab, files: Path) -> None:
    begun_s = time.monotonic()
    here = ("testbed=lab", "cluster=lab", *MODEL)
    counts = ("calibration.samples=[1,2,4,8]", "calibration.repeats=4")

    table = said(files, "testbed", "check", "testbed=lab")
    assert [f"board-{rank}" in table for rank in range(4)] == [True] * 4

    calibrated = said(files, "calibrate", *here, *counts)
    use = re.search(r"Use it: python -m experiments.run (.*)", calibrated)
    assert use is not None, calibrated

    planner = ("strategy=hybrid_pipeline", "planner=ilp_hybrid_pipeline")
    played = said(files, "run", *here, *planner, *shlex.split(use[1]), "execute=true", "iterations=2")
    (folder,) = (files.parent / "results" / "runs").iterdir()
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["plan"]["proof"]["status"] == "optimal"
    assert [each["player"] for each in metrics["iterations"]] == ["simulated", "measured", "measured"]
    assert "not measured on this testbed" not in played  # seconds and links are

    said(files, "validate", *here, *counts, "experiment=lab")
    summary = json.loads((files.parent / "results" / "validation" / "fidelity" / "summary.json").read_text())["lab"]
    assert summary["plans"] == 4
    assert summary["failed"] == []
    assert time.monotonic() - begun_s < MOST_S
    assert four.nothing_is_left(20) == []
