"""Where do the joules of a sample go when ways to share are executed? Stacked bars by state, from measured times.

Watts are those that device files declare; a diamond is what the same plan takes by simulated times, and said is how
many pairs of ways both order alike.
"""

from itertools import combinations

from matplotlib.axes import Axes
from pandas import DataFrame, Series

from experiments.analysis.repeats import how_many
from experiments.analysis.tidy import MBIT_PER_S
from experiments.figures.energy.energy_by_state import STATES, stack
from experiments.figures.energy.ways import PLACES, SHORT, as_ways, in_order
from experiments.figures.style import BLACK, SMALL_PT

COLUMNS = (
    *("cluster", "model", "method", "player", "bandwidth_bit_per_s", "batch_samples", "status"),
    *("iterations", "energy_j", "energy_per_sample_j", *STATES),
)
PANEL_IN = 2.2
_ALONE = "one_device"
_ROOM = 1.4  # above the bars, for what is said there


def panels(table: DataFrame) -> dict[str, DataFrame]:
    """One for each cluster and rate of its links."""
    groups = as_ways(table).groupby(["cluster", "bandwidth_bit_per_s"])
    return {f"{PLACES.get(cluster, cluster)}, {rate / MBIT_PER_S:g} Mbit/s": rows for (cluster, rate), rows in groups}


def draw(rows: DataFrame, ax: Axes) -> None:
    """A bar per way that was executed, one device alone first."""
    done = rows[rows["status"] == "done"]
    real, simulated = (done[done["player"] == player].set_index("way") for player in ("measured", "simulated"))
    ways = [*([_ALONE] if _ALONE in real.index else []), *in_order(set(real.index))]
    most = max(real["energy_per_sample_j"].max(), simulated["energy_per_sample_j"].max())
    for place, way in enumerate(ways):
        top = stack(real.loc[way], place, ax)
        ax.text(place, top + 0.01 * most, f"{top:.3g}", ha="center", va="bottom", fontsize=SMALL_PT - 1)
    ax.plot(
        range(len(ways)),
        simulated["energy_per_sample_j"].reindex(ways),
        marker="D",
        markersize=3,
        linestyle="none",
        color=BLACK,
        markerfacecolor="none",
        label="all, from simulated times",
    )
    alike, pairs = same_order(real["energy_per_sample_j"], simulated["energy_per_sample_j"])
    count = how_many(map(int, real["iterations"]))
    text = f"{alike} of {pairs} pairs in the simulated order\nmedian of {count} iterations"
    ax.text(0.99, 0.98, text, transform=ax.transAxes, ha="right", va="top", fontsize=SMALL_PT)
    names = ["alone,\nothers idle" if way == _ALONE else SHORT[way] for way in ways]
    ax.set_xticks(range(len(ways)), names, rotation=90)
    ax.set_ylim(0, most * _ROOM)
    ax.set_ylabel("J per sample (computed\nfrom measured times)")


def same_order(one: Series, other: Series) -> tuple[int, int]:
    """Of how many pairs of ways both say which takes fewer joules alike, and how many pairs there are."""
    pairs = list(combinations(sorted(set(one.index) & set(other.index)), 2))
    alike = [(one[a] < one[b]) == (other[a] < other[b]) for a, b in pairs]
    return sum(alike), len(pairs)
