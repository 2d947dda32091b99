"""Which table does a word mean? What was collected under that name, a sweep of that name, a folder, or a file."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pandas import DataFrame, Series

from edgesim.units import si
from experiments.analysis.tidy import IDENTITY, RESULTS, Value, in_words, read_table, records, with_numbers
from experiments.collect import NEEDED, PURPOSE, tidy
from experiments.configuration.studies import table_path
from experiments.configuration.suggestions import suggestion
from experiments.sweeps.run_table import RunTable

_INFER = "infer"
_RUNS = {"key", "overrides"}  # columns of a sweep's own table
TRAINING, INFERENCE = "makespan_s", "latency_s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A table of runs.

    Attributes:
        name: of the sweep, the study or the file.
        path: of its folder or file.
        parts: tidy tables by the column that their runs are judged by: seconds per iteration where models are trained,
            latency where they answer.
    """

    name: str
    path: Path
    parts: Mapping[str, DataFrame]

    @property
    def whole(self) -> DataFrame:
        """All runs in one tidy table."""
        tables = list(self.parts.values())
        return tables[0] if len(tables) == 1 else pd.concat(tables, ignore_index=True)


def located(word: str, results: Path) -> Path | None:
    """The folder or file that a word means; None if there is none."""
    collected, sweep, path = table_path(results, word), results / "sweeps" / word, Path(word)
    return next((each for each in (collected, sweep, path) if each.exists() and word), None)


def source(word: str, results: Path = Path("results")) -> Source:
    """The table that a word means. Raises ValueError if there is none, or it holds no run."""
    path = located(word, results)
    if path is None:
        if Path(word).suffix:
            read_table(Path(word))  # says what is wrong with a file's name
        known = {each.name for each in (results / "sweeps").glob("*") if each.is_dir()}
        known |= {each.parent.name for each in results.glob("*/table.csv")}
        raise ValueError(f"no sweep, folder or table {word!r}{suggestion(word, known)}")
    if path.is_file():
        table = read_table(path, only=_columns(path))
        name = path.parent.resolve().name if path.stem in ("table", "runs") else path.stem
        parts = runs_by_value(table) if {*table.columns} >= _RUNS else {TRAINING: table}
        return Source(name=name, path=path, parts=parts)
    if (path / "table.csv").is_file():
        return source(str(path / "table.csv"), results)
    if not (path / "runs.parquet").is_file() and not (path / "rows").is_dir():
        within = [each for each in sorted(path.glob("*")) if each.suffix in (".parquet", ".csv") or each.is_dir()]
        listed = f" (in it: {', '.join(map(str, within))})" if within else ""
        raise ValueError(f"{path} holds no sweep and no table.csv{listed}")
    return Source(name=path.resolve().name, path=path, parts=runs_by_value(_finished(path)))


def _finished(sweep: Path) -> DataFrame:
    """The rows of a sweep's folder."""
    runs = RunTable(sweep).rows(NEEDED)
    if runs.empty:
        raise ValueError(f"the sweep in {sweep} has no finished run yet")
    return with_numbers(runs, source=str(sweep))


def _columns(path: Path) -> list[str] | None:
    """What is read of a sweep's own file, which has every value of every configuration; all of any other."""
    if path.suffix == ".parquet":
        with suppress(pa.ArrowException, OSError):  # who reads the table says it
            names = pq.read_schema(path).names
            return [name for name in names if name in NEEDED] if {*names} >= _RUNS else None
    return None


def narrowed(runs: Source, only: Mapping[str, str]) -> Source:
    """The runs with these values alone. Raises ValueError, naming what there is, for a column or value of no run."""
    parts = dict(runs.parts)
    for column, wanted in only.items():
        known = dict.fromkeys(name for table in parts.values() for name in table.columns)
        if column not in known:
            raise ValueError(f"{runs.path} has no column {column!r}{suggestion(column, known)}")
        has = {value: _has(table[column], wanted) for value, table in parts.items() if column in table}
        if not any(rows.any() for rows in has.values()):
            values = [in_words(column, each) for each in _values(runs.whole[column])]
            raise ValueError(f"{runs.path} has no run of {column} {wanted}{suggestion(wanted, values)}")
        parts = {value: parts[value][rows].reset_index(drop=True) for value, rows in has.items() if rows.any()}
    return replace(runs, parts=parts)


def _values(column: Series) -> list[Value]:
    return [row[str(column.name)] for row in records(column.drop_duplicates().to_frame())]


def _has(column: Series, wanted: str) -> Series:
    """Which cells say this: a text, or a number, of bandwidths with its unit."""
    try:
        return column == (si(wanted) / si("1 bit/s") if column.name == "bandwidth_bit_per_s" else float(wanted))
    except ValueError:
        return column.astype(str) == wanted


def runs_by_value(runs: DataFrame) -> dict[str, DataFrame]:
    """Tidy tables of a sweep's rows: of those that train, and of those that answer requests."""
    purposes = runs[PURPOSE] if PURPOSE in runs else pd.Series(None, index=runs.index, dtype=object)
    known = purposes.dropna()
    # A run that could not be composed has no purpose of its own: it stands with the others.
    answers = (purposes == _INFER) | (purposes.isna() & (len(known) > 0 and bool((known == _INFER).all())))
    parts = {TRAINING: runs[~answers], INFERENCE: runs[answers]}
    del runs  # of many rows each copy is some hundred megabytes
    values = [value for value, mine in parts.items() if len(mine)]
    return {value: _with_numbers(tidy(parts.pop(value).reset_index(drop=True))) for value in values}


def _with_numbers(table: DataFrame) -> DataFrame:
    """Overrides that are numbers as numbers: ``16`` comes after ``4``."""
    numbers = {}
    for name in table.columns:
        if name not in RESULTS and name not in IDENTITY:
            try:
                numbers[name] = pd.to_numeric(table[name])
            except (ValueError, TypeError):
                continue
    return table.assign(**numbers)
