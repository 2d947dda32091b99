"""A plan adds up, fits, and says in one sentence where it does not."""

from dataclasses import replace

import pytest
from builders import chain, data_plan, homogeneous, hybrid_plan, pipeline_plan, plan_of, workload

from edgesim.errors import PlanError
from edgesim.model import Model
from edgesim.plan import Depth, Plan, Stage, in_flight
from edgesim.proof import Objective, Proof
from edgesim.workload import Purpose


def stage(layers: tuple[int, int], *ranks: int, in_flight: int = 1, samples: tuple[int, ...] = ()) -> Stage:
    return Stage(layers=layers, ranks=ranks, samples=samples or (1,) * len(ranks), in_flight=in_flight)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: stage((1, 1), 0), r"layers must be a non-empty range, got \(1, 1\)"),
        (lambda: stage((0, 1)), "needs distinct ranks"),
        (lambda: stage((0, 1), 2, 2), "needs distinct ranks"),
        (lambda: stage((0, 1), 0, 1, samples=(1,)), "at least one sample for each of the ranks"),
        (lambda: stage((0, 1), 0, 1, samples=(2, 0)), "leave a rank out"),
        (lambda: stage((0, 1), 0, in_flight=0), "in_flight must be at least 1"),
        (lambda: replace(stage((0, 1), 0, 1), heads=(1,)), "needs at least one of the heads for each of the ranks"),
        (lambda: plan_of(chain(2), [stage((0, 1), 0), stage((2, 3), 1)], micro_batches=1), "do not join"),
        (lambda: plan_of(chain(2), [stage((1, 2), 0)], micro_batches=1), "starts at layer 1 instead of 0"),
        (lambda: plan_of(chain(2), [stage((0, 1), 0), stage((1, 2), 0)], micro_batches=1), "a rank holds two stages"),
        (
            lambda: plan_of(chain(2), [stage((0, 1), 0), stage((1, 2), 1, 2)], micro_batches=1),
            "shares 2 samples, a micro-batch has 1",
        ),
        (lambda: plan_of(chain(2), [stage((0, 2), 0)], micro_batches=0), "at least one micro-batch"),
        (lambda: replace(plan_of(chain(1), [stage((0, 1), 0)], micro_batches=1), stages=()), "has no stages"),
    ],
)
def test_a_plan_that_contradicts_itself_is_refused(build, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        build()


def test_replicas_compute_consecutive_samples() -> None:
    group = stage((0, 1), 5, 3, 4, samples=(2, 1, 4))
    assert [group.sample_range(rank) for rank in (5, 3, 4)] == [(0, 2), (2, 3), (3, 7)]


@pytest.mark.parametrize(
    ("depth", "expected"),
    [(Depth.GPIPE, [9, 9, 9, 9]), (Depth.ONE_F_ONE_B, [4, 3, 2, 1]), (Depth.ASTEROID, [7, 5, 3, 1])],
)
def test_each_depth_policy_has_its_warm_up(depth: Depth, expected: list[int]) -> None:
    assert [in_flight(depth, stage=p, stages=4, micro_batches=9) for p in range(4)] == expected


def test_no_stage_holds_more_micro_batches_than_there_are() -> None:
    assert [in_flight(Depth.ASTEROID, stage=p, stages=4, micro_batches=2) for p in range(4)] == [2, 2, 2, 1]


def test_a_plan_survives_json() -> None:
    proof = Proof(method="by hand", objective=Objective.ITERATION_TIME, value=1.2, bound=1.0)
    for plan in (pipeline_plan(chain(3), micro_batches=2), hybrid_plan(chain(2), [[2, 1], [3]], micro_batches=2)):
        full = replace(plan, predicted_s=0.25, profile_hash="abc", proof=proof)
        for each in (plan, full):
            assert Plan.from_json(each.to_json()) == each


def test_a_plan_prints_layers_ranks_samples_and_depth() -> None:
    plan = hybrid_plan(chain(3), [[2, 1], [3]], micro_batches=4)
    assert str(plan) == "layers 0-0 on r0:2 r1:1 K=2 | layers 1-2 on r2:3 K=1"


def test_a_fitting_plan_passes() -> None:
    model = chain(3)
    pipeline_plan(model, micro_batches=4).check(model, homogeneous(3), workload(micro_batches=4))


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (pipeline_plan(chain(2), micro_batches=4), "plan is for model chain2, not chain3"),
        (plan_of(chain(3), [stage((0, 2), 0)], micro_batches=4), "plan covers 2 layers, chain3 has 3"),
        (plan_of(chain(3), [stage((0, 3), 7)], micro_batches=4), r"uses ranks \[7\], cluster 3 boards has 0\.\.2"),
        (pipeline_plan(chain(3), micro_batches=5), "computes 5 samples per iteration, the workload asks for 4"),
    ],
)
def test_a_plan_for_something_else_is_refused(plan: Plan, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        plan.check(chain(3), homogeneous(3), workload(micro_batches=4))


def test_a_rank_that_needs_one_byte_more_than_it_has_is_refused() -> None:
    model = chain(2, parameter_bytes=4000, stash_bytes=500, output_bytes=100)
    asked, plan = workload(micro_batches=4), pipeline_plan(model, micro_batches=4)
    # The first stage: parameters, gradients, two stashes and outputs in flight, four gradients received.
    need = 4000 + 4000 + 2 * 500 + 2 * 100 + 4 * 100
    plan.check(model, homogeneous(2, memory_bytes=need), asked)
    said = (
        r"rank 0 \(board\) needs 9\.6 kB for layers \(0, 1\), 1 samples and 2 in flight "
        r"\(largest: parameter_bytes, 4 kB\), and has 9\.6 kB \(fewer layers, samples or in flight\)"
    )
    with pytest.raises(PlanError, match=said):
        plan.check(model, homogeneous(2, memory_bytes=need - 1), asked)


def test_head_room_is_kept_free_and_said() -> None:
    model, asked = chain(1), workload(micro_batches=1)
    plan, cluster = data_plan(model, [1]), homogeneous(1, memory_bytes=8500)
    plan.check(model, cluster, asked)
    with pytest.raises(PlanError, match=r"has 7\.65 kB \(0\.1 of it kept free\)"):
        plan.check(model, cluster, asked, head_room=0.1)


def test_the_framework_takes_its_part_of_a_device() -> None:
    model, asked = chain(1), workload(micro_batches=1)
    plan = data_plan(model, [1])
    plan.check(model, homogeneous(1, memory_bytes=8600, context_bytes=100.0), asked)
    with pytest.raises(PlanError, match=r"needs 8\.6 kB"):
        plan.check(model, homogeneous(1, memory_bytes=8599, context_bytes=100.0), asked)


# --- tied weights -----------------------------------------------------------------------------------------------------


def tied(*, trainable: bool = True, owner_trainable: bool = True) -> Model:
    """Three layers; the last shares 400 B with the first."""
    first, middle, last = chain(3).layers
    owner = replace(first.blocks[0], trainable=owner_trainable)
    copy = replace(last.blocks[0], trainable=trainable, tied_bytes=400, tied_to=first.name)
    return replace(chain(3), layers=(replace(first, blocks=(owner,)), middle, replace(last, blocks=(copy,))))


@pytest.mark.parametrize("flags", [{}, {"trainable": False}, {"owner_trainable": False}])
def test_trained_weights_cannot_be_shared_by_two_stages(flags: dict[str, bool]) -> None:
    said = r"layers l0 and l2 share 400 B of trained weights .* \(put both into one stage, freeze them, untie them: "
    with pytest.raises(PlanError, match=said + r"model\.tied=false, or finetuning=full_exchanged\)"):
        pipeline_plan(tied(**flags), micro_batches=1).check(tied(**flags), homogeneous(3), workload())


def test_tied_weights_may_share_a_stage_lie_frozen_or_serve_inference() -> None:
    frozen, one = tied(trainable=False, owner_trainable=False), data_plan(tied(), [1])
    one.check(tied(), homogeneous(1), workload())
    apart = pipeline_plan(tied(), micro_batches=1)
    apart.check(frozen, homogeneous(3), workload())
    apart.check(tied(), homogeneous(3), workload(purpose=Purpose.INFER))


def test_a_layer_tied_to_none_is_named() -> None:
    model = replace(tied(), layers=tied().layers[1:])
    with pytest.raises(PlanError, match="layer l2 is tied to 'l0', which it lacks"):
        data_plan(model, [1]).check(model, homogeneous(1), workload())


def test_a_batch_is_a_multiple_of_its_micro_batch() -> None:
    assert workload(micro_batches=3, micro_batch_samples=4).micro_batches == 3
    with pytest.raises(ValueError, match="batch_samples=7 is not a multiple of micro_batch_samples=2"):
        replace(workload(micro_batch_samples=2), batch_samples=7)
    with pytest.raises(ValueError, match="tokens must be at least 1"):
        workload(tokens=0)
    with pytest.raises(ValueError, match="learning_rate must be >= 0"):
        workload(learning_rate=-1)
