"""Do the integer programmes and the dynamic programmes of the literature agree where both minimise the same?

Each dynamic programme has an objective and a family of its own. So every test says where they are those of the integer
programme: of very many micro-batches only the slowest step counts, empty messages take no time, and a planner that
knows one order of devices is asked about all.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise, permutations, product
from math import inf

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from test_ilp_blocks import WAYS, planned
from test_ilp_blocks import a_problem as a_block_problem
from test_planners_literature import OUTPUT, RATE, SPEED, TO_TRAIN, WEIGHT, WORK, a_problem, answer_of, problems

from edgesim.errors import InfeasibleError
from edgesim.model import BlockKind, Model, SplitBy
from edgesim.plan import Depth, Plan
from edgesim.planners.cost_models.block_time import BlockCosts, block_latency_s, ring
from edgesim.planners.cost_models.phase_counts import phases
from edgesim.planners.cost_models.pipeline_time import iteration_s
from edgesim.planners.exact.blocks.memory_rows import held_at, share_of
from edgesim.planners.exact.certify import depth_of
from edgesim.planners.exact.pipelines.ilp_hybrid_pipeline import ilp_hybrid_pipeline
from edgesim.planners.literature.asteroid import asteroid
from edgesim.planners.literature.dapple import dapple
from edgesim.planners.literature.eco_fl import eco_fl
from edgesim.planners.literature.galaxy import galaxy
from edgesim.planners.literature.hetpipe import hetpipe
from edgesim.planners.literature.pac import pac
from edgesim.planners.literature.pipedream import pipedream
from edgesim.planners.literature.pipeedge import pipeedge
from edgesim.planners.literature.prima import prima
from edgesim.planners.problem import Problem
from edgesim.proof import Status
from edgesim.workload import Purpose
from edgesim.zoo.bert import bert

repeatable = settings(max_examples=25, deadline=None, derandomize=True, database=None)
MANY = 10**6  # micro-batches: once through the pipeline is a few millionths of an iteration
ONLY_THE_SLOWEST = 1e-4  # relative: what then is left of all but the slowest step, and solvers' tolerances
Ranks = tuple[int, ...]


def of_ranks(problem: Problem, ranks: Sequence[int]) -> Problem:
    """The same for these devices alone, in this order, and their NICs."""
    cluster = problem.cluster
    rates = tuple(tuple(way[rank] for rank in ranks) for way in cluster.network.bytes_per_s)
    latency_s = tuple(tuple(cluster.network.latency_s[a][b] for b in ranks) for a in ranks)
    network = replace(cluster.network, bytes_per_s=rates, latency_s=latency_s)
    devices = tuple(cluster.devices[rank] for rank in ranks)
    return replace(problem, cluster=replace(cluster, devices=devices, network=network))


def all_orders(problem: Problem) -> Iterator[Ranks]:
    """Of all choices of devices."""
    for count in range(1, len(problem.ranks) + 1):
        yield from permutations(problem.ranks, count)


def slowest_stage_s(problem: Problem, plan: Plan) -> float:
    """Seconds of a micro-batch there and back in the slowest stage, by the profile."""
    return max(
        problem.seconds(rank=rank, layers=stage.layers, samples=share)
        for stage in plan.stages
        for rank, share in zip(stage.ranks, stage.samples, strict=True)
    )


def slowest_message_s(problem: Problem, plan: Plan) -> float:
    """Seconds of a micro-batch's activations on the slowest way from a stage of one rank to the next; 0 without any."""
    layers, samples, network = problem.model.layers, problem.workload.micro_batch_samples, problem.cluster.network
    return max(
        (
            layers[before.layers[1] - 1].output_bytes(samples, problem.workload.tokens)
            / network.goodput_bytes_per_s(before.ranks[0], after.ranks[0])
            for before, after in pairwise(plan.stages)
        ),
        default=0.0,
    )


def found_by(planner: Callable[[Problem], Plan], problem: Problem, judge: Callable[[Problem, Plan], float]) -> float:
    """Seconds of the planner's plan as they are judged; ∞ where nothing fits."""
    try:
        return judge(problem, planner(problem))
    except InfeasibleError:
        return inf


def own_value(_: Problem, plan: Plan) -> float:
    """By the planner's own objective."""
    assert plan.proof.value is not None
    return plan.proof.value


def several(draw: st.DrawFn, of: st.SearchStrategy[float], size: int) -> list[float]:
    return draw(st.lists(of, min_size=size, max_size=size))


