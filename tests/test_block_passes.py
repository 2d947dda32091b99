"""One pass over divided blocks: planners count as phases exactly what strategies write as tasks."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby

import pytest
from block_builders import (
    BERT,
    CHAINS,
    COLUMNS,
    HEADS,
    HIDDEN,
    LAYERS,
    MODELS,
    SAMPLES,
    STRATEGIES,
    TOKENS,
    VOCABULARY,
    asked_of,
    block_plan,
    boards,
)

from edgesim.block_passes.division import BlockDivision
from edgesim.block_passes.passes import backward, forward
from edgesim.block_passes.steps import ComputeStep, Exchange, ExchangeStep, OverlapStep
from edgesim.errors import PlanError
from edgesim.model import BlockKind, Cost, Model, SplitBy
from edgesim.plan import Plan
from edgesim.planners.cost_models.equal_blocks import first_of_equals
from edgesim.planners.cost_models.phase_counts import phases
from edgesim.planners.cost_models.phases import BlockPhase, Computation
from edgesim.planners.problem import Problem
from edgesim.profile import estimate
from edgesim.schedule import COMPUTE, Op, Schedule, Task
from edgesim.workload import Purpose, Workload
from edgesim.zoo.bert import distilbert
from edgesim.zoo.opt import opt
from edgesim.zoo.vit import vit

SHAPE = {"layers": LAYERS, "hidden": HIDDEN, "heads": HEADS, "columns": COLUMNS, "vocabulary": VOCABULARY}


def untied(model: Model) -> Model:
    """The model as if no two layers shared weights, so that ranks may train its columns."""
    layers = (
        replace(layer, blocks=tuple(replace(block, tied_bytes=0, tied_to="") for block in layer.blocks))
        for layer in model.layers
    )
    return replace(model, layers=tuple(layers))


PICTURES = {name: size for name, size in SHAPE.items() if name != "vocabulary"}
FAMILIES = {name: untied(model) for name, model in MODELS.items()} | {
    "opt": opt(name="opt", positions=64, tied=False, **SHAPE),
    "distilbert": distilbert(name="distilbert", positions=64, tied=False, **SHAPE),
    "vit": vit(name="vit", resolution=32, patch=8, channels=3, classes=10, **PICTURES),
}
DIVIDES = {"tensor": (True, False), "sequence": (False, True), "hybrid_model": (True, True)}
WAYS = {
    "tensor": ("tensor", False),
    "sequence": ("sequence", False),
    "hybrid": ("hybrid_model", False),
    "hybrid with overlap": ("hybrid_model", True),
}
# All ranks have tiles of eight tokens. Three new tokens have two passes behind the prompt's, which both are counted.
RANKS, TILE, ME = 3, TOKENS // 3, 1
REQUESTS = {
    "training": {"purpose": Purpose.TRAIN},
    "inference": {"purpose": Purpose.INFER},
    "a prompt": {"purpose": Purpose.INFER, "new_tokens": 1},
    "generation": {"purpose": Purpose.INFER, "new_tokens": 3},
}


def written(plan: Plan, model: Model, strategy: str, overlap: bool, workload: Workload) -> Schedule:
    how = {"overlap": overlap} if strategy == "hybrid_model" else {}
    return STRATEGIES[strategy](plan, model, workload, **how)


def counted(model: Model, strategy: str, overlap: bool, workload: Workload) -> tuple[Problem, dict[BlockPhase, float]]:
    cluster = boards(RANKS)
    profile = estimate(model, cluster.devices, samples=[SAMPLES], tokens=TOKENS)
    problem = Problem(model=model, cluster=cluster, profile=profile, workload=workload)
    units, tokens = DIVIDES[strategy]
    return problem, phases(problem, units=units, tokens=tokens, overlap=overlap)


def computations_counted(counts: dict[BlockPhase, float]) -> Counter[Computation]:
    """One rank's, with a product per tile where tiles overlap."""
    computations: Counter[Computation] = Counter()
    for phase, times in counts.items():
        for work in phase.works:
            computations[work] += times
        for product in (phase.entering, phase.leaving):
            if product is not None:
                computations[product] += times * RANKS
    return computations


def computations_written(schedule: Schedule, problem: Problem) -> Counter[Computation]:
    """What tasks of one rank say, in the words of a phase."""
    same, names = first_of_equals(problem), {}
    for layer in problem.model.layers:
        for block in layer.blocks:
            name = f"{layer.name}/{block.name}"
            names[name] = block, same[name]
            for part in block.parts:
                in_head = block.kind is BlockKind.HEAD
                first = same[f"{layer.name}/{part.name}"] if in_head else f"{same[name]}.{part.name.partition('.')[2]}"
                names[f"{layer.name}/{part.name}"] = part, first
    return Counter(in_words(task, *names[task.block]) for task in schedule.programs[ME] if task.op in COMPUTE)


def in_words(task: Task, block, name: str) -> Computation:
    own = task.tokens == (ME * TILE, (ME + 1) * TILE)
    by = block.split_by if task.units != (0, 0) else SplitBy.TOKENS if own else SplitBy.NOTHING
    tokens = None if own or task.tile is not None else task.tokens[1] - task.tokens[0] or TOKENS
    keys = None
    if block.kind is BlockKind.ATTENTION:
        keys = TOKENS if own and block.name.endswith(".core") else task.tokens[1] if tokens == 1 else None
    return Computation(block=name, op=str(task.op), by=by, tokens=tokens, keys=keys)


