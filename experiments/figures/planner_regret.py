"""How much slower than the best executed plan is each planner's, measured? A row per planner, a dot per setting.

Of a plan that was not executed the simulated regret is drawn, hollow. The grey band is what two runs of the same plan
are apart in the median: what lies in it is as good as the best.
"""

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from pandas import DataFrame, Series

from experiments.analysis.names import reader_name
from experiments.analysis.tidy import MBIT_PER_S
from experiments.figures.style import BLACK, GREY
from experiments.planner_regret.contenders import CHOICE
from experiments.planner_regret.rows import SETTING, SKIPPED

__all__ = ["PANEL_IN", "draw", "panels"]

PANEL_IN = 3.4  # with its legend
_PER_CENT = 100
_LINEAR = 1.0  # per cent, below which the axis is linear: nobody could measure less
_TICKS = (0, 1, 3, 10, 30, 100, 300, 1000, 3000)
_MARKERS = "osD^vP"  # of workloads
_HALF = 0.28  # of a row, over which its settings are spread
_DOT_PT = 3.2
_LIGHTEST = 0.88  # of the scale from dark, for slow links, to light: an order that print without colour keeps
_BAND = 0.25  # opacity


def panels(table: DataFrame) -> dict[str, DataFrame]:
    """A panel for each testbed, cluster and model; the settings within are rates and workloads."""
    return {
        f"{reader_name(str(model), 'model')}, n = {rows.groupby(list(SETTING)).ngroups} settings": rows
        for (_, _, model), rows in table.groupby(list(SETTING[:3]))
    }


def draw(rows: DataFrame, ax: Axes) -> None:
    """Dots in per cent, the choice's row marked, a tick for each planner's median of executed plans."""
    rows = rows.assign(at=_regrets(rows) * _PER_CENT)
    planners, settings = _ranked(rows), _looks(rows)
    spread = rows["spread"].median()
    if spread > 0:
        ax.axvspan(0, spread * _PER_CENT, color=GREY, alpha=_BAND, linewidth=0)
    for place, planner in enumerate(planners):
        mine = rows[rows["planner"] == planner]
        for _, row in mine.iterrows():
            _dot(ax, row, place, settings[tuple(row[list(SETTING[3:])])])
        if mine["regret"].notna().any():
            ax.plot([mine["regret"].median() * _PER_CENT], [place], marker="|", markersize=11, color=BLACK, zorder=2)
    _choice(ax, planners)
    _axes(ax, planners, float(rows["at"].max()))
    _legend(ax, settings, skipped=(rows["status"] == SKIPPED).any())


def _regrets(rows: DataFrame) -> Series:
    """Measured; of what was skipped, simulated over the fastest simulated of the setting."""
    simulated = rows["simulated_s"] / rows.groupby(list(SETTING))["simulated_s"].transform("min") - 1
    return rows["regret"].where(rows["status"] != SKIPPED, simulated)


def _ranked(rows: DataFrame) -> list[str]:
    """The choice first, then by median; who never was executed by what was simulated."""
    medians = rows.groupby("planner")["at"].median().fillna(np.inf)
    return sorted(medians.index, key=lambda planner: (planner != CHOICE, medians[planner], planner))


def _looks(rows: DataFrame) -> dict[tuple[Any, ...], dict[str, Any]]:
    """By setting: a colour for its rate, a marker for its workload, and its place within a row."""
    found = rows[list(SETTING[3:])].drop_duplicates().sort_values(list(SETTING[3:]))
    rates, workloads = found[SETTING[3]].unique(), found[list(SETTING[4:])].drop_duplicates()
    kinds = {tuple(workload): place for place, workload in enumerate(workloads.itertuples(index=False))}
    shades = matplotlib.colormaps["viridis"](np.linspace(0, _LIGHTEST, len(rates)))
    colours = {rate: matplotlib.colors.to_hex(shade) for rate, shade in zip(rates, shades, strict=True)}
    shifts = np.linspace(-_HALF, _HALF, len(found)) if len(found) > 1 else [0.0]
    return {
        tuple(setting): {
            "color": colours[setting[0]],
            "marker": _MARKERS[kinds[tuple(setting[1:])] % len(_MARKERS)],
            "shift": shift,
        }
        for setting, shift in zip(found.itertuples(index=False), shifts, strict=True)
    }


def _dot(ax: Axes, row: "Series[Any]", place: int, look: Mapping[str, Any]) -> None:
    face = "white" if row["status"] == SKIPPED else look["color"]
    ax.plot(
        [row["at"]],
        [place + look["shift"]],
        linestyle="none",
        marker=look["marker"],
        color=look["color"],
        markerfacecolor=face,
        markersize=_DOT_PT,
        markeredgewidth=0.7,
        zorder=3,
    )


def _choice(ax: Axes, planners: list[str]) -> None:
    if CHOICE in planners:
        ax.axhspan(-0.5, 0.5, facecolor="none", edgecolor=BLACK, linewidth=0.8, zorder=4)


def _axes(ax: Axes, planners: list[str], most: float) -> None:
    ax.set_xscale("symlog", linthresh=_LINEAR, linscale=0.5)
    ax.set_xlim(-0.15, max(most, 10 * _LINEAR) * 1.3)
    ax.xaxis.set_major_locator(FixedLocator([tick for tick in _TICKS if tick <= ax.get_xlim()[1]]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_ylim(len(planners) - 0.5, -0.5)
    ax.set_yticks(range(len(planners)), [reader_name(planner, "planner") for planner in planners])
    ax.tick_params(axis="y", length=0)
    for text in ax.get_yticklabels():
        text.set_fontweight("bold" if text.get_text() == reader_name(CHOICE, "planner") else "normal")
    ax.set_xlabel("measured regret (%)")


def _legend(ax: Axes, settings: Mapping[tuple[Any, ...], Mapping[str, Any]], *, skipped: bool) -> None:
    """Below the panel: rates, then what else there is."""
    rates: dict[str, Artist] = {}
    others: dict[str, Artist] = {}
    for (rate, batch, micro_batch), look in settings.items():
        rates[f"{rate / MBIT_PER_S:g} Mbit/s"] = _mark("o", look["color"])
        others[f"{batch} samples by {micro_batch}"] = _mark(look["marker"], GREY)
    if skipped:
        others["not executed: simulated"] = _mark("o", BLACK, face="white")
    others |= {"median": _mark("|", BLACK), "spread of runs": Patch(color=GREY, alpha=_BAND, linewidth=0)}
    entries = rates | others
    ax.legend(
        list(entries.values()),
        list(entries),
        loc="upper center",
        bbox_to_anchor=(0.1, -0.13),
        ncols=2,
        handlelength=1.2,
        columnspacing=1.2,
        handletextpad=0.5,
        labelspacing=0.3,
    )


def _mark(marker: str, colour: str, *, face: str | None = None) -> Line2D:
    return Line2D(
        [], [], linestyle="none", marker=marker, color=colour, markerfacecolor=face or colour, markersize=_DOT_PT + 0.8
    )