# --- requests ---


@st.composite
def requests(draw: st.DrawFn, *, devices: int, layers: int, micro_batches: int) -> Problem:
    """Unequal devices, NICs and layers. Messages are held for all micro-batches, so that memory is large; it binds."""
    count, length = draw(st.integers(3, devices)), draw(st.integers(3, layers))
    scale = micro_batches * 6000
    return a_problem(
        several(draw, SPEED, count),
        work=several(draw, WORK, length),
        outputs=several(draw, OUTPUT, length),
        weights=[int(scale * w) for w in several(draw, st.sampled_from([3.0, 4.0]), length)],
        memory_bytes=several(draw, st.sampled_from([9.0 * scale, 14.0 * scale, 20.0 * scale]), count),
        bytes_per_s=several(draw, RATE, count),
        purpose=Purpose.INFER,
        micro_batches=micro_batches,
        latency_s=0.01,
    )


def one_device_a_stage(problem: Problem) -> Plan:
    return ilp_hybrid_pipeline(problem, replicas=1)


@repeatable
@given(requests(devices=4, layers=5, micro_batches=MANY))
def test_of_very_many_requests_the_slowest_stage_or_message_is_that_of_pipeedge(problem: Problem) -> None:
    """A NIC sends at most one message of a micro-batch and receives one, so that its loads are PipeEdge's messages."""

    def slowest_s(problem: Problem, plan: Plan) -> float:
        return max(slowest_stage_s(problem, plan), slowest_message_s(problem, plan))

    ours_s, theirs_s = found_by(one_device_a_stage, problem, slowest_s), found_by(pipeedge, problem, own_value)
    assert ours_s == pytest.approx(theirs_s, rel=ONLY_THE_SLOWEST)


@repeatable
@given(requests(devices=4, layers=5, micro_batches=1))
def test_one_request_is_as_fast_as_in_the_best_of_all_orders_that_prima_is_asked_about(problem: Problem) -> None:
    best_s = min(found_by(prima, of_ranks(problem, order), own_value) for order in permutations(problem.ranks))
    assert found_by(one_device_a_stage, problem, iteration_s) == pytest.approx(best_s, rel=1e-6)


# --- training ---


@st.composite
def long_trainings(
    draw: st.DrawFn, *, devices: int = 4, layers: int = 5, samples: int = 6, memory: Sequence[float] = TO_TRAIN
) -> Problem:
    """Very many micro-batches and empty messages; unequal devices, layers and memory."""
    count, length = draw(st.integers(3, devices)), draw(st.integers(3, layers))
    return a_problem(
        several(draw, SPEED, count),
        work=several(draw, WORK, length),
        outputs=[0] * length,
        weights=[int(w) for w in several(draw, WEIGHT, length)],
        memory_bytes=several(draw, st.sampled_from(memory), count),
        micro_batches=MANY,
        samples=samples,
    )


def one_f_one_b(problem: Problem) -> Plan:
    """One device a stage, P - p micro-batches in flight: the way around takes the mean of stages, never the slowest."""
    return ilp_hybrid_pipeline(problem, depth=Depth.ONE_F_ONE_B, replicas=1)


@repeatable
@given(long_trainings())
def test_of_very_many_micro_batches_the_slowest_stage_is_that_of_pipeedge(problem: Problem) -> None:
    """Memory binds, and both count what 1F1B keeps in flight."""
    ours_s, theirs_s = found_by(one_f_one_b, problem, slowest_stage_s), found_by(pipeedge, problem, own_value)
    assert ours_s == pytest.approx(theirs_s, rel=ONLY_THE_SLOWEST)


@repeatable
@given(long_trainings(devices=3, samples=1, memory=[60e3, 100e3, 200e3, 1e9]))
def test_where_a_sample_cannot_be_shared_the_slowest_stage_is_that_of_pac_asked_about_all_orders(
    problem: Problem,
) -> None:
    """PAC lets all devices work, so that it is asked about some of them too; memory binds."""
    best_s = min(found_by(pac, of_ranks(problem, order), slowest_stage_s) for order in all_orders(problem))
    assert found_by(one_f_one_b, problem, slowest_stage_s) == pytest.approx(best_s, rel=ONLY_THE_SLOWEST)


