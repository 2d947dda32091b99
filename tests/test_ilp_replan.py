"""After a loss, is the new plan the best there is, moving its layers included?"""

import random
from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path

import builders
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.cluster import Cluster, Network
from edgesim.errors import InfeasibleError, PlanError
from edgesim.finetuning import parallel_adapters
from edgesim.memory import carried_bytes
from edgesim.plan import Depth, Plan, Stage, make_stages
from edgesim.planners.cost_models.migration import migrated_bytes, migration_s
from edgesim.planners.cost_models.pipeline_time import iteration_s
from edgesim.planners.enumeration import divide, sums
from edgesim.planners.exact.pipelines.ilp_hybrid_pipeline import ilp_hybrid_pipeline
from edgesim.planners.exact.replanning.ilp_replan import ilp_replan
from edgesim.planners.problem import Problem
from edgesim.profile import estimate
from edgesim.proof import Status
from edgesim.workload import Optimiser, Purpose
from edgesim.zoo.t5 import t5

repeatable = settings(max_examples=40, deadline=None, derandomize=True, database=None)
LAYER = 4000  # bytes of weights
RATE = 1000.0  # bytes per second: a layer takes 4 s


def a_problem(
    speeds: list[float],
    *,
    layers: int = 4,
    samples: int = 2,
    micro_batches: int = 4,
    memory_bytes: float = 1e9,
    network: Network | None = None,
    optimiser: Optimiser = Optimiser.SGD,
    forward_s: float = 0.1,
) -> Problem:
    """Equal layers, on devices so many times as fast, whose messages are light and weights heavy."""
    model = builders.chain(layers, output_bytes=1.0, parameter_bytes=LAYER, stash_bytes=500)
    boards = tuple(
        builders.device(f"d{speed:g}", flop_per_s=1e9 * speed, memory_bytes=memory_bytes) for speed in speeds
    )
    cluster = Cluster(
        name="boards", devices=boards, network=network or builders.switched(len(speeds), bytes_per_s=RATE)
    )
    profile = builders.table(
        model, cluster, lambda rank, _, n: (n * forward_s / speeds[rank], 2 * n * forward_s / speeds[rank])
    )
    workload = builders.workload(micro_batches=micro_batches, micro_batch_samples=samples, optimiser=optimiser)
    return Problem(model=model, cluster=cluster, profile=profile, workload=workload)


