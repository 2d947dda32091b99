"""How is a method's number drawn? Simulated as a bar or line, measured as a marker with its range, published hollow.

Rows have a column for the x axis, ``method``, ``player``, ``status``, and ``value`` with its range ``low`` to ``high``
(missing where none is known). On the axis, a cross is a plan that does not fit in memory, a plus another failed run.
Rows that differ in their seeds alone are drawn as their mean, with its 95 % t interval in the place of the range. A
simulated number of which executed plans say how far it may be off has the interval that they say.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from pandas import DataFrame
from pandas.api.types import is_numeric_dtype

from edgesim.intervals import LEVEL
from experiments.analysis.names import reader_name
from experiments.analysis.repeats import INTERVAL, half_width, how_many, seeds
from experiments.analysis.tidy import MBIT_PER_S, RunStatus, alike, identity, telling
from experiments.figures.style import BLACK, Look, label, looks

RATE = "bandwidth_bit_per_s"
BANDWIDTH = "bandwidth (Mbit/s)"
PLANS = "interval_plans"
RANGE = ("makespan_s", "makespan_low_s", "makespan_high_s")
IDENTITY = ("method", "player", "status")

_MARKER_PT = 4.5
_GROUPS = 8  # of bars, at most: more numbers are an axis
_LETTERS = 48  # of the names of groups that stand beside each other on an axis
_NO_PLACE = frozenset(
    {"study", "model", "cluster", "method", "player", RATE}
)  # never what groups of bars are, but above
_BARS = 0.84  # of the space of a group of bars
# Of what is not simulated: the marker's face, None for the method's colour, and its edge.
_FACES: dict[str, tuple[str | None, str | None]] = {"measured": (None, BLACK), "published": ("white", None)}


def _bars(rows: DataFrame, ax: Axes) -> None:
    """A bar per method in each ``group``, which is a place on the x axis."""
    methods = looks(rows["method"])
    width = _BARS / len(methods)
    for place, (method, look) in enumerate(methods.items()):
        mine = rows[rows["method"] == method]
        mine = means(mine.assign(at=mine["group"] + (place - (len(methods) - 1) / 2) * width), by="at")
        simulated = _done(mine, "simulated")
        ax.bar(
            simulated["at"],
            simulated["value"],
            width * 0.92,
            color=look.colour,
            hatch=look.hatch,
            edgecolor="white",
            linewidth=0.0,
        )
        # The legend's entry, also of a method that has no bar here.
        ax.add_patch(
            Rectangle(
                (0, 0),
                0,
                0,
                facecolor=look.colour,
                hatch=look.hatch,
                edgecolor="white",
                linewidth=0.0,
                label=label(method),
            )
        )
        intervals(simulated, ax)
        _others(mine, ax, look)
    _explain_simulated(rows, ax, "bars")
    ax.set_ylim(bottom=0)
    ax.tick_params(axis="x", length=0)
    if not (rows["status"] == "done").any():
        ax.set_yticks([])


def lines(rows: DataFrame, ax: Axes, *, column: str) -> None:
    """A line per method over a column of numbers."""
    for method, look in looks(rows["method"]).items():
        mine = rows[rows["method"] == method]
        mine = means(mine.assign(at=mine[column]).sort_values("at", kind="stable"), by="at")
        simulated = _done(mine, "simulated")
        ax.plot(
            simulated["at"],
            simulated["value"],
            color=look.colour,
            linestyle=look.dashes,
            marker=look.marker,
            markersize=_MARKER_PT - 1.5,
            label=label(method),
        )
        intervals(simulated, ax, colour=look.colour)
        _others(mine, ax, look)
    _explain_simulated(rows, ax, "lines")


def means(rows: DataFrame, *, by: str, columns: Sequence[str] = ("value",)) -> DataFrame:
    """Rows of a method at one place that differ in their seeds alone, as one: the mean of the ``columns``.

    ``low`` and ``high`` are then the interval of the first column's mean, ``half.<column>`` is half of each column's,
    and ``repeats`` says of how many; a run that was made with one seed keeps its own range.
    """
    if not seeds(rows.columns):
        return rows.assign(repeats=1)
    groups = alike(rows, (by, "method", "player", "status"))
    each = {name: rows[name].groupby(groups).agg(["count", "mean", "std"]) for name in columns}
    first = rows.assign(group=groups).drop_duplicates("group").set_index("group")
    first = first.assign(repeats=rows.groupby(groups).size())
    known = pd.DataFrame({name: stats["count"] for name, stats in each.items()}).min(axis="columns")
    repeated = (first["repeats"] > 1) & known.eq(first["repeats"])
    reach = pd.DataFrame({f"half.{name}": half_width(stats["std"], stats["count"]) for name, stats in each.items()})
    middle = pd.DataFrame({name: stats["mean"] for name, stats in each.items()})
    drawn = {"low": middle[columns[0]] - reach.iloc[:, 0], "high": middle[columns[0]] + reach.iloc[:, 0]}
    own = {name: first[name].astype(float) if name in first else math.nan for name in drawn}
    return first.assign(
        **{name: middle[name].where(repeated, first[name]) for name in columns},
        **{name: side.where(repeated, own[name]) for name, side in drawn.items()},
        **{name: side.where(repeated) for name, side in reach.items()},
    ).reset_index(drop=True)


def intervals(simulated: DataFrame, ax: Axes, *, colour: str = BLACK) -> None:
    """Of numbers that have a range: of seeds, of iterations, or by plans that were executed before."""
    mine = simulated[simulated["low"].notna()]
    if len(mine):
        _reach(mine, ax, color=colour, linestyle="none")
    _explain_predicted(mine, ax)
    explain_repeats(simulated, ax)


def _explain_predicted(rows: DataFrame, ax: Axes) -> None:
    """An entry of the legend in words: what the interval of a prediction is of, a single run's."""
    single = rows[rows["repeats"] == 1]
    if PLANS in single and len(plans := single[PLANS].dropna()):
        text = f"{LEVEL:.0%} interval of predictions, {how_many(map(int, plans))} executed plans".replace("%", " %")
        if text not in ax.get_legend_handles_labels()[1]:
            ax.plot([], [], linestyle="none", label=text)


