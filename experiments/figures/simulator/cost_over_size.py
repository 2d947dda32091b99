"""Does each step of a simulation cost as much as it does work? Seconds of one core over tasks, both logarithmic.

A line per step, with the exponent in tasks that was fitted from the second size on; a dotted line that rises as the
tasks do.
"""

import numpy as np
from matplotlib.axes import Axes
from pandas import DataFrame

from experiments.figures.style import COLOURS, GREY, log_axis

COLUMNS = ("step", "tasks", "us_per_task", "exponent")
PANEL_IN = 2.6
_MARKERS = "osD^vPX"
_MICRO = 1e-6


def panels(table: DataFrame) -> dict[str, DataFrame]:
    """One."""
    return {"pipelines of 32 to 1000 devices": table}


def draw(rows: DataFrame, ax: Axes) -> None:
    """A line per step over tasks."""
    ax.set(xscale="log", yscale="log")
    for (step, mine), colour, marker in zip(rows.groupby("step", sort=False), COLOURS, _MARKERS, strict=False):
        tasks, seconds = mine["tasks"].to_numpy(), (mine["us_per_task"] * mine["tasks"] * _MICRO).to_numpy()
        label = f"{step} ({mine['exponent'].iloc[0]:.2f})"
        ax.plot(tasks, seconds, color=colour, marker=marker, markersize=3.5, label=label)
    tasks = np.sort(rows["tasks"].unique())
    ax.plot(tasks, tasks * _MICRO, color=GREY, linestyle=":", linewidth=0.8, label="1 µs per task", zorder=0)
    log_axis(ax.xaxis)
    log_axis(ax.yaxis)
    ax.set_xlabel("tasks")
    ax.set_ylabel("time on one core (s)")
