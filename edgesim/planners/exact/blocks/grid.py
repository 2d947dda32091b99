"""How much is there to divide, and of what is every share a multiple?"""

from edgesim.errors import PlanError
from edgesim.model import BlockKind, SplitBy
from edgesim.planners.block_division import splits
from edgesim.planners.exact.blocks.memory_rows import Amounts, Divisible
from edgesim.planners.problem import Problem

_TILES = 64


def divisible(problem: Problem, *, units: bool, tokens: bool, column_unit: int | None) -> Divisible:
    """Return what is divided. Raises PlanError for a ``column_unit`` that does not divide the columns."""
    heads, columns = (splits(problem, kind) for kind in (BlockKind.ATTENTION, BlockKind.MLP))
    totals: Amounts = {SplitBy.HEADS: heads, SplitBy.COLUMNS: columns} if units else {}
    totals |= {SplitBy.TOKENS: problem.workload.tokens} if tokens else {}
    multiples: Amounts = dict.fromkeys(totals, 1)
    if units:
        multiples[SplitBy.COLUMNS] = _column_unit(columns, column_unit)
    return Divisible(totals=totals, multiples=multiples)


def _column_unit(columns: int, wanted: int | None) -> int:
    """Return of how many columns every share is a multiple. Raises PlanError for a number that is no divisor."""
    if wanted is None:
        fits = [unit for unit in range(1, columns + 1) if columns % unit == 0 and columns // unit <= _TILES]
        # Columns without a useful divisor stay as they are: the windows keep the programme small.
        return fits[0] if 2 * (columns // fits[0]) >= min(columns, _TILES) else 1
    if wanted < 1 or columns % wanted:
        raise PlanError(f"column_unit={wanted} does not divide the {columns} columns (take a divisor)")
    return wanted
