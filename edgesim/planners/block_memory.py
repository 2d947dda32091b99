"""How does memory grow with heads, columns and tokens? Rows that a plan of divided blocks must keep on every device.

Bytes held are linear in each share, but for the largest of several needs (edgesim.memory): a row for each of these.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from edgesim.memory import Memory, Share, block_bytes, held_bytes
from edgesim.model import SplitBy
from edgesim.planners import Problem
from edgesim.planners.block_phases import infers

Amounts = dict[SplitBy, int]
"""Heads, columns and tokens of a rank; what is not divided is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryRow:
    """``base_bytes + Σ each_bytes[by] · amount``, beside a device's context."""

    base_bytes: float
    each_bytes: tuple[tuple[SplitBy, float], ...]

    def at(self, amounts: Amounts) -> float:
        """Bytes at these shares."""
        return self.base_bytes + sum(each * amounts[by] for by, each in self.each_bytes)


def budget_bytes(problem: Problem, rank: int) -> float:
    """What a device may hold beside its context."""
    device = problem.cluster.devices[rank]
    return device.memory_bytes * (1 - problem.head_room) - device.context_bytes


def memory_rows(problem: Problem, totals: Amounts, *, ranks: int) -> tuple[MemoryRow, ...]:
    """Of any of so many ranks that divide these totals: found from the bytes at a few shares."""
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
    rows = (
        MemoryRow(
            base_bytes=need - sum(each[i] for _, each in slopes), each_bytes=tuple((by, each[i]) for by, each in slopes)
        )
        for i, need in enumerate(base)
    )
    return tuple(dict.fromkeys(rows))


def _needs(problem: Problem, totals: Amounts, amounts: Amounts, ranks: int) -> list[float]:
    """All that the total is the largest of, without the context."""
    share = share_of(totals, amounts)
    held = held_at(problem, share, ranks=ranks, context_bytes=0.0)
    if not infers(problem):
        return [held.resting_bytes + held.stash_bytes, held.resting_bytes + held.ring_bytes]
    layers, workload = (0, len(problem.model.layers)), problem.workload
    needs = block_bytes(problem.model, layers, samples=workload.micro_batch_samples, workload=workload, share=share)
    return [held.resting_bytes + need for _, need in needs]


def share_of(totals: Amounts, amounts: Amounts) -> Share:
    """The amounts as shares of what there is."""
    heads, columns = (amounts[by] / totals[by] if by in totals else 1.0 for by in (SplitBy.HEADS, SplitBy.COLUMNS))
    return Share(heads=heads, columns=columns, tokens=amounts.get(SplitBy.TOKENS))


def held_at(problem: Problem, share: Share, *, ranks: int, context_bytes: float) -> Memory:
    """What a rank holds of the whole model at a share."""
    workload = problem.workload
    return held_bytes(
        problem.model, (0, len(problem.model.layers)), samples=workload.micro_batch_samples, in_flight=1,
        micro_batches=workload.micro_batches, replicas=ranks, context_bytes=context_bytes, workload=workload,
        share=share,
    )  # fmt: skip