def a_plan(problem: Problem, cuts: list[int], groups: list[list[int]]) -> Plan:
    """Even shares."""
    B, M = problem.workload.micro_batch_samples, problem.workload.micro_batches
    samples = [[B // len(group)] * len(group) for group in groups]
    stages = make_stages(cuts=cuts, groups=groups, samples=samples, depth=Depth.ASTEROID, micro_batches=M)
    return builders.plan_of(problem.model, stages, micro_batches=M)


# --- migration ---


def test_where_nothing_changes_nothing_moves() -> None:
    problem = a_problem([1, 1])
    plan = a_plan(problem, [0, 2, 4], [[0], [1]])
    assert migrated_bytes(problem, plan, plan, []) == {0: 0, 1: 0}
    assert migration_s(problem, plan, plan, []) == 0


def test_each_rank_receives_what_it_lacks_at_its_download_rate_all_at_once() -> None:
    problem = a_problem([1, 1, 1])
    old, new = a_plan(problem, [0, 2, 4], [[0], [1]]), a_plan(problem, [0, 1, 2, 4], [[0], [2], [1]])
    assert migrated_bytes(problem, old, new, []) == {0: 0, 2: LAYER, 1: 0}
    assert migration_s(problem, old, new, []) == pytest.approx(LAYER / RATE)
    swapped = a_plan(problem, [0, 2, 4], [[1], [0]])
    assert migrated_bytes(problem, old, swapped, []) == {0: 2 * LAYER, 1: 2 * LAYER}
    assert migration_s(problem, old, swapped, []) == pytest.approx(2 * LAYER / RATE)


def test_a_rank_that_sends_to_many_needs_its_upload_rate_and_replicas_send_in_equal_parts() -> None:
    problem = a_problem([1] * 4, samples=4)
    alone, everyone = a_plan(problem, [0, 4], [[0]]), a_plan(problem, [0, 4], [[0, 1, 2, 3]])
    assert migration_s(problem, alone, everyone, []) == pytest.approx(3 * 4 * LAYER / RATE)
    pair = a_plan(problem, [0, 4], [[0, 1]])
    assert migration_s(problem, pair, everyone, []) == pytest.approx(4 * LAYER / RATE)


def test_on_a_radio_all_that_moves_takes_air() -> None:
    problem = a_problem([1, 1, 1], network=builders.radio(3, bytes_per_s=RATE))
    old, new = a_plan(problem, [0, 2, 4], [[0], [1]]), a_plan(problem, [0, 2, 4], [[1], [0]])
    assert migration_s(problem, old, new, []) == pytest.approx(4 * LAYER / RATE)


def test_the_optimisers_state_moves_with_what_it_belongs_to() -> None:
    layer = builders.chain(1).layers[0]
    for optimiser, times in ((Optimiser.SGD, 1), (Optimiser.MOMENTUM, 2), (Optimiser.ADAM, 3)):
        assert carried_bytes(layer, builders.workload(optimiser=optimiser)) == times * LAYER
    serving = builders.workload(optimiser=Optimiser.ADAM, purpose=Purpose.INFER)
    assert carried_bytes(layer, serving) == LAYER


def test_a_copy_of_tied_weights_moves_to_who_has_neither_the_copy_nor_its_owner() -> None:
    plain = t5(
        name="t",
        encoder_layers=1,
        decoder_layers=1,
        hidden=64,
        heads=8,
        head_size=8,
        columns=128,
        vocabulary=100,
        buckets=32,
        decoder_tokens=1,
    )
    model = parallel_adapters(plain)
    cluster = builders.homogeneous(3, network=builders.switched(3, bytes_per_s=RATE))
    profile = estimate(model, cluster.devices, samples=(1, 2), tokens=4)
    workload = builders.workload(purpose=Purpose.FINE_TUNE, tokens=4, micro_batch_samples=2, micro_batches=2)
    problem = Problem(model=model, cluster=cluster, profile=profile, workload=workload)
    tied = [(i, block.tied_bytes) for i, layer in enumerate(model.layers) for block in layer.blocks if block.tied_bytes]
    assert tied, "this model shares its words"
    L, (reader, words) = len(model.layers), tied[-1]
    assert reader == L - 1
    old, new = a_plan(problem, [0, 1, L], [[0], [1]]), a_plan(problem, [0, 1, reader, L], [[0], [1], [2]])
    assert migrated_bytes(problem, old, new, [])[2] == model.layers[-1].parameter_bytes + words
    reader_to_the_owner = a_plan(problem, [0, 1, reader, L], [[2], [1], [0]])
    assert migrated_bytes(problem, old, reader_to_the_owner, [])[0] == model.layers[-1].parameter_bytes
    best = ilp_replan(problem, old=old, lost=[1], iterations=3)
    R = migration_s(problem, old, best, [1])
    assert best.proof.value == pytest.approx(R + 3 * iteration_s(problem, best))
    assert best.proof.bound == pytest.approx(best.proof.value, rel=1e-4)


# --- what is lost ---


def test_a_single_stages_layers_come_from_the_device_of_the_next_stage_and_cost_that_nothing() -> None:
    problem = a_problem([1, 1, 1, 1])
    old = a_plan(problem, [0, 1, 2, 4], [[0], [1], [2]])
    onto_backup, onto_other = (a_plan(problem, [0, 1, 4], [[0], [rank]]) for rank in (2, 3))
    assert migrated_bytes(problem, old, onto_backup, [1]) == {0: 0, 2: 0}
    assert migrated_bytes(problem, old, onto_other, [1]) == {0: 0, 3: 3 * LAYER}
    first = a_plan(problem, [0, 2, 4], [[1], [0]])
    assert migrated_bytes(problem, old, first, [2])[0] == 0, "the last stage's backup is on the first"


def test_a_lost_replicas_layers_come_from_its_peers_which_keep_them_for_nothing() -> None:
    problem = a_problem([1, 1, 1])
    old = a_plan(problem, [0, 2, 4], [[0, 1], [2]])
    new = a_plan(problem, [0, 2, 4], [[1], [2]])
    assert migration_s(problem, old, new, [0]) == 0


def test_layers_that_nobody_holds_any_more_are_named_unless_a_coordinator_has_a_copy() -> None:
    problem = a_problem([1, 1, 1, 1])
    old = a_plan(problem, [0, 2, 4], [[0], [1]])
    with pytest.raises(InfeasibleError, match=r"layer l0 of chain4 \(4 kB\) is gone: rank 0 \(d1\).*backup on rank 1"):
        ilp_replan(problem, old=old, lost=[0, 1], iterations=5)
    plan = ilp_replan(problem, old=old, lost=[0, 1], iterations=1, coordinator=3)
    assert plan.ranks == (3,)
    assert migration_s(problem, old, plan, [0, 1], coordinator=3) == 0
    pair = a_plan(problem, [0, 2, 4], [[0, 1], [2]])
    everything = a_plan(problem, [0, 4], [[0]])
    for before, lost in ((pair, [0, 1]), (everything, [0])):
        with pytest.raises(InfeasibleError, match="it has no backup: only single devices of a pipeline do"):
            ilp_replan(problem, old=before, lost=lost, iterations=5)


def test_a_loss_that_cannot_be_is_refused() -> None:
    problem = a_problem([1, 1])
    old = a_plan(problem, [0, 2, 4], [[0], [1]])
    with pytest.raises(InfeasibleError, match=r"all 2 devices of boards are lost, rank 0 \(d1\)"):
        ilp_replan(problem, old=old, lost=[0, 1], iterations=1)
    with pytest.raises(PlanError, match="rank 7 is not among"):
        ilp_replan(problem, old=old, lost=[7], iterations=1)
    with pytest.raises(PlanError, match="coordinator, rank 1, is lost"):
        ilp_replan(problem, old=old, lost=[1], iterations=1, coordinator=1)
    with pytest.raises(PlanError, match="uses rank 0, which is lost"):
        migration_s(problem, old, old, [0])
    with pytest.raises(PlanError, match="the old plan is for 4 layers of chain4"):
        ilp_replan(a_problem([1, 1], layers=3), old=old, lost=[], iterations=1)
    with pytest.raises(PlanError, match="iterations=0"):
        ilp_replan(problem, old=old, lost=[], iterations=0)


# --- re-planning ---


def test_if_nothing_is_lost_the_best_plan_stays_and_costs_nothing_to_move_to() -> None:
    problem = a_problem([1, 2, 2, 4], samples=4)
    old = ilp_hybrid_pipeline(problem)
    new = ilp_replan(problem, old=old, lost=[], iterations=1)
    assert new.stages == old.stages
    assert migration_s(problem, old, new, []) == 0
    assert new.predicted_s == pytest.approx(old.predicted_s)
    assert new.proof.value == pytest.approx(old.predicted_s)


def test_a_dear_migration_keeps_the_cuts_and_a_cheap_one_moves_to_the_optimum() -> None:
    """Three layers on each of two equal devices; a third joins, and 4 s per layer pay off over many iterations only."""
    problem = a_problem([1, 1, 1], layers=6, samples=1)
    old, thirds = a_plan(problem, [0, 3, 6], [[0], [1]]), a_plan(problem, [0, 2, 4, 6], [[0], [2], [1]])
    few, many = (ilp_replan(problem, old=old, lost=[], iterations=iterations) for iterations in (1, 1000))
    assert few.stages == old.stages
    assert many.predicted_s == pytest.approx(ilp_hybrid_pipeline(problem).predicted_s)
    assert many.predicted_s <= iteration_s(problem, thirds) < iteration_s(problem, old)
    assert migration_s(problem, old, many, []) == pytest.approx(2 * LAYER / RATE)


def test_a_budget_bounds_what_moves_and_one_that_is_too_small_is_said_with_what_would_do() -> None:
    problem = a_problem([1, 1, 1], layers=6, samples=1)
    old = a_plan(problem, [0, 4, 6], [[0], [1]])
    tight, free = (
        ilp_replan(problem, old=old, lost=[], iterations=1000, budget_s=s) for s in (1.5 * LAYER / RATE, None)
    )
    assert migration_s(problem, old, tight, []) == pytest.approx(LAYER / RATE)
    assert migration_s(problem, old, free, []) == pytest.approx(2 * LAYER / RATE)
    assert free.predicted_s < tight.predicted_s < iteration_s(problem, old)
    tiny = a_problem([1, 1, 1], layers=6, samples=1, memory_bytes=31_000)
    before = a_plan(tiny, [0, 3, 6], [[0], [1]])
    assert ilp_replan(tiny, old=before, lost=[1], iterations=1, budget_s=12.0)
    with pytest.raises(
        InfeasibleError, match=r"within 5 s: the quickest takes 12 s, in which rank 2 \(d1\) receives 12 kB"
    ):
        ilp_replan(tiny, old=before, lost=[1], iterations=1, budget_s=5.0)


def test_what_does_not_fit_on_the_survivors_is_said_of_a_survivor() -> None:
    problem = a_problem([1, 1], memory_bytes=26_000)
    old = a_plan(problem, [0, 2, 4], [[0], [1]])
    problem.check(old)
    with pytest.raises(InfeasibleError, match=r"out of memory: .* rank 1 \(d1\)"):
        ilp_replan(problem, old=old, lost=[0], iterations=1)


def test_stopped_early_there_is_a_plan_and_the_bound_holds() -> None:
    problem = a_problem([1, 1, 2, 4, 8], layers=12, samples=4)
    old = ilp_hybrid_pipeline(problem)
    lost = [old.ranks[0]]
    early, best = (ilp_replan(problem, old=old, lost=lost, iterations=20, time_limit_s=s) for s in (0.0, 60.0))
    problem.check(early)
    assert best.proof.status is Status.OPTIMAL
    assert early.proof.value is not None
    assert best.proof.value is not None
    assert (early.proof.bound or 0.0) <= best.proof.value <= early.proof.value


def test_the_old_plan_may_be_a_file(tmp_path: Path) -> None:
    problem = a_problem([1, 1, 1])
    old = a_plan(problem, [0, 2, 4], [[0], [1]])
    (tmp_path / "plan.json").write_text(old.to_json())
    of_file = ilp_replan(problem, old=str(tmp_path / "plan.json"), lost=[1], iterations=10)
    assert of_file.stages == ilp_replan(problem, old=old, lost=[1], iterations=10).stages


# --- against all plans ---


def uneven(seed: int, *, devices: int, layers: int, topology: str) -> tuple[Problem, Plan]:
    """Devices that may be equal, NICs that are not, and any plan that was running on them."""
    rng = random.Random(seed)
    network = (
        Network.switched(
            transmit_bytes_per_s=[rng.choice([500, 1000, 1000]) for _ in range(devices)],
            receive_bytes_per_s=[rng.choice([500, 1000, 1000]) for _ in range(devices)],
            latency_s=0.0,
            goodput=1.0,
            origin="assumed",
            source="test",
        )
        if topology == "switched"
        else getattr(builders, topology)(devices, bytes_per_s=RATE)
    )
    problem = a_problem(
        [rng.choice([1, 1, 2]) for _ in range(devices)],
        layers=layers,
        network=network,
        samples=3,
        memory_bytes=rng.choice([3.5e4, 1e9]),
        optimiser=rng.choice(list(Optimiser)),
    )
    ranks = rng.sample(range(devices), devices)
    P = rng.randint(1, min(layers, devices))
    inner = sorted(rng.sample(range(1, layers), P - 1))
    heads = sorted(rng.sample(range(1, devices), P - 1))
    groups = [ranks[a:b][:3] for a, b in zip([0, *heads], [*heads, devices], strict=True)]
    cuts = [0, *inner, layers]
    stages = [
        Stage(layers=(cuts[p], cuts[p + 1]), ranks=tuple(group), in_flight=1, samples=next(iter(sums(3, len(group)))))
        for p, group in enumerate(groups)
    ]
    return problem, builders.plan_of(problem.model, stages, micro_batches=problem.workload.micro_batches)


def every_plan(problem: Problem, ranks: tuple[int, ...]) -> Iterator[Plan]:
    """All cuts, groups, some devices left out, and shares; those that the check refuses are left out."""
    L, B, M = len(problem.model.layers), problem.workload.micro_batch_samples, problem.workload.micro_batches
    for P in range(1, min(L, len(ranks)) + 1):
        for groups in divide(ranks, P, largest=B, leave_out=True):
            for inner, samples in product(
                combinations(range(1, L), P - 1), product(*(list(sums(B, len(group))) for group in groups))
            ):
                stages = make_stages(
                    cuts=(0, *inner, L), groups=groups, samples=samples, depth=Depth.ASTEROID, micro_batches=M
                )
                plan = builders.plan_of(problem.model, stages, micro_batches=M)
                try:
                    yield problem.check(plan)
                except PlanError:
                    continue


@repeatable
@given(
    seed=st.integers(0, 10_000),
    layers=st.integers(1, 4),
    devices=st.integers(2, 4),
    iterations=st.sampled_from([1, 7, 500]),
    budget_s=st.sampled_from([None, None, 4.0, 9.0]),
    topology=st.sampled_from(["switched", "switched", "pairs"]),
)
def test_it_equals_trying_every_plan(
    seed: int, layers: int, devices: int, iterations: int, budget_s: float | None, topology: str
) -> None:
    problem, old = uneven(seed, devices=devices, layers=layers, topology=topology)
    lost = [seed % devices]
    ranks = tuple(rank for rank in problem.ranks if rank not in lost)
    totals = []
    try:
        for plan in every_plan(problem, ranks):
            moving = migration_s(problem, old, plan, lost)
            if budget_s is None or moving <= budget_s:
                totals.append(moving + iterations * iteration_s(problem, plan))
    except InfeasibleError:  # a layer is gone
        totals = []
    try:
        plan = ilp_replan(problem, old=old, lost=lost, iterations=iterations, budget_s=budget_s)
    except InfeasibleError:
        assert not totals
        return
    problem.check(plan)
    assert not set(lost) & set(plan.ranks)
    value = migration_s(problem, old, plan, lost) + iterations * iteration_s(problem, plan)
    assert value == pytest.approx(min(totals), rel=1e-6)
    assert plan.proof.value == pytest.approx(value)
    assert plan.proof.bound is not None
    assert plan.proof.bound <= min(totals) * (1 + 1e-6)
    assert topology != "switched" or plan.proof.status is Status.OPTIMAL
    assert ilp_replan(problem, old=old, lost=lost, iterations=iterations, budget_s=budget_s).stages == plan.stages


@pytest.mark.parametrize("seed", [4, 6, 9, 11])
def test_a_budget_that_the_best_migration_takes_to_the_last_digit_does_not_exclude_it(seed: int) -> None:
    problem, old = uneven(seed, devices=4, layers=4, topology="switched")
    lost = [seed % 4]
    free = ilp_replan(problem, old=old, lost=lost, iterations=7)
    budget_s = migration_s(problem, old, free, lost)
    exact = ilp_replan(problem, old=old, lost=lost, iterations=7, budget_s=budget_s)
    assert exact.proof.value == free.proof.value
    assert migration_s(problem, old, exact, lost) == pytest.approx(budget_s)


@pytest.mark.parametrize("seed", range(4))
def test_on_a_radio_the_bound_holds(seed: int) -> None:
    problem, old = uneven(seed, devices=3, layers=3, topology="radio")
    plan = ilp_replan(problem, old=old, lost=[], iterations=5)
    best = min(
        migration_s(problem, old, other, []) + 5 * iteration_s(problem, other)
        for other in every_plan(problem, tuple(problem.ranks))
    )
    assert plan.proof.value == pytest.approx(best, rel=0.05)
    assert plan.proof.bound is not None
    assert plan.proof.bound <= best * (1 + 1e-6)
