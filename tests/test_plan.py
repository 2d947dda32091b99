"""A plan adds up, fits, and says in one sentence where it does not."""

from dataclasses import replace

import pytest
from builders import chain, data_plan, homogeneous, hybrid_plan, pipeline_plan, plan_of, proof, workload

from edgesim.errors import PlanError
from edgesim.memory import held_bytes
from edgesim.plan import Depth, Plan, Stage, Status, in_flight
from edgesim.workload import Optimiser, Purpose


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
        (lambda: replace(stage((0, 1), 0, 1), heads=(1,)), "needs heads for each of the ranks"),
        (lambda: plan_of(chain(2), [stage((0, 1), 0), stage((2, 3), 1)], micro_batches=1), "do not join"),
        (lambda: plan_of(chain(2), [stage((1, 2), 0)], micro_batches=1), "starts at layer 1 instead of 0"),
        (lambda: plan_of(chain(2), [stage((0, 1), 0), stage((1, 2), 0)], micro_batches=1), "a rank holds two stages"),
        (lambda: plan_of(chain(2), [stage((0, 1), 0), stage((1, 2), 1, 2)], micro_batches=1),
         "shares 2 samples, a micro-batch has 1"),
        (lambda: plan_of(chain(2), [stage((0, 2), 0)], micro_batches=0), "at least one micro-batch"),
        (lambda: replace(plan_of(chain(1), [stage((0, 1), 0)], micro_batches=1), stages=()), "has no stages"),
    ],
)  # fmt: skip
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
    for plan in (pipeline_plan(chain(3), micro_batches=2), hybrid_plan(chain(2), [[2, 1], [3]], micro_batches=2)):
        full = replace(
            plan, predicted_s=0.25, profile_hash="abc", proof=replace(proof(), status=Status.OPTIMAL, bound=1.0)
        )
        assert Plan.from_json(full.to_json()) == full  # fmt: skip


def test_a_plan_prints_layers_ranks_samples_and_depth() -> None:
    plan = hybrid_plan(chain(3), [[2, 1], [3]], micro_batches=4)
    assert str(plan) == "layers 0-0 on r0:2 r1:1 K=2 | layers 1-2 on r2:3 K=1"


def test_a_proof_knows_its_gap_only_with_value_and_bound() -> None:
    assert replace(proof(), value=1.2, bound=1.0).gap == pytest.approx(0.2)
    assert replace(proof(), value=1.2).gap is None
    assert proof().gap is None


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
    model, asked = chain(2, parameter_bytes=4000, stash_bytes=500), workload(micro_batches=4)
    plan = pipeline_plan(model, micro_batches=4)
    need = 4000 + 4000 + 2 * 500  # the first stage: parameters, gradients, two micro-batches in flight
    plan.check(model, homogeneous(2, memory_bytes=need), asked)
    with pytest.raises(PlanError, match=r"rank 0 \(board\) needs 9 kB .* 1 samples and 2 in flight, and has 9 kB"):
        plan.check(model, homogeneous(2, memory_bytes=need - 1), asked)


def test_head_room_is_kept_free() -> None:
    model, asked = chain(1), workload(micro_batches=1)
    plan, cluster = data_plan(model, [1]), homogeneous(1, memory_bytes=8500)
    plan.check(model, cluster, asked)
    with pytest.raises(PlanError, match=r"has 7\.65 kB"):
        plan.check(model, cluster, asked, head_room=0.1)


@pytest.mark.parametrize(("optimiser", "states"), [(Optimiser.SGD, 0), (Optimiser.MOMENTUM, 1), (Optimiser.ADAM, 2)])
def test_memory_is_parameters_gradients_optimiser_state_and_a_stash_per_micro_batch_in_flight(
    optimiser: Optimiser, states: int
) -> None:
    layers = chain(2, parameter_bytes=100, stash_bytes=7).layers
    held = held_bytes(layers, samples=3, in_flight=5, workload=workload(optimiser=optimiser))
    assert (held.parameter_bytes, held.gradient_bytes, held.optimiser_bytes) == (200, 200, 200 * states)
    assert held.stash_bytes == 5 * 3 * 2 * 7
    assert held.total_bytes == held.static_bytes + held.stash_bytes == 400 + 200 * states + 210


def test_inference_holds_parameters_only() -> None:
    held = held_bytes(chain(2).layers, samples=3, in_flight=5, workload=workload(purpose=Purpose.INFER))
    assert held.total_bytes == 8000


def test_a_batch_is_a_multiple_of_its_micro_batch() -> None:
    assert workload(micro_batches=3, micro_batch_samples=4).micro_batches == 3
    with pytest.raises(ValueError, match="batch_samples=7 is no multiple of micro_batch_samples=2"):
        replace(workload(micro_batch_samples=2), batch_samples=7)
    with pytest.raises(ValueError, match="tokens must be at least 1"):
        workload(tokens=0)
    with pytest.raises(ValueError, match="learning_rate must be >= 0"):
        workload(learning_rate=-1)
