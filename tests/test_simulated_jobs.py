"""Does a simulated job take what its iterations and its changes take, and count every iteration once?"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import inf
from time import process_time

import builders
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from job_builders import (
    COSTS,
    PLANNING_S,
    a_job,
    a_setup,
    joins,
    killed,
    leaves,
    pipeline,
    played,
    stages,
    stopped,
    unplugged,
)

from edgesim.errors import OutOfMemoryError, RunError
from edgesim.job import Activity, Held, Job, JobTrace, Phase, Recover, Safety, measure_job
from edgesim.memory import carried_bytes
from edgesim.planners.literature.asteroid import asteroid
from edgesim.profile import estimate, of_blocks
from edgesim.recording import Column, Recording, Unit
from edgesim.recovery.heavy import heavy
from edgesim.recovery.lightweight import lightweight
from edgesim.recovery.migrations import migration, wanted_by
from edgesim.recovery.restart import restart
from edgesim.recovery.training_setup import TrainingSetup
from edgesim.scenario import Event, Jitter, Leave, Loss, Membership, Moment, Scenario, Slowdown, Walk
from edgesim.simulator import simulate
from edgesim.trace import Trace
from edgesim.zoo.bert import bert

repeatable = settings(max_examples=40, deadline=None, derandomize=True, database=None)
about = pytest.approx
POLICIES: list[Callable[[TrainingSetup], Recover]] = [lightweight, partial(heavy, planner=asteroid), restart]
MISSED_S = 0.4  # of a loss at a multiple of the heartbeats' period


def iteration(setup: TrainingSetup, job: Job, scenario: Scenario | None = None) -> Trace:
    """One iteration of the job's first phase, alone."""
    problem = setup.problem
    return simulate(
        job.phases[0].schedule,
        cluster=problem.cluster,
        model=problem.model,
        profile=problem.profile,
        tokens=problem.workload.tokens,
        scenario=scenario or Scenario(),
    )


def spans(trace: JobTrace) -> list[tuple[Activity, float]]:
    """What was done between, and for how long, but training."""
    return [(span.activity, about(span.seconds)) for span in trace.spans if span.activity is not Activity.TRAINING]


def count(trace: JobTrace) -> Counter[int]:
    """How often each iteration was played and committed."""
    numbers: Counter[int] = Counter()
    for span in trace.of(Activity.TRAINING):
        numbers.update(range(span.first, span.first + span.count))
    return numbers


def assert_whole(trace: JobTrace, iterations: int) -> None:
    """Every iteration is there; what was played again is what resumptions say; time has no gap."""
    numbers = count(trace)
    again: Counter[int] = Counter()
    for resumption in trace.resumptions:
        again.update(range(resumption.version, resumption.done))
    assert set(numbers) == set(range(iterations))
    assert numbers - Counter(range(iterations)) == again
    assert sum(span.redone for span in trace.of(Activity.TRAINING)) == again.total()
    assert trace.spans[0].start_s == 0
    assert all(after.start_s == before.end_s for before, after in zip(trace.spans, trace.spans[1:], strict=False))


# --- nothing happens ---


@pytest.mark.parametrize("iterations", [1, 7, 1000])
def test_a_job_in_which_nothing_happens_takes_its_iterations_to_the_bit(iterations: int) -> None:
    setup = a_setup(3)
    job = a_job(setup, pipeline(setup, 0, 1, 2), iterations=iterations, replicate_every=None)
    trace = played(setup, job)
    assert trace.end_s == iterations * (iteration(setup, job).makespan_s + COSTS.between_s)
    (span,) = trace.spans
    assert span.count == iterations


def test_backups_cost_what_the_iterations_take_that_send_them() -> None:
    setup = a_setup(3, forward_s=0.001)
    job = a_job(setup, pipeline(setup, 0, 1, 2), iterations=30)
    phase = job.phases[0]
    assert phase.replicating is not None
    plain_s = iteration(setup, job).makespan_s
    backing_s = iteration(setup, replace(job, phases=(replace(phase, schedule=phase.replicating),))).makespan_s
    assert backing_s > plain_s
    assert played(setup, job).end_s == about(28 * plain_s + 2 * backing_s + 30 * COSTS.between_s)


def test_checkpoints_are_written_at_the_rate_of_the_slowest_disk() -> None:
    setup = a_setup(3, network=builders.switched(3, bytes_per_s=1e9))
    plan = stages(setup, [0, 1, 2, 6], [[0], [1], [2]])
    trace = played(setup, a_job(setup, plan, iterations=20, checkpoint_every=6, replicate_every=None))
    state = sum(carried_bytes(layer, setup.problem.workload) for layer in setup.problem.model.layers[2:])
    assert spans(trace) == [(Activity.CHECKPOINT, state / 1e6)] * 3
    assert_whole(trace, 20)


