"""A run that a fault strikes: says which moment it is at and who its processes are, and in the end what it was told."""

import json
import sys
import time
from dataclasses import replace
from typing import Any

import faulty_rank
from runtime_builders import BERT, CASES, data, three_hosts, workload

from edgesim import RunError
from edgesim.plan import Plan, Stage
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.strategies.sequence import sequence
from edgesim.workload import Purpose
from real_runtime.assignment import Assignment
from real_runtime.control.coordinator import Coordinator
from real_runtime.testbeds import opening
from real_runtime.testbeds.spec import TestbedSpec
from real_runtime.testbeds.testbed import Testbed

MEMORY_BYTES = 150e6  # that a rank may add, where memory is limited


def say(**what: Any) -> None:
    """One line for the campaign."""
    print(json.dumps(what | {"at_s": time.monotonic()}), flush=True)


def assignment(iterations: int, results: str | None = None) -> Assignment:
    """A pipeline of three ranks on a tiny model."""
    work = workload(BERT)
    schedule = hybrid_pipeline(CASES[3].plan(BERT), BERT, work)
    return Assignment(
        schedule=schedule,
        model=BERT,
        workload=work,
        data=data(BERT),
        iterations=iterations,
        seed=1,
        results_folder=results,
    )


def rehearsed_assignment() -> Assignment:
    """The same model in blocks whose tokens the ranks divide."""
    work = replace(workload(BERT), purpose=Purpose.INFER, batch_samples=6)
    stage = Stage(layers=(0, len(BERT.layers)), ranks=(0, 1, 2), samples=(6, 6, 6), in_flight=1, tokens=(6, 5, 5))
    plan = Plan(model=BERT.name, stages=(stage,), micro_batches=1, micro_batch_samples=6, planner="by hand")
    return replace(assignment(1), schedule=sequence(plan, BERT, work), workload=work)


def live(testbed: Testbed, moment: str, results: str | None) -> None:
    """Come to the moment, and stay there until something happens."""
    if moment == "calibration":
        say(moment=moment)
        while True:
            testbed.profile_layers(BERT, workload(BERT), samples=[6], repeats=20)
    if moment == "rehearsal":
        say(moment=moment)
        while True:
            testbed.rehearse(rehearsed_assignment(), repeats=20)
    if moment == "tell":
        say(moment=moment)
        time.sleep(2)  # in which a rank is stopped
        testbed.execute(replace(assignment(1), results_folder="x" * 200_000))
    if moment == "saving":
        say(moment=moment)
        testbed.execute(assignment(3, results))
    testbed.execute(assignment(1))
    say(moment=moment)
    testbed.execute(assignment(100_000))


class Announced(Coordinator):
    """Says who the ranks are before they have come up."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        say(ranks=self.pids)


def main() -> None:
    """Arguments: testbed, moment, deadline in seconds, whether memory is limited, folder of results."""
    kind, moment, deadline_s, limited, results = sys.argv[1:]
    opening.RANK, opening.Coordinator = faulty_rank.RANK, Announced  # type: ignore[misc, assignment]
    spec = TestbedSpec(kind=kind, deadline_s=float(deadline_s), memory_limit=bool(int(limited)), repeat_disturbed=0)
    cluster = three_hosts()
    if spec.memory_limit:
        cluster = replace(cluster, devices=tuple(replace(d, memory_bytes=MEMORY_BYTES) for d in cluster.devices))
    say(moment="opening")
    try:
        with opening.open_testbed(spec, cluster) as testbed:
            say(holder=getattr(testbed.hosts, "holder", None))
            try:
                live(testbed, moment, results)
            except RunError as error:
                say(told=str(error))
    except RunError as error:
        say(told=str(error))
    except KeyboardInterrupt:
        say(told="interrupted")
    say(clean=True)


if __name__ == "__main__":
    main()
