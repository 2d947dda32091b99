"""A rank is lost in a job with a cache: what it alone had cached is computed again, what others have is sent."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from builders import homogeneous, workload
from job_builders import COSTS, killed

from edgesim.cached_outputs import kept_bytes
from edgesim.cached_training.lots import Gap, Lot
from edgesim.cached_training.phases import CachedTraining
from edgesim.cached_training.recovering import CachedRecovery
from edgesim.finetuning import parallel_adapters
from edgesim.job import Activity, Job, JobTrace, KeptOutputs, KeptPart, Recover, Safety, measure_job
from edgesim.plan import Depth, Plan, make_stages
from edgesim.planners.literature.asteroid import asteroid
from edgesim.planners.problem import Problem
from edgesim.profile import estimate
from edgesim.recovery.heavy import heavy
from edgesim.recovery.lightweight import lightweight
from edgesim.recovery.restart import restart
from edgesim.recovery.training_setup import TrainingSetup
from edgesim.scenario import Event, Loss, Moment, Scenario
from edgesim.schedule import Op
from edgesim.simulator import simulate_job
from edgesim.zoo.bert import bert

TOKENS, ITERATIONS, EPOCHS, MICRO_BATCHES, SAMPLES = 8, 4, 3, 2, 4
MODEL = parallel_adapters(bert(name="b", layers=4, hidden=64, heads=8, columns=128, vocabulary=50, positions=TOKENS))
LAYERS = len(MODEL.layers)
KEPT = LAYERS - 1  # the head puts out nothing that is kept
Policy = Callable[[TrainingSetup], Recover]
POLICIES: dict[str, Policy] = {
    "lightweight": lightweight,
    "heavy": lambda setup: heavy(setup, planner=lambda problem: asteroid(problem)),
    "restart": restart,
}


def training(cuts: Sequence[int], groups: Sequence[Sequence[int]], shares: Sequence[Sequence[int]]) -> CachedTraining:
    stages = make_stages(
        cuts=[*cuts, LAYERS], groups=groups, samples=shares, depth=Depth.ONE_F_ONE_B, micro_batches=MICRO_BATCHES
    )
    first = Plan(
        model=MODEL.name, stages=stages, micro_batches=MICRO_BATCHES, micro_batch_samples=SAMPLES, planner="by hand"
    )
    cluster = homogeneous(4, disk_bytes_per_s=1e8)
    asked = workload(micro_batches=MICRO_BATCHES, micro_batch_samples=SAMPLES, tokens=TOKENS)
    asked = replace(asked, epochs=EPOCHS, cache=True)
    profile = estimate(MODEL, cluster.devices, samples=range(1, 9), tokens=TOKENS)
    problem = Problem(model=MODEL, cluster=cluster, profile=profile, workload=asked)
    return CachedTraining(problem=problem, first=first, iterations=ITERATIONS, replicate=True)


HYBRID = training([0, 3], [[0, 1], [2, 3]], [[2, 2], [3, 1]])
STRAIGHT = training([0, 2, 4], [[0], [1], [2]], [[4], [4], [4]])


def played(asked: CachedTraining, *events: Event, policy: Policy = lightweight, wait_s: float = 0.0) -> JobTrace:
    job = Job(
        phases=asked.phases(asked.evenly(), epochs=EPOCHS),
        members=asked.first.ranks,
        safety=Safety(replicate_every=1, wait_s=wait_s),
        recover=CachedRecovery(training=asked, filling=policy(asked.filling)),
    )
    problem = asked.problem
    return simulate_job(
        job,
        cluster=problem.cluster,
        model=problem.model,
        profile=problem.profile,
        workload=problem.workload,
        host_costs=COSTS,
        scenario=Scenario(events=events),
        planning_s=0.05,
    )


def lost_in(iteration: int, rank: int) -> Loss:
    return Loss(rank=rank, when=Moment(iteration=iteration))


def trained(trace: JobTrace) -> list[int]:
    """The number of every iteration that was trained, in the order in which they were."""
    return [span.first + i for span in trace.of(Activity.TRAINING) for i in range(span.count)]


def written(trace: JobTrace) -> set[tuple[int, int, int]]:
    """(iteration, position, layer) of all that refills write."""
    return {
        (iteration, position, layer)
        for span in trace.of(Activity.REFILL)
        for task in span.trace.schedule  # type: ignore[union-attr]
        if task.op is Op.CACHE_WRITE
        for iteration in range(span.first, span.first + span.count)
        for position in range(*task.samples)
        for layer in range(*task.layers)
    }


# --- who has what ---


def test_what_somebody_has_is_sent_and_what_nobody_has_is_a_gap() -> None:
    """Two ranks share micro-batches of four; the second lacks layers 0 and 1, of which rank 2 has some."""
    (stage,) = HYBRID.evenly().stages
    wanted = HYBRID.wanted(replace(HYBRID.evenly(), stages=(replace(stage, ranks=(0, 1), samples=(2, 2)),)))
    everything, a_part = KeptPart(0, (0, LAYERS), (0, 8), (0, 4)), KeptPart(2, (0, 1), (2, 4), (0, 3))
    kept = KeptOutputs(parts=(everything, KeptPart(1, (2, LAYERS), (0, 8), (0, 4))))
    assert list(wanted.gaps(kept)) == []
    assert list(wanted.lots(kept)) == [Lot(0, 1, (0, 2), (2, 4), (0, 4)), Lot(0, 1, (0, 2), (6, 8), (0, 4))]
    without = kept.without([0]).with_parts([a_part])
    assert {gap for gap in wanted.gaps(without) if gap.receiver == 1 and gap.positions[0] == 2} == {
        Gap(1, (1, 2), (2, 4), (0, 3)),
        Gap(1, (0, 2), (2, 4), (3, 4)),
    }
    assert {lot for lot in wanted.lots(without) if lot.receiver == 1} == {Lot(2, 1, (0, 1), (2, 4), (0, 3))}


# --- in both epochs ---


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
@pytest.mark.parametrize(
    ("asked", "rank"), [(HYBRID, 1), (STRAIGHT, 1), (STRAIGHT, 0)], ids=["replica", "stage", "first"]
)
@pytest.mark.parametrize("iteration", [2, ITERATIONS + 1])
def test_every_iteration_counts_once_whoever_is_lost_in_whichever_epoch(
    policy: Policy, asked: CachedTraining, rank: int, iteration: int
) -> None:
    trace = played(asked, lost_in(iteration, rank), policy=policy)
    metrics = measure_job(trace, cluster=asked.problem.cluster, model=MODEL, workload=asked.problem.workload)
    assert metrics.iterations == EPOCHS * ITERATIONS
    assert set(trained(trace)) == set(range(EPOCHS * ITERATIONS))
    assert rank not in trace.resumptions[-1].plan.ranks


def test_in_the_first_epoch_what_a_lost_replica_had_cached_is_filled_in_when_the_epoch_ends() -> None:
    trace = played(HYBRID, lost_in(2, 1))
    theirs = {(i, p, layer) for i in range(2) for p in (2, 3, 6, 7) for layer in range(3)}
    assert written(trace) == theirs
    (refill,) = trace.of(Activity.REFILL)
    ended = max(span.end_s for span in trace.of(Activity.TRAINING) if span.model is None)
    begun = min(span.start_s for span in trace.of(Activity.TRAINING) if span.model is not None)
    assert ended < refill.start_s < refill.end_s < begun


def test_in_a_later_epoch_only_what_the_lost_rank_alone_had_is_computed_again() -> None:
    """Of the samples that it trained, others still have what they had cached in the first epoch, and send it."""
    trace = played(HYBRID, lost_in(ITERATIONS + 1, 1))
    theirs = {(i, p, layer) for i in range(ITERATIONS) for p in (2, 3, 6, 7) for layer in range(3)}
    own = HYBRID.evenly()
    (stage,) = own.stages
    start, stop = dict(zip(stage.ranks, stage.sample_ranges, strict=True))[1]
    sent_away = {(i, p, layer) for i, p, layer in theirs if not start <= p % SAMPLES < stop}
    assert written(trace) == theirs - sent_away
    moved = list(trace.of(Activity.MIGRATION))[-1]
    assert moved.trace is not None
    assert any(task.op is Op.CACHE_READ and task.layers[0] >= 3 for task in moved.trace.schedule)


def test_a_refill_takes_what_its_iterations_take_behind_loading_the_frozen_layers() -> None:
    trace = played(HYBRID, lost_in(ITERATIONS + 1, 1))
    spans = list(trace.spans)
    (refill,) = trace.of(Activity.REFILL)
    assert refill.trace is not None
    assert refill.seconds == pytest.approx(ITERATIONS * (refill.trace.last_s + COSTS.between_s))
    loading = spans[spans.index(refill) - 1]
    read_s = max(
        sum(layer.parameter_bytes for layer in MODEL.layers[slice(*task.layers)]) / 1e8
        for task in refill.trace.schedule
        if task.op is Op.F
    )
    assert loading.activity is Activity.REGROUPING
    assert loading.seconds == pytest.approx(COSTS.go_back_s + read_s)
    recovery = measure_job(
        trace, cluster=HYBRID.problem.cluster, model=MODEL, workload=HYBRID.problem.workload
    ).recoveries[-1]
    assert recovery.refill_s == pytest.approx(refill.seconds)


def test_a_refill_goes_no_further_than_to_the_last_layer_that_is_missing() -> None:
    trace = played(HYBRID, lost_in(ITERATIONS + 1, 1))
    (refill,) = trace.of(Activity.REFILL)
    assert refill.trace is not None
    tasks = list(refill.trace.schedule)
    assert {task.layers for task in tasks if task.op is Op.F} == {(0, 3)}
    assert not any(task.op is Op.SEND for task in tasks)
    nbytes = sum(task.nbytes for task in tasks if task.op is Op.CACHE_WRITE)
    positions = {p for _, p, _ in written(trace)}
    assert nbytes == kept_bytes(MODEL, (0, 3), samples=len(positions), tokens=TOKENS)


def test_missing_outputs_of_a_later_stage_go_through_all_stages_before() -> None:
    trace = played(STRAIGHT, lost_in(ITERATIONS + 1, 2))
    (refill,) = trace.of(Activity.REFILL)
    assert refill.trace is not None
    assert {op for op in (task.op for task in refill.trace.schedule)} == {Op.F, Op.SEND, Op.RECV, Op.CACHE_WRITE}


# --- more than one loss, and at bad times ---


def test_who_is_lost_while_outputs_are_redistributed_sends_a_pipeline_back_to_its_backups() -> None:
    """The adapters of a stage without replica are nowhere but in its backup, which is of the last iteration."""
    calm = played(STRAIGHT)
    moving = next(calm.of(Activity.MIGRATION))
    trace = played(STRAIGHT, killed(1, moving.start_s + moving.seconds / 2))
    assert trained(trace)[: ITERATIONS + 1] == [*range(ITERATIONS), ITERATIONS - 1]
    assert set(trained(trace)) == set(range(EPOCHS * ITERATIONS))
    assert [span.model is None for span in trace.of(Activity.TRAINING)][:2] == [True, True]
    assert 1 not in trace.resumptions[-1].plan.ranks


def test_a_second_loss_during_a_refill_is_recovered_from_as_well() -> None:
    once = played(HYBRID, lost_in(ITERATIONS + 1, 1))
    (refill,) = once.of(Activity.REFILL)
    trace = played(HYBRID, lost_in(ITERATIONS + 1, 1), killed(2, refill.start_s + refill.seconds / 2))
    assert set(trained(trace)) == set(range(EPOCHS * ITERATIONS))
    assert set(trace.resumptions[-1].plan.ranks) == {0, 3}
    assert len(list(trace.of(Activity.REFILL))) == 2


def test_losses_in_both_epochs_are_filled_in_one_after_the_other() -> None:
    trace = played(HYBRID, lost_in(1, 3), lost_in(ITERATIONS + 2, 0))
    assert set(trained(trace)) == set(range(EPOCHS * ITERATIONS))
    assert set(trace.resumptions[-1].plan.ranks) == {1, 2}
