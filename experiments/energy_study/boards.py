"""Where do joules go, board by board, how long does a charge last, and who should idle or be switched off?"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

from edgesim.cluster import Cluster
from edgesim.errors import EdgesimError
from edgesim.metrics import Metrics
from edgesim.planners.cost_models.pipeline_energy import iteration_j
from edgesim.planners.cost_models.pipeline_time import iteration_s
from edgesim.planners.exact.energy.ilp_energy import ilp_energy
from edgesim.planners.problem import Problem
from edgesim.units import si
from experiments.analysis.names import DP, FOUR, HMP, HPP, PP
from experiments.analysis.placements import in_words
from experiments.configuration.command_line import composed
from experiments.configuration.setup import Prepared, prepare, read_setup
from experiments.energy_study.settings import BATTERY_J, Environment

METHODS = (*FOUR, HMP, HPP)
# Whose micro-batches are their planners' choice.
CHOOSES = (DP, PP)
PLAYED = tuple(
    Environment("bert_base_untied", cluster, rate)
    for cluster in ("energy_study_gpu", "energy_study_cpu", "energy_study_mixed")
    for rate in ("100 Mbit/s", "1000 Mbit/s")
)
OFF = tuple(
    Environment(model, "energy_study_mixed", rate)
    for model in ("bert_base_untied", "resnet50")
    for rate in ("100 Mbit/s", "1000 Mbit/s")
)
_HOUR_S = si("1 h")
TIME_LIMIT_S = 20.0


def words(environment: Environment, method: str) -> list[str]:
    """Overrides of a method's run in an environment."""
    micro_batch = "best" if method in CHOOSES else "workload"
    return [*environment.plain_words, f"method={method}", f"planner.micro_batch={micro_batch}"]


def by_board(environments: Sequence[Environment] = PLAYED) -> Iterator[dict[str, Any]]:
    """A row per environment, method and board: joules by state, mean watts, and how long a charge would last."""
    for environment in environments:
        for method in METHODS:
            try:
                prepared = prepare(composed(*words(environment, method)))
            except EdgesimError:
                continue  # why stands in the table of the study
            yield from _rows(environment, method, prepared)


def _rows(environment: Environment, method: str, prepared: Prepared) -> Iterator[dict[str, Any]]:
    setup = prepared.setup
    metrics: Metrics = setup.measure(setup.simulate(prepared.schedule))
    for rank, (device, states) in enumerate(zip(setup.cluster.devices, metrics.energy_by_state_j, strict=True)):
        joules = sum(states.values())
        mean_w = joules / metrics.makespan_s
        yield environment.where | {
            "method": method,
            "rank": rank,
            "board": device.name,
            "makespan_s": metrics.makespan_s,
            "utilisation": metrics.utilisation[rank],
            **{f"{state}_j": value for state, value in states.items()},
            "energy_j": joules,
            "share": joules / metrics.energy_j,
            "mean_w": mean_w,
            "battery_h": BATTERY_J / mean_w / _HOUR_S,
            "samples_per_charge": metrics.samples_per_s * BATTERY_J / mean_w,
        }


def switched_on(environments: Sequence[Environment] = OFF) -> Iterator[dict[str, Any]]:
    """A row per set of boards that are on: the plan of the fewest joules that uses them all or lets some idle."""
    for environment in environments:
        problem = read_setup(composed(*environment.plain_words)).problem
        for ranks in _sets(problem):
            try:
                row = _least(_among(problem, ranks))
            except EdgesimError as error:
                row = {"status": "out_of_memory", "reason": str(error)}
            names = [problem.cluster.devices[rank].name for rank in ranks]
            yield environment.where | {"on": ", ".join(names), "boards": len(ranks)} | row


def _sets(problem: Problem) -> list[tuple[int, ...]]:
    """All sets of boards, of those that differ only in which of several equal boards is meant the first one."""
    ranks, found = list(problem.ranks), dict[tuple[str, ...], tuple[int, ...]]()
    for size in range(1, len(ranks) + 1):
        for chosen in combinations(ranks, size):
            found.setdefault(tuple(problem.cluster.devices[rank].name for rank in chosen), chosen)
    return list(found.values())


def _among(problem: Problem, ranks: Sequence[int]) -> Problem:
    """The problem with these boards alone, the others off."""
    old = problem.cluster.network
    rows = tuple(tuple(row[rank] for rank in ranks) for row in old.bytes_per_s)
    latency_s = tuple(tuple(old.latency_s[a][b] for b in ranks) for a in ranks)
    network = replace(old, bytes_per_s=rows, latency_s=latency_s)
    devices = tuple(problem.cluster.devices[rank] for rank in ranks)
    return replace(problem, cluster=Cluster(name=problem.cluster.name, devices=devices, network=network))


def _least(problem: Problem) -> dict[str, Any]:
    plan = ilp_energy(problem, time_limit_s=TIME_LIMIT_S)
    joules, seconds = iteration_j(problem, plan), iteration_s(problem, plan)
    return {
        "status": "done",
        "makespan_s": seconds,
        "energy_per_sample_j": joules / problem.workload.batch_samples,
        "idle_boards": len(problem.ranks) - len(set(plan.ranks)),
        "gap": plan.proof.gap if plan.proof is not None else None,
        "placement": in_words(plan, [device.name for device in problem.cluster.devices]),
        "reason": "",
    }