def test_phases_follow_each_other_and_their_iterations_are_counted_on() -> None:
    setup = a_setup(2)
    plan = pipeline(setup, 0, 1)
    phases = (setup.phase(plan, iterations=5), setup.phase(plan, iterations=7, name="later"))
    trace = played(setup, Job(phases=phases, members=(0, 1), recover=lightweight(setup)))
    assert_whole(trace, 12)


def test_a_job_goes_on_from_a_checkpoint() -> None:
    setup = a_setup(2)
    job = a_job(setup, pipeline(setup, 0, 1), iterations=20, policy=restart, replicate_every=None)
    whole, rest, lost = (
        played(setup, job, *events, done=done) for done, events in ((0, ()), (12, ()), (12, (killed(1, 1.5),)))
    )
    assert rest.end_s == about(whole.end_s * 8 / 20)
    assert set(count(rest)) == set(range(12, 20))
    assert lost.resumptions[0].version == 12


def test_layers_move_between_phases_of_different_plans() -> None:
    setup = a_setup(3)
    plans = pipeline(setup, 0, 1), pipeline(setup, 2, 1, 0)
    phases = tuple(setup.phase(plan, iterations=10) for plan in plans)
    trace = played(setup, Job(phases=phases, members=(0, 1, 2), recover=lightweight(setup)))
    (resumption,) = trace.resumptions
    assert (str(resumption.change), resumption.done, resumption.version) == ("another plan", 10, 10)
    assert resumption.plan == plans[1]
    (moving,) = trace.of(Activity.MIGRATION)
    # Rank 2 receives layers 0 and 1, rank 1 layer 2; rank 0 layers 4 and 5.
    state = carried_bytes(setup.problem.model.layers[0], setup.problem.workload)
    assert moving.trace is not None
    assert sum(task.nbytes for task in moving.trace.schedule if task.op == "SEND") == 5 * state
    assert_whole(trace, 20)


def test_ranks_of_a_phase_that_hold_all_are_connected_anew_without_the_others() -> None:
    setup = a_setup(2)
    phases = tuple(setup.phase(stages(setup, [0, 6], [ranks]), iterations=5) for ranks in ([0, 1], [1]))
    trace = played(setup, Job(phases=phases, members=(0, 1), recover=lightweight(setup)))
    assert not list(trace.of(Activity.MIGRATION))
    assert trace.seconds(Activity.REGROUPING) == about(2 * COSTS.regroup_s + COSTS.go_back_s)
    assert_whole(trace, 10)


def phases_with_an_arrival(setup: TrainingSetup) -> tuple[Phase, Phase]:
    """Ten iterations of a pipeline, and ten of another, before which its layers arrive by a schedule of their own."""
    before, after = pipeline(setup, 0, 1), pipeline(setup, 1, 0)
    arrival = migration("swap", wanted_by(after), Held.of_plan(before, 10), 10, setup.problem)
    assert arrival is not None
    first, second = (setup.phase(plan, iterations=10) for plan in (before, after))
    return first, replace(second, arrival=arrival)


def test_a_phase_begins_when_what_it_needs_has_arrived_without_any_policy() -> None:
    setup = a_setup(2, replicate=False)
    trace = played(setup, Job(phases=phases_with_an_arrival(setup), members=(0, 1)))
    (moving,), (resumption,) = trace.of(Activity.MIGRATION), trace.resumptions
    assert (moving.says, resumption.says, resumption.done, resumption.version) == ("swap", "swap", 10, 10)
    assert moving.start_s >= [span for span in trace.of(Activity.TRAINING) if span.first < 10][-1].end_s
    assert resumption.resumed_s == next(span for span in trace.of(Activity.TRAINING) if span.first >= 10).start_s
    assert_whole(trace, 20)


def test_a_phase_of_another_model_takes_up_its_layers_for_the_first_time() -> None:
    """As new processes do, longer by a second and a half; a phase of the same model does not."""
    setup, costs = a_setup(2, replicate=False), replace(COSTS, warm_up_s=1.5)
    first, second = phases_with_an_arrival(setup)
    resumed_s = []
    for model in (None, setup.problem.model):
        job = Job(phases=(first, replace(second, model=model)), members=(0, 1))
        (resumption,) = played(setup, job, costs=costs).resumptions
        resumed_s.append(resumption.resumed_s)
    assert resumed_s[1] - resumed_s[0] == about(1.5)


def test_a_job_that_begins_in_a_later_phase_waits_for_no_arrival() -> None:
    setup = a_setup(2, replicate=False)
    trace = played(setup, Job(phases=phases_with_an_arrival(setup), members=(0, 1)), done=12)
    assert not trace.resumptions
    assert set(count(trace)) == set(range(12, 20))


def test_who_is_lost_while_a_phase_arrives_is_recovered_from() -> None:
    setup = a_setup(3)
    job = Job(phases=phases_with_an_arrival(setup), members=(0, 1, 2), recover=restart(setup))
    calm = played(setup, job)
    (moving,) = calm.of(Activity.MIGRATION)
    trace = played(setup, job, killed(0, moving.start_s + moving.seconds / 2))
    assert 0 not in trace.resumptions[-1].plan.ranks
    assert_whole(trace, 20)


