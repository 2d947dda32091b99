"""What is backed up on whom, and does an iteration send it whole before anybody commits?"""

from dataclasses import replace

import pytest
from job_builders import a_copy, a_setup, pipeline, stages

from edgesim.errors import PlanError
from edgesim.memory import carried_bytes
from edgesim.plan import Plan
from edgesim.recovery.replication import backups_of
from edgesim.recovery.training_setup import TrainingSetup
from edgesim.schedule import Op, Payload, Schedule, Task
from edgesim.simulator import simulate
from edgesim.trace import Trace
from edgesim.workload import Optimiser


def replicating(setup: TrainingSetup, plan: Plan) -> Schedule:
    """The schedule of an iteration that sends backups."""
    schedule = setup.phase(plan, iterations=1).replicating
    assert schedule is not None
    return schedule


def sent(schedule: Schedule) -> list[Task]:
    return [task for task in schedule if task.op is Op.SEND and task.payload is Payload.WEIGHTS]


def simulated(setup: TrainingSetup, schedule: Schedule) -> Trace:
    problem = setup.problem
    return simulate(schedule, cluster=problem.cluster, model=problem.model, profile=problem.profile, tokens=1)


def test_a_stage_of_one_rank_is_backed_up_on_the_next_stage_and_the_last_on_the_first() -> None:
    setup = a_setup(5)
    plan = stages(setup, [0, 1, 3, 6], [[4], [1, 2], [0]])
    assert backups_of(plan) == (a_copy(1, (0, 1), 0), a_copy(4, (3, 6), 0))


@pytest.mark.parametrize("groups", [[[0, 1], [2, 3]], [[0]], [[0, 1]]])
def test_what_has_replicas_or_no_neighbour_is_not_backed_up(groups: list[list[int]]) -> None:
    setup = a_setup(4)
    cuts = [0, 6] if len(groups) == 1 else [0, 3, 6]
    phase = setup.phase(stages(setup, cuts, groups), iterations=1)
    assert phase.replicating is None
    assert phase.backups == ()


@pytest.mark.parametrize("optimiser", list(Optimiser))
def test_the_pieces_of_a_backup_are_the_whole_state_and_no_number_twice(optimiser: Optimiser) -> None:
    setup = a_setup(3, micro_batches=3, optimiser=optimiser)
    schedule = replicating(setup, pipeline(setup, 0, 1, 2))
    for rank, layers, backup in ((0, (0, 2), 1), (1, (2, 4), 2), (2, (4, 6), 0)):
        own = [task for task in sent(schedule) if task.rank == rank]
        assert {(task.layers, task.peers) for task in own} == {(layers, (backup,))}
        numbers = sum(carried_bytes(layer, setup.problem.workload) for layer in setup.problem.model.layers[:2]) / 4
        assert [number for task in own for number in range(*task.units)] == list(range(int(numbers)))
        assert [task.micro_batch for task in own] == [0, 1, 2]
        assert all(task.nbytes == 4 * (task.units[1] - task.units[0]) for task in own)


def test_pieces_are_spread_over_the_forward_passes() -> None:
    """The first at once, while the pipeline fills, and each of the others behind the micro-batch before it."""
    setup = a_setup(3)
    trace = simulated(setup, replicating(setup, pipeline(setup, 0, 1, 2)))
    ends = {(span.task.rank, span.task.micro_batch): span.end_s for span in trace if span.task.op is Op.F}
    pieces = [span for span in trace if span.task.op is Op.SEND and span.task.payload is Payload.WEIGHTS]
    assert len(pieces) == 3 * 4
    for span in pieces:
        number = span.task.micro_batch
        assert number is not None
        assert span.start_s >= ends[span.task.rank, number - 1] if number else span.start_s == 0


def test_all_backups_have_arrived_when_ranks_commit() -> None:
    """Also over a network that is so slow that they come last."""
    setup = a_setup(3, optimiser=Optimiser.ADAM, forward_s=1e-4)
    trace = simulated(setup, replicating(setup, pipeline(setup, 0, 1, 2)))
    commits = {span.end_s for span in trace if span.task.op is Op.COMMIT}
    arrived = [span.end_s for span in trace if span.task.op is Op.RECV and span.task.payload is Payload.WEIGHTS]
    assert len(commits) == 1
    assert 0.016 < max(arrived) <= min(commits)  # 24 kB of a stage take 24 ms


def test_backups_compete_with_what_is_trained_for_the_network() -> None:
    setup = a_setup(3, forward_s=1e-4)
    phase = setup.phase(pipeline(setup, 0, 1, 2), iterations=1)
    assert phase.replicating is not None
    assert simulated(setup, phase.replicating).makespan_s > 1.2 * simulated(setup, phase.schedule).makespan_s


def test_a_replicating_schedule_is_read_back_from_its_text() -> None:
    setup = a_setup(3)
    schedule = replicating(setup, pipeline(setup, 0, 1, 2))
    assert Schedule.from_text(schedule.to_text()).hash == schedule.hash


def test_ranks_that_divide_blocks_are_refused_by_the_plan() -> None:
    setup = a_setup(2)
    plan = pipeline(setup, 0)
    divided = replace(plan.stages[0], ranks=(0, 1), samples=(2, 2), heads=(1, 1), columns=(1, 1))
    with pytest.raises(PlanError, match="recovery moves whole layers, but ranks divide blocks"):
        setup.phase(replace(plan, stages=(divided,)), iterations=1)
