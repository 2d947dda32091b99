"""Which method is best where? A row per model, cluster and bandwidth, a column per method, from a tidy table.

Numbers of one row have one origin (simulated, measured or published), so that bold compares like with like. Whatever
else tells two runs of a method apart (a batch, a number of devices) heads rows as well: nothing is averaged in silence.
Of runs that differ in their seeds alone, a cell shows the mean and its 95 % t interval; the legend says of how many.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pandas import DataFrame

from experiments.analysis.repeats import INTERVAL, how_many, mean_of, seeds
from experiments.analysis.tidy import RunStatus, Value, identity, in_words, records, telling
from experiments.configuration.suggestions import suggestion
from experiments.intervals.wins import KNOWN_BY, NO_WIN, Line, standings
from experiments.tables.number import INTERVAL_DIGITS, number, one_unit

NEEDED = ("cluster", "model", "method", "bandwidth_bit_per_s", "player", "status", "reason")  # and the value
NOT_RUN, UNKNOWN = "–", "n/a"
FAILED = {RunStatus.FAILED: "failed", RunStatus.OUT_OF_MEMORY: "OOM"}

_RATE = "bandwidth_bit_per_s"
_ROWS = ("model", "cluster", _RATE)
_HEADS = {"player": "origin", _RATE: "bandwidth ({})"}
_STATUS = tuple(map(str, RunStatus))
_METHOD = ("method", "strategy", "planner")
_SAID = ("status", "reason", "profile_origin")

Row = Mapping[str, Value]
Key = tuple[Value, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """What can be compared: its name for people, its SI unit and whether that has prefixes, and which value is best.

    What is ``computed`` is so for an executed run, too, from the times that were measured.
    """

    title: str
    unit: str
    best: Callable[[Iterable[float]], float]
    prefixed: bool = True
    computed: bool = False


VALUES: Mapping[str, Quantity] = {
    "samples_per_s": Quantity(title="throughput", unit="samples/s", best=max, prefixed=False),
    "makespan_s": Quantity(title="time per iteration", unit="s", best=min),
    "latency_s": Quantity(title="latency", unit="s", best=min),
    "energy_j": Quantity(title="energy per iteration", unit="J", best=min, computed=True),
    "energy_per_sample_j": Quantity(title="energy per sample", unit="J", best=min, computed=True),
    "peak_bytes": Quantity(title="peak memory", unit="B", best=min, computed=True),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A figure, or why there is none; ``note`` is the number of the footnote that tells more.

    ``half_width`` is that of the interval around the mean over seeds, in words; empty of a single run. ``half`` is the
    same in SI units.
    """

    text: str
    half_width: str = ""
    value: float | None = None
    half: float | None = None
    best: bool = False
    note: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodsTable:
    """A table on paper: ``heads`` over the row headings, then ``methods``, all in one ``unit``."""

    value: str
    unit: str
    heads: tuple[str, ...]
    methods: tuple[str, ...]
    rows: tuple[tuple[tuple[str, ...], tuple[Cell, ...]], ...]
    reasons: tuple[str, ...]  # footnotes, numbered from 1
    legend: tuple[str, ...]

    @property
    def title(self) -> str:
        """``throughput (samples/s)``."""
        return f"{VALUES[self.value].title} ({self.unit})"

    @property
    def caption(self) -> str:
        """What the numbers are, and what bold means."""
        highest = "highest" if VALUES[self.value].best is max else "lowest"
        return f"{self.title[0].upper()}{self.title[1:]} by method; the {highest} of each row in bold."


def quantity_of(value: str) -> Quantity:
    """What is known about a column of values. Raises ValueError if it is nothing."""
    if value not in VALUES:
        raise ValueError(f"unknown value {value!r}{suggestion(value, VALUES)}")
    return VALUES[value]


def methods_table(table: DataFrame, *, value: str) -> MethodsTable:
    """Lay the runs out. Raises ValueError if there are none, if two are the same, or one is neither done nor failed."""
    quantity = quantity_of(value)
    if table.empty:
        raise ValueError("the table holds no run (run the study first)")
    repeats = seeds(table.columns)
    further = [column for column in identity(table) if column not in (*_ROWS, "method", "player", *repeats)]
    named = table.assign(method=[_method(run) for run in records(table.filter(items=_METHOD))])
    apart = telling(named, further, same=(*_ROWS, "method", "player"))
    columns = (*_ROWS, *apart, "player")
    runs = records(named.filter(items=[*dict.fromkeys((*columns, "method", *repeats, value, *_SAID, *KNOWN_BY))]))
    cells = _laid_out(runs, columns, repeats)
    keys = sorted(cells, key=lambda key: [(entry is None, isinstance(entry, str), entry or 0) for entry in key])
    methods = sorted({str(run["method"]) for run in runs}, key=lambda name: (name.casefold(), name))
    ordered = [[cells[key].get(method, []) for method in methods] for key in keys]
    failed = [run for row in ordered for cell in row for run in cell if run["status"] in FAILED]
    reasons = tuple(dict.fromkeys(_reason(run) for run in failed))
    done = [amount for run in runs if run["status"] == RunStatus.DONE and (amount := _amount(run[value])) is not None]
    unit, scale = one_unit(done, quantity.unit) if quantity.prefixed else (quantity.unit, 1.0)
    rate_unit, rate = one_unit((rate for run in runs if (rate := _amount(run[_RATE])) is not None), "bit/s")
    marked = [_marked([_cell(cell, value, scale, reasons) for cell in row], row, value) for row in ordered]
    rows = tuple(
        (tuple(_heading(column, entry, rate, quantity) for column, entry in zip(columns, key, strict=True)), cells)
        for key, (cells, _) in zip(keys, marked, strict=True)
    )
    known_by = dict.fromkeys(note for _, notes in marked for note in notes)
    return MethodsTable(
        value=value,
        unit=unit,
        heads=tuple(_HEADS.get(column, column.replace("_", " ")).format(rate_unit) for column in columns),
        methods=tuple(methods),
        rows=rows,
        reasons=reasons,
        legend=(*_legend(rows, runs), *_repeated(ordered), *known_by),
    )