def test_a_phase_of_a_model_of_its_own_takes_what_that_model_takes() -> None:
    """Layers that have kept their first block alone take what a simulation of it says, and hold less."""
    model = bert(name="b", layers=2, hidden=8, heads=2, columns=16, vocabulary=10, positions=4)
    setup = a_setup(1, model=model)
    problem = setup.problem
    profile = estimate(model, problem.cluster.devices, samples=(1, 2), tokens=1)
    setup = replace(setup, problem=replace(problem, profile=profile))
    less = replace(model, name="less", layers=tuple(replace(each, blocks=each.blocks[:1]) for each in model.layers))
    plan = stages(setup, [0, len(model.layers)], [[0]])
    phases = setup.phase(plan, iterations=3), replace(setup.phase(plan, iterations=4), model=less)
    trace = played(setup, Job(phases=phases, members=(0,)))
    whole, part = trace.of(Activity.TRAINING)
    nouns = {"cluster": problem.cluster, "tokens": problem.workload.tokens}
    alone = simulate(phases[1].schedule, model=less, profile=of_blocks(profile, less), **nouns)
    assert part.seconds / 4 == about(alone.makespan_s + COSTS.between_s)
    assert part.seconds / 4 < whole.seconds / 3
    metrics = measure_job(trace, cluster=setup.problem.cluster, model=model, workload=setup.problem.workload)
    (before,), (after,) = metrics.peak_bytes
    assert after < before


@pytest.mark.parametrize("policy", POLICIES)
def test_who_is_lost_in_one_phase_is_missing_in_the_next(policy: Callable[[TrainingSetup], Recover]) -> None:
    setup = a_setup(3)
    phases = tuple(setup.phase(pipeline(setup, 0, 1, 2), iterations=20) for _ in range(2))
    job = Job(phases=phases, members=(0, 1, 2), recover=policy(setup))
    trace = played(setup, job, killed(1, 9.0))
    assert [1 in resumption.plan.ranks for resumption in trace.resumptions] == [False] * 2
    assert trace.resumptions[1].done == 20
    assert_whole(trace, 40)


def test_a_hundred_thousand_iterations_are_simulated_within_two_seconds() -> None:
    setup = a_setup(3)
    job = a_job(setup, pipeline(setup, 0, 1, 2), iterations=100_000)
    begun_s = process_time()
    trace = played(setup, job)
    assert process_time() - begun_s < 2
    assert_whole(trace, 100_000)


# --- somebody is lost: the cases that every player must go on after ---


def test_after_a_lost_replica_training_goes_on_where_it_was() -> None:
    setup = a_setup(4, samples=4)
    job = a_job(setup, stages(setup, [0, 3, 6], [[0], [1, 2]]), members=(0, 1, 2))
    trace = played(setup, job, killed(2, 20.0))
    (resumption,) = trace.resumptions
    assert resumption.version == resumption.done > 0
    assert [activity for activity, _ in spans(trace)] == [
        Activity.LOST,
        Activity.DETECTION,
        Activity.PLANNING,
        Activity.REGROUPING,
        Activity.REGROUPING,
    ]
    assert resumption.resumed_s == about(20 + MISSED_S + PLANNING_S + COSTS.regroup_s + COSTS.go_back_s)
    assert_whole(trace, 50)


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_a_lost_stage_comes_from_its_backup(rank: int) -> None:
    """The first, one in the middle, and the last."""
    setup = a_setup(3)
    trace = played(setup, a_job(setup, pipeline(setup, 0, 1, 2)), killed(rank, 15.0))
    (resumption,) = trace.resumptions
    assert 10 <= resumption.version < resumption.done < 20
    assert resumption.version == 10  # the last backup
    assert rank not in resumption.plan.ranks
    assert_whole(trace, 50)


def test_two_are_lost_one_after_the_other() -> None:
    setup = a_setup(4)
    trace = played(setup, a_job(setup, pipeline(setup, 0, 1, 2, 3)), killed(1, 9.0), killed(3, 18.0))
    first, second = trace.resumptions
    assert set(first.plan.ranks) == {0, 2, 3}
    assert set(second.plan.ranks) == {0, 2}
    # The iteration with which training went on has sent backups anew, and every tenth since.
    assert second.version >= first.version > 0
    assert_whole(trace, 50)


def test_two_are_lost_at_once_and_are_told_of_together() -> None:
    setup = a_setup(4)
    trace = played(setup, a_job(setup, pipeline(setup, 0, 1, 2, 3)), killed(0, 9.01), killed(2, 9.02))
    (resumption,) = trace.resumptions
    assert resumption.change.lost == (0, 2)
    assert resumption.change.at_s == 9.01
    assert_whole(trace, 50)


