"""Which question does the figure answer? Names its axes, and what a mark is."""

from matplotlib.axes import Axes
from pandas import DataFrame

from experiments.analysis.tidy import MBIT_PER_S
from experiments.figures.marks import BANDWIDTH, IDENTITY, RANGE, RATE, lines, ranged

NEEDS = ("cluster", "model", RATE, *IDENTITY, "energy_j", *RANGE)  # columns of the study's table


def axis(table: DataFrame) -> tuple[str, ...]:
    """Return the column on the x axis: all others that differ get a panel each."""
    return (RATE,)


def draw(rows: DataFrame, ax: Axes) -> None:
    """Draw a line per method: joules per iteration over bandwidth."""
    lines(ranged(rows.assign(mbit_per_s=rows[RATE] / MBIT_PER_S), "energy_j"), ax, column="mbit_per_s")
    ax.set_xlabel(BANDWIDTH)
    ax.set_ylabel("energy per iteration (J)")
