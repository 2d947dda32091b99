"""Which amounts, none of them negative, fit readings best? Least squares by active sets, the same bits everywhere.

Lawson and Hanson, Solving Least Squares Problems, 1974, chapter 23, on the normal equations: states are few. Their sums
of products are exact before they are rounded once, and what is solved is solved in a fixed order of operations, so that
no library's choice of instructions changes a bit. Columns are scaled to length 1 first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, inf, sqrt

import numpy as np

from edgesim.trace import Floats

ALIKE = 0.05
"""A column of which others leave less than this share cannot be told from them: clocks are not known so well."""
_NOTHING = 1e-12  # of the largest pull: rounding
_ROUNDS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """What fits best.

    Attributes:
        amounts: [column]; 0 of one that cannot be told from those before it.
        errors: [column] the standard error, from what the fit leaves; None where it is not known.
        untold: columns that cannot be told from those before them.
    """

    amounts: tuple[float, ...]
    errors: tuple[float | None, ...]
    untold: tuple[int, ...]


def fit(columns: Sequence[Floats], readings: Floats, weights: Floats) -> Fitted:
    """Return amounts >= 0 that minimise sum(weights * (readings - sum(amounts * columns))**2)."""
    roots = np.sqrt(weights)
    scaled = [column * roots for column in columns]
    lengths = [sqrt(_dot(column, column)) for column in scaled]
    told = _told_apart([column / length if length else column for column, length in zip(scaled, lengths, strict=True)])
    unit = [scaled[i] / lengths[i] for i in told]
    target = readings * roots
    gram = [[_dot(a, b) for b in unit] for a in unit]
    wanted = [_dot(a, target) for a in unit]
    amounts = _active_sets(gram, wanted)
    left = target
    for column, amount in zip(unit, amounts, strict=True):
        left = left - column * amount
    errors = _errors(gram, amounts, _dot(left, left), len(readings))
    place = {column: i for i, column in enumerate(told)}
    return Fitted(
        amounts=tuple(amounts[place[i]] / lengths[i] if i in place else 0.0 for i in range(len(columns))),
        errors=tuple(
            None if i not in place or (error := errors[place[i]]) is None else error / lengths[i]
            for i in range(len(columns))
        ),
        untold=tuple(i for i in range(len(columns)) if i not in place),
    )


def _dot(a: Floats, b: Floats) -> float:
    return fsum((a * b).tolist())


def _told_apart(unit: Sequence[Floats]) -> list[int]:
    """Columns that those before them do not make up: Cholesky's pivots, which are what is left of each."""
    told: list[int] = []
    rows: list[list[float]] = []  # of the factor of those told so far
    for i, column in enumerate(unit):
        row: list[float] = []
        for number, j in enumerate(told):
            row.append((_dot(column, unit[j]) - _sum_of(row, rows[number])) / rows[number][number])
        left = _dot(column, column) - _sum_of(row, row)
        if left > ALIKE**2:
            told.append(i)
            rows.append([*row, sqrt(left)])
    return told


def _sum_of(a: Sequence[float], b: Sequence[float]) -> float:
    return fsum(x * y for x, y in zip(a, b, strict=False))


def _active_sets(gram: Sequence[Sequence[float]], wanted: Sequence[float]) -> list[float]:
    """Amounts >= 0 for which more of none at 0 would help, and all others are at their best."""
    amounts, free = [0.0] * len(wanted), list[int]()
    least = _NOTHING * max(map(abs, wanted), default=0.0)
    for _ in range(_ROUNDS * len(wanted)):
        pull = [wanted[i] - _sum_of(gram[i], amounts) for i in range(len(wanted))]
        held = [i for i in range(len(wanted)) if i not in free and pull[i] > least]
        if not held:
            break
        free = sorted([*free, max(held, key=pull.__getitem__)])
        amounts, free = _towards_best(gram, wanted, amounts, free)
    return amounts


def _towards_best(
    gram: Sequence[Sequence[float]], wanted: Sequence[float], amounts: list[float], free: list[int]
) -> tuple[list[float], list[int]]:
    """The best amounts of those that are free, of which some are held at 0 on the way if they would fall below it."""
    while free:
        best = dict(
            zip(free, solve([[gram[i][j] for j in free] for i in free], [wanted[i] for i in free]), strict=True)
        )
        ways = {i: amounts[i] / (amounts[i] - value) for i, value in best.items() if value <= 0}
        if not ways:
            return [best.get(i, 0.0) for i in range(len(wanted))], free
        way = min(ways.values())
        free = [i for i in free if ways.get(i, inf) > way]
        amounts = [amounts[i] + way * (best[i] - amounts[i]) if i in free else 0.0 for i in range(len(wanted))]
    return amounts, free


def solve(matrix: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """Solve a small linear system by elimination with the largest pivot."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    n = len(rows)
    for k in range(n):
        p = max(range(k, n), key=lambda i: abs(rows[i][k]))
        rows[k], rows[p] = rows[p], rows[k]
        for i in range(k + 1, n):
            factor = rows[i][k] / rows[k][k]
            rows[i] = [a - factor * b for a, b in zip(rows[i], rows[k], strict=True)]
    found = [0.0] * n
    for k in reversed(range(n)):
        found[k] = (rows[k][n] - _sum_of(rows[k][k + 1 : n], found[k + 1 :])) / rows[k][k]
    return found


def _errors(
    gram: Sequence[Sequence[float]], amounts: Sequence[float], left: float, readings: int
) -> list[float | None]:
    """Standard errors of those that are not held at 0."""
    free = [i for i, amount in enumerate(amounts) if amount > 0]
    errors: list[float | None] = [None] * len(amounts)
    if readings <= len(free):
        return errors
    variance = left / (readings - len(free))
    part = [[gram[i][j] for j in free] for i in free]
    for number, i in enumerate(free):
        unit = [float(number == k) for k in range(len(free))]
        errors[i] = sqrt(max(0.0, variance * solve(part, unit)[number]))
    return errors
