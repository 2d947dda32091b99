"""What does a configuration say of a job? How long it is, who takes part, and what is done against losses."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import ceil

from edgesim.cluster import Cluster
from edgesim.job import HostCosts, Job, Phase, Recover, Safety
from edgesim.plan import Depth, Plan, in_flight
from edgesim.recovery.replication import seldom_enough
from edgesim.recovery.survivors import planned_among
from edgesim.recovery.training_setup import TrainingSetup
from edgesim.scenario import Join, Scenario
from edgesim.strategies.activation_cache import CacheUse
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.workload import Workload
from experiments.configuration.constructors import Config, build, build_noun
from experiments.configuration.planners import build_planner
from experiments.configuration.setup import Prepared, Setup
from experiments.jobs.cached import CachedJob, cached_job

# Strategies whose schedules are hybrid pipelines: a plan that a policy makes may be any of these.
_PIPELINES = ("data", "pipeline", "hybrid_pipeline")


def no_recovery(setup: TrainingSetup) -> None:
    """No policy: the job ends when somebody is lost, leaves or comes."""


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """A file of conf/job/.

    Attributes:
        iterations: of training; None: as many as the workload's epochs have.
        members: ranks that are there from the beginning; None: all but those that a scenario lets join first.
        recovery: a policy that is still to be told what is trained.
        host_costs: what hosts need beside schedules, as far as nobody measures it.
        replicate_within: the share of training's time that backups may take: they are sent less often than
            ``safety`` says where that would take more; None: exactly as often.
        planning_s: what a policy takes in virtual time; None: what it takes on this machine.
        checkpoints: a folder in which a real job's checkpoints stay; None keeps none.
        resume: a checkpoint of an earlier real job, to go on from.
        samples: of an epoch, where the job is ``workload.epochs`` of them: from a cache after the first one, if
            ``workload.cache`` says so.
    """

    iterations: int | None
    members: Sequence[int] | None
    safety: Safety
    recovery: Callable[[TrainingSetup], Recover | None]
    host_costs: HostCosts
    replicate_within: float | None = None
    planning_s: float | None = None
    checkpoints: str | None = None
    resume: str | None = None
    samples: int | None = None

    def __post_init__(self) -> None:
        if (self.iterations is None) == (self.samples is None):
            raise ValueError(
                "job: either iterations or the samples of an epoch say how long it is, got "
                f"iterations={self.iterations} and samples={self.samples} (leave one at null)"
            )
        for name in ("iterations", "samples"):
            if (count := getattr(self, name)) is not None and count < 1:
                raise ValueError(f"job: {name} must be at least 1, got {count}")

    def epoch_iterations(self, workload: Workload) -> int:
        """How many iterations an epoch has; the last batch counts as a whole one. Without epochs, all there are."""
        return self.iterations or ceil((self.samples or 0) / workload.batch_samples)

    def iterations_of(self, workload: Workload) -> int:
        """How many iterations the job has."""
        return self.epoch_iterations(workload) * (1 if self.samples is None else workload.epochs)

    def members_of(self, cluster: Cluster, scenario: Scenario) -> tuple[int, ...]:
        """Who is there from the beginning."""
        if self.members is not None:
            return tuple(self.members)
        first = {event.rank: event for event in reversed(scenario.membership)}
        ranks = range(len(cluster.devices))
        there = tuple(rank for rank in ranks if not isinstance(first.get(rank), Join))
        if not there:
            raise ValueError("job: nobody is there from the beginning: every rank joins (say job.members=[0, ...])")
        return there


def read_job(cfg: Config) -> JobSpec:
    """The job that a configuration names. Raises ValueError for checkpoints that nobody would write or read."""
    spec = build_noun(cfg, "job", JobSpec)
    for name in ("checkpoints", "resume"):
        if (path := getattr(spec, name)) is not None and not cfg["execute"]:
            raise ValueError(f"job.{name}={path} is of a real job's checkpoints (set execute=true, or leave it out)")
    if spec.checkpoints is not None and spec.safety.checkpoint_every is None:
        raise ValueError(
            f"job.checkpoints={spec.checkpoints} keeps checkpoints, and none are written "
            "(say how often: job.safety.checkpoint_every=10)"
        )
    return spec


def job_of(cfg: Config, spec: JobSpec, prepared: Prepared) -> Job:
    """The job of what is prepared, and its first plan, made for who is there. Raises ValueError, PlanError."""
    setup = prepared.setup
    setup.scenario.check(len(setup.cluster.devices))
    members = spec.members_of(setup.cluster, setup.scenario)
    plan = first_plan(cfg, prepared, members)
    training = training_setup(cfg, spec, setup, plan)
    cached = _cached(cfg, spec, training, plan)
    if cached is not None and spec.safety.own_disks:
        raise ValueError(
            "job.safety.own_disks=true is of jobs of one model, and this one trains from a cache (leave it at false)"
        )
    if cached is None:
        phases: tuple[Phase, ...] = (training.phase(plan, iterations=spec.iterations_of(setup.workload)),)
        recover = spec.recovery(training)
    else:
        phases, recover = cached.phases, cached.recover(spec.recovery)
    return Job(phases=phases, members=members, safety=safety_of(spec, setup, phases[0]), recover=recover)


def _cached(cfg: Config, spec: JobSpec, training: TrainingSetup, plan: Plan) -> CachedJob | None:
    """With a cache an epoch that fills it, and epochs that train from it; None where all is trained by one plan."""
    workload = training.problem.workload
    if spec.samples is None or not workload.cache or workload.epochs == 1:
        return None
    return cached_job(cfg, training, plan, samples=spec.samples, iterations=spec.epoch_iterations(workload))


def safety_of(spec: JobSpec, setup: Setup, phase: Phase) -> Safety:
    """What is spent on losses: backups no more often than they may take of the time."""
    every, replicating = spec.safety.replicate_every, phase.replicating
    if spec.replicate_within is None or every is None or replicating is None:
        return spec.safety
    calm = replace(setup, scenario=Scenario())
    plain_s, replicating_s = (calm.simulate(each).makespan_s for each in (phase.schedule, replicating))
    seldom = seldom_enough(plain_s, replicating_s, within=spec.replicate_within)
    return replace(spec.safety, replicate_every=max(every, seldom))


def first_plan(cfg: Config, prepared: Prepared, members: Sequence[int]) -> Plan:
    """The plan that is prepared, or where it uses somebody who is not there yet, one for who is."""
    if set(prepared.plan.ranks) <= set(members):
        return prepared.plan
    planner = prepared.setup.bind(build_planner(cfg), prepared.strategy)
    return planned_among(planner, prepared.setup.problem, tuple(sorted(members)))


def training_setup(cfg: Config, spec: JobSpec, setup: Setup, plan: Plan) -> TrainingSetup:
    """What policies are told. Raises ValueError for a strategy whose plans they do not make."""
    strategy = str(cfg["strategy"]["_target_"]).rpartition(".")[2]
    if strategy not in _PIPELINES:
        raise ValueError(
            f"a job goes on after losses with {', '.join(_PIPELINES)}, not with strategy {strategy} "
            "(choose one of these, or job=null for single iterations)"
        )
    options = {"bucket_bytes": cfg["strategy"].get("bucket_bytes")}
    if cache := cfg["strategy"].get("cache"):
        options["cache"] = build(cache)
        if cfg["execute"] and cache["use"] != CacheUse.NOTHING:
            raise ValueError(
                f"a job whose schedule has a cache (strategy.cache.use={cache['use']}) is simulated, not executed yet "
                "(leave out execute=true, or job=null for single iterations)"
            )
    ranks = len(plan.ranks)
    return TrainingSetup(
        problem=setup.problem,
        strategy=partial(hybrid_pipeline, model=setup.model, workload=setup.workload, **options),
        depth=depth_of(plan),
        replicate=spec.safety.replicate_every is not None,
        change_s=spec.host_costs.regrouping_s(ranks) + spec.host_costs.going_back_s(ranks),
    )


def depth_of(plan: Plan) -> Depth:
    """The depth that a pipeline has; of a plan that is like several, 1F1B before the others."""
    count, most = len(plan.stages), plan.micro_batches
    for depth in (Depth.ONE_F_ONE_B, Depth.ASTEROID, Depth.GPIPE):
        depths = [in_flight(depth, stage=s, stages=count, micro_batches=most) for s in range(count)]
        if depths == [stage.in_flight for stage in plan.stages]:
            return depth
    return Depth.ONE_F_ONE_B
