"""Is the integer programme's division of blocks the best there is, by the seconds that the simulator plays?"""

import random
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations, product
from time import perf_counter

import block_builders as blocks
import builders
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgesim.apportion import at_least_one
from edgesim.cluster import Cluster, Network
from edgesim.errors import InfeasibleError, PlanError, ProfileError
from edgesim.model import Model, SplitBy
from edgesim.plan import Plan, Stage
from edgesim.planners.baselines.even_blocks import even_blocks
from edgesim.planners.baselines.proportional_blocks import proportional_blocks
from edgesim.planners.cost_models.block_time import BlockCosts, BlockLatency, block_latency_s
from edgesim.planners.cost_models.least_work import LEAST_WORK
from edgesim.planners.cost_models.phase_counts import phases
from edgesim.planners.exact.blocks import search as block_search
from edgesim.planners.exact.blocks.explain import lacking_bytes
from edgesim.planners.exact.blocks.feasibility import Feasibility
from edgesim.planners.exact.blocks.first_division import Shares
from edgesim.planners.exact.blocks.ilp_blocks import ilp_blocks
from edgesim.planners.exact.blocks.memory_rows import Divisible, held_at, memory_rows, rounding_bytes, share_of
from edgesim.planners.exact.blocks.milp import BlockMilp
from edgesim.planners.exact.blocks.tables import PhaseSeconds, Tables
from edgesim.planners.exact.blocks.teams import teams
from edgesim.planners.literature.galaxy import galaxy
from edgesim.planners.problem import Problem
from edgesim.profile import Profile, estimate
from edgesim.proof import OPTIMAL_GAP, Status
from edgesim.simulator import simulate
from edgesim.workload import Optimiser, Purpose, Workload
from edgesim.zoo.bert import bert
from edgesim.zoo.llama import llama

repeatable = settings(max_examples=60, deadline=None, derandomize=True, database=None)
HEADS, COLUMNS, TOKENS = 4, 6, 6
TOTALS = {SplitBy.HEADS: HEADS, SplitBy.COLUMNS: COLUMNS, SplitBy.TOKENS: TOKENS}
WAYS = {"tensor": (True, False), "sequence": (False, True), "hybrid_model": (True, True)}


def small_bert() -> Model:
    return bert(name="small", layers=2, hidden=24, heads=HEADS, columns=COLUMNS, vocabulary=11, positions=8)


def request(**more: object) -> Workload:
    fields: dict[str, object] = {"batch_samples": 1, "micro_batch_samples": 1, "tokens": TOKENS, "learning_rate": 0.0}
    return Workload(purpose="infer", optimiser="sgd", **(fields | more))  # type: ignore[arg-type]


def a_problem(
    speeds: Sequence[float] = (3, 2, 1),
    *,
    memory_bytes: Sequence[float] = (1e9, 1e9, 1e9),
    network: Network | None = None,
    bytes_per_s: float = 1e6,
    model: Model | None = None,
    **more: object,
) -> Problem:
    """Boards that are so many times as fast at everything; equal ones have the same name."""
    model, workload = model or small_bert(), request(**more)
    boards = tuple(
        builders.device(f"d{speed:g}", flop_per_s=1e8 * speed, memory_bytes=nbytes)
        for speed, nbytes in zip(speeds, memory_bytes, strict=False)
    )
    joined = network or builders.switched(len(boards), bytes_per_s=bytes_per_s, latency_s=1e-5)
    cluster = Cluster(name="boards", devices=boards, network=joined)
    profile = estimate(model, boards, samples=[workload.micro_batch_samples], tokens=workload.tokens)
    return Problem(model=model, cluster=cluster, profile=profile, workload=workload)


def splits(total: int, ranks: int) -> Iterator[tuple[int, ...]]:
    """All ways to share out, at least one each."""
    for cuts in combinations(range(1, total), ranks - 1):
        yield tuple(b - a for a, b in zip((0, *cuts), (*cuts, total), strict=True))


