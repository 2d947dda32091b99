"""Small jobs on real ranks: four unequal hosts, a tiny BERT, and what one device loses in the same iterations."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from runtime_builders import BERT, MICRO_BATCHES, SAMPLES, SEED, data, three_hosts, workload

from edgesim.cluster import Cluster, Network
from edgesim.job import Heartbeat, Job, JobSpan, JobTrace, Recover, Safety
from edgesim.model import Model
from edgesim.plan import Depth, Plan, make_stages
from edgesim.planners.problem import Problem
from edgesim.profile import estimate
from edgesim.recovery.lightweight import lightweight
from edgesim.recovery.training_setup import TrainingSetup
from edgesim.scenario import Membership, Scenario
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.workload import Optimiser, Workload
from real_runtime.assignment import Assignment
from real_runtime.data.samples import Source
from real_runtime.jobs.execute_job import execute_job
from real_runtime.stages.module import StageModule
from real_runtime.testbeds.testbed import Testbed

HOSTS, LAYERS = 4, len(BERT.layers)
HEARTBEAT = Heartbeat(timeout_s=1.5)  # a machine that runs other tests as well may be silent for a while
WAIT_S = 10.0  # long beside every pause that is drawn
FRACTIONS = (0.3, 0.25, 0.2, 0.15)
WORK = replace(workload(BERT), optimiser=Optimiser.ADAM, learning_rate=0.003)


def four_hosts(memory_bytes: float = 4e9) -> Cluster:
    """The three hosts, and one more, with so much memory each."""
    three = three_hosts()
    network = Network.switched(
        transmit_bytes_per_s=[5e7] * HOSTS, latency_s=1e-4, goodput=0.956, origin="assumed", source="made up"
    )
    fourth = replace(three.devices[2], name="d", flop_per_s=10e9)
    devices = tuple(replace(device, memory_bytes=memory_bytes) for device in (*three.devices, fourth))
    return Cluster(name="four", devices=devices, network=network)


def setup(cluster: Cluster) -> TrainingSetup:
    """What is trained on them."""
    profile = estimate(BERT, cluster.devices, samples=range(1, SAMPLES + 1), tokens=WORK.tokens)
    return TrainingSetup(
        problem=Problem(model=BERT, cluster=cluster, profile=profile, workload=WORK),
        strategy=partial(hybrid_pipeline, model=BERT, workload=WORK),
        depth=Depth.ONE_F_ONE_B,
        replicate=True,
    )


def plan_of(cuts: Sequence[int], groups: Sequence[Sequence[int]]) -> Plan:
    """A plan of these stages, whose ranks share samples about evenly."""
    samples = [[SAMPLES // len(group) + (i < SAMPLES % len(group)) for i in range(len(group))] for group in groups]
    stages = make_stages(
        cuts=cuts, groups=groups, samples=samples, depth=Depth.ONE_F_ONE_B, micro_batches=MICRO_BATCHES
    )
    return Plan(
        model=BERT.name,
        stages=stages,
        micro_batches=MICRO_BATCHES,
        micro_batch_samples=SAMPLES,
        planner="by hand",
    )


HYBRID = plan_of([0, 2, 4, LAYERS], [[0, 1], [2], [3]])


def played(
    testbed: Testbed,
    plan: Plan,
    events: Collection[Membership] = (),
    *,
    iterations: int = 8,
    members: Collection[int] = range(HOSTS),
    policy: Recover | None = None,
    checkpoints: Path | None = None,
    checkpoint_every: int | None = None,
    replicate_every: int | None = 2,
    own_disks: bool = False,
    resume: Path | None = None,
    recovers: bool = True,
    hears: Callable[[JobSpan], object] = lambda span: None,
) -> JobTrace:
    """A job of one phase on the testbed."""
    prepared = setup(testbed.cluster)
    job = Job(
        phases=(prepared.phase(plan, iterations=iterations),),
        members=tuple(members),
        safety=Safety(
            heartbeat=HEARTBEAT,
            replicate_every=replicate_every,
            checkpoint_every=checkpoint_every,
            own_disks=own_disks,
            wait_s=WAIT_S,
        ),
        recover=(policy or lightweight(prepared)) if recovers else None,
    )
    assignment = Assignment(
        schedule=job.phases[0].schedule, model=BERT, workload=WORK, data=data(BERT), iterations=iterations, seed=SEED
    )
    scenario = Scenario(events=tuple(events))
    return execute_job(testbed, job, assignment, scenario=scenario, checkpoints=checkpoints, resume=resume, hears=hears)


def losses_of_one_device(
    iterations: int, *, model: Model = BERT, work: Workload = WORK, epoch_iterations: int | None = None
) -> list[float]:
    """What a single device loses in the same iterations, without interruption; after an epoch the samples repeat."""
    torch.set_num_threads(1)  # as the ranks do
    layers = (0, len(model.layers))
    stage, source = StageModule(model, work, layers, seed=SEED), Source(data(model), model, work, SEED)
    losses = []
    for iteration in range(iterations):
        inputs, targets = source.batch(iteration % (epoch_iterations or iterations))
        stage.loss = 0.0
        for m in range(work.micro_batches):
            rows = slice(m * work.micro_batch_samples, (m + 1) * work.micro_batch_samples)
            stage.forward(m, inputs[rows], targets[rows])
            stage.backward(m, layers, None)
        stage.update()
        losses.append(stage.loss)
    return losses
