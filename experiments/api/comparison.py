"""Which run is the best? Several runs as one table and one figure, method beside method."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from pandas import DataFrame
from rich.console import Console
from rich.table import Table

from edgesim.units import show
from experiments.analysis.names import reader_name
from experiments.analysis.tidy import RunStatus
from experiments.api.mistakes import in_sentences
from experiments.execution.play import Played
from experiments.explain.faster_run import chances

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HEADS = ("method", "model", "cluster", "player", "s/iteration", "samples/s", "energy (computed)", "peak memory")


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Comparison:
    """Runs beside one another.

    Attributes:
        results: The runs, in the order given.
        labels: What each is called: its method, with what tells it from another of that name.
    """

    results: tuple[Played, ...]
    labels: tuple[str, ...]

    @in_sentences
    def to_pandas(self) -> DataFrame:
        """Tell what came out of each run.

        Returns:
            A row per run and player, in SI units, with the columns of a sweep's tidy table.
        """
        return tidy_rows(self.results, self.labels)

    @in_sentences
    def plot(self, path: str | Path | None = None, *, values: Sequence[str] | None = None) -> "Figure":
        """Draw the runs side by side, a panel for each quantity.

        Args:
            path: Where to write it as well: a .png, .pdf or .svg.
            values: Columns to draw; left out, samples per second, joules per sample and peak memory.

        Returns:
            The figure.

        Raises:
            ValueError: If a value is unknown, or the path ends in anything else.
        """
        from experiments.api.comparison_figure import side_by_side_figure
        from experiments.figures.style import written

        return written(side_by_side_figure(self.to_pandas(), values), path)

    @property
    def chances(self) -> dict[str, float]:
        """How likely each run is the fastest, by its simulated seconds and by how executed plans were off.

        Empty where no plan was executed beside the runs' profiles (:mod:`edgesim.intervals`).
        """
        simulated_s = [result.metrics[0].makespan_s for result in self.results]
        found = chances([result.setup for result in self.results], simulated_s)
        return {} if found is None else dict(zip(self.labels, found, strict=True))

    def table(self) -> Table:
        """Lay the runs out for a terminal, the fastest in bold; below, how likely each is to be that."""
        told = ", ".join(f"{label} {chance:.0%}" for label, chance in self.chances.items())
        caption = f"the fastest, by what executed plans took over what was simulated: {told}" if told else None
        table = Table(*_HEADS[:4], caption=caption, caption_justify="left")
        for head in _HEADS[4:]:
            table.add_column(head, justify="right")
        rows = self._rows()
        fastest = min(row["makespan_s"] for row in rows)
        for row in rows:
            table.add_row(*_cells(row), style="bold" if row["makespan_s"] == fastest else None)
        return table

    __rich__ = table

    def __repr__(self) -> str:
        console = Console(width=160, color_system=None)
        with console.capture() as captured:
            console.print(self.table())
        return captured.get().rstrip()

    def _repr_html_(self) -> str:
        return str(pd.DataFrame([_cells(row) for row in self._rows()], columns=list(_HEADS)).to_html(index=False))

    def _rows(self) -> list[dict[str, Any]]:
        return [{str(name): value for name, value in row.items()} for row in self.to_pandas().to_dict("records")]


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    named = [reader_name(str(row[name]), name) for name in ("method", "model", "cluster")]
    peak = row["peak_bytes"]
    return (
        *named,
        str(row["player"]),
        show(row["makespan_s"], "s"),
        f"{row['samples_per_s']:.3g}",
        show(row["energy_j"], "J"),
        show(peak, "B") if peak == peak else "–",
    )


@in_sentences
def compare(*results: Played, labels: Sequence[str] | None = None) -> Comparison:
    """Put runs beside one another.

    Args:
        *results: What :func:`simulate` and :func:`execute` returned.
        labels: What to call each; left out, its method, and with it what else tells it from the others.

    Returns:
        A comparison, which shows itself as a table and can be plotted.

    Raises:
        ValueError: If there is no run, or not a label for each, or two labels are the same.
    """
    if not results:
        raise ValueError("compare: no run was given (compare(simulate(...), simulate(...)))")
    for result in results:
        if not isinstance(result, Played):
            raise ValueError(f"compare: expected runs, as simulate() returns them, got {result!r}")
    named = tuple(labels) if labels is not None else _labels(results)
    if len(named) != len(results):
        raise ValueError(f"compare: {len(results)} runs need as many labels, got {list(named)}")
    told = [(name, *_columns(result)) for name, result in zip(named, results, strict=True)]
    if twice := [name for name, *where in told if told.count((name, *where)) > 1]:
        raise ValueError(f"compare: two runs are called {twice[0]!r} (give each a label of its own)")
    return Comparison(results=results, labels=named)


def _labels(results: Sequence[Played]) -> tuple[str, ...]:
    """The method; of runs of one method that no column tells apart also the overrides in which they differ."""
    shared = set.intersection(*(set(result.words) for result in results))
    names = [result.name for result in results]
    for change in (_with_words, _with_numbers):
        told = [(name, *_columns(result)) for name, result in zip(names, results, strict=True)]
        names = [
            change(name, i, told, [word for word in result.words if word not in shared])
            if told.count(told[i]) > 1
            else name
            for i, (name, result) in enumerate(zip(names, results, strict=True))
        ]
    return tuple(names)


def _with_words(name: str, place: int, told: Sequence[object], words: Sequence[str]) -> str:
    return ", ".join([name, *(word for word in words if not word.startswith(("method=", "strategy=")))])


def _with_numbers(name: str, place: int, told: Sequence[object], words: Sequence[str]) -> str:
    return f"{name} ({told[:place].count(told[place]) + 1})"


def _columns(result: Played) -> tuple[Any, ...]:
    return result.model.name, result.cluster.name, result.cluster.network.slowest_bytes_per_s


def tidy_rows(results: Sequence[Played], labels: Sequence[str] | None = None) -> DataFrame:
    """The tidy table of these runs, in their order."""
    # What a sweep's table is made with, loaded when a table is asked for.
    from experiments.collect import tidy
    from experiments.sweeps.rows import facts

    names = labels or [result.name for result in results]
    parts = []
    for result, name in zip(results, names, strict=True):
        row = facts(result) | {"method": name, "status": str(RunStatus.DONE), "reason": "", "study": "script"}
        parts.append(tidy(pd.DataFrame([row | {"overrides": json.dumps(())}])))
    return pd.concat(parts, ignore_index=True).drop(columns="study")