def test_a_second_loss_while_layers_move_is_recovered_from_too() -> None:
    setup = a_setup(4, model=builders.chain(8, parameter_bytes=400_000), forward_s=0.05)
    job = a_job(setup, pipeline(setup, 0, 1, 2, 3), iterations=25, replicate_every=2)
    moving = next(played(setup, job, killed(3, 30.0)).of(Activity.MIGRATION))
    trace = played(setup, job, killed(3, 30.0), killed(1, (moving.start_s + moving.end_s) / 2))
    (resumption,) = trace.resumptions
    assert set(resumption.plan.ranks) == {0, 2}
    assert Counter(activity for activity, _ in spans(trace))[Activity.DETECTION] == 2
    assert_whole(trace, 25)


@pytest.mark.parametrize("lost", [stopped(1, 9.0, 3.0), unplugged(1, 9.0, 3.0)], ids=str)
def test_who_is_missed_and_returns_is_used_again(lost: Loss) -> None:
    setup = a_setup(3)
    trace = played(setup, a_job(setup, pipeline(setup, 0, 1, 2)), lost)
    away, back = trace.resumptions
    assert away.change.lost == (1,)
    assert 1 not in away.plan.ranks
    assert (back.change.joining, back.change.at_s) == ((1,), 12.0)
    assert 1 in back.plan.ranks
    assert back.version == back.done
    assert_whole(trace, 50)


@pytest.mark.parametrize("pause", [stopped(1, 9.0, 0.3), unplugged(1, 9.0, 0.3)], ids=str)
def test_who_is_there_again_before_anybody_misses_it_only_delays(pause: Loss) -> None:
    setup = a_setup(3)
    job = a_job(setup, pipeline(setup, 0, 1, 2))
    trace = played(setup, job, pause)
    assert trace.resumptions == ()
    assert 0.01 < trace.end_s - played(setup, job).end_s <= 0.3 + 1e-6
    assert_whole(trace, 50)


def test_a_stop_delays_by_its_length_who_always_computes() -> None:
    setup = a_setup(1)
    job = a_job(setup, pipeline(setup, 0), iterations=5)
    assert played(setup, job, stopped(0, 1.0, 0.25)).end_s == about(played(setup, job).end_s + 0.25)


def test_who_leaves_politely_costs_no_iteration() -> None:
    setup = a_setup(3)
    trace = played(setup, a_job(setup, pipeline(setup, 0, 1, 2)), leaves(1, 9.0))
    (resumption,) = trace.resumptions
    assert resumption.change.leaving == (1,)
    assert resumption.version == resumption.done
    assert [activity for activity, _ in spans(trace)] == [
        Activity.PLANNING,
        Activity.REGROUPING,
        Activity.MIGRATION,
        Activity.REGROUPING,
        Activity.REGROUPING,
    ]
    assert set(count(trace).values()) == {1}
    assert_whole(trace, 50)


def test_who_joins_is_used_from_the_next_iteration_on() -> None:
    setup = a_setup(3)
    job = a_job(setup, pipeline(setup, 0, 1), members=(0, 1))
    trace = played(setup, job, joins(2, 9.0))
    (resumption,) = trace.resumptions
    assert set(resumption.plan.ranks) == {0, 1, 2}
    assert trace.end_s < played(setup, job).end_s
    assert_whole(trace, 50)


def test_who_joins_too_late_is_told_why_and_changes_nothing() -> None:
    setup = a_setup(3, change_s=1e3)
    job = a_job(setup, pipeline(setup, 0, 1), members=(0, 1))
    trace = played(setup, job, joins(2, 9.0))
    (resumption,) = trace.resumptions
    assert resumption.says.startswith("goes on as before")
    assert trace.end_s == about(played(setup, job).end_s + PLANNING_S, rel=1e-2)
    assert_whole(trace, 50)


def test_restart_reads_the_checkpoint_with_new_processes() -> None:
    setup = a_setup(3)
    job = a_job(setup, pipeline(setup, 0, 1, 2), policy=restart, checkpoint_every=8, replicate_every=None)
    trace = played(setup, job, killed(1, 15.0))
    (resumption,) = trace.resumptions
    assert (resumption.done, resumption.version) == (19, 16)
    layers = [carried_bytes(layer, setup.problem.workload) for layer in setup.problem.model.layers]
    assert trace.seconds(Activity.RESTART) == about(COSTS.restart_s + COSTS.go_back_s + sum(layers[:3]) / 1e6)
    assert_whole(trace, 50)


