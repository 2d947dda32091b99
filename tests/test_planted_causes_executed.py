"""Is a cause that was planted on the emulated testbed named first, of what was measured? In twenty runs."""

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

import edgesim as es
from edgesim.plan import Depth
from edgesim.planners.baselines.proportional import proportional
from edgesim.planners.problem import Problem
from real_runtime.testbeds import netns

pytestmark = [
    pytest.mark.soak,
    pytest.mark.netns,
    pytest.mark.xdist_group("testbed"),
    pytest.mark.timeout(3600),
    pytest.mark.skipif(netns.problem() is not None, reason=f"network namespaces: {netns.problem()}"),
]
PLAIN = {"model": "bert_small_bytes", "strategy": "pipeline", "testbed": "netns"}
GROUPS = [[0], [1], [2]]


def deep(problem: Problem, *, groups: Any = None, depth: Any = None) -> es.Plan:
    """A pipeline whose first stages keep several micro-batches in flight."""
    return proportional(problem, groups=GROUPS, depth=Depth.ONE_F_ONE_B)


def shallow(problem: Problem, *, groups: Any = None, depth: Any = None) -> es.Plan:
    """The same, with one micro-batch in flight in every stage."""
    plan = deep(problem)
    return replace(plan, stages=tuple(replace(stage, in_flight=1) for stage in plan.stages))


@cache
def executed(*, planner: Any = deep, **more: Any) -> es.Result:
    """A measured run; of keys with a dot, that is written as two underscores."""
    words: dict[str, Any] = {}
    for key, value in more.items():
        *above, last = key.split("__")
        node = words
        for name in above:
            node = node.setdefault(name, {})
        node[last] = value
    return es.execute(**PLAIN, planner=planner, iterations=3, **words)


# What is changed, and what the words of the first cause must hold.
CASES = [
    *(
        ({f"devices__{name}__flop_per_s": speed * 1e9}, f"rank {rank}")
        for rank, name, speeds in ((0, "fast", (20, 14, 10)), (1, "medium", (12, 8, 6)), (2, "slow", (9, 6, 4)))
        for speed in speeds
    ),
    *(({"rate": f"{rate} Mbit/s"}, "link rate") for rate in (30, 20, 15, 10, 5)),
    *(({"latency": f"{ms} ms"}, "latency") for ms in (30, 50, 70, 90)),
    *(({"planner": shallow, "workload__micro_batch_samples": size}, "in flight") for size in (4, 8)),
]


def test_the_planted_cause_comes_first_in_18_of_20_executed_cases() -> None:
    wrong = []
    for change, words in CASES:
        plain = {key: value for key, value in change.items() if key.startswith("workload")}
        explained = executed(**change).explain(executed(**plain))
        cause = explained.of.cause
        if cause is None or words not in cause.name:
            wrong.append(f"{change}: {explained.verdict}")
    assert len(CASES) == 20
    assert len(wrong) <= 2, wrong
