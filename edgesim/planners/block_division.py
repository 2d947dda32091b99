"""Which heads, columns and tokens are there to divide, and how fast is each rank at them? For plans of one stage."""

from collections.abc import Iterator, Sequence
from typing import Literal

from edgesim.apportion import at_least_one
from edgesim.errors import PlanError
from edgesim.model import Block, BlockKind
from edgesim.plan import Plan, Stage
from edgesim.planners.problem import Problem
from edgesim.profile import BACKWARD, FORWARD, Portion

# Who divides the blocks: all ranks, the fastest one alone (the first of equals), or these.
Ranks = Literal["all", "fastest"] | Sequence[int]


def chosen_ranks(problem: Problem, ranks: Ranks) -> tuple[int, ...]:
    """Return the ranks that work. Raises PlanError for ranks that the cluster does not have."""
    if isinstance(ranks, str):
        return _named(problem, ranks)
    if not ranks or not set(ranks) <= set(problem.ranks):
        raise PlanError(
            f"ranks must be some of {list(problem.ranks)} in cluster {problem.cluster.name}, got {list(ranks)}"
        )
    return tuple(ranks)


def _named(problem: Problem, ranks: str) -> tuple[int, ...]:
    if ranks == "all":
        return tuple(problem.ranks)
    if ranks == "fastest":
        if not has_divisible_blocks(problem):
            return (min(problem.ranks, key=lambda rank: _alone_s(problem, rank)),)
        speeds = capacities(problem, problem.ranks)
        return (speeds.index(max(speeds)),)
    raise PlanError(f"unknown ranks {ranks!r} (try 'all', 'fastest', or a list like [0, 2])")


def _alone_s(problem: Problem, rank: int) -> float:
    """Return the seconds of a micro-batch on one device, all layers of it."""
    layers = (0, len(problem.model.layers))
    return problem.seconds(rank=rank, layers=layers, samples=problem.workload.micro_batch_samples)


def capacities(problem: Problem, ranks: Sequence[int]) -> list[float]:
    """``V_d = 1 / (L(attention, all heads, d) + L(MLP, all columns, d))`` (Galaxy, arXiv 2405.17245), over all layers.

    L are the profile's seconds of one micro-batch: forward, and backward in training. Raises PlanError for a model
    without attention and MLP, or without seconds for them.
    """
    names = [name for name, _ in _divisible(problem)]
    ops = (FORWARD, BACKWARD) if problem.workload.trains else (FORWARD,)
    seconds = [
        sum(
            problem.profile.block_s(
                device=problem.cluster.devices[rank].name,
                block=name,
                op=op,
                portion=Portion(problem.workload.micro_batch_samples, problem.workload.tokens),
            )
            for name in names
            for op in ops
        )
        for rank in ranks
    ]
    if free := [rank for rank, taken_s in zip(ranks, seconds, strict=True) if taken_s <= 0]:
        raise PlanError(f"profile gives rank {free[0]} no time for attention and MLP: a speed needs seconds")
    return [1 / taken_s for taken_s in seconds]


def plan_by_weights(
    problem: Problem, *, planner: str, ranks: tuple[int, ...], units: Sequence[float], tokens: Sequence[float]
) -> Plan:
    """Return the plan of heads and columns in proportion to ``units``, of tokens in proportion to ``tokens``.

    Both are [rank] weights, empty for what is not divided; each rank gets at least one of each. Raises PlanError.
    """
    if not units and not tokens:
        raise PlanError(f"{planner} is told to divide neither units nor tokens (take a strategy that divides blocks)")
    return divided_plan(
        problem,
        planner=planner,
        ranks=ranks,
        heads=balanced(problem, ranks, "heads", splits(problem, BlockKind.ATTENTION), units) if units else (),
        columns=balanced(problem, ranks, "columns", splits(problem, BlockKind.MLP), units) if units else (),
        tokens=balanced(problem, ranks, "tokens", problem.workload.tokens, tokens) if tokens else (),
    )


def divided_plan(
    problem: Problem,
    *,
    planner: str,
    ranks: tuple[int, ...],
    heads: tuple[int, ...],
    columns: tuple[int, ...],
    tokens: tuple[int, ...],
) -> Plan:
    """Return the plan of one stage with these shares. Raises PlanError."""
    stage = Stage(
        layers=(0, len(problem.model.layers)),
        ranks=ranks,
        samples=(problem.workload.micro_batch_samples,) * len(ranks),
        in_flight=1,
        heads=heads,
        columns=columns,
        tokens=tokens,
    )
    return problem.plan(planner=planner, stages=(stage,))


_DIVISIBLE = frozenset({BlockKind.ATTENTION, BlockKind.MLP})


def has_divisible_blocks(problem: Problem) -> bool:
    """Return whether the model has attention and MLP, whose heads and columns can be divided."""
    return {block.kind for layer in problem.model.layers for block in layer.blocks} >= _DIVISIBLE


def _divisible(problem: Problem) -> Iterator[tuple[str, Block]]:
    """Yield attention and MLP of every layer, by name. Raises PlanError if the model lacks either."""
    blocks = [
        (f"{layer.name}/{block.name}", block)
        for layer in problem.model.layers
        for block in layer.blocks
        if block.kind in _DIVISIBLE
    ]
    if not has_divisible_blocks(problem):
        raise PlanError(
            f"blocks of transformers can be divided; {problem.model.name} lacks attention or MLP (share its samples)"
        )
    yield from blocks


def splits(problem: Problem, kind: BlockKind) -> int:
    """Return how many heads or columns there are; the plan's check refuses blocks with other numbers."""
    return next(block.splits for _, block in _divisible(problem) if block.kind is kind)


def balanced(
    problem: Problem, ranks: tuple[int, ...], name: str, total: int, weights: Sequence[float]
) -> tuple[int, ...]:
    """Return whole shares in proportion to the weights, at least one each. Raises PlanError if there are too few."""
    if surplus := ranks[total:]:
        device = problem.cluster.devices[surplus[0]].name
        raise PlanError(
            f"rank {surplus[0]} ({device}) would get none of the {total} {name}: {len(ranks)} ranks divide them "
            "(leave ranks out)"
        )
    return at_least_one(total, weights)
