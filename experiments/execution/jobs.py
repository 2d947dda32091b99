"""What is executed? A schedule on the configured data; the first iteration warms up and is not counted."""

from collections.abc import Callable
from dataclasses import replace

from omegaconf import DictConfig

from edgesim.profile import Profile
from edgesim.schedule import Schedule
from experiments.configuration.setup import Nouns, Prepared, build, nominal_cluster, refuse_to_execute
from real_runtime.data import DataSpec, refuse_other_data
from real_runtime.job import Execution, Job
from real_runtime.testbeds.testbed import Testbed, open_testbed


def make_job(cfg: DictConfig, words: Nouns, schedule: Schedule, iterations: int) -> Job:
    """A job of one iteration more than is counted. Raises ValueError if the model cannot read the data."""
    if "technique" in words.model.hyper:
        raise ValueError(
            f"the runtime trains whole models only, not {words.model.name} (execute=false, or finetuning=full)"
        )
    data: DataSpec = build(cfg.data)
    refuse_other_data(words.model, data)
    refuse_to_execute(words.scenario)
    return Job(
        schedule=schedule,
        model=words.model,
        workload=words.workload,
        data=data,
        iterations=iterations + 1,
        seed=cfg.seed,
        checkpoint=cfg.checkpoint,
    )


def execute(testbed: Testbed, job: Job, rehearsed: Profile | None = None) -> Execution:
    """The iterations that count."""
    execution = testbed.execute(job, rehearsed)
    return replace(execution, traces=execution.traces[1:], losses=execution.losses[1:])


def execute_once(cfg: DictConfig, prepared: Prepared, tell: Callable[[str], object]) -> Execution:
    """The iterations of one run that count, on a testbed that opens for it; ``tell`` hears which."""
    job = make_job(cfg, prepared.words, prepared.schedule, cfg.iterations)
    with open_testbed(build(cfg.testbed), nominal_cluster(cfg)) as testbed:
        tell(testbed.description)
        rehearsed = testbed.rehearse(job, repeats=cfg.rehearsals) if cfg.rehearsals else None
        return execute(testbed, job, rehearsed)