def all_plans(problem: Problem, way: str, *, leave_out: bool) -> Iterator[Plan]:
    """Every plan that fits."""
    units, tokens = WAYS[way]
    wanted = {by: total for by, total in TOTALS.items() if (tokens if by is SplitBy.TOKENS else units)}
    everybody = tuple(problem.ranks)
    sizes = range(1, len(everybody) + 1) if leave_out else [len(everybody)]
    samples, micro_batches = problem.workload.micro_batch_samples, problem.workload.micro_batches
    for size in sizes:

        @cache
        def need_bytes(*amounts: int, size: int = size) -> float:
            share = share_of(wanted, dict(zip(wanted, amounts, strict=True)))
            return held_at(problem, share, ranks=size, context_bytes=0).total_bytes

        for ranks, divisions in product(
            combinations(everybody, size), product(*(splits(total, size) for total in wanted.values()))
        ):
            room = [problem.cluster.devices[rank].memory_bytes for rank in ranks]
            if all(need_bytes(*own) <= limit for own, limit in zip(zip(*divisions, strict=True), room, strict=True)):
                stage = Stage(
                    layers=(0, len(problem.model.layers)),
                    ranks=ranks,
                    samples=(samples,) * size,
                    in_flight=1,
                    **dict(zip(wanted, divisions, strict=True)),
                )
                yield Plan(
                    model=problem.model.name,
                    stages=(stage,),
                    micro_batches=micro_batches,
                    micro_batch_samples=samples,
                    planner="all",
                )


def least_s(problem: Problem, way: str, *, overlap: bool, leave_out: bool = False) -> float | None:
    units, tokens = WAYS[way]
    seconds = BlockLatency(problem, units=units, tokens=tokens, overlap=overlap)
    return min(map(seconds, all_plans(problem, way, leave_out=leave_out)), default=None)


def planned(problem: Problem, way: str, **options: object) -> Plan:
    units, tokens = WAYS[way]
    return ilp_blocks(problem, units=units, tokens=tokens, **options)  # type: ignore[arg-type]


def assert_is_least(problem: Problem, way: str, *, overlap: bool, leave_out: bool) -> None:
    best_s = least_s(problem, way, overlap=overlap, leave_out=leave_out)
    if best_s is None:
        with pytest.raises(InfeasibleError, match="out of memory"):
            planned(problem, way, overlap=overlap, leave_out=leave_out)
        return
    plan = planned(problem, way, overlap=overlap, leave_out=leave_out)
    assert plan.proof.status is Status.OPTIMAL
    assert plan.proof.value == pytest.approx(best_s, rel=1e-5)
    assert plan.proof.value == block_latency_s(problem, plan, overlap=overlap) == plan.predicted_s
    assert plan.proof.bound is not None
    assert plan.proof.bound <= best_s * (1 + 1e-9)
    assert plan.proof.bound == pytest.approx(best_s, rel=1e-5)


# The small BERT takes 29.6 kB; of two ranks each holds 18.3 to 24.7 kB, of three 17.2 to 19.3 kB.
MEMORIES = st.lists(st.sampled_from([17.7e3, 18.5e3, 20e3, 23e3, 1e9]), min_size=3, max_size=3)
SPEEDS = st.lists(st.sampled_from([1.0, 1.5, 4.0]), min_size=2, max_size=3)
RATES = st.sampled_from([3e4, 1e6, 1e9])


@repeatable
@given(SPEEDS, MEMORIES, RATES, st.sampled_from(["tensor", "sequence"]), st.booleans())
def test_no_division_of_units_or_tokens_is_faster(
    speeds: list[float], memories: list[float], rate: float, way: str, leave_out: bool
) -> None:
    problem = a_problem(speeds, memory_bytes=memories, bytes_per_s=rate)
    assert_is_least(problem, way, overlap=False, leave_out=leave_out)


@repeatable
@example([1.0, 4.0, 4.0], [17.7e3] * 3, 3e4, False, False)  # where HiGHS 1.16 handed a start back
@given(SPEEDS, MEMORIES, RATES, st.booleans(), st.booleans())
def test_no_division_of_all_three_is_faster_with_and_without_overlap(
    speeds: list[float], memories: list[float], rate: float, overlap: bool, leave_out: bool
) -> None:
    problem = a_problem(speeds, memory_bytes=memories, bytes_per_s=rate)
    assert_is_least(problem, "hybrid_model", overlap=overlap, leave_out=leave_out)


