"""How long does one training iteration take with each method? Bars by bandwidth, or by cluster."""

from matplotlib.axes import Axes
from pandas import DataFrame

from experiments.figures.marks import IDENTITY, RANGE, RATE, bars_of, category
from experiments.figures.style import readable_scale

__all__ = ["NEEDS", "axis", "draw", "readable_scale"]

NEEDS = ("cluster", "model", RATE, *IDENTITY, *RANGE)


def axis(table: DataFrame) -> tuple[str, ...]:
    """What the groups of bars are."""
    return (category(table),)


def draw(rows: DataFrame, ax: Axes) -> None:
    """A bar per method."""
    bars_of(rows, ax, column="makespan_s")
    ax.set_ylabel("iteration time (s)")
