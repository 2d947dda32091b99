"""How does a planner's time grow with the problem? Seconds of planning over layers times devices, both logarithmic.

A point is the median over the cases of that size for which the planner found a plan, its bar the fastest and the
slowest of them. A cross at the time limit says that it was stopped in one of them.
"""

from matplotlib.axes import Axes
from pandas import DataFrame

from experiments.figures.planners import MARKER_PT, PANEL_IN, Line, legend, lines, panels
from experiments.figures.style import GREY, SMALL_PT, log_axis
from experiments.planner_bench.rows import CASE

__all__ = ["PANEL_IN", "draw", "panels"]

_PALE = 0.6
_FEW = 6  # sizes that all have room on the axis


def draw(rows: DataFrame, ax: Axes) -> None:
    """A line per planner over sizes."""
    rows = rows.assign(size=rows["layers"] * rows["devices"])
    planner_lines = lines(rows)
    ax.set(xscale="log", yscale="log")
    for line in reversed(planner_lines):  # the first on top
        _line(ax, line)
    if (rows["status"] == "late").any():
        limit_s = rows["limit_s"].max()
        ax.axhline(limit_s, color=GREY, linewidth=0.6, zorder=0)
        ax.annotate(
            "time limit",
            (0, limit_s),
            xycoords=("axes fraction", "data"),
            xytext=(2, 3.5),
            textcoords="offset points",
            fontsize=SMALL_PT,
            color=GREY,
        )
    ax.margins(0.06)
    sizes = sorted(rows["size"].unique())
    log_axis(ax.xaxis, ticks=sizes if len(sizes) <= _FEW else None)
    log_axis(ax.yaxis)
    cases = rows[[*CASE, "size"]].drop_duplicates().groupby("size").size()
    fewest, most = cases.min(), cases.max()
    count = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    ax.set_xlabel(f"layers × devices (n = {count} cases each)")
    ax.set_ylabel("planning time (s)")
    legend(ax, planner_lines)


def _line(ax: Axes, line: Line) -> None:
    look = line.look
    seconds = line.rows[line.rows["status"] == "done"].groupby("size")["planning_s"]
    done = seconds.median()
    if look.marker:
        ax.vlines(done.index, seconds.min(), seconds.max(), color=look.colour, linewidth=0.7, alpha=_PALE, zorder=1)
    ax.plot(
        done.index,
        done.to_numpy(),
        color=look.colour,
        linestyle=look.dashes,
        marker=look.marker,
        markersize=MARKER_PT - 0.5,
        zorder=2,
    )
    late = line.rows[line.rows["status"] == "late"]
    ax.plot(late["size"], late["limit_s"], color=look.colour, marker="x", markersize=MARKER_PT, linestyle="none")