def steps_counted(counts: dict[BlockPhase, float]) -> Counter[float]:
    """How many steps of the ring move so many bytes."""
    steps: Counter[float] = Counter()
    for phase, times in counts.items():
        if ring := phase.exchange:
            nbytes = ring.fixed_bytes + ring.shared_bytes / RANKS + ring.token_bytes * TILE
            rounds = ring.rounds + (phase.leaving is not None)
            steps[nbytes] += times * rounds * (RANKS - 1)
    return steps


def steps_written(schedule: Schedule) -> Counter[float]:
    """The same of messages: in each step of an exchange every tile that is on its way moves by one rank."""
    steps: Counter[float] = Counter()
    sends = [task for task in schedule if task.op is Op.SEND]

    def exchange(task: Task) -> tuple:
        return (task.micro_batch, task.block, str(task.payload))

    for _, group in groupby(sorted(sends, key=exchange), key=exchange):
        messages = list(group)
        (nbytes,) = {task.nbytes for task in messages}
        count, left = divmod(len(messages), len({task.tile for task in messages}))
        assert not left
        steps[nbytes] += count
    for task in schedule.programs[ME]:
        if task.op is Op.ALL_REDUCE:
            steps[task.nbytes / RANKS] += 2 * (RANKS - 1)
    return steps


def cases() -> Iterator[object]:
    for family, model in FAMILIES.items():
        for way, (strategy, overlap) in WAYS.items():
            for what, request in REQUESTS.items():
                if "new_tokens" in request and (strategy == "sequence" or model.layers[1].name.startswith("encoder")):
                    continue  # sequence parallelism generates on one rank alone; encoders do not at all
                yield pytest.param(model, strategy, overlap, request, id=f"{family}, {way}, {what}")


@pytest.mark.parametrize(("model", "strategy", "overlap", "request_"), list(cases()))
def test_phases_hold_what_tasks_compute_and_send(
    model: Model, strategy: str, overlap: bool, request_: dict[str, object]
) -> None:
    """Every computation and every byte of every step, no more and no less."""
    plan = block_plan(model, strategy, RANKS, micro_batches=1 if "new_tokens" in request_ else 2, in_flight=2)
    workload = asked_of(plan, **request_)
    schedule = written(plan, model, strategy, overlap, workload)
    problem, counts = counted(model, strategy, overlap, workload)
    assert computations_counted(counts) == computations_written(schedule, problem)
    assert steps_counted(counts) == steps_written(schedule)


def test_tokens_that_one_rank_generates_alone_are_not_counted() -> None:
    plan = block_plan(CHAINS["gpt2"], "sequence", RANKS)
    workload = asked_of(plan, purpose=Purpose.INFER, new_tokens=2)
    with pytest.raises(PlanError, match=r"generated by one rank alone .*\(divide units too\)"):
        counted(CHAINS["gpt2"], "sequence", False, workload)


# --- the pass itself --------------------------------------------------------------------------------------------------


def division(model: Model, strategy: str, *, overlap: bool = False, purpose: Purpose = Purpose.TRAIN) -> BlockDivision:
    units, tokens = DIVIDES[strategy]
    plan = block_plan(model, strategy, RANKS)
    return BlockDivision(
        model=model,
        workload=asked_of(plan, purpose=purpose),
        samples=SAMPLES,
        units=units,
        tokens=tokens,
        overlap=overlap,
    )


def exchanged(steps) -> list[tuple[Exchange, str, Cost]]:
    return [(step.exchange, step.place.name, step.nbytes) for step in steps if isinstance(step, ExchangeStep)]


@pytest.mark.parametrize("model", CHAINS.values(), ids=CHAINS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_backward_pass_scatters_what_was_gathered_and_gathers_what_was_scattered(
    model: Model, strategy: str
) -> None:
    mirror = {Exchange.GATHER: Exchange.SCATTER, Exchange.SCATTER: Exchange.GATHER}
    there, back = (exchanged(one(division(model, strategy))) for one in (forward, backward))
    head = [step for step in back if strategy == "tensor" and step[1].startswith("head/")]  # the head's sum has no pair
    mirrored = [(mirror.get(exchange, exchange), place, nbytes) for exchange, place, nbytes in reversed(there)]
    assert head + mirrored == back
    assert len(head) == (strategy == "tensor")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_block_is_computed_in_both_passes_in_opposite_orders(strategy: str) -> None:
    there, back = (
        [step.name for step in one(division(BERT, strategy)) if isinstance(step, ComputeStep)]
        for one in (forward, backward)
    )
    assert there == back[::-1]


@pytest.mark.parametrize(("purpose", "overlaps"), [(Purpose.INFER, True), (Purpose.TRAIN, False)])
def test_products_overlap_with_exchanges_in_inference_only(purpose: Purpose, overlaps: bool) -> None:
    steps = list(forward(division(BERT, "hybrid_model", overlap=True, purpose=purpose)))
    beside = [step for step in steps if isinstance(step, OverlapStep)]
    assert len(beside) == overlaps * (2 * LAYERS + 1)  # attention and MLP of every layer, and the vocabulary
    assert bool(exchanged(steps)) is not overlaps
