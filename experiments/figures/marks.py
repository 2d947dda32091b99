"""How is a method's number drawn? Simulated as a bar or line, measured as a marker with its range, published hollow.

Rows have a column for the x axis, ``method``, ``player``, ``status``, and ``value`` with its range ``low`` to ``high``
(missing where none is known). On the axis, a cross is a plan that does not fit in memory, a plus another failed run.
"""

import re
from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from pandas import DataFrame

from experiments.analysis.names import reader_name
from experiments.analysis.tidy import MBIT_PER_S, RunStatus
from experiments.figures.style import BLACK, Look, label, looks

RATE = "bandwidth_bit_per_s"
BANDWIDTH = "bandwidth (Mbit/s)"
RANGE = ("makespan_s", "makespan_low_s", "makespan_high_s")
IDENTITY = ("method", "player", "status")

_MARKER_PT = 4.5
_BARS = 0.84  # of the space of a group of bars
# Of what is not simulated: the marker's face, None for the method's colour, and its edge.
_FACES: dict[str, tuple[str | None, str | None]] = {"measured": (None, BLACK), "published": ("white", None)}


def _bars(rows: DataFrame, ax: Axes) -> None:
    """A bar per method in each ``group``, which is a place on the x axis."""
    methods = looks(rows["method"])
    width = _BARS / len(methods)
    for place, (method, look) in enumerate(methods.items()):
        mine = rows[rows["method"] == method]
        mine = mine.assign(at=mine["group"] + (place - (len(methods) - 1) / 2) * width)
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
        mine = mine.assign(at=mine[column]).sort_values("at", kind="stable")
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
        _others(mine, ax, look)
    _explain_simulated(rows, ax, "lines")


def _done(rows: DataFrame, player: str) -> DataFrame:
    return rows[(rows["player"] == player) & (rows["status"] == "done")]


def _others(rows: DataFrame, ax: Axes, look: Look) -> None:
    """What is not simulated, and what failed; ``rows`` have their place in ``at``."""
    for player, (face, edge) in _FACES.items():
        mine = _done(rows, player)
        if mine.empty:
            continue
        reach = [(mine["value"] - mine["low"]).fillna(0), (mine["high"] - mine["value"]).fillna(0)]
        ax.errorbar(
            mine["at"],
            mine["value"],
            yerr=reach,
            fmt=look.marker,
            markersize=_MARKER_PT,
            color=edge or look.colour,
            markerfacecolor=face or look.colour,
            markeredgewidth=0.9,
            elinewidth=0.8,
            capsize=1.5,
            zorder=3,
        )
        _explain(ax, player, marker="o", markerfacecolor="white" if face else BLACK, color=edge or BLACK)
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
    """What groups of bars are: bandwidths, or clusters where these vary and bandwidth does not."""
    for column in (RATE, "cluster"):
        if rows[column].nunique(dropna=False) > 1:
            return column
    return RATE


def bars_of(rows: DataFrame, ax: Axes, *, column: str) -> None:
    """Bars of a column that follows the time of an iteration, with their axis."""
    by = category(rows)
    groups = sorted(rows[by].unique(), key=lambda value: (pd.isna(value), value))
    # A missing value is not equal to itself; its place in the list is what counts.
    places = {None if pd.isna(value) else value: place for place, value in enumerate(groups)}
    at = [places[None if pd.isna(value) else value] for value in rows[by]]
    _bars(ranged(rows, column).assign(group=at), ax)
    shared = "" if by == RATE else _shared_start([_named(by, value) for value in groups])
    ax.set_xticks(range(len(groups)), [_named(by, value).removeprefix(shared) for value in groups])
    ax.set_xlim(-0.5, len(groups) - 0.5)
    ax.set_xlabel(BANDWIDTH if by == RATE else _of_places(by, shared))


def _of_places(column: str, shared: str) -> str:
    """What the axis is called: ``environment``, or ``cluster pool-…`` where names start alike, or the column."""
    if shared.endswith(" "):
        return shared.strip()
    return f"{column} {shared}…" if shared else column


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
    return f"{value / MBIT_PER_S:g}" if column == RATE else reader_name(str(value), column)
