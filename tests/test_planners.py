"""Do planners put models where they should? Known answers, brute force on small cases, and refusals."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise

import builders
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.apportion import largest_remainder
from edgesim.cluster import Cluster
from edgesim.errors import InfeasibleError, NothingFitsError, PlanError
from edgesim.plan import Depth, Plan
from edgesim.planners.baselines.even import even
from edgesim.planners.baselines.exhaustive import exhaustive
from edgesim.planners.baselines.manual import manual
from edgesim.planners.baselines.proportional import proportional
from edgesim.planners.enumeration import count, partitions, plans, sums
from edgesim.planners.exact.pipelines.ilp_hybrid_pipeline import ilp_hybrid_pipeline
from edgesim.planners.partitioning import even_cuts, fastest_cuts, move_from_stragglers
from edgesim.planners.problem import Planner, Problem, ask
from edgesim.planners.simulate_and_choose import simulate_and_choose
from edgesim.proof import Status
from edgesim.simulator import simulate
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.workload import Purpose

DEPTH = Depth.ONE_F_ONE_B
patient = settings(deadline=None)  # a busy machine is no failure


def a_problem(
    *,
    layers: int = 4,
    speeds: tuple[float, ...] = (3, 1),
    micro_batches: int = 4,
    micro_batch_samples: int = 4,
    memory_bytes: float = 1e9,
    bytes_per_s: float = 1e7,
    output_bytes: float = 1000,
) -> Problem:
    """Equal layers on boards of unequal speed: 10 ms forward and 20 ms backward per layer and sample at speed 1."""
    model = builders.chain(layers, output_bytes=output_bytes)
    cluster = builders.named(len(speeds), network=builders.switched(len(speeds), bytes_per_s=bytes_per_s))
    boards = tuple(replace(board, memory_bytes=memory_bytes) for board in cluster.devices)
    cluster = Cluster(name=cluster.name, devices=boards, network=cluster.network)
    return Problem(
        model=model,
        cluster=cluster,
        profile=builders.linear_profile(model, cluster, forward_s=0.010, backward_s=0.020, speeds=speeds),
        workload=builders.workload(micro_batches=micro_batches, micro_batch_samples=micro_batch_samples),
    )


def simulated_s(problem: Problem, plan: Plan) -> float:
    """Seconds per iteration."""
    schedule = hybrid_pipeline(plan, problem.model, problem.workload)
    trace = simulate(
        schedule,
        cluster=problem.cluster,
        model=problem.model,
        profile=problem.profile,
        tokens=problem.workload.tokens,
    )
    return trace.makespan_s


def oracle(problem: Problem, **options: object) -> Plan:
    """The best plan by simulation."""
    chosen = {"groups": "any", "depth": DEPTH, "evaluate": partial(simulated_s, problem)} | options
    return exhaustive(problem, **chosen)  # type: ignore[arg-type]


def shape(plan: Plan) -> list[tuple[int, tuple[int, ...], tuple[int, ...]]]:
    """Layers, ranks and samples of every stage."""
    return [(stage.layers[1] - stage.layers[0], stage.ranks, stage.samples) for stage in plan.stages]


PLANNERS: dict[str, Callable[..., Plan]] = {"even": even, "proportional": proportional, "exhaustive": oracle}


@pytest.mark.parametrize("name", PLANNERS)
@pytest.mark.parametrize("groups", ["data", "pipeline", [[1], [0, 2]]])
def test_every_planner_returns_a_checked_plan_that_says_where_it_comes_from(name: str, groups: object) -> None:
    problem = a_problem(layers=3, speeds=(3, 2, 1), micro_batch_samples=6)
    plan = PLANNERS[name](problem, groups=groups, depth=Depth.GPIPE)
    plan.check(problem.model, problem.cluster, problem.workload)
    assert (plan.planner, plan.profile_hash) == (name, problem.profile.hash)
    assert {stage.in_flight for stage in plan.stages} == {problem.workload.micro_batches}
    assert Plan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize("name", PLANNERS)
def test_the_same_problem_gives_the_same_plan(name: str) -> None:
    problem = a_problem(layers=3, speeds=(2, 2, 1), micro_batch_samples=4)
    first, second = (PLANNERS[name](problem, groups="pipeline", depth=DEPTH) for _ in range(2))
    assert replace(first, proof=second.proof) == second
    assert (first.proof is None) == (second.proof is None)
    if first.proof is not None and second.proof is not None:
        assert replace(first.proof, seconds=None) == replace(second.proof, seconds=None)


def test_planners_with_bound_options_are_functions_of_a_problem() -> None:
    planner: Planner = partial(even, groups="data", depth=DEPTH)
    assert shape(planner(a_problem())) == [(4, (0, 1), (2, 2))]


def test_even_gives_what_is_left_to_the_first() -> None:
    problem = a_problem(layers=5, speeds=(1, 1, 1), micro_batch_samples=7)
    assert shape(even(problem, groups="data", depth=DEPTH)) == [(5, (0, 1, 2), (3, 2, 2))]
    assert [layers for layers, *_ in shape(even(problem, groups="pipeline", depth=DEPTH))] == [2, 2, 1]


def test_proportional_shares_samples_by_speed() -> None:
    problem = a_problem(speeds=(4, 2, 1), micro_batch_samples=7)
    assert shape(proportional(problem, groups="data", depth=DEPTH)) == [(4, (0, 1, 2), (4, 2, 1))]


def test_proportional_cuts_layers_by_the_speed_of_groups() -> None:
    problem = a_problem(layers=6, speeds=(3, 2, 1), micro_batch_samples=6)
    pipeline = proportional(problem, groups="pipeline", depth=DEPTH)
    assert [layers for layers, *_ in shape(pipeline)] == [3, 2, 1]
    assert pipeline.proof.value == pytest.approx(6 * 0.030)
    assert shape(proportional(problem, groups=[[0, 2], [1]], depth=DEPTH)) == [(4, (0, 2), (5, 1)), (2, (1,), (6,))]


def test_proportional_moves_a_sample_off_a_straggler() -> None:
    """Fixed costs: 1 s per sample against 2 s and 1 s per sample; by speed 4 and 4 (6 s), moved 5 and 3 (5 s)."""
    model, cluster = builders.chain(1), builders.named(2)
    profile = builders.table(model, cluster, lambda rank, _, samples: (0.0, (0.0, 2.0)[rank] + samples))
    workload = builders.workload(micro_batch_samples=8)
    problem = Problem(model=model, cluster=cluster, profile=profile, workload=workload)
    assert largest_remainder(8, [1 / 8, 1 / 10]) == (4, 4)
    assert shape(proportional(problem, groups="data", depth=DEPTH)) == [(1, (0, 1), (5, 3))]


def test_a_rank_too_slow_for_one_sample_is_refused_by_name() -> None:
    with pytest.raises(PlanError, match=r"rank 1 \(d1\) is too slow for one of 4 samples"):
        proportional(a_problem(speeds=(100, 1)), groups="data", depth=DEPTH)


def test_halves_are_two_stages_and_the_first_takes_the_odd_rank() -> None:
    assert a_problem(speeds=(1, 1, 1, 1, 1)).group("halves") == ((0, 1, 2), (3, 4))
    with pytest.raises(PlanError, match="groups 'halves' need two ranks"):
        a_problem(speeds=(1,)).group("halves")


def test_a_profile_without_seconds_is_refused() -> None:
    problem = a_problem()
    free = builders.constant_profile(problem.model, problem.cluster, forward_s=0.0, backward_s=0.0)
    with pytest.raises(PlanError, match="profile gives rank 0 no time"):
        proportional(replace(problem, profile=free), groups="data", depth=DEPTH)


@pytest.mark.parametrize("planner", [even, proportional])
@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ("tensor", "unknown groups 'tensor'"),
        ([[0], [7]], r"name ranks \[7\]"),
        ([[0], [1], [2], [3], [4]], "5 stages need as many layers, chain4 has 4"),
        ([[0, 1, 2, 3, 4]], "rank 4 would get no sample"),
        ([[0, 0]], "distinct ranks"),
        ([[0], [0, 1]], "a rank holds two stages"),
        ([], "has no stages"),
    ],
)
def test_groups_that_cannot_be_are_refused(planner: Callable[..., Plan], groups: object, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        planner(a_problem(speeds=(1, 1, 1, 1, 1)), groups=groups, depth=DEPTH)


@pytest.mark.parametrize("planner", [even, proportional])
def test_a_plan_that_does_not_fit_is_refused(planner: Callable[..., Plan]) -> None:
    problem = a_problem(memory_bytes=50_000)  # 4 layers: 2 x 4 kB static each, and stash
    ask(partial(planner, groups="data", depth=DEPTH), problem)
    with pytest.raises(PlanError, match="rank 0"):
        ask(partial(planner, groups="data", depth=Depth.GPIPE), replace(problem, head_room=0.5))


def test_a_problem_refuses_a_profile_of_another_model() -> None:
    with pytest.raises(ValueError, match="the profile is of chain4, the model is chain3"):
        replace(a_problem(), model=builders.chain(3))
    with pytest.raises(ValueError, match="head_room"):
        replace(a_problem(), head_room=1.0)


def test_inference_counts_forward_only() -> None:
    problem = a_problem(speeds=(1, 1))
    training = problem.seconds(rank=0, layers=(0, 4), samples=2)
    inference = replace(problem, workload=replace(problem.workload, purpose=Purpose.INFER))
    assert training == pytest.approx(4 * 2 * 0.030)
    assert inference.seconds(rank=0, layers=(0, 4), samples=2) == pytest.approx(4 * 2 * 0.010)


def test_a_given_plan_is_taken_as_it_is() -> None:
    plan = manual(a_problem(), groups=[[0], [1]], depth=DEPTH, cuts=[0, 1, 4], samples=[[4], [4]])
    assert [stage.layers for stage in plan.stages] == [(0, 1), (1, 4)]
    shared = manual(a_problem(), groups="data", depth=DEPTH, samples=[[1, 3]])
    assert shared.stages[0].samples == (1, 3)
    assert (
        manual(a_problem(), groups="pipeline", depth=DEPTH).stages
        == even(a_problem(), groups="pipeline", depth=DEPTH).stages
    )


@pytest.mark.parametrize(
    ("cuts", "samples", "said"),
    [
        ([0, 4], None, "2 stages lie between 3 cuts, got \\[0, 4\\]"),
        ([0, 1, 3], None, "plan covers 3 layers, .* has 4"),
        ([0, 0, 4], None, "layers"),
        (None, [[4], [2, 2]], "need a share for each rank, got"),
        (None, [[4], [3]], "shares 3 samples, a micro-batch has 4"),
    ],
)
def test_a_given_plan_that_cannot_be_is_refused(cuts: object, samples: object, said: str) -> None:
    with pytest.raises((PlanError, ValueError), match=said):
        ask(partial(manual, groups="pipeline", depth=DEPTH, cuts=cuts, samples=samples), a_problem())


def test_the_oracle_finds_what_anyone_can_see() -> None:
    """Speeds 3 and 1 share 4 samples 3:1; in a long pipeline 4 equal layers 3:1."""
    assert shape(oracle(a_problem(bytes_per_s=1e12), groups="data")) == [(4, (0, 1), (3, 1))]
    long = a_problem(bytes_per_s=1e12, micro_batches=32)
    assert sorted(shape(oracle(long, groups="pipeline"))) == [(1, (1,), (4,)), (3, (0,), (4,))]


def test_the_oracle_proves_its_plan() -> None:
    problem = a_problem()
    plan = oracle(problem)
    assert plan.predicted_s == simulated_s(problem, plan)
    assert (plan.proof.status, plan.proof.gap) == (Status.OPTIMAL, 0)
    assert plan.proof.seconds is not None
    assert plan.proof.seconds > 0


@settings(patient, max_examples=20)
@given(
    speeds=st.lists(st.sampled_from([1.0, 1.5, 2.0]), min_size=2, max_size=3).map(tuple),
    layers=st.integers(3, 4),
    bytes_per_s=st.sampled_from([1e4, 1e5, 1e7]),
    groups=st.sampled_from(["data", "pipeline", "hybrid"]),
)
def test_the_oracle_is_never_worse_than_other_planners(
    speeds: tuple[float, ...], layers: int, bytes_per_s: float, groups: str
) -> None:
    problem = a_problem(layers=layers, speeds=speeds, bytes_per_s=bytes_per_s, micro_batches=2)
    if groups == "hybrid" and len(speeds) < 3:
        return
    same = [[0], [1, 2]] if groups == "hybrid" else groups
    best_s = simulated_s(problem, oracle(problem, groups=groups))
    for planner in (even, proportional):
        assert best_s <= simulated_s(problem, planner(problem, groups=same, depth=DEPTH))  # type: ignore[arg-type]


def test_the_oracle_keeps_to_its_family() -> None:
    problem = a_problem(speeds=(3, 2, 1))
    stages = {name: shape(oracle(problem, groups=name)) for name in ("data", "pipeline", "hybrid")}
    assert len(stages["data"]) == 1
    assert [len(ranks) for _, ranks, _ in stages["pipeline"]] == [1, 1, 1]
    assert sorted(len(ranks) for _, ranks, _ in stages["hybrid"]) == [1, 2]
    assert len(oracle(problem, stages=[2]).stages) == 2
    assert [ranks for _, ranks, _ in shape(oracle(problem, groups=[[2], [0, 1]]))] == [(2,), (0, 1)]


def test_a_useless_rank_is_left_out_only_if_allowed() -> None:
    problem = a_problem(speeds=(1, 1, 0.001), micro_batch_samples=3)
    assert 2 not in oracle(problem, leave_out=True).ranks
    assert sorted(oracle(problem).ranks) == [0, 1, 2]


def test_too_many_plans_are_refused_before_any_is_tried() -> None:
    def never(plan: Plan) -> float:
        raise AssertionError(plan)

    with pytest.raises(PlanError, match=r"at least \d+ plans, the limit is 10"):
        exhaustive(a_problem(speeds=(1,) * 4), groups="any", depth=DEPTH, evaluate=never, limit=10)


def test_no_plan_of_a_kind_is_said() -> None:
    with pytest.raises(PlanError, match=r"no plan has groups 'data' and stages \[3\]"):
        oracle(a_problem(), groups="data", stages=[3])
    with pytest.raises(PlanError, match="unknown groups 'tensor'"):
        oracle(a_problem(), groups="tensor")


def test_the_oracle_passes_over_plans_that_do_not_fit() -> None:
    """On 33 kB a board holds at most three of the layers (8 kB each, and stash and messages)."""
    problem = a_problem(memory_bytes=33_000, output_bytes=10)
    plan = oracle(problem)
    assert max(layers for layers, *_ in shape(plan)) < 4
    plan.check(problem.model, problem.cluster, problem.workload)


def test_the_oracle_keeps_trained_tied_weights_in_one_stage() -> None:
    problem = a_problem(speeds=(1, 1), micro_batches=8, output_bytes=0)  # two equal stages are faster than one device
    *rest, last = problem.model.layers
    copy = replace(last, blocks=(replace(last.blocks[0], tied_bytes=4, tied_to="l0"),))
    tied = replace(problem, model=replace(problem.model, layers=(*rest, copy)))
    assert len(oracle(problem, groups="pipeline", leave_out=True).stages) == 2
    with pytest.raises(InfeasibleError, match="fit in memory have tied weights apart: layers l0 and l3 share 4 B"):
        oracle(tied, groups="pipeline", stages=[2])
    assert len(oracle(tied, groups="pipeline", leave_out=True).stages) == 1


def test_the_oracle_says_which_plans_it_searched_and_which_ranks_have_no_work() -> None:
    """Best of the demo's groups is not best of a larger cluster's plans."""
    problem = a_problem(speeds=(1, 1, 1, 1, 1))
    fixed = oracle(problem, groups=[[0], [1, 2]])
    assert fixed.proof.details == "of groups [[0], [1, 2]], ranks 3, 4 without work"
    assert "of groups [[0], [1, 2]]" in fixed.proof.minimised
    assert (
        oracle(problem, groups="pipeline", stages=[4], leave_out=True).proof.details
        == "of groups 'pipeline' in [4] stages"
    )


def test_where_only_tied_weights_stand_in_the_way_memory_is_not_blamed() -> None:
    """Any device holds two of the four layers; the first and the last share weights, so one would hold all."""
    problem = a_problem(memory_bytes=33_000, output_bytes=10)
    *rest, last = problem.model.layers
    copy = replace(last, blocks=(replace(last.blocks[0], tied_bytes=4, tied_to="l0"),))
    tied = replace(problem, model=replace(problem.model, layers=(*rest, copy)))
    assert oracle(problem)
    with pytest.raises(InfeasibleError, match="tied weights apart: layers l0 and l3 share 4 B") as oracles:
        oracle(tied)
    reason = r"layers l0 and l3 of .* share trained weights.*model\.tied=false"
    with pytest.raises(InfeasibleError, match=reason) as programmes:
        ilp_hybrid_pipeline(tied)
    with pytest.raises(InfeasibleError, match=reason) as chosen:
        simulate_and_choose(tied, evaluate=lambda plan: 1.0)
    assert not any(isinstance(each.value, NothingFitsError) for each in (oracles, programmes, chosen))


def test_infeasible_names_the_nearest_need_and_budget() -> None:
    with pytest.raises(InfeasibleError, match=r"nearest: rank \d \(d\d\) needs .* kB, has 2 kB, in layers"):
        oracle(a_problem(memory_bytes=2_000))


@patient
@given(layers=st.integers(1, 5), ranks=st.integers(1, 4), samples=st.integers(1, 4), leave_out=st.booleans())
def test_candidates_are_as_many_as_the_formula_says_and_all_differ(
    layers: int, ranks: int, samples: int, leave_out: bool
) -> None:
    problem = a_problem(layers=layers, speeds=(1,) * ranks, micro_batch_samples=samples)
    found = list(partitions(problem, "any", stages=None, leave_out=leave_out))
    assert len(set(found)) == len(found)
    for partition in found:
        assert leave_out or sorted(rank for group in partition for rank in group) == list(problem.ranks)
        listed = [str(plan) for plan in plans(problem, partition, depth=DEPTH, planner="all")]
        assert len(set(listed)) == len(listed) == count(problem, partition)


def test_three_ranks_stand_in_thirteen_ordered_partitions() -> None:
    """The ordered Bell numbers: 1, 3, 13, 75 (OEIS A000670)."""
    found = [
        len(list(partitions(a_problem(speeds=(1,) * n), "any", stages=None, leave_out=False))) for n in range(1, 5)
    ]
    assert found == [1, 3, 13, 75]


@patient
@given(total=st.integers(1, 60), weights=st.lists(st.floats(0.01, 100), min_size=1, max_size=6))
def test_largest_remainder_shares_everything_and_is_off_by_less_than_one(total: int, weights: list[float]) -> None:
    shares = largest_remainder(total, weights)
    assert sum(shares) == total
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share - total * weight / sum(weights)) < 1 + 1e-9


@patient
@given(layers=st.integers(1, 30), stages=st.integers(1, 8))
def test_even_cuts_differ_by_one_layer_at_most(layers: int, stages: int) -> None:
    lengths = [stop - start for start, stop in pairwise(even_cuts(layers, stages))]
    assert sum(lengths) == layers
    assert max(lengths) - min(lengths) <= 1
    assert lengths == sorted(lengths, reverse=True)


@patient
@given(st.data())
def test_fastest_cuts_equal_brute_force_and_take_the_earlier_of_equals(data: st.DataObject) -> None:
    layers, stages = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 3))
    if stages > layers:
        return
    row = st.lists(st.integers(1, 5), min_size=layers, max_size=layers)
    costs = data.draw(st.lists(row, min_size=stages, max_size=stages))

    def seconds(p: int, start: int, stop: int) -> float:
        return float(sum(costs[p][start:stop]))

    def slowest_s(lengths: tuple[int, ...]) -> float:
        bounds = [sum(lengths[:p]) for p in range(stages + 1)]
        return max(seconds(p, start, stop) for p, (start, stop) in enumerate(pairwise(bounds)))

    cuts = fastest_cuts(layers, stages, seconds)
    optimum_s = min(map(slowest_s, sums(layers, stages)))
    assert slowest_s(tuple(stop - start for start, stop in pairwise(cuts))) == optimum_s
    if stages == 2:
        assert cuts[1] == min(lengths[0] for lengths in sums(layers, 2) if slowest_s(lengths) == optimum_s)


@patient
@given(
    shares=st.lists(st.integers(1, 8), min_size=1, max_size=4),
    fixed_s=st.lists(st.floats(0, 5), min_size=4, max_size=4),
    each_s=st.lists(st.floats(0.1, 3), min_size=4, max_size=4),
)
def test_straggler_moves_never_slow_the_slowest_and_keep_the_sum(
    shares: list[int], fixed_s: list[float], each_s: list[float]
) -> None:
    def seconds(i: int, share: int) -> float:
        return fixed_s[i] + each_s[i] * share

    def slowest_s(of: tuple[int, ...]) -> float:
        return max(seconds(i, share) for i, share in enumerate(of))

    moved = move_from_stragglers(shares, seconds)
    assert sum(moved) == sum(shares)
    assert min(moved) >= 1
    assert slowest_s(moved) <= slowest_s(tuple(shares))


def test_a_plan_may_use_all_memory_but_the_head_room() -> None:
    problem = a_problem(memory_bytes=1000)
    assert problem.budget_bytes(1) == 1000
    assert replace(problem, head_room=0.25).budget_bytes(1) == 750