SHARES = st.fixed_dictionaries({by: st.integers(1, total - 1) for by, total in TOTALS.items()})
ENDS = st.lists(st.tuples(SHARES, st.sampled_from([-0.4, 0.0, 0.4, 2.0])), min_size=3, max_size=3)


@repeatable
@given(SPEEDS, ENDS, st.sampled_from(list(WAYS)), st.sampled_from([Purpose.TRAIN, Purpose.INFER]), st.booleans())
def test_no_division_is_faster_where_memory_ends_at_what_a_share_needs(
    speeds: list[float], ends: list[tuple[dict[SplitBy, int], float]], way: str, purpose: Purpose, leave_out: bool
) -> None:
    """Just below, at, and just above. Eleven words go with six columns, so that needs are rounded."""
    units, tokens = WAYS[way]
    totals = {by: total for by, total in TOTALS.items() if (tokens if by is SplitBy.TOKENS else units)}
    problem = a_problem(speeds)
    problem = replace(problem, workload=replace(problem.workload, purpose=purpose))
    devices = tuple(
        replace(
            device,
            memory_bytes=beyond_bytes
            + held_at(problem, share_of(totals, share), ranks=len(speeds), context_bytes=0.0).total_bytes,
        )
        for device, (share, beyond_bytes) in zip(problem.cluster.devices, ends, strict=False)
    )
    problem = replace(problem, cluster=replace(problem.cluster, devices=devices))
    assert_is_least(problem, way, overlap=False, leave_out=leave_out)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("purpose", [Purpose.TRAIN, Purpose.INFER])
def test_iterations_of_training_and_several_micro_batches_are_divided_as_well(way: str, purpose: Purpose) -> None:
    problem = a_problem((4, 1), batch_samples=2)
    problem = replace(problem, workload=replace(problem.workload, purpose=purpose))
    assert_is_least(problem, way, overlap=False, leave_out=True)


@pytest.mark.parametrize("way", ["tensor", "hybrid_model"])
def test_generated_tokens_count(way: str) -> None:
    model = llama(
        name="small", layers=2, hidden=24, heads=8, groups=4, columns=6, vocabulary=11, positions=16, tied=False
    )
    problem = a_problem((4, 1), model=model, new_tokens=4)
    assert_is_least(problem, way, overlap=way == "hybrid_model", leave_out=True)


def test_heads_that_share_keys_and_values_stay_together() -> None:
    model = llama(
        name="small", layers=2, hidden=24, heads=12, groups=4, columns=6, vocabulary=11, positions=8, tied=False
    )
    problem = a_problem((3, 2, 1), model=model)
    assert_is_least(problem, "hybrid_model", overlap=True, leave_out=False)
    (stage,) = planned(problem, "hybrid_model").stages
    assert sum(stage.heads) == 4


UNEVEN = {
    "a slow card": Network.switched(
        transmit_bytes_per_s=[1e6, 3e4, 1e6],
        latency_s=1e-5,
        goodput=1.0,
        origin="assumed",
        source="test",
        acknowledgement=0.02,
        hand_over_s=0.0003,
        step_s=0.0004,
    ),
    "air": builders.radio(3, bytes_per_s=1e6, latency_s=1e-5),
    "pairs": Network.pairs(
        bytes_per_s=[[1, 1e6, 1e5], [2e6, 1, 1e6], [1e6, 3e4, 1]],
        latency_s=1e-5,
        goodput=0.9,
        origin="assumed",
        source="test",
    ),
}


@pytest.mark.parametrize("network", UNEVEN.values(), ids=UNEVEN)
@pytest.mark.parametrize(("way", "overlap"), [("tensor", False), ("sequence", False), ("hybrid_model", True)])
def test_who_stays_out_depends_on_the_network_too(way: str, overlap: bool, network: Network) -> None:
    problem = a_problem((2, 3, 3), memory_bytes=(23e3, 23e3, 23e3), network=network)
    assert_is_least(problem, way, overlap=overlap, leave_out=True)