@repeatable
@given(long_trainings(devices=3, memory=[1e9]))
def test_with_room_for_all_the_slowest_stage_is_that_of_eco_fl_asked_about_all_orders(problem: Problem) -> None:
    """It has a stage for every device, which takes a layer."""
    orders = [order for order in all_orders(problem) if len(order) <= len(problem.model.layers)]
    best_s = min(found_by(eco_fl, of_ranks(problem, order), own_value) for order in orders)
    assert found_by(one_f_one_b, problem, slowest_stage_s) == pytest.approx(best_s, rel=ONLY_THE_SLOWEST)


@repeatable
@given(st.integers(1, 2), st.integers(2, 4), st.lists(st.sampled_from([1.0, 2.0, 5.0, 7.0]), min_size=4, max_size=6))
def test_among_equal_devices_the_slowest_of_replicated_stages_is_that_of_pipedream(
    samples: int, devices: int, work: list[float]
) -> None:
    """One or two samples: no more replicas, with equal parts; and without weights there is nothing to synchronise."""
    problem = a_problem(
        [1.0] * devices,
        work=work,
        outputs=[0] * len(work),
        weights=[0] * len(work),
        micro_batches=MANY,
        samples=samples,
    )

    def replicated(problem: Problem) -> Plan:
        return ilp_hybrid_pipeline(problem, depth=Depth.ONE_F_ONE_B, replicas=devices)

    ours_s, theirs_s = found_by(replicated, problem, slowest_stage_s), found_by(pipedream, problem, own_value)
    assert ours_s == pytest.approx(theirs_s, rel=ONLY_THE_SLOWEST)


ROUNDS: dict[str, Callable[[Problem], Plan]] = {"asteroid": asteroid, "dapple": dapple, "pac": pac}


@pytest.mark.parametrize("name", ROUNDS)
def test_where_balance_is_perfect_rounds_are_iterations_and_the_best_of_one_is_best_of_the_other(name: str) -> None:
    """Four equal layers on four equal devices: weights and links say whether stages or replicas are best.

    With 32 micro-batches no stage may be slower than others, and so the dominant step is the last one.
    """

    @repeatable
    @given(st.sampled_from([1_000, 10_000, 30_000, 100_000, 300_000]), st.sampled_from([2.5e4, 1e5, 4e5]))
    def holds(weight: int, rate: float) -> None:
        problem = a_problem(
            [1.0] * 4, outputs=[0] * 4, weights=[weight] * 4, bytes_per_s=rate, micro_batches=32, samples=4
        )
        plan = ROUNDS[name](problem)
        depth = depth_of(plan)
        assert depth is not None
        ours = ilp_hybrid_pipeline(problem, depth=depth)
        assert iteration_s(problem, plan) == pytest.approx(ours.predicted_s, rel=1e-6)
        assert plan.proof.value == pytest.approx(ours.predicted_s, rel=1e-6)

    holds()


@repeatable
@given(st.integers(2, 4), st.integers(1, 2), st.sampled_from([0.0, 300.0, 2000.0]))
def test_where_samples_cannot_be_shared_asteroids_round_with_messages_is_the_integer_programmes_iteration(
    devices: int, each: int, output: float
) -> None:
    """Equal layers, as many for each device, and messages that are shorter than stages."""
    layers = devices * each
    problem = a_problem(
        [1.0] * devices, work=[1.0] * layers, outputs=[output] * layers, bytes_per_s=2e5, micro_batches=32, samples=1
    )
    ours = ilp_hybrid_pipeline(problem, depth=Depth.ASTEROID)
    assert asteroid(problem).proof.value == pytest.approx(ours.predicted_s, rel=1e-6)


# --- by the common objective ---

PLANNERS: dict[str, Callable[[Problem], Plan]] = {
    "asteroid": asteroid,
    "dapple": dapple,
    "eco_fl": eco_fl,
    "hetpipe": hetpipe,
    "pac": pac,
    "pipedream": pipedream,
    "pipeedge": pipeedge,
}


@pytest.mark.parametrize("name", PLANNERS)
def test_no_dynamic_programme_beats_the_integer_programme_by_the_common_objective(name: str) -> None:
    @settings(repeatable, max_examples=15)
    @given(problems(devices=3, layers=4))
    def holds(problem: Problem) -> None:
        theirs = answer_of(PLANNERS[name], problem)
        # Nothing fits, or only with fewer in flight than any rule says.
        if not isinstance(theirs, Plan) or (depth := depth_of(theirs)) is None:
            reject()
        ours = ilp_hybrid_pipeline(problem, depth=depth)
        assert ours.proof.status is Status.OPTIMAL
        assert ours.predicted_s is not None
        assert ours.predicted_s <= iteration_s(problem, theirs) * (1 + 1e-6)

    holds()


