"""How long do the openings and plays of one process take? ``python opening_times.py TESTBED MODEL`` prints seconds.

Seconds of a play are those besides its iteration. The first opening is a cold one: nothing is loaded.
"""

import json
import sys
import time
from statistics import median

from runtime_builders import CASES, three_hosts

from edgesim.model import Model
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.workload import Workload
from edgesim.zoo.bert import bert
from real_runtime.assignment import Assignment
from real_runtime.data import BYTE_VOCABULARY, DataSpec
from real_runtime.testbeds.opening import open_testbed
from real_runtime.testbeds.spec import TestbedSpec
from real_runtime.testbeds.testbed import Testbed

OPENINGS, PLAYS, TOKENS = 3, 1, 16
# Of Turc et al. (arXiv 1908.08962), on bytes.
MODELS = {
    "bert-tiny": {"layers": 2, "hidden": 128, "heads": 2, "columns": 512},
    "bert-small": {"layers": 4, "hidden": 512, "heads": 8, "columns": 2048},
}


def assignment(model: Model) -> Assignment:
    """One iteration of a pipeline on three ranks."""
    work = Workload(
        purpose="train",
        batch_samples=24,
        micro_batch_samples=6,
        tokens=TOKENS,
        optimiser="sgd",
        learning_rate=0.01,
    )
    schedule = hybrid_pipeline(CASES[3].plan(model), model, work)
    return Assignment(schedule=schedule, model=model, workload=work, data=DataSpec(kind="text"), iterations=1, seed=0)


def besides_s(testbed: Testbed, played: Assignment) -> float:
    """Seconds of a play without those of its iteration."""
    begin_s = time.monotonic()
    (trace,) = testbed.execute(played).traces
    return time.monotonic() - begin_s - trace.makespan_s


def main(kind: str, name: str) -> None:
    """The first opening, and medians of what can be repeated."""
    played = assignment(bert(name=name, **MODELS[name], vocabulary=BYTE_VOCABULARY, positions=128))  # type: ignore[arg-type]
    openings_s, first_s, further_s = [], [], []
    for _ in range(OPENINGS):
        begin_s = time.monotonic()
        with open_testbed(TestbedSpec(kind=kind), three_hosts()) as testbed:
            openings_s.append(time.monotonic() - begin_s)
            first_s.append(besides_s(testbed, played))
            further_s += [besides_s(testbed, played) for _ in range(PLAYS)]
    times = {"cold_opening_s": openings_s[0], "warm_opening_s": median(openings_s[1:])}
    print(json.dumps(times | {"first_play_s": median(first_s), "further_play_s": median(further_s)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
