"""From which mini-batch on does the published order of joules come out? Computed; dashed: where bytes cross."""

from matplotlib.axes import Axes
from pandas import DataFrame

from experiments.analysis.tidy import MBIT_PER_S
from experiments.figures.energy.ways import LOOKS, PLACES, SHORT, as_ways, in_order
from experiments.figures.style import BLACK, SMALL_PT, log_axis

COLUMNS = ("cluster", "method", "bandwidth_bit_per_s", "batch_samples", "status", "energy_per_sample_j")
PANEL_IN = 1.9
_SIZE_PT = 3.2
# W / (2 h L) of BERT-base with a head of its own, in sequences of 128 tokens: experiments/energy_study/break_even.py.
CROSSING_SAMPLES = 7213.28 / 128


def panels(table: DataFrame) -> dict[str, DataFrame]:
    """GPU and CPU, slow links and fast ones."""
    chosen = as_ways(table)
    return {
        f"{PLACES[str(cluster)]}, {float(rate) / MBIT_PER_S:g} Mbit/s": rows
        for (cluster, rate), rows in chosen.groupby(["cluster", "bandwidth_bit_per_s"], sort=False)
    }


def draw(rows: DataFrame, ax: Axes) -> None:
    """A line per way to share."""
    done = rows[rows["status"] == "done"]
    for way in in_order(set(done["way"])):
        mine, look = done[done["way"] == way].sort_values("batch_samples"), LOOKS[way]
        marks = {"marker": look.marker, "markersize": _SIZE_PT, "linestyle": look.dashes, "color": look.colour}
        ax.plot(mine["batch_samples"], mine["energy_per_sample_j"], **marks, label=SHORT[way])
    ax.axvline(CROSSING_SAMPLES, color=BLACK, linewidth=0.6, linestyle=(0, (4, 2)))
    ax.set(xscale="log", yscale="log")
    log_axis(ax.xaxis, ticks=sorted(rows["batch_samples"].unique()))
    log_axis(ax.yaxis)
    ax.text(
        CROSSING_SAMPLES * 1.06,
        0.97,
        "SP sends less\nthan TP",
        transform=ax.get_xaxis_transform(),
        va="top",
        fontsize=SMALL_PT,
    )
    ax.set_xlabel("mini-batch (sequences of 128 tokens)")
    ax.set_ylabel("J per sample (computed)")