def test_disks_of_their_own_send_what_the_lost_rank_had_over_the_network() -> None:
    """Written with the backups of iteration 16; rank 1's layers are on rank 2's disk, and one moves to rank 0."""
    setup = a_setup(3)
    safety = {"replicate_every": 8, "checkpoint_every": 8, "own_disks": True}
    job = a_job(setup, pipeline(setup, 0, 1, 2), policy=restart, **safety)  # type: ignore[arg-type]
    trace = played(setup, job, killed(1, 15.0))
    (resumption,) = trace.resumptions
    assert (resumption.done, resumption.version) == (19, 16)
    layer = carried_bytes(setup.problem.model.layers[0], setup.problem.workload)
    own = 4 * layer  # of ranks 0 and 2: two layers, and the backup of two
    assert trace.seconds(Activity.RESTART) == about(COSTS.restart_s + own / 1e6)
    assert trace.seconds(Activity.MIGRATION) == about(layer / 1e6 + 0.001)
    assert trace.seconds(Activity.CHECKPOINT) == about(own / 1e6 * len(list(trace.of(Activity.CHECKPOINT))), rel=0.5)
    assert_whole(trace, 50)


def test_what_hosts_take_grows_with_the_ranks_that_take_part() -> None:
    """Ranks 0 and 2 are left of three; a second and a half more for each part, and a migration takes a quarter more."""
    setup, pauses, parts = a_setup(3), [], ("regroup_rank_s", "go_back_rank_s")
    job = a_job(setup, pipeline(setup, 0, 1, 2))
    for costs in (COSTS, replace(COSTS, **dict.fromkeys(parts, 0.75), move_s=0.25)):
        trace = played(setup, job, killed(1, 15.0), costs=costs)
        pauses.append(trace.resumptions[0].resumed_s)
    assert pauses[1] - pauses[0] == about(2 * 2 * 0.75 + 0.25)


def test_the_first_iteration_behind_taking_up_layers_takes_longer_by_its_share() -> None:
    """Once as the job begins, once as it goes on without rank 1; whoever loses nobody pays for the beginning alone."""
    setup, ends, iterations = a_setup(3), {}, {}
    job = a_job(setup, pipeline(setup, 0, 1, 2))
    for longer in (0.0, 0.5):
        for events in ((), (killed(1, 15.0),)):
            trace = played(setup, job, *events, costs=replace(COSTS, first_longer=longer))
            ends[longer, len(events)] = trace.spans[-1].end_s
            iterations[len(events)] = [span.seconds / span.count for span in trace.of(Activity.TRAINING)]
            assert_whole(trace, 50)
    first_s, other_s = iterations[0][:2]
    assert first_s == about(1.5 * other_s)
    assert ends[0.5, 0] - ends[0.0, 0] == about(0.5 * other_s)
    assert ends[0.5, 1] > ends[0.0, 1] + 0.5 * other_s


def test_new_processes_take_up_layers_more_slowly_the_first_time() -> None:
    setup, ends = a_setup(3), []
    for own, warm_up_s in ((True, 0.0), (True, 2.0), (False, 0.0), (False, 2.0)):
        job = a_job(
            setup, pipeline(setup, 0, 1, 2), policy=restart, replicate_every=8, checkpoint_every=8, own_disks=own
        )
        trace = played(setup, job, killed(1, 15.0), costs=replace(COSTS, warm_up_s=warm_up_s))
        ends.append(trace.resumptions[0].resumed_s)
    assert ends[1] - ends[0] == ends[3] - ends[2] == about(2.0)


def test_who_loses_a_rank_and_its_backup_begins_anew() -> None:
    setup = a_setup(4)
    safety = {"replicate_every": 8, "checkpoint_every": 8, "own_disks": True}
    job = a_job(setup, pipeline(setup, 0, 1, 2, 3), policy=restart, **safety)  # type: ignore[arg-type]
    trace = played(setup, job, killed(1, 15.0), killed(2, 15.0))
    assert trace.resumptions[-1].version == 0
    assert_whole(trace, 50)


def test_checkpoints_on_own_disks_are_written_with_backups() -> None:
    with pytest.raises(ValueError, match="checkpoint_every must be a multiple of replicate_every, got 6 and 4"):
        Safety(replicate_every=4, checkpoint_every=6, own_disks=True)
    with pytest.raises(ValueError, match="got None and 4"):
        Safety(replicate_every=4, own_disks=True)


def test_lightweight_is_never_slower_than_a_restart_from_own_disks() -> None:
    """Both move the same layers; only one loads all processes anew."""
    setup, pauses = a_setup(4), []
    for policy in (lightweight, restart):
        safety = {"replicate_every": 8, "checkpoint_every": 8, "own_disks": True}
        job = a_job(setup, pipeline(setup, 0, 1, 2, 3), policy=policy, **safety)  # type: ignore[arg-type]
        trace = played(setup, job, killed(2, 15.0))
        pauses.append(trace.resumptions[0].resumed_s - 15.0)
    assert pauses[0] + 1.0 < pauses[1]


