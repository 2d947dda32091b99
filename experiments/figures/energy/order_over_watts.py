"""Which assumed watt decides which of two ways takes fewer joules? Their ratio over it: below one the first wins."""

from matplotlib.axes import Axes
from pandas import DataFrame

from experiments.analysis.names import EVEN_AS_ASKED, PP, SP, TP
from experiments.analysis.tidy import MBIT_PER_S
from experiments.figures.energy.ways import PLACES
from experiments.figures.style import BLACK, BLUE, GREEN, SKY, SMALL_PT, VERMILION, log_axis

COLUMNS = ("cluster", "bandwidth_bit_per_s", "batch_samples", "first", "second", "watt", "factor", "ratio")
PANEL_IN = 1.75
_BATCH = 32
_PAIRS = {(SP, TP): "SP / TP", (EVEN_AS_ASKED, TP): "even PP / TP", (PP, TP): "PP / TP"}
_WATTS = {
    "idle_w": ("idle watts", VERMILION, "-"),
    "compute_w": ("watts of computing", GREEN, "--"),
    "transmit_w": ("watts of sending", SKY, "-."),
    "receive_w": ("watts of receiving", BLUE, ":"),
}
_PLACES = (("energy-study-gpu", 1e8), ("energy-study-cpu", 1e8), ("energy-study-cpu", 1e9))


def panels(table: DataFrame) -> dict[str, DataFrame]:
    """Three pairs in three places, at the mini-batch of the first probe."""
    table = table[table["batch_samples"] == _BATCH]
    return {
        f"{text}, {PLACES[cluster].split(', ')[1]}, {rate / MBIT_PER_S:g} Mbit/s": rows
        for (first, second), text in _PAIRS.items()
        for cluster, rate in _PLACES
        if len(
            rows := table[
                (table["first"] == first)
                & (table["second"] == second)
                & (table["cluster"] == cluster)
                & (table["bandwidth_bit_per_s"] == rate)
            ]
        )
    }


def draw(rows: DataFrame, ax: Axes) -> None:
    """A line per watt, as far as no state draws less than idle."""
    for watt, (text, colour, dashes) in _WATTS.items():
        mine = rows[rows["watt"] == watt].sort_values("factor")
        ax.plot(mine["factor"], mine["ratio"], color=colour, linestyle=dashes, label=text)
    ax.axhline(1.0, color=BLACK, linewidth=0.6)
    ax.plot(1.0, rows[rows["factor"] == 1.0]["ratio"].iloc[0], "o", color=BLACK, markersize=3, label="as in the files")
    ax.set_xscale("log")
    ax.set_xlim(0.25, 4)
    log_axis(ax.xaxis, ticks=(0.25, 0.5, 1, 2, 4))
    low, high = ax.get_ylim()
    ax.set_ylim(min(low, 0.95), max(high, 1.05))
    ax.tick_params(labelsize=SMALL_PT)
    ax.set_xlabel("times the watts of the device's file")
    ax.set_ylabel("ratio of joules (computed)")