def test_a_slow_device_stays_out_if_it_may() -> None:
    problem = a_problem((100, 1, 1), bytes_per_s=1e4)
    assert planned(problem, "tensor", leave_out=True).ranks == (0,)
    assert planned(problem, "tensor").ranks == (0, 1, 2)


# --- certificates ---


@pytest.mark.parametrize("leave_out", [False, True])
@pytest.mark.parametrize(
    ("way", "overlap"), [("sequence", False), ("hybrid_model", False), ("hybrid_model", True), ("tensor", False)]
)
@pytest.mark.parametrize("rate", [3e4, 1e6, 1e9])
def test_no_plan_is_below_the_bound_of_its_largest_tile_or_outside_the_windows_of_its_seconds(
    way: str, overlap: bool, rate: float, leave_out: bool
) -> None:
    problem = a_problem(
        (4, 1, 1.5), memory_bytes=(20e3, 23e3, 1e9) if way == "tensor" else (1e9,) * 3, bytes_per_s=rate
    )
    units, tokens = WAYS[way]
    totals = {by: total for by, total in TOTALS.items() if (tokens if by is SplitBy.TOKENS else units)}
    counts = phases(problem, units=units, tokens=tokens, overlap=overlap)
    division = Divisible(totals=totals, multiples=dict.fromkeys(totals, 1))
    phase_seconds = PhaseSeconds(BlockCosts(problem, heads=HEADS, columns=COLUMNS), division)
    seconds = BlockLatency(problem, units=units, tokens=tokens, overlap=overlap)
    by_size = {
        team.size: Feasibility(Tables(phase_seconds, counts, team))
        for team in teams(problem, tuple(problem.ranks), leave_out=leave_out, most=3)
    }
    for plan in all_plans(problem, way, leave_out=leave_out):
        (stage,), value_s, feasibility = plan.stages, seconds(plan), by_size[len(plan.ranks)]
        largest = max(stage.tokens, default=0)
        assert feasibility.tiles.bound_s(largest, largest) <= value_s * (1 + 1e-9)
        assert feasibility.separate_bound_s <= feasibility.bound_s * (1 + 1e-9) <= value_s * (1 + 2e-9)
        windows = feasibility.within(value_s * (1 + 1e-7))
        shares = {SplitBy.HEADS: stage.heads, SplitBy.COLUMNS: stage.columns, SplitBy.TOKENS: stage.tokens}
        for by, windows_of in windows.items():
            for rank, amount in zip(stage.ranks, shares[by], strict=True):
                assert windows_of[rank][feasibility.tables.amounts[by].index(amount)]


@pytest.mark.parametrize("overlap", [False, True])
def test_no_other_planner_beats_its_bound(overlap: bool) -> None:
    """12 heads, 60 columns one by one, 24 tokens."""
    model = bert(name="mid", layers=3, hidden=48, heads=12, columns=60, vocabulary=50, positions=24)
    for speeds in ((3, 2, 1), (1, 1, 1), (5, 1, 1)):
        problem = a_problem(speeds, model=model, tokens=24)
        plan = planned(problem, "hybrid_model", overlap=overlap)
        bound_s = plan.proof.bound
        assert bound_s is not None
        for other in (
            galaxy(problem),
            proportional_blocks(problem, units=True, tokens=True, connective_tokens="equal"),
            proportional_blocks(problem, units=True, tokens=True, connective_tokens="proportional"),
            even_blocks(problem, units=True, tokens=True),
        ):
            assert block_latency_s(problem, other, overlap=overlap) >= bound_s * (1 - 1e-9)