# --- blocks ---


def totals_of(problem: Problem, way: str) -> dict[SplitBy, int]:
    """What is divided in this way."""
    units, tokens = WAYS[way]
    blocks = {block.kind: block.splits for layer in problem.model.layers for block in layer.blocks}
    divided = {SplitBy.HEADS: blocks[BlockKind.ATTENTION], SplitBy.COLUMNS: blocks[BlockKind.MLP]} if units else {}
    return divided | ({SplitBy.TOKENS: problem.workload.tokens} if tokens else {})


def rank_by_rank_s(problem: Problem, way: str) -> float:
    """The fastest division by a dynamic programme over ranks: no outside reference, for the literature has none.

    A state is how much of everything the ranks so far have. It keeps what they are slowest at, phase by phase, unless
    another way to that state is nowhere slower. The largest part of the tokens is tried in every size, for exchanges
    depend on it. ∞ where nothing fits.
    """
    (units, tokens), totals, ranks = WAYS[way], totals_of(problem, way), tuple(problem.ranks)
    found = phases(problem, units=units, tokens=tokens, overlap=False)
    costs = BlockCosts(problem, heads=totals.get(SplitBy.HEADS, 1), columns=totals.get(SplitBy.COLUMNS, 1))
    around, n = ring(problem.cluster.network, ranks), len(ranks)

    @cache
    def alone_s(rank: int, amounts: tuple[int, ...]) -> tuple[float, ...] | None:
        """[phase] seconds; None if that does not fit."""
        own = dict(zip(totals, amounts, strict=True))
        need = held_at(problem, share_of(totals, own), ranks=n, context_bytes=0.0).total_bytes
        if need > problem.cluster.devices[rank].memory_bytes:
            return None
        return tuple(sum(costs.work_s(rank, work, own.get(work.by, 0)) for work in phase.works) for phase in found)

    def with_largest_s(largest: int) -> float:
        nothing = tuple(0 for _ in totals)
        reached: dict[tuple[int, ...], list[tuple[float, ...]]] = {nothing: [tuple(0.0 for _ in found)]}
        for rank in ranks:
            behind = n - 1 - rank
            further = defaultdict[tuple[int, ...], set[tuple[float, ...]]](set)
            for used, ways in reached.items():
                left = [total - u - behind for total, u in zip(totals.values(), used, strict=True)]
                for amounts in product(*(range(1 if behind else most, most + 1) for most in left)):
                    if dict(zip(totals, amounts, strict=True)).get(SplitBy.TOKENS, 0) > largest:
                        continue
                    if (own_s := alone_s(rank, amounts)) is not None:
                        state = tuple(map(sum, zip(used, amounts, strict=True)))
                        further[state] |= {tuple(map(max, zip(way_s, own_s, strict=True))) for way_s in ways}
            reached = {state: unbeaten(ways) for state, ways in further.items()}
        steps_s = [
            (n - 1)
            * phase.exchange.rounds
            * around.step_s(phase.exchange, largest=largest, tokens=problem.workload.tokens)
            if phase.exchange
            else 0.0
            for phase in found
        ]
        return min(
            (
                sum(
                    count * (own_s + step_s) for count, own_s, step_s in zip(found.values(), ends, steps_s, strict=True)
                )
                for ends in reached.get(tuple(totals.values()), [])
            ),
            default=inf,
        )

    return min(map(with_largest_s, range(1, totals[SplitBy.TOKENS] + 1) if tokens else [0]))


def unbeaten(ways: Iterable[tuple[float, ...]]) -> list[tuple[float, ...]]:
    """Those that no other is at least as fast as in every phase."""
    kept: list[tuple[float, ...]] = []
    for way in sorted(ways):
        if not any(all(a <= b for a, b in zip(other, way, strict=True)) for other in kept):
            kept.append(way)
    return kept


