"""How does memory grow with heads, columns and tokens? Rows that a plan of divided blocks must keep on every device.

The bytes held are linear in each share, with two exceptions. They are the largest of several needs (edgesim.memory):
there is a row for each of these. And parameters are rounded where a share has no whole number of them: rows are lowered
by what rounding may add, so that no plan that fits breaks one; what keeps them may still be a few bytes too large.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from edgesim.memory import Memory, RankLoad, Share, block_bytes, held_bytes
from edgesim.model import SplitBy
from edgesim.planners.problem import Problem
from edgesim.units import BYTES_PER_FLOAT32

_FLOATING = 1e-9  # relative: far more than sums of floats differ by, and than files for solvers round to

Amounts = dict[SplitBy, int]
"""Heads, columns and tokens of a rank; what is not divided is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Divisible:
    """What the ranks divide among them: how much there is of each kind, and of what every share is a multiple."""

    totals: Amounts
    multiples: Amounts

    def __str__(self) -> str:
        return ", ".join(f"{total // self.multiples[by]} {by}" for by, total in self.totals.items())

    @property
    def most_ranks(self) -> int:
        """How many ranks can have one multiple of everything."""
        return min(total // self.multiples[by] for by, total in self.totals.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryRow:
    """``base_bytes + Σ each_bytes[by] · amount``, the context of the device not included: never above what is held."""

    base_bytes: float
    each_bytes: tuple[tuple[SplitBy, float], ...]

    def at(self, amounts: Amounts) -> float:
        """Return the bytes at these shares."""
        return self.base_bytes + sum(each * amounts[by] for by, each in self.each_bytes)


def budget_bytes(problem: Problem, rank: int) -> float:
    """Return the bytes that a device may hold in addition to its context."""
    return problem.budget_bytes(rank) - problem.cluster.devices[rank].context_bytes


def room_bytes(problem: Problem, rank: int) -> float:
    """Return the budget that rows are compared with: what floating point may have added to them does not count."""
    return budget_bytes(problem, rank) * (1 + _FLOATING)


def memory_rows(problem: Problem, totals: Amounts, *, ranks: int) -> tuple[MemoryRow, ...]:
    """Return the rows of any of so many ranks that divide these totals, fitted to the bytes at a few shares."""
    if ranks == 1:
        held = held_at(problem, share_of(totals, totals), ranks=1, context_bytes=0.0)
        return (MemoryRow(base_bytes=held.total_bytes, each_bytes=()),)
    least: Amounts = dict.fromkeys(totals, 1)
    base = _needs(problem, totals, least, ranks)
    slopes: list[tuple[SplitBy, Sequence[float]]] = []
    for by, total in totals.items():
        far = total - ranks + 1
        needs = _needs(problem, totals, least | {by: far}, ranks)
        slopes.append((by, [(b - a) / (far - 1) if far > 1 else 0.0 for a, b in zip(base, needs, strict=True)]))
    rounded = rounding_bytes(problem, totals)
    rows = (
        MemoryRow(
            base_bytes=need - rounded - sum(each[i] for _, each in slopes),
            each_bytes=tuple((by, each[i]) for by, each in slopes),
        )
        for i, need in enumerate(base)
    )
    return tuple(dict.fromkeys(rows))


def rounding_bytes(problem: Problem, totals: Amounts) -> float:
    """Return how far a line through the bytes at a few shares may be from those at another; 0 if all shares are whole.

    A block's parameters are rounded to the next byte, half a byte at most for the line and as much for the share. All
    of them together are counted in whole weights: less than one for the share, and less than one for the line.
    """
    workload, apart_bytes = problem.workload, 0.0
    weight_bytes = workload.weight_bytes
    for layer in problem.model.layers:
        for block in layer.blocks:
            split = block.parameter_bytes - block.unsplit.parameter_bytes
            if block.split_by in totals and split % (BYTES_PER_FLOAT32 * totals[block.split_by]):
                trained = 1 + workload.optimiser.state_per_parameter if workload.trains and block.trainable else 0
                apart_bytes += weight_bytes / BYTES_PER_FLOAT32 + trained
    return apart_bytes + 2 * weight_bytes if apart_bytes else 0.0


def _needs(problem: Problem, totals: Amounts, amounts: Amounts, ranks: int) -> list[float]:
    """Return the needs whose largest is the total, without the context."""
    share = share_of(totals, amounts)
    held = held_at(problem, share, ranks=ranks, context_bytes=0.0)
    if problem.workload.trains:
        return [held.resting_bytes + held.stash_bytes, held.resting_bytes + held.ring_bytes]
    layers, workload = (0, len(problem.model.layers)), problem.workload
    needs = block_bytes(problem.model, layers, samples=workload.micro_batch_samples, workload=workload, share=share)
    return [held.resting_bytes + need for _, need in needs]


def share_of(totals: Amounts, amounts: Amounts) -> Share:
    """Return the amounts as shares of the totals."""
    heads, columns = (amounts[by] / totals[by] if by in totals else 1.0 for by in (SplitBy.HEADS, SplitBy.COLUMNS))
    return Share(heads=heads, columns=columns, tokens=amounts.get(SplitBy.TOKENS))


def held_at(problem: Problem, share: Share, *, ranks: int, context_bytes: float) -> Memory:
    """Return what a rank holds of the whole model at a share."""
    workload = problem.workload
    return held_bytes(
        problem.model,
        workload,
        RankLoad(
            layers=(0, len(problem.model.layers)),
            samples=workload.micro_batch_samples,
            in_flight=1,
            micro_batches=workload.micro_batches,
            replicas=ranks,
            context_bytes=context_bytes,
            share=share,
        ),
    )
