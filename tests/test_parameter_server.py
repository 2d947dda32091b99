"""Workers that meet at a parameter server wait as long as staleness does not allow them to go on."""

from dataclasses import replace

import pytest
from builders import chain, constant_profile, data_plan, homogeneous, hybrid_plan, pipeline_plan, switched, workload

from edgesim.errors import PlanError
from edgesim.metrics import measure
from edgesim.model import Model
from edgesim.plan import Plan
from edgesim.schedule import MESSAGE, Op, Payload, Schedule
from edgesim.simulator import simulate
from edgesim.steady_state import seconds_per_iteration, steady_window
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.strategies.parameter_server import parameter_server
from edgesim.trace import Trace
from edgesim.workload import Purpose, Workload
from real_runtime.assignment import Assignment
from real_runtime.data import DataSpec
from real_runtime.sources import refuse_unusable

F_S, B_S = 1.0, 2.0
M = 2  # micro-batches of an iteration


def asked(plan: Plan) -> Workload:
    return workload(micro_batches=plan.micro_batches, micro_batch_samples=plan.micro_batch_samples)


def written(plan: Plan, model: Model, **options: int) -> Schedule:
    return parameter_server(plan, model, asked(plan), **options)


def played(plan: Plan, model: Model, *, bytes_per_s: float, update_s: float = 0.0, **options: int) -> Trace:
    ranks = max(plan.ranks) + 1
    cluster = homogeneous(ranks, network=switched(ranks, bytes_per_s=bytes_per_s))
    profile = constant_profile(model, cluster, forward_s=F_S, backward_s=B_S, update_s=update_s)
    return simulate(written(plan, model, **options), cluster=cluster, model=model, profile=profile, tokens=1)


TWO = data_plan(chain(1), [1, 1], micro_batches=M)  # two workers of one device, 4 kB of weights


@pytest.mark.parametrize(
    ("bytes_per_s", "staleness", "expected_s"),
    [
        (1e12, 0, M * (F_S + B_S)),  # a push and a pull that take nothing
        (4000, 0, M * (F_S + B_S) + 2),  # of 1 s each, which the other worker waits for
        (4000, 1, M * (F_S + B_S)),  # they pass while the next iteration is computed
        (400, 0, M * (F_S + B_S) + 20),
        (400, 1, (M * (F_S + B_S) + 20) / 2),  # two iterations for each push and pull of 10 s
        (400, 2, 10),  # three, but each link carries one push, or one pull, at a time
    ],
)
def test_a_worker_waits_for_its_pull_as_far_as_staleness_asks(
    bytes_per_s: float, staleness: int, expected_s: float
) -> None:
    trace = played(TWO, chain(1), bytes_per_s=bytes_per_s, staleness=staleness, server=0)
    assert seconds_per_iteration(trace) == pytest.approx(expected_s, rel=1e-6)


def test_no_worker_is_further_ahead_than_its_staleness_allows() -> None:
    """Whose devices are slow holds up the others; here the link of the second worker."""
    for staleness in (0, 1, 3):
        trace = played(TWO, chain(1), bytes_per_s=100, staleness=staleness, iterations=8)
        begun = {span.task.micro_batch: span.start_s for span in trace if span.task.op is Op.F and span.task.rank == 0}
        pushes = [span for span in trace if span.task.op is Op.SEND and span.task.rank == 1]
        pushed = {span.task.micro_batch: span.end_s for span in pushes}
        for m, at_s in begun.items():
            if (needed := m - 1 - staleness * M) in pushed:
                assert at_s >= pushed[needed]


def test_the_pull_of_an_iteration_is_needed_where_a_micro_batch_enters_that_was_not_under_way() -> None:
    """HetPipe's example: four in flight, waves of four, no staleness: the eighth waits for the first wave."""
    model = chain(4)
    programs = written(hybrid_plan(model, [[1, 1]] * 4, micro_batches=4), model, iterations=3, server=0).programs
    needs = {task.micro_batch: task.needs for task in programs[1] if task.op is Op.F}
    waiting = [m for m, names in needs.items() if any("RECV_weights" in name for name in names)]
    assert waiting == [7, 11]
    assert needs[7] == ("0RECV_weights3#0@1<0",)


def test_a_pipeline_does_not_drain_between_iterations() -> None:
    """(M + P - 1)(F + B) with a flush, M (F + B) without; weights are of one worker, and stay there."""
    model = chain(2, output_bytes=0)
    plan = pipeline_plan(model, micro_batches=M)
    trace = played(plan, model, bytes_per_s=1e9, iterations=12)
    assert seconds_per_iteration(trace) == pytest.approx(M * (F_S + B_S))
    assert not any(task.payload is Payload.WEIGHTS for task in trace.schedule)


def test_messages_stay_within_a_worker_and_weights_go_to_the_server_and_back() -> None:
    model = chain(2)
    schedule = written(hybrid_plan(model, [[1, 1], [1, 1]], micro_batches=M), model, iterations=3, server=0)
    ways = {(t.rank, t.peers[0], t.payload) for t in schedule if t.op in MESSAGE and t.op is Op.SEND}
    assert ways == {
        (0, 2, Payload.ACTIVATION),
        (1, 3, Payload.ACTIVATION),
        (2, 0, Payload.GRADIENT),
        (3, 1, Payload.GRADIENT),
        *((rank, 0, Payload.WEIGHTS) for rank in (1, 2, 3)),
        *((0, rank, Payload.WEIGHTS) for rank in (1, 2, 3)),
    }
    assert {t.nbytes for t in schedule if t.payload is Payload.WEIGHTS} == {4000}


