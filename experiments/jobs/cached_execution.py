"""What does a job with an activation cache need to be executed? A folder for its ranks' caches, and epochs that repeat.

Its later epochs compute the side network alone, whose layers are timed on the testbed apart from the whole model's.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from omegaconf import DictConfig

from edgesim.cached_outputs import Storage
from edgesim.job import Job, Phase
from edgesim.model import Model
from edgesim.profile import Profile
from edgesim.scratch import scratch_folder
from edgesim.workload import Workload
from experiments.calibrate import timed
from experiments.configuration.setup import Setup
from experiments.execution.assignments import make_assignment
from real_runtime.activation_cache.place import CachePlace
from real_runtime.assignment import Assignment
from real_runtime.testbeds.testbed import Testbed


@contextmanager
def caching(cfg: DictConfig, setup: Setup, phase: Phase, *, iterations: int, storage: Storage) -> Iterator[Assignment]:
    """What is trained in epochs of so many iterations, with a place for caches: that of the configuration.

    Where it names none (``activations``) caches are in a folder that is gone afterwards. Raises ValueError where there
    is too little room, for data that the model cannot read, and for a job that goes on without its caches.
    """
    resume = None if cfg.get("job") is None else cfg.job.resume
    if resume is not None and cfg.activations is None:
        raise ValueError(
            f"job.resume={resume} goes on with what was cached as well (say where: activations=FOLDER of that job)"
        )
    with scratch_folder() as scratch:
        place = CachePlace(folder=str(scratch), storage=storage)
        made = make_assignment(cfg, setup, phase.schedule, phase.iterations, epoch_iterations=iterations, cache=place)
        assert made.cache is not None, "a place was given"
        yield replace(made, iterations=phase.iterations, cache=replace(made.cache, storage=storage))


def measured_profiles(
    testbed: Testbed, jobs: Iterable[Job], workload: Workload, *, repeats: int
) -> Mapping[str, Profile]:
    """By its name, the seconds of the layers of each model that phases of these jobs have of their own.

    Each is timed once, at all counts of samples that ranks have in these phases, or could have after a loss.
    """
    models: dict[str, Model] = {}
    counts: dict[str, set[int]] = defaultdict(set)
    for job, phase in [(each, phase) for each in jobs for phase in each.phases]:
        if phase.model is not None:
            models[phase.model.name] = phase.model
            most = range(1, phase.plan.micro_batch_samples + 1)  # after a loss others have more
            shares = {share for stage in phase.plan.stages for share in stage.samples if share}
            counts[phase.model.name] |= shares if job.recover is None else shares | set(most)
    return {name: timed(testbed, model, workload, sorted(counts[name]), repeats) for name, model in models.items()}
