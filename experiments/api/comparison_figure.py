"""How do a few runs compare? A bar per method in a panel per quantity, each with its number, the best in bold.

No iteration time and no rate of samples is in bold that differs from another by no more than its interval.

Bars are simulated; of an executed run a marker shows the median of what was measured, with its range. Joules and peak
memory are computed in any case.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from experiments.analysis.names import reader_name
from experiments.analysis.tidy import in_words, records
from experiments.figures.marks import RATE, ranged
from experiments.figures.style import BLACK, RC, SMALL_PT, TWO_COLUMNS_IN, looks
from experiments.intervals.wins import Line, standings
from experiments.tables.methods import VALUES, quantity_of
from experiments.tables.number import number, one_unit

PER_ITERATION = ("makespan_s", "energy_j", "peak_bytes")
PER_SAMPLE = ("samples_per_s", "energy_per_sample_j", "peak_bytes")  # where batches differ
_BAR_IN, _AROUND_IN, _LEGEND_IN = 0.21, 0.62, 0.2  # heights: of a bar's line, of a panel beside it, of the legend
_BAR = 0.74  # of its line
_ROOM = 1.24  # of the longest bar, for the number behind it


def side_by_side_figure(table: DataFrame, values: Sequence[str] | None = None) -> Figure:
    """A line of panels for each model, cluster and bandwidth; ``values`` are columns of a tidy table.

    Raises ValueError for a value that is none of those that can be compared.
    """
    shown = tuple(values) if values else PER_ITERATION if table["batch_samples"].nunique() == 1 else PER_SAMPLE
    for value in shown:
        quantity_of(value)
    problems = [(str(_title(key)), rows) for key, rows in table.groupby(["model", "cluster", RATE], sort=False)]
    heights = [_AROUND_IN + _BAR_IN * rows["method"].nunique() for _, rows in problems]
    measured = (table["player"] == "measured").any()
    with plt.rc_context(RC):
        figure, axes = plt.subplots(
            len(problems),
            len(shown),
            squeeze=False,
            sharey="row",
            figsize=(TWO_COLUMNS_IN, sum(heights) + _LEGEND_IN * measured),
            height_ratios=heights,
        )
        for (title, rows), line in zip(problems, axes, strict=True):
            for value, ax in zip(shown, line, strict=True):
                _draw(rows, ax, value)
            line[0].set_title(title, loc="left")
        if measured:
            _explain(figure, axes[0][0])
    return figure


def _title(key: tuple[str, str, float]) -> str:
    model, cluster, rate = key
    return f"{reader_name(model, 'model')} on {reader_name(cluster, 'cluster')}, {in_words(RATE, rate)}"


def _draw(rows: DataFrame, ax: Axes, value: str) -> None:
    """Bars from top to bottom in the order given, named at the left."""
    quantity, methods = VALUES[value], list(dict.fromkeys(rows["method"]))
    known = rows[value].dropna()
    unit, scale = one_unit([known.max()], quantity.unit) if quantity.prefixed and len(known) else (quantity.unit, 1.0)
    rows = ranged(rows, value) if value != "peak_bytes" else rows.assign(value=rows[value], low=None, high=None)
    simulated = rows[rows["player"] == "simulated"].set_index("method")["value"]
    won = _winner(rows, value)
    for method, look in looks(methods).items():
        place, length = methods.index(method), simulated[method] / scale
        ax.barh(place, length, _BAR, color=look.colour, hatch=look.hatch, edgecolor="white", linewidth=0.0)
        ax.annotate(
            number(length),
            (length, place),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=SMALL_PT,
            fontweight="bold" if method == won else "normal",
        )
    measured = rows[(rows["player"] == "measured") & rows["value"].notna()]
    for _, row in measured.iterrows():
        reach = [[(row["value"] - row["low"]) / scale], [(row["high"] - row["value"]) / scale]]
        reach = [[0 if pd.isna(end) else end for end in ends] for ends in reach]
        at = (row["value"] / scale, methods.index(row["method"]))
        ax.errorbar(*at, xerr=reach, fmt="o", markersize=4, color=BLACK, markerfacecolor="white", capsize=1.5, zorder=3)
    ax.set_yticks(range(len(methods)), [reader_name(method) for method in methods])
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(methods) - 0.5, -0.5)
    ax.set_xlim(0, _ROOM * rows["value"].max() / scale)
    ax.set_xlabel(f"{quantity.title} ({unit})")


def _winner(rows: DataFrame, value: str) -> str | None:
    """The method with the best simulated number; None where its difference from another lies within its interval."""
    told = records(rows[(rows["player"] == "simulated") & rows[value].notna()])
    lines = [Line(row=row, mean=float(row[value] or 0.0)) for row in told]
    best = VALUES[value].best([line.mean for line in lines]) if lines else None
    stands = standings(lines, (), value)[0]
    won = [line for line, stand in zip(lines, stands, strict=True) if line.mean == best and not stand.is_open]
    return str(won[0].row["method"]) if won else None


def _explain(figure: Figure, ax: Axes) -> None:
    handle = ax.errorbar([], [], fmt="o", markersize=4, color=BLACK, markerfacecolor="white")
    figure.legend([handle], ["measured; bars: simulated"], loc="outside upper right")
