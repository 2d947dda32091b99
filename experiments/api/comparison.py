"""Which run is the best? Several runs as one table and one figure, method beside method."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
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
from experiments.explain.faster_run import standings_of_runs
from experiments.intervals.wins import NO_WIN, Line, Standing, standings

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
        found = self._simulated()
        chances = [] if found is None else [each.chance for each in found[0]]
        return {name: chance for name, chance in zip(self.labels, chances, strict=False) if chance is not None}

    def table(self) -> Table:
        """Lay the runs out for a terminal; below, how likely each is the fastest.

        Of each player's rows the fastest is in bold, unless its difference from another lies within its interval.
        """
        rows, stands, notes = self._standings()
        table = Table(*_HEADS[:4], caption="\n".join(notes) or None, caption_justify="left")
        for head in _HEADS[4:]:
            table.add_column(head, justify="right")
        for row, stand in zip(rows, stands, strict=True):
            rivals_s = [each["makespan_s"] for each in rows if each["player"] == row["player"]]
            has_won = len(rivals_s) > 1 and row["makespan_s"] == min(rivals_s) and not stand.is_open
            table.add_row(*_cells(row, stand), style="bold" if has_won else None)
        return table

    __rich__ = table

    def __repr__(self) -> str:
        console = Console(width=160, color_system=None)
        with console.capture() as captured:
            console.print(self.table())
        return captured.get().rstrip()

    def _repr_html_(self) -> str:
        rows, stands, notes = self._standings()
        cells = [_cells(row, stand) for row, stand in zip(rows, stands, strict=True)]
        return str(pd.DataFrame(cells, columns=list(_HEADS)).to_html(index=False)) + "<br>".join(map(escape, notes))

    def _standings(self) -> tuple[list[dict[str, Any]], list[Standing], list[str]]:
        """A row per run and player, how it stands among its player's, and what a reader has to know of that."""
        rows, found, notes = self._rows(), self._simulated(), dict[str, None]()
        stands = [Standing() for _ in rows]
        for player in dict.fromkeys(row["player"] for row in rows):
            places = [place for place, row in enumerate(rows) if row["player"] == player]
            lines = [Line(row=rows[place], mean=rows[place]["makespan_s"]) for place in places]
            mine, said = standings(lines, (), "makespan_s") if player == "measured" else found or ([], ())
            notes |= dict.fromkeys(note for note in said if note.startswith(NO_WIN))
            for place, stand in zip(places, mine, strict=False):
                stands[place] = stand
        return rows, stands, [*self._known_by(), *notes]

    def _simulated(self) -> tuple[list[Standing], tuple[str, ...]] | None:
        """How the runs stand by their simulated seconds; None where executed plans do not tell."""
        simulated_s = [result.metrics[0].makespan_s for result in self.results]
        return standings_of_runs([result.setup for result in self.results], simulated_s)

    def _known_by(self) -> list[str]:
        """How likely each run is the fastest, or why that is not known."""
        if told := ", ".join(f"{label} {chance:.0%}" for label, chance in self.chances.items()):
            return [f"the fastest, by what executed plans took over what was simulated: {told}"]
        if len(self.results) == 1:
            return []
        return [str(result.interval) for result in self.results if result.interval.why][:1]

    def _rows(self) -> list[dict[str, Any]]:
        return [{str(name): value for name, value in row.items()} for row in self.to_pandas().to_dict("records")]


def _cells(row: dict[str, Any], stand: Standing) -> tuple[str, ...]:
    named = [reader_name(str(row[name]), name) for name in ("method", "model", "cluster")]
    peak = row["peak_bytes"]
    return (
        *named,
        str(row["player"]),
        show(row["makespan_s"], "s") + (f" {NO_WIN}" if stand.is_open else ""),
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