def _of_iterations(rows: DataFrame) -> str:
    """What marks with a range are of, where each is a run of several iterations."""
    ranged = rows[(rows["repeats"] == 1) & rows["low"].notna()] if "low" in rows else rows.iloc[:0]
    if "iterations" not in ranged or ranged.empty:
        return ""
    return f": median and range, {how_many(map(int, ranged['iterations']))} iterations"


def explain_repeats(rows: DataFrame, ax: Axes) -> None:
    """An entry of the legend in words: what a mean is of."""
    if len(many := rows.loc[rows["repeats"] > 1, "repeats"]):
        ax.plot([], [], linestyle="none", label=f"mean, {INTERVAL}, {how_many(map(int, many))}")


def _reach(rows: DataFrame, ax: Axes, **look: Any) -> None:
    """Marks at ``value``, and bars from ``low`` to ``high`` where these are known."""
    reach = [(rows["value"] - rows["low"]).fillna(0), (rows["high"] - rows["value"]).fillna(0)]
    ax.errorbar(rows["at"], rows["value"], yerr=reach, elinewidth=0.8, capsize=1.5, zorder=3, **look)


def _done(rows: DataFrame, player: str) -> DataFrame:
    return rows[(rows["player"] == player) & (rows["status"] == "done")]


def _others(rows: DataFrame, ax: Axes, look: Look) -> None:
    """What is not simulated, and what failed; ``rows`` have their place in ``at``."""
    for player, (face, edge) in _FACES.items():
        mine = _done(rows, player)
        if mine.empty:
            continue
        _reach(
            mine,
            ax,
            fmt=look.marker,
            markersize=_MARKER_PT,
            color=edge or look.colour,
            markerfacecolor=face or look.colour,
            markeredgewidth=0.9,
        )
        explain_repeats(mine, ax)
        text = f"{player}{_of_iterations(mine)}"
        _explain(ax, text, marker="o", markerfacecolor="white" if face else BLACK, color=edge or BLACK)
    for marker, text, ended in (
        ("+", "failed", RunStatus.FAILED),
        ("x", "OOM: out of memory", RunStatus.OUT_OF_MEMORY),
    ):
        mine = rows[rows["status"] == ended]
        if not mine.empty:
            ax.plot(
                mine["at"],
                [0.03] * len(mine),
                transform=ax.get_xaxis_transform(),
                marker=marker,
                color=look.colour,
                markersize=_MARKER_PT,
                linestyle="none",
                zorder=3,
            )
            _explain(ax, text, marker=marker, color=BLACK)


