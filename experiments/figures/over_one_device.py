"""How many times as fast as the best single device is each method, testbed by testbed and rate by rate?

What does not run anywhere in a column is not drawn there: its row in the table says why.
"""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from pandas import DataFrame

from experiments.analysis.repeats import INTERVAL, half_width, how_many, seeds
from experiments.analysis.tidy import MBIT_PER_S
from experiments.figures.marks import IDENTITY, RATE
from experiments.figures.style import GREY, PAPER, label, log_axis, looks

__all__ = ["NEEDS", "PANEL_IN", "axis", "draw"]

NEEDS = ("cluster", "model", RATE, *IDENTITY, "samples_per_s")
_BASE = "one_device"
PANEL_IN = 2.1
_MARK_PT = 4
_ROOM = 1.4  # above the marks, for testbeds' names
_WIDTH = 0.8  # of a column, which methods share


def axis(table: DataFrame) -> tuple[str, ...]:
    """Testbeds and rates are the x axis."""
    return ("cluster", RATE)


def draw(rows: DataFrame, ax: Axes) -> None:
    """A mark per method in a column of each testbed and rate; without single devices, over the first method."""
    done = rows[rows["status"] == "done"]
    names = looks(done["method"] if len(done) else rows["method"])
    base = _BASE if _BASE in names else next(iter(names))
    player = "measured" if (done["player"] == "measured").any() else "simulated"
    repeats = seeds(rows.columns)
    speed = done[done["player"] == player].pivot_table(
        index=["cluster", RATE, *repeats], columns="method", values="samples_per_s"
    )
    by_seed = speed.div(speed[base], axis=0).sort_index() if base in speed else speed
    grouped = by_seed.groupby(level=["cluster", RATE], sort=False, dropna=False)
    over, counts = grouped.mean(), grouped.count()
    reach = half_width(grouped.std(), counts) if repeats else None
    styles = {name: look for name, look in names.items() if name != base}
    places = np.arange(len(over))
    shifts = np.linspace(-_WIDTH / 2, _WIDTH / 2, len(styles))
    for shift, (name, look) in zip(shifts, styles.items(), strict=True):
        if name in over:
            ax.plot(places + shift, over[name], look.marker, color=look.colour, markersize=_MARK_PT, label=label(name))
            if reach is not None:
                ax.errorbar(places + shift, over[name], reach[name], fmt="none", ecolor=look.colour, elinewidth=0.8)
    if (several := counts.to_numpy()[counts.to_numpy() > 1]).size:
        ax.plot([], [], linestyle="none", label=f"mean, {INTERVAL}, {how_many(map(int, several))}")
    ax.axhline(1, color=GREY, linewidth=0.6, zorder=1)
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * _ROOM)
    log_axis(ax.yaxis)
    ax.set_xlim(-0.5, len(over) - 0.5)
    ax.set_xticks(places, [f"{rate / MBIT_PER_S:g}" for _, rate in over.index])
    _part_testbeds(ax, [cluster for cluster, _ in over.index])
    ax.set_xlabel("Mbit/s")
    ax.set_ylabel("times as fast as\n" + ("the best single device" if base == _BASE else label(base)))
    if player == "measured":
        ax.set_ylabel(f"{ax.get_ylabel()} (measured)")


def _part_testbeds(ax: Axes, clusters: Sequence[str]) -> None:
    """Each testbed's name once, above its columns, and every second one on a darker ground."""
    start = 0.0
    for number, (cluster, columns) in enumerate(groupby(clusters)):
        end = start + len(list(columns))
        if number % 2 == 0:
            ax.axvspan(start - 0.5, end - 0.5, color=PAPER, linewidth=0, zorder=0)
        name = cluster.rpartition("-")[2].upper()
        ax.text((start + end - 1) / 2, 0.99, name, transform=ax.get_xaxis_transform(), ha="center", va="top")
        start = end
