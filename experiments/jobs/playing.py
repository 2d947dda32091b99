"""What comes of a job? Its trace, simulated and where asked measured, and what they mean."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from edgesim.cached_outputs import Storage
from edgesim.cluster import Origin
from edgesim.job import HostCosts, Job, JobMetrics, JobSpan, JobTrace, measure_job
from edgesim.metered import LogEnergy, PowerLog
from edgesim.metered.activity import activity_of
from edgesim.profile import Profile
from edgesim.scratch import scratch_folder
from edgesim.simulator import simulate_job
from edgesim.units import show
from experiments.configuration.constructors import build
from experiments.configuration.setup import Prepared, Setup, nominal_cluster
from experiments.execution.assignments import make_assignment
from experiments.execution.listener import Listener
from experiments.execution.play import plain
from experiments.jobs.asked import JobSpec, job_of
from experiments.jobs.cached_execution import caching, measured_profiles
from experiments.metering.hosts import host_meters, metering
from experiments.metering.job_energy import job_energies, job_windows, traces_of
from real_runtime.assignment import Assignment
from real_runtime.jobs.execute_job import execute_job
from real_runtime.jobs.measured_costs import measure_host_costs
from real_runtime.testbeds.opening import open_testbed

Hears = Callable[[JobSpan], object]


@dataclass(frozen=True, kw_only=True)
class PlayedJob:
    """All that came of one job; traces and metrics are of the simulated one, then of the measured one if there is.

    ``power`` is what meters read of the measured one.
    """

    config: Mapping[str, Any]
    prepared: Prepared
    job: Job
    host_costs: HostCosts
    traces: tuple[JobTrace, ...]
    metrics: tuple[JobMetrics, ...]
    power: tuple[PowerLog, ...] = ()

    @cached_property
    def energies(self) -> list[LogEnergy]:
        """What meters say of the measured job; nothing where there was none."""
        return job_energies(self.power, self.traces[-1]) if self.power else []


def play_job(cfg: DictConfig, spec: JobSpec, prepared: Prepared, listener: Listener, hears: Hears) -> PlayedJob:
    """Execute a job if the configuration says so, and simulate it; ``hears`` hears of every span that was executed."""
    setup, job, measured = prepared.setup, job_of(cfg, spec, prepared), tuple[JobTrace, ...]()
    power: tuple[PowerLog, ...] = ()
    profiles: Mapping[str, Profile] = {}
    if cfg.execute:
        # What hosts need is measured first: policies are told as well.
        job, spec, profiles, trace, power = _executed(cfg, spec, prepared, listener, hears)
        measured = (trace,)
    nouns: Mapping[str, Any] = {"cluster": setup.cluster, "model": setup.model, "workload": setup.workload}
    with listener.waiting("simulating the job"):
        simulated = simulate_job(
            job,
            **nouns,
            profile=setup.profile,
            host_costs=spec.host_costs,
            scenario=setup.scenario,
            planning_s=spec.planning_s,
            profiles=profiles,
        )
    traces = (simulated, *measured)
    return PlayedJob(
        config=plain(cfg),
        prepared=prepared,
        job=job,
        host_costs=spec.host_costs,
        traces=traces,
        metrics=tuple(measure_job(trace, **nouns) for trace in traces),
        power=power,
    )


def _executed(
    cfg: DictConfig, spec: JobSpec, prepared: Prepared, listener: Listener, hears: Hears
) -> tuple[Job, JobSpec, Mapping[str, Profile], JobTrace, tuple[PowerLog, ...]]:
    """The job on a testbed that opens for it; job and specification with what its hosts need beside schedules.

    And where phases have models of their own whose blocks nobody has timed, the seconds of these; and what meters read.
    """
    meters = host_meters(cfg, prepared.setup.cluster)
    job, setup = job_of(cfg, spec, prepared), prepared.setup
    phase = job.phases[0]
    with (
        _assigned(cfg, spec, setup, job) as assignment,
        open_testbed(build(cfg.testbed), nominal_cluster(cfg), build(cfg.data)) as testbed,
    ):
        listener.tell(testbed.description)
        with listener.waiting("measuring what hosts need for a job"):
            spec = replace(spec, host_costs=measure_host_costs(testbed, phase, assignment))
        listener.tell(told(spec.host_costs))
        profiles: Mapping[str, Profile] = {}
        if setup.profile.origin is Origin.MEASURED:
            with listener.waiting("timing what later phases compute"):
                profiles = measured_profiles(testbed, [job], setup.workload, repeats=cfg.calibration.repeats)
        job = job_of(cfg, spec, prepared)
        with _checkpoints(spec) as folder:
            resume = None if spec.resume is None else Path(spec.resume)
            with metering(meters, testbed) as read:
                trace = execute_job(
                    testbed, job, assignment, scenario=setup.scenario, checkpoints=folder, resume=resume, hears=hears
                )
            played = traces_of(trace)
            power = read.logs(lambda rank: activity_of(played, [rank]), job_windows(trace)[0]) if meters else ()
    return job, spec, profiles, trace, power


def _assigned(cfg: DictConfig, spec: JobSpec, setup: Setup, job: Job) -> AbstractContextManager[Assignment]:
    """What is trained, with a folder for its ranks' caches where the job has any."""
    phase = job.phases[0]
    if any(each.model is not None for each in job.phases):
        iterations, storage = spec.epoch_iterations(setup.workload), Storage(cfg.strategy.cache.storage)
        return caching(cfg, setup, phase, iterations=iterations, storage=storage)
    assignment = make_assignment(cfg, setup, phase.schedule, phase.iterations)
    return nullcontext(replace(assignment, iterations=phase.iterations))


@contextmanager
def _checkpoints(spec: JobSpec) -> Iterator[Path | None]:
    """Where checkpoints are written: where they stay, or for as long as the job lasts."""
    if spec.checkpoints is not None:
        folder = Path(spec.checkpoints)
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
    elif spec.safety.checkpoint_every is not None:
        with scratch_folder() as scratch:
            yield scratch
    else:
        yield None


def told(costs: HostCosts) -> str:
    """What hosts need for a job, for people."""
    parts = (
        ("to connect anew", costs.regroup_s, costs.regroup_rank_s),
        ("to take up layers", costs.go_back_s, costs.go_back_rank_s),
        ("to restart", costs.restart_s, costs.restart_rank_s),
    )
    each = (f"{show(fixed_s, 's')} and {show(rank_s, 's')} a rank {what}" for what, fixed_s, rank_s in parts)
    moving = f"{show(costs.move_s, 's')} for a migration beside its messages"
    first = f"{100 * costs.first_longer:.0f} % more for the first iteration behind that"
    return ", ".join((f"hosts need {show(costs.between_s, 's')} between iterations", *each, first, moving))