@pytest.mark.parametrize("time_limit_s", [1e-9, 1e-3])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("leave_out", [False, True])
def test_at_the_time_limit_there_is_a_plan_and_a_bound_and_nothing_is_called_optimal_without_proof(
    way: str, time_limit_s: float, leave_out: bool
) -> None:
    """The fastest by far cannot hold its share by speed."""
    problem = a_problem((9, 2, 1), memory_bytes=(15e3, 18e3, 18e3) if way != "sequence" else (1e9,) * 3)
    best_s = least_s(problem, way, overlap=False, leave_out=leave_out)
    assert best_s is not None
    plan = planned(problem, way, time_limit_s=time_limit_s, leave_out=leave_out)
    problem.check(plan)
    assert plan.proof.bound is not None
    assert plan.proof.bound <= best_s * (1 + 1e-9)
    assert best_s * (1 - 1e-9) <= plan.proof.value
    if plan.proof.status is Status.OPTIMAL:
        assert plan.proof.value == pytest.approx(best_s, rel=OPTIMAL_GAP)


def test_without_time_shares_are_by_speed_in_whole_tiles_of_columns_and_what_does_not_fit_has_moved() -> None:
    def in_no_time(memory_bytes: float, *, leave_out: bool = False) -> Plan:
        problem = a_problem((4, 1, 1), memory_bytes=(memory_bytes, 1e9, 1e9))
        return planned(problem, "tensor", time_limit_s=1e-9, column_unit=2, leave_out=leave_out)

    (rich,), (poor,) = in_no_time(1e9).stages, in_no_time(14e3).stages
    assert (rich.heads, rich.columns) == ((2, 1, 1), (2, 2, 2))
    assert (poor.heads, poor.columns) == ((1, 2, 1), (2, 2, 2))
    alone = in_no_time(1e9, leave_out=True)
    assert alone.proof.method.startswith("shares by speed")
    assert alone.proof.solver == LEAST_WORK  # one rank exchanges nothing, so that exchanges bound nothing


def test_where_shares_by_speed_do_not_fit_either_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shares, "fit", lambda _: False)
    with pytest.raises(
        PlanError, match=r"no plan within 1e-09 s, and shares by speed do not fit \(raise time_limit_s\)"
    ):
        planned(a_problem((3, 2, 1)), "hybrid_model", time_limit_s=1e-9)


@pytest.mark.parametrize("way", WAYS)
def test_the_same_problem_has_the_same_plan(way: str) -> None:
    """Ties everywhere: equal devices, and whoever of the solvers is first."""
    plans = {
        planned(a_problem((2, 2, 2), memory_bytes=(18e3, 18e3, 18e3) if way != "sequence" else (1e9,) * 3), way).stages
        for _ in range(4)
    }
    assert len(plans) == 1


