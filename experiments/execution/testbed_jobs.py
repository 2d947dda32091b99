"""What is executed? A schedule on the configured data; the first iteration warms up and is not counted."""

from contextlib import nullcontext
from functools import partial
from pathlib import Path

from omegaconf import DictConfig

from edgesim.profile import Profile
from edgesim.schedule import Schedule
from experiments.configuration.constructors import build
from experiments.configuration.setup import Prepared, Setup, nominal_cluster, refuse_to_execute
from experiments.execution.listener import Listener
from real_runtime.data import DataSpec, refuse_other_data
from real_runtime.execution import Execution, Heard, unheard
from real_runtime.job import Job
from real_runtime.saving.places import refuse_place, saving
from real_runtime.sources import refuse_unusable
from real_runtime.testbeds.opening import open_testbed
from real_runtime.testbeds.repeating import disturbance, undisturbed
from real_runtime.testbeds.testbed import Testbed


def make_job(cfg: DictConfig, setup: Setup, schedule: Schedule, iterations: int) -> Job:
    """A job of one iteration more than is counted. Raises ValueError if the model cannot read the data."""
    if "technique" in setup.model.hyper:
        raise ValueError(
            f"the runtime trains whole models only, not {setup.model.name} (execute=false, or finetuning=full)"
        )
    data: DataSpec = build(cfg.data)
    refuse_other_data(setup.model, data)
    refuse_to_execute(setup)
    job = Job(
        schedule=schedule,
        model=setup.model,
        workload=setup.workload,
        data=data,
        iterations=iterations + 1,
        seed=cfg.seed,
        checkpoint=cfg.checkpoint,
    )
    refuse_unusable(job)
    return job


def execute(testbed: Testbed, job: Job, rehearsed: Profile | None = None, *, heard: Heard = unheard) -> Execution:
    """The iterations that count; those that other load disturbed are played again. ``heard`` hears of all."""
    play = partial(testbed.execute, rehearsed=rehearsed)
    return undisturbed(play, job, testbed.retries, heard=heard)


def execute_once(cfg: DictConfig, prepared: Prepared, listener: Listener) -> Execution:
    """The iterations of one run that count, on a testbed that opens for it; who listens hears which, and of each.

    What was trained is saved where the configuration says so.
    """
    job = make_job(cfg, prepared.setup, prepared.schedule, cfg.iterations)
    target = None if cfg.save_weights is None else Path(cfg.save_weights)
    if target is not None:
        refuse_place(target)
    with open_testbed(build(cfg.testbed), nominal_cluster(cfg)) as testbed:
        listener.tell(testbed.description)
        work = job.workload
        if 2 in (work.weight_bytes, work.activation_bytes, work.kv_bytes):
            listener.tell("numbers of 2 bytes are BF16: kept and sent so, and computed with in FP32")
        rehearsed = testbed.rehearse(job, repeats=cfg.rehearsals) if cfg.rehearsals else None
        with nullcontext(job) if target is None else saving(job, target) as played:
            execution = execute(testbed, played, rehearsed, heard=listener.measured)
        if said := disturbance(execution):
            listener.tell(said)
    if target is not None:
        listener.tell(f"trained weights are in {target}: checkpoint={target} goes on from there")
    return execution