def test_an_idle_rank_that_is_lost_disturbs_nobody() -> None:
    setup = a_setup(3)
    job = a_job(setup, pipeline(setup, 0, 1), replicate_every=None)
    trace = played(setup, job, killed(2, 9.0))
    (resumption,) = trace.resumptions
    assert resumption.change.lost == (2,)
    takes_s = iteration(setup, job).makespan_s + COSTS.between_s
    assert 9.0 + MISSED_S <= resumption.resumed_s - PLANNING_S <= 9.0 + MISSED_S + takes_s  # between two iterations
    assert not list(trace.of(Activity.LOST, Activity.DETECTION))
    assert_whole(trace, 50)


def test_who_comes_and_stops_before_anybody_has_asked_comes_when_it_goes_on() -> None:
    setup = a_setup(3)
    trace = played(setup, a_job(setup, pipeline(setup, 0, 1), members=(0, 1)), joins(2, 9.3), stopped(2, 9.4, 5.0))
    (resumption,) = trace.resumptions
    assert (resumption.change.joining, resumption.change.at_s) == ((2,), about(14.4))
    assert_whole(trace, 50)


def test_who_wants_to_leave_and_is_lost_before_is_lost() -> None:
    setup = a_setup(3)
    trace = played(setup, a_job(setup, pipeline(setup, 0, 1)), leaves(2, 9.3), killed(2, 10.1))
    assert [str(resumption.change) for resumption in trace.resumptions] == ["lost: rank 2"]


def test_a_loss_after_the_commit_loses_no_iteration() -> None:
    setup = a_setup(3)
    job = a_job(setup, pipeline(setup, 0, 1, 2), replicate_every=None)
    alone = iteration(setup, job)
    committed_s = max(span.end_s for span in alone if span.task.op == "COMMIT")
    takes_s = alone.makespan_s + COSTS.between_s
    just_before, just_after = (4 * takes_s + committed_s + shift_s for shift_s in (-1e-4, 1e-4))
    for at_s, done in ((just_before, 4), (just_after, 5)):
        (resumption,) = played(setup, job, killed(1, at_s)).resumptions
        assert resumption.done == done


def test_nothing_is_trained_while_a_lost_rank_is_not_missed_yet() -> None:
    """Also where an iteration is much shorter than the time-out."""
    setup = a_setup(3, forward_s=0.0001)
    job = a_job(setup, pipeline(setup, 0, 1, 2), replicate_every=None)
    takes_s = iteration(setup, job).makespan_s + COSTS.between_s
    assert takes_s < MISSED_S / 4
    (resumption,) = played(setup, job, killed(1, 5 * takes_s - 0.001)).resumptions
    assert resumption.done == 5


def test_a_checkpoint_that_a_loss_ends_counts_for_nothing() -> None:
    setup = a_setup(3, model=builders.chain(6, parameter_bytes=40_000))
    job = a_job(setup, pipeline(setup, 0, 1, 2), policy=restart, checkpoint_every=5, replicate_every=None)
    first, second = list(played(setup, job).of(Activity.CHECKPOINT))[:2]
    for span, version in ((first, 0), (second, 5)):
        (resumption,) = played(setup, job, killed(1, (span.start_s + span.end_s) / 2)).resumptions
        assert (resumption.done, resumption.version) == (version + 5, version)


def test_who_has_left_cannot_be_lost() -> None:
    setup = a_setup(3)
    trace = played(setup, a_job(setup, pipeline(setup, 0, 1, 2)), leaves(1, 9.0), killed(1, 20.0))
    assert [str(resumption.change) for resumption in trace.resumptions] == ["leaving: rank 1"]


def test_who_is_lost_while_it_hands_over_is_lost() -> None:
    setup = a_setup(3, model=builders.chain(6, parameter_bytes=400_000), forward_s=0.1)
    job = a_job(setup, pipeline(setup, 0, 1, 2), iterations=20, replicate_every=2)
    moving = next(played(setup, job, leaves(1, 30.0)).of(Activity.MIGRATION))
    trace = played(setup, job, leaves(1, 30.0), killed(1, (moving.start_s + moving.end_s) / 2))
    (resumption,) = trace.resumptions
    assert str(resumption.change) == "lost: rank 1"
    assert resumption.version < resumption.done  # its layers come from their backup
    assert_whole(trace, 20)


def test_a_loss_may_be_at_a_task_which_happens_once() -> None:
    setup = a_setup(3)
    job = a_job(setup, pipeline(setup, 0, 1, 2))
    at = Moment(iteration=14, task="2F2@2")
    trace = played(setup, job, Loss(rank=2, when=at))
    (resumption,) = trace.resumptions
    assert resumption.done == 14
    starts_s = next(span.start_s for span in iteration(setup, job) if span.task.name == "2F2@2")
    (lost,) = trace.of(Activity.LOST)
    assert lost.seconds == about(starts_s)
    assert_whole(trace, 50)


def test_a_task_that_the_iteration_lacks_is_named() -> None:
    setup = a_setup(3)
    job = a_job(setup, pipeline(setup, 0, 1, 2))
    with pytest.raises(ValueError, match=r"rank 2 is killed in iteration 3 at 9F9@9: .* has no task '9F9@9'"):
        played(setup, job, Loss(rank=2, when=Moment(iteration=3, task="9F9@9")))