@pytest.mark.parametrize("way", WAYS)
def test_the_plan_does_not_depend_on_the_solver_that_is_first(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = block_search.solve
    for speeds, nbytes in (((2, 2, 2), 18e3), ((4, 2, 1), 18.5e3), ((3, 3, 1), 1e9)):
        problem = a_problem(speeds, memory_bytes=(nbytes if way != "sequence" else 1e9,) * 3)
        plans = set[tuple[Stage, ...]]()
        for solver in ("CBC", "HiGHS"):
            # Without its own choice of solvers a call is a race, which this one wins.
            monkeypatch.setattr(block_search, "solve", lambda p, s=solver, **how: asked(p, **({"solvers": (s,)} | how)))
            plans.add(planned(problem, way).stages)
        assert len(plans) == 1


@pytest.mark.parametrize(
    ("way", "memory_bytes"),
    [("tensor", (13579.6, 14155.6, 18907.6)), ("hybrid_model", (14251.6, 17947.6, 17563.6))],
)
def test_after_answers_that_need_half_a_byte_too_much_the_plan_does_not_depend_on_the_solver_either(
    way: str, memory_bytes: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, forbid = block_search.solve, BlockMilp.forbid
    refused = list[object]()
    plans = set[tuple[Stage, ...]]()
    for solver in ("CBC", "HiGHS"):
        monkeypatch.setattr(block_search, "solve", lambda p, s=solver, **how: asked(p, **({"solvers": (s,)} | how)))
        monkeypatch.setattr(BlockMilp, "forbid", lambda *what: (refused.append(what), forbid(*what)))
        plans.add(planned(a_problem((2, 2, 1), memory_bytes=memory_bytes), way).stages)
    assert refused
    assert len(plans) == 1


def test_a_search_that_only_finds_what_does_not_fit_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Feasibility, "holds", lambda *_: False)
    model = bert(name="mid", layers=3, hidden=48, heads=12, columns=60, vocabulary=50, positions=24)
    began_s = perf_counter()
    plan = planned(a_problem((3, 2, 1), model=model, tokens=24), "hybrid_model", time_limit_s=0.5)
    assert perf_counter() - began_s < 5
    assert plan.proof.status is Status.FEASIBLE


def test_equal_devices_have_no_fewer_heads_the_lower_their_rank() -> None:
    (stage,) = planned(a_problem((2, 2, 2)), "tensor").stages
    assert stage.heads == (2, 1, 1)


# --- tiles ---


def test_columns_come_in_tiles_and_the_proof_says_so() -> None:
    problem = a_problem()
    plan = planned(problem, "tensor", column_unit=2)
    assert plan.stages[0].columns == (2, 2, 2)
    assert plan.proof.details == "columns in tiles of 2"
    with pytest.raises(PlanError, match="column_unit=4 does not divide the 6 columns"):
        planned(problem, "tensor", column_unit=4)
    with pytest.raises(PlanError, match=r"3 ranks divide 4 heads, 2 columns, and each needs one .*column_unit"):
        planned(problem, "tensor", column_unit=3)


def test_at_most_64_tiles_are_made_unless_no_divisor_is_of_use() -> None:
    def unit_of(columns: int) -> str:
        model = bert(name="wide", layers=1, hidden=24, heads=4, columns=columns, vocabulary=11, positions=8)
        return planned(a_problem((2, 1), model=model), "tensor").proof.details.partition("tiles of ")[2]

    assert unit_of(128) == "2"
    assert unit_of(96) == "2"
    assert unit_of(101) == ""


# --- memory ---


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("purpose", [Purpose.TRAIN, Purpose.INFER])
@pytest.mark.parametrize("name", blocks.MODELS)
def test_memory_is_linear_in_every_share_but_for_the_largest_of_several_needs(
    way: str, purpose: Purpose, name: str
) -> None:
    model = blocks.MODELS[name]
    problem = a_problem((3, 2, 1), model=model, tokens=blocks.TOKENS)
    problem = replace(problem, workload=replace(problem.workload, purpose=purpose))
    units, tokens = WAYS[way]
    totals = {SplitBy.HEADS: blocks.heads_of(model), SplitBy.COLUMNS: blocks.COLUMNS} if units else {}
    totals |= {SplitBy.TOKENS: blocks.TOKENS} if tokens else {}
    rows, draw = memory_rows(problem, totals, ranks=3), random.Random(name)
    for _ in range(10):
        amounts = {by: draw.randint(1, total - 2) for by, total in totals.items()}
        held = held_at(problem, share_of(totals, amounts), ranks=3, context_bytes=0.0)
        assert max(row.at(amounts) for row in rows) == pytest.approx(held.total_bytes, rel=2e-3)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("purpose", [Purpose.TRAIN, Purpose.INFER])
@pytest.mark.parametrize("name", blocks.MODELS)
@pytest.mark.parametrize("optimiser", [Optimiser.SGD, Optimiser.ADAM])
def test_rows_of_memory_are_never_above_what_is_held_and_at_most_its_rounding_below(
    way: str, purpose: Purpose, name: str, optimiser: Optimiser
) -> None:
    """41 words go with 20 columns, unless they are embedding's. Who has no less of anything holds no less."""
    model, (units, tokens) = blocks.MODELS[name], WAYS[way]
    problem = a_problem((3, 2, 1), model=model, tokens=blocks.TOKENS)
    problem = replace(problem, workload=replace(problem.workload, purpose=purpose, optimiser=optimiser))
    totals = {SplitBy.HEADS: blocks.heads_of(model), SplitBy.COLUMNS: blocks.COLUMNS} if units else {}
    totals |= {SplitBy.TOKENS: blocks.TOKENS} if tokens else {}
    rows, draw = memory_rows(problem, totals, ranks=3), random.Random(name)
    rounded = rounding_bytes(problem, totals)
    assert (rounded > 0) == (units and name in blocks.CHAINS)

    def held_bytes(amounts: dict[SplitBy, int]) -> float:
        return held_at(problem, share_of(totals, amounts), ranks=3, context_bytes=0.0).total_bytes

    for _ in range(30):
        amounts = {by: draw.randint(1, total - 2) for by, total in totals.items()}
        row, held = max(row.at(amounts) for row in rows), held_bytes(amounts)
        assert row * (1 - 1e-12) <= held <= (row + 2 * rounded) * (1 + 1e-12)
        for by, total in totals.items():
            if amounts[by] < total - 2:
                assert held <= held_bytes(amounts | {by: amounts[by] + 1})


# --- refusals ---


def test_stars_are_refused() -> None:
    with pytest.raises(PlanError, match=r"around a ring, not over a star \(say strategy.exchange=ring"):
        planned(a_problem(), "tensor", exchange="star")


def test_what_does_not_fit_says_who_lacks_how_much_and_with_that_it_fits() -> None:
    problem = a_problem((3, 2, 1), memory_bytes=(17e3, 17e3, 17e3))
    with pytest.raises(InfeasibleError, match=r"rank \d \(d\d\) lacks [\d.]+ k?B beside the 17 kB") as refused:
        planned(problem, "tensor")
    assert "give it that much more" in str(refused.value)
    with pytest.raises(InfeasibleError, match="out of memory"):
        planned(problem, "tensor", leave_out=True)


def test_with_what_is_lacking_added_there_is_a_plan() -> None:
    problem = a_problem((3, 2, 1), memory_bytes=(17e3, 17e3, 17e3))
    lacking = _lacking(problem)
    assert max(lacking) > 0

    def with_memory(extra: float) -> Problem:
        boards = tuple(
            replace(board, memory_bytes=board.memory_bytes + lacks * extra)
            for board, lacks in zip(problem.cluster.devices, lacking, strict=True)
        )
        return replace(problem, cluster=replace(problem.cluster, devices=boards))

    planned(with_memory(1.001), "tensor")
    with pytest.raises(InfeasibleError):
        planned(with_memory(0.99), "tensor")


def _lacking(problem: Problem) -> list[float]:
    totals = {SplitBy.HEADS: HEADS, SplitBy.COLUMNS: COLUMNS}
    division = Divisible(totals=totals, multiples=dict.fromkeys(totals, 1))
    return list(lacking_bytes(problem, tuple(problem.ranks), division).values())


def test_dividing_nothing_is_refused() -> None:
    with pytest.raises(PlanError, match="ilp_blocks is told to divide neither units nor tokens"):
        ilp_blocks(a_problem(), units=False, tokens=False)


def test_more_ranks_than_heads_are_refused_unless_some_may_stay_out() -> None:
    problem = a_problem((1,) * 5, memory_bytes=(1e9,) * 5)
    with pytest.raises(PlanError, match="5 ranks divide 4 heads, 6 columns, and each needs one"):
        planned(problem, "tensor")
    assert len(planned(problem, "tensor", leave_out=True).ranks) <= 4


def test_a_profile_without_the_shares_is_refused() -> None:
    problem = a_problem()
    measured = Profile(model="small", origin=problem.profile.origin, source="test", points=problem.profile.points)
    with pytest.raises(ProfileError, match=r"with share 0\.25 .*profile more shares"):
        planned(replace(problem, profile=measured), "tensor")


def test_many_ranks_on_unequal_links_cannot_be_left_out_one_by_one() -> None:
    n = 11
    rates = [[1e6 + 10 * i + j for j in range(n)] for i in range(n)]
    network = Network.pairs(bytes_per_s=rates, latency_s=0.0, goodput=1.0, origin="assumed", source="test")
    problem = a_problem((1,) * n, memory_bytes=(1e9,) * n, network=network)
    with pytest.raises(PlanError, match="too many rings"):
        planned(problem, "tensor", leave_out=True)


# --- the evaluator ---


def errors(way: str, *, overlap: bool = False, purpose: Purpose = Purpose.INFER, equal_tokens: bool) -> list[float]:
    """Relative, over random splits among two to four devices of random speeds, on random rates."""
    draw, relative_errors = random.Random(f"{way} {overlap} {purpose}"), list[float]()
    for name, model in blocks.CHAINS.items():
        for n, _ in product((2, 3, 4), range(4)):
            weights = [draw.uniform(0.5, 1) for _ in range(n)]
            network = builders.switched(n, bytes_per_s=10 ** draw.uniform(5, 7), latency_s=1e-4)
            cluster = blocks.boards(n, network, flop_per_s=[1e8 * weight for weight in weights])
            plan = blocks.block_plan(
                model,
                way,
                n,
                heads=at_least_one(blocks.heads_of(model), weights),
                columns=at_least_one(blocks.COLUMNS, weights),
                tokens=() if equal_tokens else at_least_one(blocks.TOKENS, weights),
            )
            workload = blocks.asked_of(plan, purpose=purpose)
            how = {"overlap": overlap} if way == "hybrid_model" else {}
            schedule = blocks.write(plan, model, way, purpose=purpose, **how)
            profile = estimate(model, cluster.devices, samples=[blocks.SAMPLES], tokens=blocks.TOKENS)
            trace = simulate(schedule, cluster=cluster, model=model, profile=profile, tokens=blocks.TOKENS)
            problem = Problem(model=model, cluster=cluster, profile=profile, workload=workload)
            relative_errors.append(abs(block_latency_s(problem, plan, overlap=overlap) / trace.makespan_s - 1))
            assert name == model.name
    return relative_errors


@pytest.mark.parametrize(
    ("way", "overlap", "purpose", "equal_tokens", "median", "worst"),
    [
        ("tensor", False, Purpose.INFER, True, 0.001, 0.005),
        ("tensor", False, Purpose.TRAIN, True, 0.002, 0.02),
        ("hybrid_model", False, Purpose.INFER, True, 0.01, 0.1),
        ("hybrid_model", True, Purpose.INFER, True, 0.01, 0.1),
        ("hybrid_model", True, Purpose.INFER, False, 0.03, 0.2),
        ("hybrid_model", False, Purpose.TRAIN, True, 0.01, 0.1),
        ("sequence", False, Purpose.INFER, False, 0.06, 0.2),
        ("sequence", False, Purpose.TRAIN, False, 0.04, 0.1),
    ],
)
def test_what_is_added_up_is_what_the_simulator_plays(
    way: str, overlap: bool, purpose: Purpose, equal_tokens: bool, median: float, worst: float
) -> None:
    relative = errors(way, overlap=overlap, purpose=purpose, equal_tokens=equal_tokens)
    print(f"{way} {overlap} {purpose}: median {statistics.median(relative):.4f}, worst {max(relative):.4f}")
    assert statistics.median(relative) < median
    assert max(relative) < worst


def test_a_plan_that_divides_no_blocks_is_refused() -> None:
    problem = a_problem()
    plan = builders.data_plan(problem.model, (1, 1))
    with pytest.raises(PlanError, match="does not divide blocks in one stage"):
        block_latency_s(problem, plan, overlap=False)


def test_seconds_of_one_division_are_not_asked_of_a_plan_with_another() -> None:
    problem = a_problem((2, 1))
    plan = even_blocks(problem, units=True, tokens=False)
    seconds = BlockLatency(problem, units=True, tokens=True, overlap=False)
    with pytest.raises(PlanError, match="these phases divide heads and columns and tokens in one stage, the plan says"):
        seconds(plan)


def test_generating_with_tokens_alone_is_refused() -> None:
    model = llama(
        name="small", layers=2, hidden=24, heads=8, groups=4, columns=6, vocabulary=11, positions=16, tied=False
    )
    with pytest.raises(PlanError, match="tokens are generated by one rank alone"):
        planned(a_problem((2, 1), model=model, new_tokens=3), "sequence")
