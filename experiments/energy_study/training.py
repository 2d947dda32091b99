"""How many joules until a model is trained? Whole jobs, undisturbed and with a device lost, on the mains of a grid."""

from collections.abc import Iterator, Sequence
from math import ceil
from typing import Any

from edgesim.errors import EdgesimError
from edgesim.job import JobMetrics
from edgesim.scenario import Loss, Moment, Scenario
from edgesim.units import si
from experiments.analysis.names import DP, HPP, PP
from experiments.asteroid.losing import Losing
from experiments.configuration.command_line import composed
from experiments.energy_study.boards import words
from experiments.energy_study.settings import BATCH, TASK, TASK_EPOCHS, TASK_SAMPLES, Environment

METHODS = (DP, PP, HPP)  # what a job goes on with after a loss
POLICIES = {"lightweight": {"_target_": "edgesim.recovery.lightweight.lightweight", "_partial_": True}}
PLAYED = tuple(
    Environment("bert_base_untied", cluster, rate)
    for cluster in ("energy_study_gpu", "energy_study_cpu", "energy_study_mixed")
    for rate in ("100 Mbit/s", "1000 Mbit/s")
)
ITERATIONS = ceil(TASK_SAMPLES / BATCH) * TASK_EPOCHS
LOST_AFTER = 0.5  # of the undisturbed job
LOST_RANK = 1
PLANNING_S = 1.0  # assumed: of re-planning on a board; not measured here, so that two runs do not differ
_KWH = si("1 kWh")


def jobs(environments: Sequence[Environment] = PLAYED, iterations: int = ITERATIONS) -> Iterator[dict[str, Any]]:
    """A row per environment, method and history: nobody is lost, or a board half-way."""
    for environment in environments:
        for method in METHODS:
            where = environment.where | {"method": method, "task": TASK, "epochs": TASK_EPOCHS}
            try:
                losing = Losing.of(
                    composed(
                        *words(environment, method), "+job=asteroid", "grid=world_2023", f"job.planning_s={PLANNING_S}"
                    ),
                    POLICIES,
                )
            except EdgesimError as error:
                yield where | {"history": "undisturbed", "status": "out_of_memory", "reason": str(error)}
                continue
            grid = losing.prepared.setup.grid
            for history, outcome in _histories(losing, iterations):
                if isinstance(outcome, EdgesimError):
                    yield where | {"history": history, "status": "failed", "reason": str(outcome)}
                    continue
                yield where | {
                    "history": history,
                    "status": "done",
                    "end_s": outcome.end_s,
                    "trained_samples": outcome.trained_samples,
                    "energy_j": outcome.energy_j,
                    "energy_kwh": outcome.energy_j / _KWH,
                    "carbon_g": None if grid is None else grid.grams(outcome.energy_j),
                    **{f"{state}_j": joules for state, joules in outcome.energy_by_state_j.items()},
                    "reason": "",
                }


def _histories(losing: Losing, iterations: int) -> Iterator[tuple[str, JobMetrics | EdgesimError]]:
    undisturbed = losing.undisturbed(iterations)
    yield "undisturbed", undisturbed
    lost_at = Moment(at_s=LOST_AFTER * undisturbed.end_s)
    scenario = Scenario(events=(Loss(rank=LOST_RANK, when=lost_at),))
    outcome = losing.played("lightweight", scenario, iterations)
    yield "a board lost half-way", outcome if isinstance(outcome, EdgesimError) else outcome[1]
