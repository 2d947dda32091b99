"""How much faster than the first method is each other one, from slow links to fast ones?

The first is that which stands first in :data:`experiments.figures.style.METHODS` and ran; the axis names it. Measured
numbers are over measured ones, simulated over simulated.
"""

from matplotlib.axes import Axes
from pandas import DataFrame

from experiments.analysis.repeats import seeds
from experiments.analysis.tidy import MBIT_PER_S
from experiments.figures.marks import BANDWIDTH, IDENTITY, RANGE, RATE, lines, ranged
from experiments.figures.style import GREY, label, log_axis, looks, readable_scale

__all__ = ["NEEDS", "axis", "draw", "readable_scale"]

NEEDS = ("cluster", "model", RATE, *IDENTITY, "samples_per_s", *RANGE)


def axis(table: DataFrame) -> tuple[str, ...]:
    """Bandwidth is the x axis."""
    return (RATE,)


def draw(rows: DataFrame, ax: Axes) -> None:
    """A line per method over bandwidth; the first one's is at 1."""
    done = rows.loc[rows["status"] == "done", "method"]
    first = next(iter(looks(done if len(done) else rows["method"])))
    rows = rows.assign(mbit_per_s=rows[RATE] / MBIT_PER_S)
    lines(over(ranged(rows, "samples_per_s"), first), ax, column="mbit_per_s")
    ax.axhline(1, color=GREY, linewidth=0.6, zorder=0)
    ax.set_ylim(0, 1.04 * ax.get_ylim()[1])
    ax.set_xscale("log")
    log_axis(ax.xaxis, ticks=sorted(rows["mbit_per_s"].dropna().unique()))
    ax.set_xlabel(BANDWIDTH)
    ax.set_ylabel(f"speed-up over\n{label(first)}")


def over(rows: DataFrame, first: str) -> DataFrame:
    """``value`` over that of the first method at the same bandwidth, by the same player and seed; widest ranges."""
    key, columns = [RATE, "player", *seeds(rows.columns)], ["value", "low", "high"]
    base = rows[(rows["method"] == first) & (rows["status"] == "done")].set_index(key)[columns]
    # Of two measured ranges the quotient's; a row is divided by its own where it is the first method's.
    joined = rows.join(base.add_suffix("_first"), on=key)
    same = joined["method"] == first
    low = (joined["low"] / joined["high_first"]).mask(same)
    high = (joined["high"] / joined["low_first"]).mask(same)
    return joined.assign(value=joined["value"] / joined["value_first"], low=low, high=high)
