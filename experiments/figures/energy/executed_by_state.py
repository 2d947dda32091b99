"""Where do the joules of a sample go when ways to share are executed? Stacked bars by state, from measured times.

Watts are those that device files declare; a diamond is what the same plan takes by simulated times, and said is how
many pairs of ways both order alike. Whiskers are a t interval over seeds, or of one seed the range of its iterations:
tables keep that of their times, to which joules are drawn in proportion.
"""

from itertools import combinations

import pandas as pd
from matplotlib.axes import Axes
from pandas import DataFrame, Series

from experiments.analysis.repeats import how_many
from experiments.analysis.tidy import MBIT_PER_S
from experiments.figures.energy.energy_by_state import STATES, stack
from experiments.figures.energy.ways import PLACES, SHORT, as_ways, in_order
from experiments.figures.marks import intervals, means, ranged
from experiments.figures.style import BLACK, SMALL_PT

COLUMNS = (
    *("cluster", "model", "method", "player", "bandwidth_bit_per_s", "batch_samples", "status"),
    *("iterations", "makespan_s", "makespan_low_s", "makespan_high_s", "energy_j", "energy_per_sample_j", *STATES),
)
PANEL_IN = 2.2
_ALONE = "one_device"
_ROOM = 1.6  # above the bars, for what is said there


def panels(table: DataFrame) -> dict[str, DataFrame]:
    """One for each cluster and rate of its links."""
    groups = as_ways(table).groupby(["cluster", "bandwidth_bit_per_s"])
    return {f"{PLACES.get(cluster, cluster)}, {rate / MBIT_PER_S:g} Mbit/s": rows for (cluster, rate), rows in groups}


def draw(rows: DataFrame, ax: Axes) -> None:
    """A bar per way that was executed, one device alone first."""
    done = ranged(rows[rows["status"] == "done"], "energy_per_sample_j")
    done = means(done, by="way", columns=("value", *STATES))
    real, simulated = (done[done["player"] == player].set_index("way") for player in ("measured", "simulated"))
    ways = [*([_ALONE] if _ALONE in real.index else []), *in_order(set(real.index))]
    most = max(real["value"].max(), simulated["value"].max())
    for place, way in enumerate(ways):
        top = stack(real.loc[way], place, ax)
        above = max(top, top if pd.isna(real.loc[way, "high"]) else real.loc[way, "high"])
        ax.text(place, above + 0.01 * most, f"{top:.3g}", ha="center", va="bottom", fontsize=SMALL_PT - 1)
    for mine in (real, simulated):
        there = [way for way in ways if way in mine.index]
        intervals(mine.loc[there].assign(at=[ways.index(way) for way in there]), ax)
    ax.plot(
        range(len(ways)),
        simulated["value"].reindex(ways),
        marker="D",
        markersize=3,
        linestyle="none",
        color=BLACK,
        markerfacecolor="none",
        label="all, from simulated times",
    )
    alike, pairs = same_order(real["value"], simulated["value"])
    text = f"{alike} of {pairs} pairs in the simulated order{_of_iterations(real)}"
    ax.text(0.99, 0.98, text, transform=ax.transAxes, ha="right", va="top", fontsize=SMALL_PT)
    names = ["alone,\nothers idle" if way == _ALONE else SHORT[way] for way in ways]
    ax.set_xticks(range(len(ways)), names, rotation=90)
    ax.set_ylim(0, most * _ROOM)
    ax.set_ylabel("J per sample (computed\nfrom measured times)")


def _of_iterations(real: DataFrame) -> str:
    """What bars of a single seed are of, and their whiskers."""
    single = real[real["repeats"] == 1]
    if single.empty:
        return ""
    whiskers = "\nwhiskers: in proportion to the range of their times" if single["low"].notna().any() else ""
    return f"\nmedian of {how_many(map(int, single['iterations']))} iterations{whiskers}"


def same_order(one: Series, other: Series) -> tuple[int, int]:
    """Of how many pairs of ways both say which takes fewer joules alike, and how many pairs there are."""
    pairs = list(combinations(sorted(set(one.index) & set(other.index)), 2))
    alike = [(one[a] < one[b]) == (other[a] < other[b]) for a, b in pairs]
    return sum(alike), len(pairs)
