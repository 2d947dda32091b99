"""Strategies write the orders and messages that their papers describe."""

from collections import Counter
from pathlib import Path

import pytest
from builders import chain, data_plan, hybrid_plan, pipeline_plan, plan_of, workload

from edgesim.errors import PlanError, ScheduleError
from edgesim.model import Model
from edgesim.plan import Depth, Plan, Stage
from edgesim.schedule import COMPUTE, MESSAGE, Op, Payload, Schedule
from edgesim.strategies.data import data
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.strategies.orders import one_forward_one_backward
from edgesim.strategies.pipeline import pipeline
from edgesim.workload import Purpose, Workload

GOLDEN = Path(__file__).parent / "golden"


def asked(plan: Plan) -> Workload:
    return workload(micro_batches=plan.micro_batches, micro_batch_samples=plan.micro_batch_samples)


def write(plan: Plan, model: Model) -> Schedule:
    return hybrid_pipeline(plan, model, asked(plan))


def order(micro_batches: int, in_flight: int) -> str:
    return " ".join(f"{op}{m}" for op, m in one_forward_one_backward(micro_batches=micro_batches, in_flight=in_flight))


def test_one_forward_one_backward_warms_up_alternates_and_cools_down() -> None:
    assert order(4, 1) == "F0 B0 F1 B1 F2 B2 F3 B3"
    assert order(4, 2) == "F0 F1 B0 F2 B1 F3 B2 B3"
    assert order(4, 3) == "F0 F1 F2 B0 F3 B1 B2 B3"


def test_gpipe_is_a_warm_up_of_all_micro_batches() -> None:
    assert order(3, 3) == order(3, 9) == "F0 F1 F2 B0 B1 B2"


def goldens() -> dict[str, tuple[Plan, Model]]:
    three, two = chain(3), chain(2)
    return {
        "one_f_one_b_p3_m4": (pipeline_plan(three, micro_batches=4), three),
        "gpipe_p2_m3": (pipeline_plan(two, micro_batches=3, depth=Depth.GPIPE), two),
        "asteroid_p3_m4": (pipeline_plan(three, micro_batches=4, depth=Depth.ASTEROID), three),
        "hybrid_2_1_m2": (hybrid_plan(two, [[2, 1], [3]], micro_batches=2), two),
        "hybrid_1_2_2_m1": (hybrid_plan(three, [[4], [3, 1], [2, 2]], micro_batches=1), three),
        "data_3_m2": (data_plan(two, [3, 2, 1], micro_batches=2), two),
    }


@pytest.mark.parametrize("name", goldens())
def test_schedules_are_those_on_record(name: str, request: pytest.FixtureRequest) -> None:
    text, path = write(*goldens()[name]).to_text(), GOLDEN / f"{name}.txt"
    if request.config.getoption("--rewrite-golden"):
        path.write_text(text)
    assert text == path.read_text(), f"{path.name} differs; if that is meant: pytest --rewrite-golden, and review it"


def test_every_golden_file_is_compared() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(goldens())


@pytest.mark.parametrize(
    ("mine", "theirs", "expected"),
    [
        ([2, 1], [3], {0: {2: (0, 2)}, 1: {2: (2, 3)}}),
        ([3], [1, 2], {0: {1: (0, 1), 2: (1, 3)}}),
        ([2, 1], [1, 2], {0: {2: (0, 1), 3: (1, 2)}, 1: {3: (2, 3)}}),
        ([1, 1], [1, 1], {0: {2: (0, 1)}, 1: {3: (1, 2)}}),
    ],
)
def test_stages_exchange_the_samples_that_both_hold(
    mine: list[int], theirs: list[int], expected: dict[int, dict[int, tuple[int, int]]]
) -> None:
    first, second = hybrid_plan(chain(2), [mine, theirs], micro_batches=1).stages
    assert list(first.overlaps(second)) == [(rank, *cut) for rank, cuts in expected.items() for cut in cuts.items()]
    assert [(peer, rank, cut) for rank, peer, cut in second.overlaps(first)] == list(first.overlaps(second))


def test_every_sample_of_every_micro_batch_crosses_every_boundary_once_each_way() -> None:
    model = chain(3, output_bytes=7)
    schedule = write(hybrid_plan(model, [[2, 3], [1, 1, 3], [5]], micro_batches=3), model)
    crossed = Counter(
        (task.layers[0], task.payload, task.micro_batch, sample)
        for task in schedule
        if task.op is Op.SEND
        for sample in range(*task.samples)
    )
    ways = (Payload.ACTIVATION, Payload.GRADIENT)
    assert crossed == Counter((b, way, m, n) for b in (1, 2) for way in ways for m in range(3) for n in range(5))
    assert all(task.nbytes == 7 * (task.samples[1] - task.samples[0]) for task in schedule if task.op in MESSAGE)


def test_receives_need_nothing_because_they_are_posted_ahead() -> None:
    model = chain(3)
    assert not any(task.needs for task in write(pipeline_plan(model, micro_batches=2), model) if task.op is Op.RECV)


def test_replicas_add_their_gradients_after_the_last_backward_and_before_the_update() -> None:
    model = chain(2, parameter_bytes=44)
    program = write(data_plan(model, [2, 1], micro_batches=3), model).programs[1]
    *_, last, ring, update = program
    assert (last.name, ring.name, update.name) == ("0B2@1", "0ALL_REDUCE@1", "0UPDATE@1")
    assert (ring.needs, update.needs) == (("0B2@1",), ("0ALL_REDUCE@1",))
    assert (ring.nbytes, ring.peers) == (88, (0, 1))