def with_room(problem: Problem, way: str, room: Sequence[float], beyond_bytes: float) -> Problem:
    """From 0, where a device can hold one of everything, to 1, where it can hold all that others can leave to it.

    Needs are about whole numbers of weights, and room ends that far beyond such a number.
    """
    totals, n = totals_of(problem, way), len(problem.ranks)
    least, most = (
        held_at(problem, share_of(totals, amounts), ranks=n, context_bytes=0.0).total_bytes
        for amounts in ({by: 1 for by in totals}, {by: total - n + 1 for by, total in totals.items()})
    )
    devices = tuple(
        replace(device, memory_bytes=4 * ((least + part * (most - least)) // 4) + beyond_bytes)
        for device, part in zip(problem.cluster.devices, room, strict=False)
    )
    return replace(problem, cluster=replace(problem.cluster, devices=devices))


SIZES = {"tensor": (7, 12, 6), "sequence": (4, 6, 20), "hybrid_model": (5, 7, 7)}  # heads, columns, tokens


@pytest.mark.parametrize("way", SIZES)
def test_blocks_are_divided_as_well_as_by_a_dynamic_programme_over_ranks(way: str) -> None:
    heads, columns, tokens = SIZES[way]
    model = bert(
        name="narrow",
        layers=2,
        hidden=12 * heads,
        heads=heads,
        columns=columns,
        vocabulary=2 * columns + 1,
        positions=tokens,
    )

    @settings(repeatable, max_examples=15)
    @given(
        st.lists(st.sampled_from([1.0, 1.5, 4.0]), min_size=2, max_size=3 if way == "hybrid_model" else 4),
        st.lists(st.sampled_from([0.2, 0.4, 0.6, 1.0]), min_size=4, max_size=4),
        st.sampled_from([3e4, 1e6, 1e9]),
        st.sampled_from([-0.4, 0.0, 0.4, 2.0]),
    )
    def holds(speeds: list[float], room: list[float], rate: float, beyond_bytes: float) -> None:
        roomy = a_block_problem(speeds, memory_bytes=[1e9] * 4, bytes_per_s=rate, model=model, tokens=tokens)
        problem = with_room(roomy, way, room, beyond_bytes)
        best_s = rank_by_rank_s(problem, way)
        if best_s == inf:
            with pytest.raises(InfeasibleError, match=r"out of memory.* rank \d \(.*\) lacks [\d.]+ k?B"):
                planned(problem, way)
        else:
            assert planned(problem, way).proof.value == pytest.approx(best_s, rel=1e-5)

    holds()


def two_devices(model: Model, *memory_bytes: float) -> Problem:
    """Equal but for their memory."""
    return a_block_problem([1.0, 1.0], memory_bytes=memory_bytes, model=model, tokens=3)


SMALL = bert(name="small", layers=1, hidden=12, heads=3, columns=3, vocabulary=3, positions=3)
# Seven words go with five columns: a part of them has no whole number of weights, and bytes are no straight line.
ODD = bert(name="odd", layers=1, hidden=8, heads=2, columns=5, vocabulary=7, positions=3)


@pytest.mark.parametrize(
    ("problem", "way"),
    [
        pytest.param(two_devices(ODD, 1980, 2096), "tensor", id="a need is just met"),
        # A plan that lacks 0.4 B passes for one that fits, if the solver likes.
        pytest.param(two_devices(SMALL, 2995.2, 3655.6), "hybrid_model", id="a need is just not met"),
    ],
)
def test_where_memory_ends_within_a_byte_of_a_need_the_best_division_is_found_too(problem: Problem, way: str) -> None:
    assert planned(problem, way).proof.value == pytest.approx(rank_by_rank_s(problem, way), rel=1e-5)


def test_a_problem_without_a_division_lacks_memory_and_not_time() -> None:
    problem = two_devices(SMALL, 2950, 3640)
    assert rank_by_rank_s(problem, "hybrid_model") == inf
    with pytest.raises(InfeasibleError, match="out of memory"):
        planned(problem, "hybrid_model")


@repeatable
@given(st.integers(1, 4), st.sampled_from([3e4, 1e5, 1e6, 1e9]))
def test_equal_devices_divide_blocks_as_galaxy_balances_them(devices: int, rate: float) -> None:
    """Twelve of everything have equal parts for up to four, and nobody can have less of anything."""
    model = bert(name="twelve", layers=2, hidden=48, heads=12, columns=12, vocabulary=12, positions=12)
    problem = a_block_problem([1.0] * devices, memory_bytes=[1e9] * 4, bytes_per_s=rate, model=model, tokens=12)
    theirs, ours = galaxy(problem), planned(problem, "hybrid_model")
    assert block_latency_s(problem, theirs, overlap=False) == pytest.approx(ours.proof.value, rel=1e-5)