def test_a_job_without_a_policy_ends_with_who_was_lost() -> None:
    setup = a_setup(3)
    job = replace(a_job(setup, pipeline(setup, 0, 1, 2)), recover=None)
    with pytest.raises(RunError, match="the job ends after 11 iterations: lost: rank 1"):
        played(setup, job, killed(1, 9.0))


def test_a_loss_behind_the_last_commit_ends_nothing() -> None:
    setup = a_setup(2)
    job = a_job(setup, pipeline(setup, 0, 1), iterations=3, replicate_every=None)
    trace = played(setup, job, killed(1, played(setup, job).end_s - 0.005))
    assert trace.resumptions == ()
    assert_whole(trace, 3)


def test_lightweight_is_back_sooner_than_a_restart() -> None:
    setup = a_setup(3)
    resumed_s = [
        played(setup, a_job(setup, pipeline(setup, 0, 1, 2), policy=policy), killed(1, 15.0)).resumptions[0].resumed_s
        for policy in (lightweight, restart)
    ]
    assert resumed_s[0] < resumed_s[1]


def test_a_single_iteration_refuses_who_is_lost_leaves_or_joins() -> None:
    setup = a_setup(3)
    job = a_job(setup, pipeline(setup, 0, 1, 2))
    lost = killed(2, 12.0)
    with pytest.raises(ValueError, match=r"rank 2 is killed at 12 s: only a job can go on after that \(edgesim run"):
        iteration(setup, job, Scenario(events=(lost,)))


# --- what else happens ---


def test_iterations_while_a_device_is_slow_are_played_when_they_are() -> None:
    setup = a_setup(3)
    job = a_job(setup, pipeline(setup, 0, 1, 2), replicate_every=None)
    slow = Slowdown(rank=1, start_s=10.0, end_s=20.0, factor=0.5, source="test")
    trace = played(setup, job, slow)
    slowed_s = iteration(setup, job, Scenario(events=(replace(slow, start_s=0, end_s=inf),))).makespan_s
    lengths = {round(span.seconds / span.count - COSTS.between_s, 9) for span in trace.of(Activity.TRAINING)}
    assert {round(iteration(setup, job).makespan_s, 9), round(slowed_s, 9)} < lengths
    assert len(lengths) == 4  # and the two in which it begins and ends
    assert len(trace.spans) == 5
    assert_whole(trace, 50)


def one_by_one(setup: TrainingSetup, job: Job, event: Event) -> float:
    """When the job ends if each iteration is simulated by itself, in its place in the scenario."""
    now_s, scenario = 0.0, Scenario(events=(event,), seed=0)
    for number in range(job.iterations):
        now_s += iteration(setup, job, replace(scenario.from_second(now_s), iteration=number)).last_s + COSTS.between_s
    return now_s


RECORDED = Recording(
    at_s=(0.0, 0.7, 1.1),
    columns=(Column(rank=1, unit=Unit.FACTOR, values=(1.0, 0.2, 0.6)),),
    source="test",
    repeat_s=2.5,
)
WALK = Walk(interval_s=0.3, ratio=1.25, low=0.25, high=1.0, start=0.64, together=False, source="test")


@pytest.mark.parametrize("event", [RECORDED, WALK, Jitter(variation=0.2, source="test")], ids=str)
def test_what_is_kept_of_alike_iterations_is_what_each_takes(event: Event) -> None:
    setup = a_setup(3, model=builders.chain(6, output_bytes=40_000))
    job = a_job(setup, pipeline(setup, 0, 1, 2), iterations=12, replicate_every=None)
    assert played(setup, job, event).end_s == about(one_by_one(setup, job, event), rel=1e-9)


# --- laws ---


@st.composite
def histories(draw: st.DrawFn, *, returning: bool = True) -> list[Membership]:
    """What happens to four ranks within a minute; rank 0 stays."""
    kinds = [killed, leaves, *([joins, stopped, unplugged] if returning else [])]
    events: list[Membership] = []
    for _ in range(draw(st.integers(0, 5))):
        kind, rank, at_s = draw(st.sampled_from(kinds)), draw(st.integers(1, 3)), draw(st.floats(0, 40))
        lasts = (draw(st.sampled_from([0.1, 0.6, 5.0])),) if kind in (stopped, unplugged) else ()
        events.append(kind(rank, at_s, *lasts))  # type: ignore[operator]
    return events


