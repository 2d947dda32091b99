"""What does each further device add? Throughput over the number of devices."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from pandas import DataFrame

from experiments.figures.marks import IDENTITY, RANGE, lines, ranged
from experiments.figures.style import GREY, readable_scale

__all__ = ["NEEDS", "axis", "draw", "readable_scale"]

NEEDS = ("cluster", "model", "devices", *IDENTITY, "samples_per_s", *RANGE)


def axis(table: DataFrame) -> tuple[str, ...]:
    """The number of devices is the x axis; a cluster of another size may have another name."""
    return ("devices",)


def draw(rows: DataFrame, ax: Axes) -> None:
    """A line per method, and in grey what the best of the smallest cluster would reach in proportion."""
    done = rows[rows["status"] == "done"]
    fewest, most = done["devices"].min(), done["devices"].max()
    best = done[done["devices"] == fewest].groupby(["method", "player"])["samples_per_s"].mean().max()
    counts = np.linspace(fewest, most, 50)  # the line is a curve on a logarithmic axis
    ax.plot(counts, best * counts / fewest, color=GREY, linewidth=0.7, linestyle=":", label="in proportion")
    lines(ranged(rows, "samples_per_s"), ax, column="devices")
    ax.set_ylim(0, 1.2 * done["samples_per_s"].max())  # the line in proportion may leave the panel
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("devices")
    ax.set_ylabel("throughput (samples/s)")
