"""How soon can ranks play? Openings and plays of three ranks, each row in a process that has loaded nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from opening_times import MODELS

from real_runtime.testbeds import netns

WARM_OPENING_S, FURTHER_PLAY_S = 3.0, 0.3
TIMES, TESTS = Path(__file__).with_name("opening_times.py"), Path(__file__).parents[1]


@pytest.mark.netns
@pytest.mark.timeout(900)
def test_a_warm_opening_takes_less_than_three_seconds_and_a_further_play_three_tenths_besides_its_iterations() -> None:
    if (problem := netns.problem()) is not None:
        pytest.skip(problem)
    rows = [
        {"testbed": kind, "model": model} | fresh(kind, model) for kind in ("loopback", "netns") for model in MODELS
    ]
    for row in rows:
        print(row)
    assert max(row["warm_opening_s"] for row in rows) < WARM_OPENING_S
    assert max(row["further_play_s"] for row in rows) < FURTHER_PLAY_S


def fresh(kind: str, model: str) -> dict[str, float]:
    """Seconds in a process of its own."""
    paths = {"PYTHONPATH": os.pathsep.join(map(str, (TESTS.parent, TESTS)))}
    words = [sys.executable, str(TIMES), kind, model]
    done = subprocess.run(words, env=os.environ | paths, check=True, capture_output=True, text=True)
    return {name: round(seconds, 3) for name, seconds in json.loads(done.stdout).items()}