@repeatable
@given(histories(), st.sampled_from(POLICIES), st.sampled_from([None, 3, 10]), st.sampled_from([None, 7]))
def test_no_sample_is_lost_or_counted_twice_but_the_replayed(
    history: list[Membership],
    policy: Callable[[TrainingSetup], Recover],
    replicate_every: int | None,
    checkpoint_every: int | None,
) -> None:
    setup = a_setup(4, samples=2, forward_s=0.02)
    job = a_job(
        setup,
        stages(setup, [0, 2, 6], [[0, 1], [2]]),
        iterations=30,
        members=(0, 1, 2),
        policy=policy,
        replicate_every=replicate_every,
        checkpoint_every=checkpoint_every,
    )
    assert_whole(played(setup, job, *history), 30)


@repeatable
@given(histories(returning=False))
def test_losses_never_make_a_balanced_job_faster(history: list[Membership]) -> None:
    setup = a_setup(4, layers=8, network=builders.switched(4, bytes_per_s=1e8))
    problem = setup.problem
    job = a_job(setup, pipeline(setup, 0, 1, 2, 3), iterations=40)

    def goodput(trace: JobTrace) -> float:
        metrics = measure_job(trace, cluster=problem.cluster, model=problem.model, workload=problem.workload)
        return metrics.goodput_samples_per_s

    assert goodput(played(setup, job, *history)) <= goodput(played(setup, job)) * (1 + 1e-9)


@pytest.mark.slow
def test_a_hundred_thousand_iterations_with_a_hundred_changes_are_simulated_within_half_a_minute() -> None:
    setup = a_setup(5, layers=24, samples=4, micro_batches=8)
    job = a_job(setup, pipeline(setup, 0, 1, 2, 3, 4), iterations=100_000)
    whole_s = played(setup, job).end_s
    events = [stopped(1 + i % 4, whole_s * (i + 1) / 60, 100.0) for i in range(50)]  # each comes back
    begun_s = process_time()
    trace = played(setup, job, *events, planning_s=None)
    assert process_time() - begun_s < 30
    assert len(trace.resumptions) == 100
    assert_whole(trace, 100_000)


def test_a_moment_of_an_iteration_may_be_of_who_leaves() -> None:
    setup = a_setup(3)
    job = a_job(setup, pipeline(setup, 0, 1, 2))
    trace = played(setup, job, Leave(rank=1, when=Moment(iteration=14)))
    (resumption,) = trace.resumptions
    assert resumption.done == 15
    assert_whole(trace, 50)


# --- jobs that cannot go on, and wait ---


def memory_for_half_of_it() -> float:
    """Little more than what each of two boards needs for its half of the layers."""

    def is_enough(memory_bytes: float) -> bool:
        setup = a_setup(2, memory_bytes=memory_bytes)
        try:
            setup.problem.check(pipeline(setup, 0, 1))
        except OutOfMemoryError:
            return False
        return True

    memory_bytes = 1e9
    while is_enough(memory_bytes / 1.1):
        memory_bytes /= 1.1
    return memory_bytes


def dying(rank: int, at_s: float, back_s: float) -> tuple[Membership, ...]:
    """A rank that is lost, and comes back with nothing."""
    return killed(rank, at_s), joins(rank, back_s)


@pytest.mark.parametrize("policy", [lightweight, restart], ids=["lightweight", "restart"])
def test_a_job_that_nobody_is_left_of_waits_for_who_comes_and_begins_anew(
    policy: Callable[[TrainingSetup], Recover],
) -> None:
    setup = a_setup(2)
    job = a_job(setup, pipeline(setup, 0, 1), policy=policy)
    trace = played(setup, job, *dying(0, 9.0, 30.0), *dying(1, 9.0, 31.0))
    first, *_ = trace.resumptions
    assert first.version == 0
    assert trace.seconds(Activity.WAITING) == about(30.0 - 9.0 - MISSED_S)
    assert_whole(trace, 50)


def test_a_job_whose_rest_has_too_little_memory_waits_and_goes_on_from_its_backup() -> None:
    setup = a_setup(2, memory_bytes=memory_for_half_of_it())
    job = a_job(setup, pipeline(setup, 0, 1), replicate_every=5)
    trace = played(setup, job, *dying(1, 9.0, 30.0))
    (resumption,) = trace.resumptions
    assert resumption.plan.ranks == (0, 1)
    assert 0 < resumption.version <= resumption.done
    assert resumption.resumed_s - 30.0 < 3.0
    assert trace.seconds(Activity.WAITING) == about(30.0 - 9.0 - MISSED_S - PLANNING_S, rel=0.02)
    assert_whole(trace, 50)


def test_a_job_that_nobody_comes_to_ends_after_its_patience() -> None:
    setup = a_setup(2)
    job = a_job(setup, pipeline(setup, 0, 1))
    late = *dying(0, 9.0, 30.0), *dying(1, 9.0, 31.0)
    hasty = replace(job, safety=replace(job.safety, wait_s=20.0))
    with pytest.raises(RunError, match=r"the job ends after \d+ iterations: .*nobody is left"):
        played(setup, hasty, *late)
    with pytest.raises(RunError, match="nobody is left"):
        played(setup, job, killed(0, 9.0), killed(1, 9.0))
