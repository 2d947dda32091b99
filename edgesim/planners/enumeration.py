"""Which plans are there? Ordered partitions of ranks into stages, cuts of layers, and whole samples for every rank.

The ranks of a stage stand in rank order; other orders within a stage are not listed.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import combinations, pairwise, product
from math import comb, prod
from typing import Literal

from edgesim.errors import PlanError
from edgesim.plan import Depth, Plan
from edgesim.planners.problem import Groups, Problem

# Fixed groups, or a family of them. "data": one stage. "pipeline": one rank per stage, in any order. "hybrid": several
# stages, one of them of several ranks. "any": all of these.
Family = Groups | Literal["hybrid", "any"]
Partition = tuple[tuple[int, ...], ...]


def partitions(
    problem: Problem, family: Family, *, stages: Collection[int] | None, leave_out: bool
) -> Iterator[Partition]:
    """Yield the ranks per stage in all ways of the family, fewer stages first; ``stages`` restricts their number."""
    if not isinstance(family, str):
        yield problem.group(family)
        return
    if family not in ("data", "pipeline", "hybrid", "any"):
        raise PlanError(
            f"unknown groups {family!r} (try 'data', 'pipeline', 'hybrid', 'any', or a list like [[0], [1, 2]])"
        )
    most = 1 if family == "data" else min(len(problem.ranks), len(problem.model.layers))
    largest = 1 if family == "pipeline" else problem.workload.micro_batch_samples
    for number in range(2 if family == "hybrid" else 1, most + 1):
        if stages is None or number in stages:
            for groups in divide(tuple(problem.ranks), number, largest=largest, leave_out=leave_out):
                if family != "hybrid" or any(len(group) > 1 for group in groups):
                    yield groups


def divide(ranks: tuple[int, ...], groups: int, *, largest: int, leave_out: bool) -> Iterator[Partition]:
    """Yield the ordered partitions into so many groups of at most ``largest``; all ranks, unless some may be left out.

    >>> list(divide((0, 1, 2), 2, largest=2, leave_out=False))[:3]
    [((0,), (1, 2)), ((1,), (0, 2)), ((2,), (0, 1))]
    """
    if groups == 0:
        if leave_out or not ranks:
            yield ()
        return
    if not leave_out and len(ranks) > groups * largest:
        return
    for size in range(1, min(largest, len(ranks) - groups + 1) + 1):
        for group in combinations(ranks, size):
            rest = tuple(rank for rank in ranks if rank not in group)
            for others in divide(rest, groups - 1, largest=largest, leave_out=leave_out):
                yield (group, *others)


def sums(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    """Yield every way to write a whole number as a sum of so many positive ones, in order.

    >>> list(sums(4, 2))
    [(1, 3), (2, 2), (3, 1)]
    """
    for inner in combinations(range(1, total), parts - 1):
        yield tuple(stop - start for start, stop in pairwise((0, *inner, total)))


def count(problem: Problem, partition: Sequence[Sequence[int]]) -> int:
    """Return how many plans have these ranks per stage: ``C(L - 1, P - 1) Π_p C(B - 1, g_p - 1)``.

    L layers are cut into P stages, and the g_p ranks of stage p share B samples.
    """
    samples = problem.workload.micro_batch_samples
    splits = prod(comb(samples - 1, len(group) - 1) for group in partition)
    return comb(len(problem.model.layers) - 1, len(partition) - 1) * splits


def plans(problem: Problem, partition: Partition, *, depth: Depth, planner: str) -> Iterator[Plan]:
    """Yield all plans with these ranks per stage, unchecked; early cuts and small first shares come first."""
    L = len(problem.model.layers)
    for inner in combinations(range(1, L), len(partition) - 1):
        for samples in product(*(sums(problem.workload.micro_batch_samples, len(group)) for group in partition)):
            yield problem.plan(
                planner=planner,
                stages=problem.stages(cuts=(0, *inner, L), groups=partition, samples=samples, depth=depth),
            )
