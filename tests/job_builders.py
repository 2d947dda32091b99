"""Small jobs for tests: chains of equal layers on boards of whole speeds, with known costs of hosts."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import builders

from edgesim.apportion import even_shares
from edgesim.cluster import Cluster, Network, Origin
from edgesim.job import Change, Copy, Held, HostCosts, Job, JobTrace, Recover, Safety, Situation
from edgesim.model import Model
from edgesim.plan import Depth, Plan, make_stages
from edgesim.planners.problem import Problem
from edgesim.recovery.lightweight import lightweight
from edgesim.recovery.training_setup import TrainingSetup
from edgesim.scenario import Event, Join, Leave, Loss, LossKind, Membership, Moment, Scenario
from edgesim.schedule import Schedule
from edgesim.simulator import simulate_job
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.workload import Optimiser, Workload

COSTS = HostCosts(
    between_s=0.01,
    regroup_s=0.1,
    go_back_s=0.2,
    restart_s=5.0,
    origin=Origin.ASSUMED,
    source="test",
)
PLANNING_S = 0.05


def a_setup(
    ranks: int = 3,
    *,
    layers: int = 6,
    samples: int = 2,
    micro_batches: int = 4,
    speeds: Sequence[float] = (),
    network: Network | None = None,
    optimiser: Optimiser = Optimiser.MOMENTUM,
    replicate: bool = True,
    change_s: float = 0.0,
    model: Model | None = None,
    forward_s: float = 0.01,
    memory_bytes: float = 1e9,
) -> TrainingSetup:
    """A chain on boards that are so many times as fast as the profile says; a MB per second between them."""
    model = model or builders.chain(layers)
    boards = tuple(builders.device(f"d{rank}", memory_bytes=memory_bytes) for rank in range(ranks))
    cluster = Cluster(
        name="boards", devices=boards, network=network or builders.switched(ranks, bytes_per_s=1e6, latency_s=0.001)
    )
    profile = builders.linear_profile(
        model, cluster, forward_s=forward_s, backward_s=2 * forward_s, update_s=0.001, speeds=speeds
    )
    workload = builders.workload(micro_batches=micro_batches, micro_batch_samples=samples, optimiser=optimiser)
    return TrainingSetup(
        problem=Problem(model=model, cluster=cluster, profile=profile, workload=workload),
        strategy=partial(_hybrid, model, workload),
        depth=Depth.ONE_F_ONE_B,
        replicate=replicate,
        change_s=change_s,
    )


def _hybrid(model: Model, workload: Workload, plan: Plan) -> Schedule:
    return hybrid_pipeline(plan, model, workload)


def stages(setup: TrainingSetup, cuts: Sequence[int], groups: Sequence[Sequence[int]]) -> Plan:
    """A plan of these stages, whose ranks share samples evenly."""
    workload = setup.problem.workload
    B, M = workload.micro_batch_samples, workload.micro_batches
    samples = [even_shares(B, len(group)) for group in groups]
    made = make_stages(cuts=cuts, groups=groups, samples=samples, depth=setup.depth, micro_batches=M)
    return builders.plan_of(setup.problem.model, made, micro_batches=M)


def pipeline(setup: TrainingSetup, *ranks: int) -> Plan:
    """A stage per rank, of as many layers each as can be equal."""
    layers = len(setup.problem.model.layers)
    cuts = [round(layers * p / len(ranks)) for p in range(len(ranks) + 1)]
    return stages(setup, cuts, [[rank] for rank in ranks])


def a_job(
    setup: TrainingSetup,
    plan: Plan,
    *,
    iterations: int = 50,
    members: Sequence[int] | None = None,
    policy: Callable[[TrainingSetup], Recover] = lightweight,
    replicate_every: int | None = 10,
    checkpoint_every: int | None = None,
    own_disks: bool = False,
) -> Job:
    """A job of one phase."""
    return Job(
        phases=(setup.phase(plan, iterations=iterations),),
        members=tuple(setup.problem.ranks) if members is None else tuple(members),
        safety=Safety(replicate_every=replicate_every, checkpoint_every=checkpoint_every, own_disks=own_disks),
        recover=policy(setup),
    )


def played(
    setup: TrainingSetup,
    job: Job,
    *events: Event,
    planning_s: float | None = PLANNING_S,
    done: int = 0,
    costs: HostCosts = COSTS,
) -> JobTrace:
    """The job's trace, simulated with these events."""
    problem = setup.problem
    return simulate_job(
        job,
        cluster=problem.cluster,
        model=problem.model,
        profile=problem.profile,
        workload=problem.workload,
        host_costs=costs,
        scenario=Scenario(events=events),
        planning_s=planning_s,
        done=done,
        profiles={phase.model.name: problem.profile for phase in job.phases if phase.model is not None},
    )


def killed(rank: int, at_s: float) -> Loss:
    return Loss(rank=rank, when=Moment(at_s=at_s))


def stopped(rank: int, at_s: float, lasts_s: float) -> Loss:
    return Loss(rank=rank, when=Moment(at_s=at_s), kind=LossKind.STOP, lasts_s=lasts_s)


def unplugged(rank: int, at_s: float, lasts_s: float) -> Loss:
    return Loss(rank=rank, when=Moment(at_s=at_s), kind=LossKind.LINK_DOWN, lasts_s=lasts_s)


def leaves(rank: int, at_s: float) -> Membership:
    return Leave(rank=rank, when=Moment(at_s=at_s))


def joins(rank: int, at_s: float) -> Membership:
    return Join(rank=rank, when=Moment(at_s=at_s))


def a_copy(rank: int, layers: tuple[int, int], version: int) -> Copy:
    return Copy(rank=rank, layers=layers, version=version)


def a_situation(
    setup: TrainingSetup,
    plan: Plan,
    *,
    lost: Sequence[int] = (),
    leaving: Sequence[int] = (),
    joining: Sequence[int] = (),
    idle: Sequence[int] = (),
    done: int = 20,
    replicated: int | None = 20,
    left: int = 100,
    checkpoint: int = 0,
) -> Situation:
    """After so many iterations of a plan, with snapshots and backups of an earlier one."""
    phase = setup.phase(plan, iterations=done + left)
    held = Held.of_plan(plan, done)
    if replicated is not None:
        backups = (replace(copy, version=replicated) for copy in phase.backups)
        held = held.with_copies((*Held.of_plan(plan, replicated).copies, *backups))
    gone = {*lost, *leaving}
    return Situation(
        change=Change(at_s=1.0, noticed_s=1.4, lost=tuple(lost), leaving=tuple(leaving), joining=tuple(joining)),
        phase=phase,
        present=tuple(sorted({*plan.ranks, *joining, *idle} - gone)),
        held=held.without(lost),
        done=done,
        left=left,
        checkpoint=checkpoint,
    )


def replaced_depth(setup: TrainingSetup, depth: Depth) -> Plan:
    """A stage per rank, of a pipeline of this depth."""
    return pipeline(replace(setup, depth=depth), *setup.problem.ranks)