def test_every_micro_batch_of_every_iteration_is_computed_once_by_each_worker() -> None:
    model = chain(2)
    schedule = written(hybrid_plan(model, [[1, 1], [1, 1]], micro_batches=M), model, iterations=3, staleness=1)
    for program in schedule.programs:
        for op in (Op.F, Op.B):
            assert sorted(t.micro_batch for t in program if t.op is op) == list(range(3 * M))  # type: ignore[type-var]
        assert [t.micro_batch for t in program if t.op is Op.UPDATE] == [1, 3, 5]
    assert schedule.iterations == 3
    read = Schedule.from_text(schedule.to_text())
    assert (read, read.hash, read.iterations) == (schedule, schedule.hash, 3)


@pytest.mark.parametrize(("staleness", "expected_s"), [(0, 6 + 1), (1, 6)])
def test_replicas_that_serve_a_part_each_need_half_the_time(staleness: int, expected_s: float) -> None:
    """2 kB there at once, and then 2 kB back, of 4 kB/s each way."""
    trace = played(TWO, chain(1), bytes_per_s=4000, staleness=staleness)
    assert seconds_per_iteration(trace) == pytest.approx(expected_s)


def test_each_replica_serves_its_part_and_what_is_its_own_is_no_message() -> None:
    model = chain(1, parameter_bytes=40)
    schedule = written(data_plan(model, [1, 1, 1], micro_batches=M), model, iterations=2)
    sent = {(t.rank, t.peers[0], t.tile): t.nbytes for t in schedule if t.op is Op.SEND and t.micro_batch == M - 1}
    parts = {0: 16, 1: 12, 2: 12}
    pairs = [(a, b) for a in parts for b in parts if a != b]
    assert sent == {(a, b, whose): parts[whose] for a, b in pairs for whose in (a, b)}
    last = [t for t in schedule if t.op is Op.SEND and t.micro_batch == 2 * M - 1]
    assert {t.tile == t.peers[0] for t in last} == {True}, "pushes alone: nobody needs the last pull"


def test_figures_are_of_one_iteration_in_the_steady_state() -> None:
    """6 s of computing and 2 s of waiting for 4 kB there and back; both devices take 1 W, and 4 W more to compute."""
    cluster = homogeneous(2, network=switched(2, bytes_per_s=4000))
    trace = played(TWO, chain(1), bytes_per_s=4000, iterations=16, server=0)
    found = measure(trace, cluster=cluster, model=chain(1), workload=asked(TWO))
    assert found.makespan_s == pytest.approx(8)
    assert found.samples_per_s == pytest.approx(2 * M / 8)
    assert found.utilisation == pytest.approx((6 / 8, 6 / 8))
    assert found.sent_bytes == (4000, 4000)
    idle_j, compute_j = 2 * 8 * 1, 2 * 6 * 4
    transmit_j, receive_j = 2 * 1 * 1, 2 * 1 * 0.5
    assert found.energy_j == pytest.approx(idle_j + compute_j + transmit_j + receive_j)


def test_an_iteration_holds_the_messages_of_one_iteration() -> None:
    """In flight, received and sent as a synchronous pipeline of the same depth."""
    model = chain(2)
    plan = pipeline_plan(model, micro_batches=4)
    cluster = homogeneous(2)
    profile = constant_profile(model, cluster)
    peaks = []
    for schedule in (written(plan, model, iterations=4), hybrid_pipeline(plan, model, asked(plan))):
        trace = simulate(schedule, cluster=cluster, model=model, profile=profile, tokens=1)
        peaks.append(measure(trace, cluster=cluster, model=model, workload=asked(plan)).peak_bytes)
    assert peaks[0] == peaks[1]


def test_one_iteration_is_its_own_window() -> None:
    model = chain(2)
    cluster, plan = homogeneous(2), pipeline_plan(model, micro_batches=4)
    schedule = hybrid_pipeline(plan, model, asked(plan))
    trace = simulate(schedule, cluster=cluster, model=model, profile=constant_profile(model, cluster), tokens=1)
    assert steady_window(trace) == (trace.first_s, trace.last_s, 1)
    assert seconds_per_iteration(trace) == trace.makespan_s


def test_a_server_may_be_a_rank_that_computes_nothing() -> None:
    schedule = written(TWO, chain(1), server=2, iterations=2)
    assert {task.op for task in schedule.programs[2]} == {Op.SEND, Op.RECV}
    assert {task.peers for task in schedule.programs[0] if task.payload is Payload.WEIGHTS} == {(2,)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"staleness": -1}, "staleness must be at least 0, got -1"),
        ({"iterations": 1}, "iterations must be at least 2, got 1"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        written(TWO, chain(1), **options)


def test_stages_that_are_no_equal_workers_are_refused() -> None:
    model = chain(2)
    with pytest.raises(PlanError, match="needs stages of 2 workers that share samples alike"):
        written(hybrid_plan(model, [[1, 1], [2]], micro_batches=1), model)
    again = replace(TWO, stages=(replace(TWO.stages[0], recompute=True),))
    with pytest.raises(PlanError, match="recompute nothing"):
        written(again, chain(1))
    with pytest.raises(PlanError, match="requests have no weights to exchange"):
        parameter_server(TWO, chain(1), replace(asked(TWO), purpose=Purpose.INFER))


def test_the_runtime_refuses_iterations_that_overlap() -> None:
    model = replace(chain(1), architecture="bert")
    assignment = Assignment(
        schedule=written(TWO, chain(1)),
        model=model,
        workload=asked(TWO),
        data=DataSpec(kind="text"),
        iterations=1,
        seed=0,
    )
    with pytest.raises(ValueError, match="this schedule has 8 that overlap, with a parameter server"):
        refuse_unusable(assignment)
