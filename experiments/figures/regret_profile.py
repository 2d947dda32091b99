"""How often is a planner how close to the best plan that any found? The share of cases within a regret, a line each.

A performance profile (Dolan and Moré, 2002) of simulated seconds. Cases in which no planner found a plan are left out;
a case without a plan of one's own is never within. The left edge says how often a planner is the best, or as good.
"""

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from pandas import DataFrame

from experiments.figures.planners import MARKER_PT, PANEL_IN, legend, lines, panels, solved
from experiments.figures.style import Look, log_axis

__all__ = ["PANEL_IN", "draw", "panels", "profile"]

Numbers = NDArray[np.float64]

LEAST = 1e-3  # regret at the left edge: nobody could measure less
_MARKERS = 5  # on a line
_PER_CENT = 100


def draw(rows: DataFrame, ax: Axes) -> None:
    """A step line per planner over regrets, in per cent."""
    most = max(1.0, float(rows["regret"].max())) * 1.1
    planner_lines, counted = lines(rows), solved(rows)
    for place, line in reversed(list(enumerate(planner_lines))):  # the first on top
        mine = counted[counted["planner"] == line.planner]
        _line(ax, line.look, *profile(mine), most=most, shift=place / len(planner_lines))
    ax.set_xscale("log")
    ax.set_xlim(LEAST * _PER_CENT, most * _PER_CENT)
    ax.set_ylim(0, 103)
    log_axis(ax.xaxis)
    ax.set_xlabel("regret over the best plan found (%)")
    ax.set_ylabel("cases within it (%)")
    legend(ax, planner_lines)


def profile(rows: DataFrame) -> tuple[Numbers, Numbers]:
    """Regrets in order, and the share of a planner's cases within each of them."""
    regrets = np.sort(rows["regret"].dropna().to_numpy(dtype=float))
    return regrets, np.arange(1, len(regrets) + 1) / len(rows)


def _line(ax: Axes, look: Look, regrets: Numbers, shares: Numbers, *, most: float, shift: float) -> None:
    """Steps, and markers at regrets that are ``shift`` of their distance apart from other planners'."""
    steps = np.concatenate([[0.0], shares])  # [how many regrets are passed]
    edges = np.array([LEAST, *regrets[regrets > LEAST], most])
    heights = steps[np.searchsorted(regrets, edges, side="right")]
    ax.step(edges * _PER_CENT, heights * _PER_CENT, where="post", color=look.colour, linestyle=look.dashes, zorder=2)
    places = LEAST * (most / LEAST) ** ((np.arange(_MARKERS) + shift) / _MARKERS)
    at = steps[np.searchsorted(regrets, places, side="right")]
    ax.plot(
        places[at > 0] * _PER_CENT,
        at[at > 0] * _PER_CENT,
        color=look.colour,
        marker=look.marker,
        markersize=MARKER_PT,
        linestyle="none",
        zorder=3,
    )
