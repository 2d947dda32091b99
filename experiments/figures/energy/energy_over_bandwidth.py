"""What do faster links leave of the joules of a sample, wired and by Wi-Fi? Computed, beside one board alone."""

from matplotlib.axes import Axes
from pandas import DataFrame

from experiments.analysis.names import reader_name
from experiments.analysis.tidy import MBIT_PER_S
from experiments.figures.energy.ways import LOOKS, PLACES, SHORT, as_ways, in_order
from experiments.figures.style import SMALL_PT, log_axis

COLUMNS = ("cluster", "model", "method", "bandwidth_bit_per_s", "status", "energy_per_sample_j")
PANEL_IN = 1.65
_MODELS = ("bert-base-untied", "t5-base+full_untied", "resnet50")
_CLUSTERS = ("energy-study-gpu", "energy-study-gpu-wifi", "energy-study-cpu")
_SIZE_PT = 3.2


def panels(table: DataFrame) -> dict[str, DataFrame]:
    """A line of panels for each place."""
    chosen = as_ways(table)
    return {
        f"{reader_name(model, 'model')}, {PLACES[cluster]}": rows
        for cluster in _CLUSTERS
        for model in _MODELS
        if len(rows := chosen[(chosen["cluster"] == cluster) & (chosen["model"] == model)])
    }


def draw(rows: DataFrame, ax: Axes) -> None:
    """A line per way to share; ways that never ran are named."""
    done = rows[rows["status"] == "done"]
    for way in in_order(set(done["way"])):
        mine, look = done[done["way"] == way].sort_values("bandwidth_bit_per_s"), LOOKS[way]
        at = mine["bandwidth_bit_per_s"] / MBIT_PER_S
        marks = {"marker": look.marker, "markersize": _SIZE_PT, "linestyle": look.dashes, "color": look.colour}
        ax.plot(at, mine["energy_per_sample_j"], **marks, label=SHORT[way])
    never = rows.groupby("way")["status"].agg(set)
    full = [SHORT[way] for way in in_order(set(never.index)) if never[way] == {"out_of_memory"}]
    if full:
        text = f"out of memory: {', '.join(full)}"
        ax.text(0.98, 0.97, text, transform=ax.transAxes, ha="right", va="top", fontsize=SMALL_PT)
    ax.set(xscale="log", yscale="log")
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * (1.6 if full else 1.0))
    log_axis(ax.xaxis, ticks=sorted(rows["bandwidth_bit_per_s"].unique() / MBIT_PER_S))
    log_axis(ax.yaxis)
    ax.set_xlabel("bandwidth (Mbit/s)")
    ax.set_ylabel("J per sample (computed)")
