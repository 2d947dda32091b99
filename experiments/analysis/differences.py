"""What differs between two tables? Rows are matched by what identifies them, and every other cell is compared.

relative  (after - before) / |before|, signed; infinite from 0
size      |after - before| / max(|before|, |after|): what a tolerance is compared with; infinite where something is on
          one side only, 0 between two texts
effect    |after - before| over the largest amount of that column in either table: a second more of a minute's
          iteration weighs more than a millisecond that became two

The worst comes first: what is on one side only, then what runs are judged by (:data:`JUDGED_BY`), then what explains
it, each by effect. Swapping the two tables flips signs and keeps the order.
"""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pandas import DataFrame

from experiments.analysis.tidy import RESULTS, Value, identity, in_words, read_table, records
from experiments.configuration.suggestions import suggestion

__all__ = ["COLUMN", "ROW", "Difference", "differences", "read_table", "strangers"]

JUDGED_BY = frozenset(
    {
        "makespan_s",
        "simulated_s",
        "measured_s",
        "latency_s",
        "samples_per_s",
        "energy_j",
        "energy_per_sample_j",
        "edp_js",
        "carbon_g",
        "peak_bytes",
    }
)
ROW, COLUMN = "(whole row)", "(all rows)"  # what differs if one table lacks a row, or a column of results
THERE = "there"

Key = tuple[Value, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One cell that is not the same before and after; ``row`` says in words which. None is an empty cell."""

    row: str
    column: str
    before: Value
    after: Value

    @property
    def relative(self) -> float | None:
        """The change over the amount before; None unless both are numbers."""
        if (numbers := self.numbers) is None:
            return None
        before, after = numbers
        finite = before and math.isfinite(before)
        return (after - before) / abs(before) if finite else math.copysign(math.inf, after - before)

    @property
    def size(self) -> float:
        """How far apart, in either direction, whatever the amount."""
        if (numbers := self.numbers) is None:
            return math.inf if self.before is None or self.after is None else 0.0
        if any(math.isinf(each) for each in numbers):
            return math.inf
        before, after = numbers
        return abs(after - before) / max(abs(before), abs(after))

    @property
    def numbers(self) -> tuple[float, float] | None:
        """Both sides, if both are numbers."""
        if isinstance(self.before, int | float) and isinstance(self.after, int | float):
            return self.before, self.after
        return None


def differences(
    a: DataFrame,
    b: DataFrame,
    *,
    tolerance: float = 0.0,
    ignore: Collection[str] = (),
    results: Collection[str] = RESULTS,
    names: tuple[str, str] = ("A", "B"),
) -> list[Difference]:
    """Everything that differs, the worst first: numbers by more than ``tolerance`` of the larger one, texts at all.

    ``ignore`` leaves columns out; ``results`` are the columns that do not identify a row. Raises ValueError if the rows
    cannot be matched: a column that identifies them is in one table only, or two rows of a table are the same run.
    """
    if not 0 <= tolerance < math.inf:
        raise ValueError(f"the tolerance is {tolerance}, and must be a share of a number (0.01 for one per cent)")
    for name in ignore:
        if name not in {*a.columns, *b.columns}:
            raise ValueError(f"no column to ignore: {name!r}{suggestion(name, {*a.columns, *b.columns})}")
    columns = _shared_identity(a, b, ignore=ignore, results=results, names=names)
    before, after = (_by_identity(table, columns, name) for table, name in zip((a, b), names, strict=True))
    words = _words(columns, [*before, *after])
    compared = {*a.columns} & {*b.columns} & {*results} - {*ignore}
    entries = [
        Difference(row=words[key], column=name, before=before[key][name], after=after[key][name])
        for key in before
        for name in compared
        if key in after and before[key][name] != after[key][name]
    ]
    entries = [entry for entry in entries if entry.numbers is None or entry.size > tolerance]
    entries += [_one_sided(words[key], ROW, first=key in before) for key in before.keys() ^ after.keys()]
    lacking = ({*a.columns} ^ {*b.columns}) & {*results} - {*ignore}
    entries += [_one_sided(COLUMN, name, first=name in a.columns) for name in lacking]
    largest = _largest([*before.values(), *after.values()], compared) if results is RESULTS else {}
    return sorted(entries, key=lambda entry: (*_weight(entry, largest), entry.row, entry.column))


def _largest(rows: Sequence[Mapping[str, Value]], columns: Collection[str]) -> dict[str, float]:
    """Of each column of numbers the largest finite amount."""
    amounts = {name: [abs(row[name]) for row in rows if isinstance(row[name], int | float)] for name in columns}
    return {name: max((each for each in mine if math.isfinite(each)), default=0.0) for name, mine in amounts.items()}


def _weight(entry: Difference, largest: Mapping[str, float]) -> tuple[bool, bool, float]:
    """Its place among others, the worst first; a line of a run is a quantity of its own, weighed by itself."""
    one_sided = entry.before is None or entry.after is None
    quantity = entry.column if entry.column in largest else entry.row
    judged = re.sub(r"\[\d+\]$", "", quantity).rpartition(".")[2] in JUDGED_BY
    if (numbers := entry.numbers) is None or not math.isfinite(entry.size) or entry.column not in largest:
        return not one_sided, not judged, -entry.size
    before, after = numbers
    return not one_sided, not judged, -abs(after - before) / largest[entry.column]


def strangers(a: DataFrame, b: DataFrame, *, ignore: Collection[str] = ()) -> list[str]:
    """The columns because of which no row of ``a`` can be one of ``b``: they have no value in common."""
    first, second = records(a), records(b)
    if not (first and second):
        return []
    columns = [name for name in identity(a, ignore=ignore) if name in b.columns]
    return [name for name in columns if not {row[name] for row in first} & {row[name] for row in second}]


def _shared_identity(
    a: DataFrame, b: DataFrame, *, ignore: Collection[str], results: Collection[str], names: tuple[str, str]
) -> list[str]:
    """What identifies the rows of both; a column of one table only cannot match anything."""
    first, second = (identity(table, ignore=ignore, results=results) for table in (a, b))
    for has, lacks, (owner, other) in ((first, second, names), (second, first, names[::-1])):
        for column in has:
            if column not in lacks:
                raise ValueError(f"{other} has no column {column!r}, which identifies the rows of {owner} (ignore it?)")
    return first


def _by_identity(table: DataFrame, columns: Sequence[str], name: str) -> dict[Key, Mapping[str, Value]]:
    rows: dict[Key, Mapping[str, Value]] = {}
    for row in records(table):
        key = tuple(row[column] for column in columns)
        if key in rows:
            said = ", ".join(in_words(*cell) for cell in zip(columns, key, strict=True)) or "without identity"
            raise ValueError(f"{name} has two rows of the same run: {said} (add a column that tells them apart)")
        rows[key] = row
    return rows


def _words(columns: Sequence[str], keys: Sequence[Key]) -> dict[Key, str]:
    """Rows in words, by what varies; what all rows of both tables have in common is left out."""
    varying = [place for place in range(len(columns)) if len({key[place] for key in keys}) > 1]
    telling = varying or range(len(columns))
    return {key: ", ".join(in_words(columns[place], key[place]) for place in telling) or "the only row" for key in keys}


def _one_sided(row: str, column: str, *, first: bool) -> Difference:
    return Difference(row=row, column=column, before=THERE if first else None, after=None if first else THERE)
