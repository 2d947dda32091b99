"""How long does an iteration of 8 stages and 64 micro-batches take? Milliseconds by who plays it, fastest on top."""

from matplotlib.axes import Axes
from pandas import DataFrame

from experiments.figures.style import BLUE, GREY, SMALL_PT, log_axis

COLUMNS = ("what", "links", "median_ms", "tasks", "rounds")
PANEL_IN = 2.6
_OTHERS = ("bare", "SimGrid")  # than this simulator


def panels(table: DataFrame) -> dict[str, DataFrame]:
    """One."""
    return {f"{table['tasks'].iloc[0]} tasks, medians of {table['rounds'].iloc[0]}": table}


def draw(rows: DataFrame, ax: Axes) -> None:
    """A bar for each, ours in blue."""
    rows = rows.sort_values("median_ms", ascending=False, kind="stable")
    names = [f"{what}\n{links}" for what, links in zip(rows["what"], rows["links"], strict=True)]
    colours = [GREY if what.startswith(_OTHERS) else BLUE for what in rows["what"]]
    places = range(len(rows))
    ax.barh(places, rows["median_ms"], color=colours, height=0.7)
    ax.set_yticks(places, names, fontsize=SMALL_PT - 1)
    for place, ms in zip(places, rows["median_ms"], strict=True):
        ax.annotate(
            f"{ms:#.2g}" if ms < 10 else f"{ms:.0f}",
            (ms, place),
            xytext=(2, 0),
            textcoords="offset points",
            va="center",
            fontsize=SMALL_PT,
        )
    ax.set_xscale("log")
    ax.set_xlim(rows["median_ms"].min() / 2, rows["median_ms"].max() * 2)
    log_axis(ax.xaxis)
    ax.set_xlabel("time of an iteration (ms)")
