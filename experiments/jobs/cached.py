"""Which phases has a job that a configuration asks to train from a cache of activations, and how does it go on?"""

from collections.abc import Callable
from dataclasses import dataclass

from edgesim.cached_outputs import Storage
from edgesim.cached_training.phases import CachedTraining
from edgesim.cached_training.recovering import CachedRecovery
from edgesim.job import Phase, Recover
from edgesim.plan import Plan
from edgesim.planners.exact.pipelines.search import SearchOptions
from edgesim.planners.exact.two_phases.ilp_two_phases import NAME, two_phases
from edgesim.planners.problem import Problem
from edgesim.recovery.training_setup import TrainingSetup
from experiments.configuration.constructors import Config, build


@dataclass(frozen=True, kw_only=True)
class CachedJob:
    """Such a job, and the plan of its later epochs."""

    training: CachedTraining
    second: Plan

    @property
    def phases(self) -> tuple[Phase, ...]:
        """An epoch that fills the cache, and those that train from it."""
        return self.training.phases(self.second, epochs=self.training.problem.workload.epochs)

    def recover(self, policy: Callable[[TrainingSetup], Recover | None]) -> Recover | None:
        """How it goes on after a loss, in its first epoch by a policy; None where there is none."""
        filling = policy(self.training.filling)
        return None if filling is None else CachedRecovery(training=self.training, filling=filling)


def cached_job(cfg: Config, setup: TrainingSetup, plan: Plan, *, samples: int, iterations: int) -> CachedJob | None:
    """Return what a configuration asks for; None where the planner finds that a cache does not pay.

    Raises ValueError for a model without parallel adapters, and where planner and job disagree about the samples of an
    epoch.
    """
    cache = cfg["strategy"]["cache"]
    training = CachedTraining(
        problem=setup.problem,
        first=plan,
        iterations=iterations,
        storage=Storage(cache["storage"]),
        ahead=cache["ahead"],
        bucket_bytes=cfg["strategy"].get("bucket_bytes"),
        depth=setup.depth,
        replicate=setup.replicate,
        change_s=setup.change_s,
    )
    second = training.evenly() if plan.planner != NAME else _proven(cfg, setup.problem, training, samples)
    return None if second is None else CachedJob(training=training, second=second)


def _proven(cfg: Config, problem: Problem, training: CachedTraining, samples: int) -> Plan | None:
    """What the planner of both phases, which hands over the first plan alone, says of the second when asked again."""
    asked = dict(build(cfg["planner"]).keywords)
    if (planned := asked.pop("samples")) != samples:
        raise ValueError(
            f"planner.samples={planned} and job.samples={samples} are of the same epoch (give both the same number)"
        )
    both = two_phases(problem, samples=samples, disk_bytes=asked.pop("disk_bytes"), options=SearchOptions(**asked))
    if both.second is None:
        return None
    if both.first.stages != training.first.stages:
        raise ValueError(
            f"{NAME} found another first phase when asked again: {both.first}, before: {training.first} (give it time "
            "to prove its plan: planner.time_limit_s)"
        )
    return training.aligned(both.second)
