"""Which table does a word mean? What was collected under that name, a sweep of that name, a folder, or a file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pandas import DataFrame

from experiments.analysis.tidy import IDENTITY, RESULTS, read_table, with_numbers
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
        table = read_table(path)
        name = path.parent.resolve().name if path.stem in ("table", "runs") else path.stem
        parts = runs_by_value(table) if {*table.columns} >= _RUNS else {TRAINING: table}
        return Source(name=name, path=path, parts=parts)
    if (path / "table.csv").is_file():
        return source(str(path / "table.csv"), results)
    if not (path / "runs.parquet").is_file() and not (path / "rows").is_dir():
        within = [each for each in sorted(path.glob("*")) if each.suffix in (".parquet", ".csv") or each.is_dir()]
        listed = f" (in it: {', '.join(map(str, within))})" if within else ""
        raise ValueError(f"{path} holds no sweep and no table.csv{listed}")
    runs = RunTable(path).rows(NEEDED)
    if runs.empty:
        raise ValueError(f"the sweep in {path} has no finished run yet")
    return Source(name=path.resolve().name, path=path, parts=runs_by_value(with_numbers(runs, source=str(path))))


def runs_by_value(runs: DataFrame) -> dict[str, DataFrame]:
    """Tidy tables of a sweep's rows: of those that train, and of those that answer requests."""
    purposes = runs[PURPOSE] if PURPOSE in runs else pd.Series(None, index=runs.index, dtype=object)
    known = purposes.dropna()
    # A run that could not be composed has no purpose of its own: it stands with the others.
    answers = (purposes == _INFER) | (purposes.isna() & (len(known) > 0 and bool((known == _INFER).all())))
    parts = {TRAINING: runs[~answers], INFERENCE: runs[answers]}
    return {value: _with_numbers(tidy(mine.reset_index(drop=True))) for value, mine in parts.items() if len(mine)}


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
