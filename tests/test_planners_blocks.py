"""Do planners that divide blocks give every rank the heads, columns and tokens that it should have?"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import builders
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.cluster import Cluster
from edgesim.errors import PlanError
from edgesim.model import Model
from edgesim.plan import Plan
from edgesim.planners.baselines.even_blocks import even_blocks
from edgesim.planners.baselines.proportional_blocks import proportional_blocks
from edgesim.planners.block_division import capacities
from edgesim.planners.problem import Problem, ask
from edgesim.profile import Point, Profile, estimate
from edgesim.strategies.hybrid_model import hybrid_model
from edgesim.strategies.sequence import sequence
from edgesim.strategies.tensor import tensor
from edgesim.workload import Workload
from edgesim.zoo.bert import bert

HEADS, COLUMNS, TOKENS = 12, 120, 24
repeatable = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def small_bert(heads: int = HEADS) -> Model:
    return bert(name="small", layers=2, hidden=48, heads=heads, columns=COLUMNS, vocabulary=50, positions=TOKENS)


def request(**more: object) -> Workload:
    fields: dict[str, object] = {"batch_samples": 1, "micro_batch_samples": 1, "tokens": TOKENS, "learning_rate": 0.0}
    return Workload(purpose="infer", optimiser="sgd", **(fields | more))  # type: ignore[arg-type]


def a_problem(
    speeds: tuple[float, ...] = (3, 2, 1), *, memory_bytes: float = 1e9, model: Model | None = None, **more: object
) -> Problem:
    """Boards that are so many times as fast at everything; by default a request to a small BERT."""
    model, workload = model or small_bert(), request(**more)
    boards = tuple(
        builders.device(f"d{rank}", flop_per_s=1e9 * speed, memory_bytes=memory_bytes)
        for rank, speed in enumerate(speeds)
    )
    cluster = Cluster(name="boards", devices=boards, network=builders.switched(len(speeds), bytes_per_s=1e7))
    profile = estimate(model, boards, samples=[1], tokens=TOKENS)
    return Problem(model=model, cluster=cluster, profile=profile, workload=workload)


def shares(plan: Plan) -> tuple[tuple[int, ...], ...]:
    """Ranks, heads, columns and tokens of the one stage."""
    (stage,) = plan.stages
    return stage.ranks, stage.heads, stage.columns, stage.tokens


def test_even_blocks_gives_equal_shares_whatever_the_devices_and_what_is_left_to_the_first() -> None:
    problem = a_problem(speeds=(1, 7, 3, 1, 1))
    ranks = (0, 1, 2, 3, 4)
    heads, columns, tokens = (3, 3, 2, 2, 2), (24,) * 5, (5, 5, 5, 5, 4)
    assert shares(even_blocks(problem, units=True, tokens=False)) == (ranks, heads, columns, ())
    assert shares(even_blocks(problem, units=False, tokens=True)) == (ranks, (), (), tokens)
    assert shares(even_blocks(problem, units=True, tokens=True)) == (ranks, heads, columns, tokens)


def test_capacity_is_one_over_the_seconds_of_attention_and_mlp_and_of_nothing_else() -> None:
    """Two layers of 1 + 3 s on d0 and 2 + 2 s on d1; embedding, norms and head would tell them apart."""
    model, cluster = small_bert(), builders.named(2)
    seconds = {"attention": (1, 2), "mlp": (3, 2), "norm_attention": (9, 0), "norm_mlp": (9, 0), "embedding": (9, 0)}
    points = tuple(
        Point(
            block=f"{layer.name}/{block.name}",
            device=f"d{rank}",
            op=op,
            samples=1,
            tokens=TOKENS,
            share=1.0,
            seconds=seconds.get(block.name, (5, 7))[rank] * (1 if op == "F" else 10),
        )
        for layer in model.layers
        for block in layer.blocks
        for op in ("F", "B")
        for rank in (0, 1)
    )
    profile = Profile(model="small", origin="measured", source="test", points=points)  # type: ignore[arg-type]
    infer = Problem(model=model, cluster=cluster, profile=profile, workload=request())
    assert capacities(infer, (0, 1)) == [1 / 8, 1 / 8]
    assert capacities(infer, (1,)) == [1 / 8]
    train = replace(infer, workload=builders.workload(micro_batch_samples=1, tokens=TOKENS))
    assert capacities(train, (0, 1)) == [1 / 88, 1 / 88]


def test_proportional_blocks_divides_by_speed() -> None:
    problem = a_problem(speeds=(3, 2, 1))
    heads, columns, tokens = (6, 4, 2), (60, 40, 20), (12, 8, 4)
    equal, by_speed = (
        shares(proportional_blocks(problem, units=True, tokens=True, connective_tokens=how))
        for how in ("equal", "proportional")
    )
    assert equal == ((0, 1, 2), heads, columns, (8, 8, 8))
    assert by_speed == ((0, 1, 2), heads, columns, tokens)


def test_tokens_go_by_speed_where_nothing_else_is_divided() -> None:
    for how in ("equal", "proportional"):
        plan = proportional_blocks(a_problem(), units=False, tokens=True, connective_tokens=how)
        assert shares(plan) == ((0, 1, 2), (), (), (12, 8, 4))


def test_a_rank_however_slow_gets_a_unit_of_each() -> None:
    plan = proportional_blocks(a_problem(speeds=(1000, 1)), units=True, tokens=True, connective_tokens="proportional")
    assert shares(plan) == ((0, 1), (11, 1), (119, 1), (23, 1))


PLANNERS: dict[str, Callable[..., Plan]] = {
    "even_blocks": even_blocks,
    "proportional_blocks": lambda problem, **how: proportional_blocks(problem, connective_tokens="equal", **how),
}
each_planner = pytest.mark.parametrize("name", PLANNERS)


@each_planner
def test_the_fastest_alone_or_some_ranks_have_everything(name: str) -> None:
    problem = a_problem(speeds=(1, 5, 5))
    alone = PLANNERS[name](problem, units=True, tokens=False, ranks="fastest")
    assert shares(alone) == ((1,), (HEADS,), (COLUMNS,), ())
    two = PLANNERS[name](problem, units=True, tokens=False, ranks=[2, 1])
    assert shares(two) == ((2, 1), (6, 6), (60, 60), ())
    for plan in (alone, two):
        tensor(plan, problem.model, problem.workload)


@each_planner
@pytest.mark.parametrize(("strategy", "units", "tokens"), [(tensor, 1, 0), (sequence, 0, 1), (hybrid_model, 1, 1)])
def test_a_plan_says_where_it_comes_from_and_its_strategy_takes_it(
    name: str, strategy: Callable[..., object], units: int, tokens: int
) -> None:
    problem = a_problem()
    plan = PLANNERS[name](problem, units=bool(units), tokens=bool(tokens))
    assert (plan.planner, plan.proof, plan.profile_hash) == (name, None, problem.profile.hash)
    assert Plan.from_json(plan.to_json()) == plan
    strategy(plan, problem.model, problem.workload)


@each_planner
def test_what_does_not_fit_is_refused_naming_the_device(name: str) -> None:
    whole = a_problem().model.parameter_bytes
    problem = a_problem(speeds=(1, 1), memory_bytes=0.9 * whole)
    ask(partial(PLANNERS[name], units=True, tokens=False), problem)
    with pytest.raises(PlanError, match=r"^out of memory: rank 0 \(d0\) needs .* for layers \(0, 4\), 12t"):
        ask(partial(PLANNERS[name], units=False, tokens=True), problem)
    with pytest.raises(PlanError, match=r"^out of memory: rank 0 .*, 6h 60c .*\(other shares, or more ranks\)"):
        ask(partial(PLANNERS[name], units=True, tokens=False), replace(problem, head_room=0.5))


@each_planner
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"units": False, "tokens": False}, "neither units nor tokens"),
        ({"units": True, "tokens": False, "ranks": [0, 3]}, r"some of \[0, 1, 2\] in cluster boards, got \[0, 3\]"),
        ({"units": True, "tokens": False, "ranks": []}, r"some of \[0, 1, 2\] in cluster boards, got \[\]"),
        ({"units": True, "tokens": False, "ranks": "best"}, "unknown ranks 'best'"),
    ],
)
def test_what_cannot_be_divided_so_is_refused(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        PLANNERS[name](a_problem(), **options)


@each_planner
def test_more_ranks_than_heads_are_refused_by_name(name: str) -> None:
    problem = a_problem(speeds=(1, 1, 1), model=small_bert(heads=2))
    with pytest.raises(PlanError, match=r"rank 2 \(d2\) would get none of the 2 heads"):
        PLANNERS[name](problem, units=True, tokens=False)


def test_unknown_tokens_of_connective_blocks_are_refused() -> None:
    with pytest.raises(PlanError, match="unknown connective_tokens 'even'"):
        proportional_blocks(a_problem(), units=True, tokens=True, connective_tokens="even")  # type: ignore[arg-type]


def test_a_model_without_attention_is_refused() -> None:
    problem = a_problem(model=builders.chain(3))
    with pytest.raises(PlanError, match="chain3 lacks attention or MLP"):
        even_blocks(problem, units=True, tokens=False)


@repeatable
@given(speeds=st.lists(st.floats(0.1, 10), min_size=1, max_size=6).map(tuple), scale=st.sampled_from([0.5, 2.0, 8.0]))
def test_shares_add_up_and_depend_on_ratios_of_speed_only(speeds: tuple[float, ...], scale: float) -> None:
    plans = [
        shares(
            proportional_blocks(
                a_problem(tuple(factor * speed for speed in speeds)),
                units=True,
                tokens=True,
                connective_tokens="proportional",
            )
        )
        for factor in (1.0, scale)
    ]
    assert plans[0] == plans[1]
    _, heads, columns, tokens = plans[0]
    assert (sum(heads), sum(columns), sum(tokens)) == (HEADS, COLUMNS, TOKENS)
    assert min(*heads, *columns, *tokens, 99) >= 1
