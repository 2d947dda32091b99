"""How does a script make many runs? As a sweep of the command line's: the same cache, the same table, the same rows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from pandas import DataFrame

from experiments.api.files import Files
from experiments.api.mistakes import in_sentences
from experiments.api.words import Choice, Pair, Words, is_choice, pairs
from experiments.sweeps.grid import Sweep

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

    from experiments.sweeps.sweep import SweepEnd

_ALONE = "here"  # the launcher that needs no other process


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class SweepTable:
    """All runs of a sweep.

    Attributes:
        path: The table's file, which the commands ``tables`` and ``figures`` take as well.
        failures: How many runs failed; their rows say why.
        end: What the sweep's command knows of it.
    """

    path: Path
    failures: int
    end: "SweepEnd"

    @in_sentences
    def to_pandas(self) -> DataFrame:
        """Tell what came out.

        Returns:
            The tidy table: a row per run and player, in SI units; failed runs with their reason.
        """
        return pd.concat(self._parts().values(), ignore_index=True)

    @in_sentences
    def runs(self) -> DataFrame:
        """Tell all that is known of the runs.

        Returns:
            A row per run as the sweep's file holds it: every value of its configuration, versions, times.
        """
        return self.end.rows()

    @in_sentences
    def best(self, n: int = 5, *, value: str | None = None) -> "Table":
        """Rank the runs.

        Args:
            n: How many lines to show.
            value: What to rank by, like ``"samples_per_s"`` or ``"energy_j"``; left out, seconds per iteration, and
                latency where the model answers.

        Returns:
            A table, best first; repeated seeds are one line.

        Raises:
            ValueError: If there is no run, or the value cannot be ranked by.
        """
        from experiments.tables.ranking import ranking, ranking_table

        usual, table = next(iter(self._parts().items()))
        return ranking_table(ranking(self.to_pandas() if value else table, value=value or usual, top=n))

    @in_sentences
    def plot(
        self, path: str | Path | None = None, *, figure: str | None = None, only: Mapping[str, Any] | None = None
    ) -> "Figure":
        """Draw the runs.

        Args:
            path: Where to write it as well: a .png, .pdf or .svg.
            figure: Which figure, like ``"throughput"`` or ``"time_energy"``; left out, one that suits what varied.
            only: Columns and values of the runs that are drawn, like ``{"batch_samples": 16}``; left out, all runs.

        Returns:
            The figure.

        Raises:
            ValueError: If there is no such figure, column or value, too many panels, or the path ends in anything else.
        """
        from experiments.figures.any_table import requests_of
        from experiments.figures.catalogue import Folders
        from experiments.figures.style import written
        from experiments.tables.sources import Source, narrowed

        whole = Source(name=self.path.parent.name, path=self.path, parts=self._parts())
        folders = Folders(results=self.path.parents[2])
        whole = narrowed(whole, {column: str(value) for column, value in (only or {}).items()})
        return written(next(requests_of(whole, [figure] if figure else [], folders, Path())).make(), path)

    def __len__(self) -> int:
        return len(self.end.failed)

    def __repr__(self) -> str:
        failed = f", {self.failures} failed" if self.failures else ""
        return f"{len(self)} runs{failed} in {self.path}"

    def _repr_html_(self) -> str:
        return f"{escape(repr(self))}{self.to_pandas().to_html(index=False, max_rows=20)}"

    def _parts(self) -> dict[str, DataFrame]:
        from experiments.collect import NEEDED
        from experiments.tables.sources import runs_by_value

        return runs_by_value(self.end.rows(NEEDED))


@in_sentences
def sweep(
    *, name: str | None = None, results: str | Path = "results", workers: int | None = None, **over: Any
) -> SweepTable:
    """Make a run for every combination of the values in lists.

    A finished run is never made again: a sweep that was ended goes on where it was, and one that is asked for again
    reads its table. A run that fails is a row with its reason.

    Args:
        name: Of the table's folder; left out, what varies.
        results: The folder of results; the table is in ``sweeps/NAME`` below it.
        workers: Processes; 1 makes the runs in this one; left out, one per core. On a cluster's machines runs are made
            by ``launcher="on_ray"``, or ``Choice(group="launcher", name="on_ray", options={"address": "head:6379"})``.
        **over: What :func:`simulate` takes. A list is swept over (``rate=["20 Mbit/s", "100 Mbit/s"]``), anything else
            is the same for all runs; a value that is a list is written as a tuple (``groups=([0], [1, 2])``).

    Returns:
        The table of these runs, and of no other in that folder.

    Raises:
        ValueError: If a name is unknown, or a value does not fit its key: no sweep begins with a mistake.
    """
    # Joblib and what writes tables: only a sweep needs them.
    from experiments.sweeps.sweep import sweep as run_all

    with Files() as files:
        asked = dict(over) | {"results": str(results), "launcher": _launcher(over.get("launcher"), workers)}
        end = run_all(_wanted(asked, name, files), made=files.made)
    return SweepTable(path=end.table.parquet, failures=end.failures, end=end)


def _launcher(given: Any, workers: int | None) -> Any:
    """Where the runs are made: as it was given, with so many workers."""
    if workers is None:
        return given
    if given is None:
        return _ALONE if workers == 1 else {"workers": workers}
    if isinstance(given, Mapping):
        return {**given, "workers": workers}
    chosen = given if isinstance(given, Choice) else Choice(group="launcher", name=str(given))
    return replace(chosen, options={**chosen.options, "workers": workers})


def _wanted(over: Mapping[str, Any], name: str | None, files: Files) -> Sweep:
    dimensions = [[list(pairs(choice, files)) for choice in choices] for choices in _dimensions(over)]
    fixed = list(pairs(_fixed(over), files))
    first = [*fixed, *(pair for choices in dimensions for pair in choices[0])]
    words = Words([pair for pair in first if is_choice(pair[0])], files.folders)

    def of(some: list[Pair]) -> tuple[str, ...]:
        return tuple(words.word(key, value) for key, value in some)

    wanted = Sweep(of(fixed), tuple(tuple(map(of, choices)) for choices in dimensions), tuple(files.users))
    # The folder of what was given lasts as long as the call: the table's name must not depend on it.
    named = () if name is None and "experiment" in over else (words.word("sweep.name", name or wanted.name),)
    return replace(wanted, fixed=(*wanted.fixed, *named), folders=files.folders)


def _dimensions(over: Mapping[str, Any], *above: str) -> Iterator[list[dict[str, Any]]]:
    """What each list asks for, choice by choice, as keywords."""
    for name, value in over.items():
        if isinstance(value, list):
            if not value:
                key = ".".join((*above, name))
                raise ValueError(f"{key}: an empty list asks for no run (give it a value, or leave it out)")
            yield [_within((*above, name), choice) for choice in value]
        elif isinstance(value, Mapping):
            yield from _dimensions(value, *above, name)


def _within(names: tuple[str, ...], value: Any) -> dict[str, Any]:
    """``{"workload": {"tokens": 64}}`` of the names and the value."""
    return {names[0]: value if len(names) == 1 else _within(names[1:], value)}


def _fixed(over: Mapping[str, Any]) -> dict[str, Any]:
    """What is the same for all runs."""
    return {
        name: _fixed(value) if isinstance(value, Mapping) and not isinstance(value, Choice) else value
        for name, value in over.items()
        if not isinstance(value, list)
    }