def _laid_out(runs: Sequence[Row], columns: Sequence[str], repeats: Sequence[str]) -> dict[Key, dict[str, list[Row]]]:
    """The runs of each cell: one, or one of each seed."""
    cells: dict[Key, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    seen: set[Key] = set()
    for run in runs:
        key, method = tuple(run[column] for column in columns), str(run["method"])
        said = ", ".join([method, *(in_words(*cell) for cell in zip(columns, key, strict=True))])
        if run["status"] not in _STATUS:
            raise ValueError(f"unknown status {run['status']!r} of {said}{suggestion(str(run['status']), _STATUS)}")
        mine = cells[key][method]
        same = (*key, method, *(run[name] for name in repeats))
        if same in seen:
            raise ValueError(f"two runs are the same: {said} (drop one, or add a column that tells them apart)")
        seen.add(same)
        mine.append(run)
    return cells


def _method(run: Row) -> str:
    """Its name, or that of its strategy and planner."""
    parts = [str(run[name]) for name in ("strategy", "planner") if run.get(name) is not None]
    return str(run["method"] or ", ".join(parts) or "no method")


def _reason(run: Row) -> str:
    return str(run["reason"] or "no reason is known")


def _cell(runs: Sequence[Row], value: str, scale: float, reasons: Sequence[str]) -> Cell:
    """Where some seeds failed, the mean is of the others, with a note why."""
    if not runs:
        return Cell(text=NOT_RUN)
    failed = next((run for run in runs if run["status"] in FAILED), None)
    note = None if failed is None else reasons.index(_reason(failed)) + 1
    amounts = [_amount(run[value]) for run in runs if run["status"] not in FAILED]
    if failed is not None and not amounts:
        return Cell(text=FAILED[RunStatus(str(failed["status"]))], note=note)
    known = [amount for amount in amounts if amount is not None]
    if len(known) < len(amounts):
        return Cell(text=UNKNOWN, note=note)
    mean = mean_of(known)
    half_width = "" if mean.half_width is None else number(mean.half_width / scale, digits=INTERVAL_DIGITS)
    return Cell(
        text=number(mean.value / scale), half_width=half_width, value=mean.value, half=mean.half_width, note=note
    )


def _repeated(cells: Iterable[Iterable[Sequence[Row]]]) -> list[str]:
    """What ± means, where it stands."""
    counts = [sum(run["status"] not in FAILED for run in cell) for row in cells for cell in row]
    many = [count for count in counts if count > 1]
    return [f"±: {INTERVAL} of the mean over seeds, {how_many(many)}"] if many else []


def _amount(value: Value) -> float | None:
    """A cell of a column of numbers."""
    assert value is None or isinstance(value, int | float), f"not a number: {value!r}"
    return value


def _marked(
    cells: Sequence[Cell], runs: Sequence[Sequence[Row]], value: str
) -> tuple[tuple[Cell, ...], tuple[str, ...]]:
    """The best of at least two in bold, and all that cannot be told from it: by the digits shown, or by intervals.

    And what a reader has to know of these.
    """
    values = [cell.value for cell in cells if cell.value is not None]
    if len(values) < 2:
        return tuple(cells), ()
    shown = [(cell, mine[0]) for cell, mine in zip(cells, runs, strict=True) if cell.value is not None]
    lines = [Line(row=row, mean=cell.value or 0.0, half_width=cell.half) for cell, row in shown]
    standing, notes = standings(lines, (), value)
    near = {cell.text for (cell, _), each in zip(shown, standing, strict=True) if each.is_open}
    best = near | {cell.text for cell in cells if cell.value == VALUES[value].best(values)}
    told = tuple(note.replace(NO_WIN, "in bold, too") for note in notes if note.startswith(NO_WIN) and near)
    return tuple(replace(cell, best=cell.value is not None and cell.text in best) for cell in cells), told


def _heading(column: str, entry: Value, rate: float, quantity: Quantity) -> str:
    if column == "player" and entry == "measured" and quantity.computed:
        return "from measured times"
    if entry is None or isinstance(entry, str):
        return entry or NOT_RUN
    return f"{entry / rate if column == _RATE else entry:.12g}"


def _legend(rows: Sequence[tuple[tuple[str, ...], tuple[Cell, ...]]], runs: Sequence[Row]) -> tuple[str, ...]:
    """What has to be known to read the table: signs that it uses, and what simulated numbers rest on."""
    signs = {cell.text for _, cells in rows for cell in cells}
    said = {NOT_RUN: "not run", UNKNOWN: "not known"}
    profiles = sorted({str(run.get("profile_origin") or "unknown") for run in runs if run["player"] == "simulated"})
    return (
        *(f"{sign}: {meaning}" for sign, meaning in said.items() if sign in signs),
        *([f"simulated: with profiles that are {' or '.join(profiles)}"] if profiles else []),
    )