def test_frozen_layers_are_not_reduced() -> None:
    model = chain(1, parameter_bytes=0)
    assert [task.op for task in write(data_plan(model, [1, 1]), model).programs[0]] == [Op.F, Op.B, Op.UPDATE]


def test_ranks_that_the_plan_leaves_out_have_empty_programs() -> None:
    model = chain(1)
    stage = Stage(layers=(0, 1), ranks=(2,), samples=(1,), in_flight=1)
    assert [len(program) for program in write(plan_of(model, [stage], micro_batches=1), model).programs] == [0, 0, 3]


def test_data_and_pipeline_are_special_cases_of_the_hybrid() -> None:
    model = chain(2)
    by_data, by_pipeline = data_plan(model, [2, 1]), pipeline_plan(model, micro_batches=3)
    assert data(by_data, model, asked(by_data)) == write(by_data, model)
    assert pipeline(by_pipeline, model, asked(by_pipeline)) == write(by_pipeline, model)


def test_strategies_refuse_plans_of_another_shape() -> None:
    model = chain(2)
    two, group = pipeline_plan(model, micro_batches=1), data_plan(model, [1, 1])
    with pytest.raises(PlanError, match="data: the plan has 2 stages; use hybrid_pipeline"):
        data(two, model, asked(two))
    with pytest.raises(PlanError, match=r"pipeline: stage \(0, 2\) has ranks \(0, 1\); use hybrid_pipeline"):
        pipeline(group, model, asked(group))
    with pytest.raises(PlanError, match="plan covers 2 layers, chain3 has 3"):
        hybrid_pipeline(two, chain(3), asked(two))
    with pytest.raises(PlanError, match="a pipeline generates no tokens"):
        hybrid_pipeline(two, model, workload(purpose=Purpose.INFER, new_tokens=3))
    divided = plan_of(
        model, [Stage(layers=(0, 2), ranks=(0,), samples=(1,), in_flight=1, tokens=(1,))], micro_batches=1
    )
    with pytest.raises(PlanError, match=r"a pipeline's ranks divide samples, the plan says .* \(take tensor, sequence"):
        hybrid_pipeline(divided, model, asked(divided))


def test_inference_goes_forward_only() -> None:
    model = chain(2)
    plan = pipeline_plan(model, micro_batches=2)
    schedule = hybrid_pipeline(plan, model, workload(micro_batches=2, purpose=Purpose.INFER))
    assert [task.op for task in schedule.programs[0]] == [Op.F, Op.SEND, Op.F, Op.SEND]
    assert [task.op for task in schedule.programs[1]] == [Op.RECV, Op.F, Op.RECV, Op.F]


def test_a_stage_that_waits_for_more_forwards_than_the_one_before_gives_is_a_deadlock() -> None:
    stages = [Stage(layers=(p, p + 1), ranks=(p,), samples=(1,), in_flight=depth) for p, depth in enumerate((1, 2))]
    with pytest.raises(ScheduleError, match=r"deadlock: .*waits for.*waits for"):
        write(plan_of(chain(2), stages, micro_batches=2), chain(2))


@pytest.mark.xdist_group("torch")  # imported once, by one worker
@pytest.mark.parametrize("depth", [Depth.GPIPE, Depth.ONE_F_ONE_B, Depth.ASTEROID])
@pytest.mark.parametrize(("stages", "micro_batches"), [(1, 3), (2, 1), (2, 4), (4, 8), (3, 2)])
def test_pytorch_adds_the_same_messages_to_our_compute_order(depth: Depth, stages: int, micro_batches: int) -> None:
    schedules = pytest.importorskip("torch.distributed.pipelining.schedules")
    model = chain(stages)
    ours = write(pipeline_plan(model, micro_batches=micro_batches, depth=depth), model)
    theirs = schedules._add_send_recv(  # private: the oracle of this test, used nowhere else
        {
            rank: [action(schedules, task) for task in program if task.op in {Op.F, Op.B}]
            for rank, program in enumerate(ours.programs)
        },
        stage_to_rank=lambda stage: stage,
        num_stages=stages,
    )
    for rank, program in enumerate(ours.programs):
        expected = [str(action(schedules, task)) for task in program if task.op is not Op.UPDATE]
        assert messages_by_stream(theirs[rank]) == messages_by_stream(expected)
        assert [str(a) for a in theirs[rank] if "SEND" not in str(a) and "RECV" not in str(a)] == [
            str(action(schedules, task)) for task in program if task.op in COMPUTE - {Op.UPDATE}
        ]


def action(schedules, task):
    """The task in PyTorch's words: ``2SEND_F0`` and so on."""
    which = "F" if task.op is Op.F or task.payload is Payload.ACTIVATION else "B"
    kind = which if task.op in COMPUTE else f"{task.op}_{which}"
    return schedules._Action.from_str(f"{task.stage}{kind}{task.micro_batch}")


def messages_by_stream(actions) -> dict[str, list[str]]:
    """Sends and receives, each kind in its order."""
    kinds = ("SEND_F", "SEND_B", "RECV_F", "RECV_B")
    return {kind: [str(a) for a in actions if kind in str(a)] for kind in kinds}