def _explain(ax: Axes, text: str, **look: Any) -> None:
    """An entry of the legend for what all methods' markers of a kind mean."""
    if text not in ax.get_legend_handles_labels()[1]:
        ax.plot([], [], linestyle="none", markersize=_MARKER_PT, markeredgewidth=0.9, label=text, **look)


def _explain_simulated(rows: DataFrame, ax: Axes, what: str) -> None:
    """An entry of the legend in words alone: every bar or line is one."""
    if not _done(rows, "simulated").empty:
        ax.plot([], [], linestyle="none", label=f"{what}: simulated")


def ranged(rows: DataFrame, column: str) -> DataFrame:
    """``value`` from a column that follows the time of an iteration; ``low`` and ``high`` where that varied."""
    shortest, longest = rows["makespan_low_s"] / rows["makespan_s"], rows["makespan_high_s"] / rows["makespan_s"]
    value = rows[column]
    if column == "samples_per_s":
        return rows.assign(value=value, low=value / longest, high=value / shortest)
    return rows.assign(value=value, low=value * shortest, high=value * longest)


def category(rows: DataFrame) -> str:
    """What groups of bars are: bandwidths, or clusters where these vary and bandwidth does not.

    Where neither varies, what else tells runs of a method apart: of several such columns that with the most values.
    """
    for column in (RATE, "cluster"):
        if rows[column].nunique(dropna=False) > 1:
            return column
    among = [name for name in identity(rows) if name not in (*_NO_PLACE, *seeds(rows.columns))]
    apart = telling(rows, among, same=("model", "method", "player"))
    return max(apart, key=lambda name: rows[name].nunique(dropna=False), default=RATE)


def bars_of(rows: DataFrame, ax: Axes, *, column: str) -> None:
    """Bars of a column that follows the time of an iteration, with their axis; lines over many numbers."""
    by = category(rows)
    if rows[by].nunique() > _GROUPS and is_numeric_dtype(rows[by]):
        rows = rows.assign(**{by: rows[by] / MBIT_PER_S}) if by == RATE else rows
        lines(ranged(rows, column), ax, column=by)
        ax.set_ylim(bottom=0)
        ax.set_xlabel(BANDWIDTH if by == RATE else _words(by))
        return
    groups = sorted(rows[by].unique(), key=lambda value: (pd.isna(value), value))
    # A missing value is not equal to itself; its place in the list is what counts.
    places = {None if pd.isna(value) else value: place for place, value in enumerate(groups)}
    at = [places[None if pd.isna(value) else value] for value in rows[by]]
    _bars(ranged(rows, column).assign(group=at), ax)
    shared = "" if by == RATE else _shared_start([_named(by, value) for value in groups])
    texts = [_named(by, value).removeprefix(shared) for value in groups]
    rotation = 90 if sum(map(len, texts)) > _LETTERS else 0
    ax.set_xticks(range(len(groups)), texts, rotation=rotation)
    ax.set_xlim(-0.5, len(groups) - 0.5)
    ax.set_xlabel(BANDWIDTH if by == RATE else _of_places(by, shared))


def _of_places(column: str, shared: str) -> str:
    """What the axis is called: ``environment``, or ``cluster pool-…`` where names start alike, or the column."""
    if shared.endswith(" "):
        return shared.strip()
    return f"{_words(column)} {shared}…" if shared else _words(column)


def _words(column: str) -> str:
    """``micro batch samples`` of ``workload.micro_batch_samples``."""
    return column.rpartition(".")[2].replace("_", " ")


def _shared_start(names: Sequence[str]) -> str:
    """Words with which all names start: said once, on the axis.

    >>> _shared_start(["environment A", "environment B"]), _shared_start(["pool-1", "pool-2"])
    ('environment ', 'pool-')
    >>> _shared_start(["3 Jetson Nanos", "TX2 and Pi"])
    ''
    """
    starts = {re.match(r"(?:.*[ -])?", name).group() for name in names}  # type: ignore[union-attr]
    return starts.pop() if len(starts) == 1 else ""


def _named(column: str, value: Any) -> str:
    if pd.isna(value):
        return "–"
    if isinstance(value, int | float):
        return f"{value / MBIT_PER_S if column == RATE else value:g}"
    return reader_name(str(value), column) if column in ("cluster", "planner") else str(value)
