"""Where do the joules of a sample go under each way to share? Stacked bars by state, computed from simulated times."""

from matplotlib.axes import Axes
from pandas import DataFrame, Series

from experiments.analysis.tidy import MBIT_PER_S
from experiments.figures.energy.ways import PLACES, SHORT, as_ways, in_order
from experiments.figures.style import BLUE, GREEN, GREY, ORANGE, SKY, SMALL_PT, VERMILION, YELLOW

COLUMNS = (
    *("cluster", "model", "method", "bandwidth_bit_per_s", "batch_samples", "status", "energy_j"),
    *("idle_j", "waiting_j", "compute_j", "transmit_j", "receive_j"),
)
PANEL_IN = 1.9
# From below: what computing takes, what messages take, and idle watts, at work and while waiting.
STATES = {
    "compute_j": ("computing, above idle", GREEN, ""),
    "transmit_j": ("sending, above idle", SKY, "////"),
    "receive_j": ("receiving, above idle", BLUE, "\\\\\\\\"),
    "idle_j": ("idle watts, busy", GREY, ""),
    "waiting_j": ("idle watts, waiting", ORANGE, "...."),
}
_MODEL, _RATES = "bert-base-untied", (1e8, 1e9)
_CLUSTERS = ("energy-study-gpu", "energy-study-cpu", "energy-study-mixed")
_ROOM = 1.12


def panels(table: DataFrame) -> dict[str, DataFrame]:
    """BERT-base on equal boards, GPU and CPU, and on a mixture; slow links and fast ones."""
    chosen = as_ways(table[table["model"] == _MODEL])
    return {
        f"{PLACES[cluster]}, {rate / MBIT_PER_S:g} Mbit/s": rows
        for rate in _RATES
        for cluster in _CLUSTERS
        if len(rows := chosen[(chosen["cluster"] == cluster) & (chosen["bandwidth_bit_per_s"] == rate)])
    }


def draw(rows: DataFrame, ax: Axes) -> None:
    """A bar per way to share, from the fewest kinds of things that are divided to the most."""
    done = rows[rows["status"] == "done"].set_index("way")
    most = (done["energy_j"] / done["batch_samples"]).max()
    ways = in_order(set(rows["way"]))
    for place, way in enumerate(ways):
        if way not in done.index:
            ax.text(
                place, 0, " out of memory", rotation=90, ha="center", va="bottom", fontsize=SMALL_PT, color=VERMILION
            )
            continue
        top = stack(done.loc[way], place, ax)
        ax.text(place, top + 0.01 * most, f"{top:.3g}", ha="center", va="bottom", fontsize=SMALL_PT - 1)
    ax.set_xticks(range(len(ways)), [SHORT[way] for way in ways], rotation=90)
    ax.set_ylim(0, most * _ROOM)
    ax.set_ylabel("J per sample (computed)")


def stack(run: Series, place: float, ax: Axes) -> float:
    """Draw the joules of a run's sample by state, and return all of them."""
    bottom = 0.0
    for state, (text, colour, hatch) in STATES.items():
        height = run[state] / run["batch_samples"]
        ax.bar(place, height, bottom=bottom, color=colour, hatch=hatch, edgecolor="white", linewidth=0, label=text)
        bottom += height
    if "static_j" in run and run["static_j"] > 0:  # in tables that ask for it: the boards around modules, all the time
        height = run["static_j"] / run["batch_samples"]
        ax.bar(place, height, bottom=bottom, color=YELLOW, edgecolor="white", linewidth=0, label="boards, always")
        bottom += height
    return bottom
