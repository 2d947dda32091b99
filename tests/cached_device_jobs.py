"""Small jobs with an activation cache on real ranks, and what one device loses that has none."""

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from device_jobs import HEARTBEAT, four_hosts, losses_of_one_device
from runtime_builders import SEED
from tuned_models import TOKENS

from edgesim.cached_outputs import Storage
from edgesim.cached_training.phases import CachedTraining
from edgesim.cached_training.recovering import CachedRecovery
from edgesim.job import Job, JobTrace, Recover, Safety
from edgesim.model import Model
from edgesim.plan import Depth, Plan, make_stages
from edgesim.planners.problem import Problem
from edgesim.profile import estimate
from edgesim.recovery.training_setup import TrainingSetup
from edgesim.scenario import Membership, Scenario
from edgesim.workload import Optimiser, Purpose, Workload
from real_runtime.activation_cache.place import CachePlace
from real_runtime.assignment import Assignment
from real_runtime.data import DataSpec
from real_runtime.jobs.execute_job import execute_job
from real_runtime.testbeds.testbed import Testbed

SAMPLES, MICRO_BATCHES, EPOCHS, ITERATIONS = 4, 2, 3, 3
DATA = DataSpec(kind="text")
WORK = Workload(
    purpose=Purpose.FINE_TUNE,
    batch_samples=SAMPLES * MICRO_BATCHES,
    micro_batch_samples=SAMPLES,
    tokens=TOKENS,
    optimiser=Optimiser.ADAM,
    learning_rate=0.01,
    epochs=EPOCHS,
    cache=True,
)


def training(model: Model, cuts: list[int], groups: list[list[int]], shares: list[list[int]]) -> CachedTraining:
    """An epoch by a pipeline of these stages; then all of its ranks share samples evenly."""
    stages = make_stages(
        cuts=[*cuts, len(model.layers)],
        groups=groups,
        samples=shares,
        depth=Depth.ONE_F_ONE_B,
        micro_batches=MICRO_BATCHES,
    )
    first = Plan(
        model=model.name,
        stages=stages,
        micro_batches=MICRO_BATCHES,
        micro_batch_samples=SAMPLES,
        planner="by hand",
    )
    cluster = four_hosts()
    profile = estimate(model, cluster.devices, samples=range(1, WORK.batch_samples + 1), tokens=TOKENS)
    problem = Problem(model=model, cluster=cluster, profile=profile, workload=WORK)
    return CachedTraining(problem=problem, first=first, iterations=ITERATIONS)


def played(
    testbed: Testbed,
    asked: CachedTraining,
    folder: Path,
    *,
    storage: Storage = Storage.FP32,
    events: Collection[Membership] = (),
    checkpoints: Path | None = None,
    resume: Path | None = None,
    policy: Callable[[TrainingSetup], Recover] | None = None,
) -> JobTrace:
    """The job on the testbed; with a policy it goes on after losses, and backs up all of its first epoch."""
    asked = replace(asked, storage=storage, replicate=policy is not None)
    job = Job(
        phases=asked.phases(asked.evenly(), epochs=EPOCHS),
        members=tuple(range(4)),
        safety=Safety(heartbeat=HEARTBEAT, replicate_every=policy and 1, checkpoint_every=checkpoints and 1, wait_s=0),
        recover=policy and CachedRecovery(training=asked, filling=policy(asked.filling)),
    )
    assignment = Assignment(
        schedule=job.phases[0].schedule,
        model=asked.problem.model,
        workload=WORK,
        data=DATA,
        iterations=ITERATIONS,
        seed=SEED,
        epoch_iterations=ITERATIONS,
        cache=CachePlace(folder=str(folder), storage=storage),
    )
    scenario = Scenario(events=tuple(events))
    return execute_job(testbed, job, assignment, scenario=scenario, checkpoints=checkpoints, resume=resume)


def undisturbed(model: Model) -> list[float]:
    """What a single device loses that computes the backbone in every epoch."""
    return losses_of_one_device(EPOCHS * ITERATIONS, model=model, work=WORK, epoch_iterations=ITERATIONS)
