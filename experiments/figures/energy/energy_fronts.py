"""What is worth having in seconds and joules: plans for energy, and the fastest plan with its clocks turned down?"""

from matplotlib.axes import Axes
from pandas import DataFrame

from experiments.figures.energy.ways import PLACES
from experiments.figures.style import BLUE, SMALL_PT, VERMILION

COLUMNS = ("model", "cluster", "rate", "front", "makespan_s", "energy_per_sample_j", "saving_at_equal_time")
PANEL_IN = 1.7
_RATE = "100 Mbit/s"
_SHOWN = (
    ("resnet50", "energy_study_mixed", "ResNet-50"),
    ("t5_base", "energy_study_mixed", "T5-base"),
    ("bert_base_untied", "energy_study_mixed", "BERT-base"),
    ("resnet50", "energy_study_gpu", "ResNet-50"),
    ("t5_base", "energy_study_tx2", "T5-base"),
    ("resnet50", "energy_study_mixed_wifi", "ResNet-50"),
)
_LOOKS = {
    "scaled": ("fastest plan, clocks turned down", VERMILION, "o", "--"),
    "planned": ("planned for energy", BLUE, "s", "-"),
}
_BEYOND = 1.04  # how far a front is drawn beyond its slowest point
_ROOM = 0.15  # of the axis, below both fronts, for the words


def panels(table: DataFrame) -> dict[str, DataFrame]:
    """Some environments at one rate: the mixture, where most is saved, and equal boards."""
    at_rate = table[table["rate"] == _RATE]
    return {
        f"{name}, {PLACES[cluster.replace('_', '-')]}": rows
        for model, cluster, name in _SHOWN
        if len(rows := at_rate[(at_rate["model"] == model) & (at_rate["cluster"] == cluster)])
    }


def draw(rows: DataFrame, ax: Axes) -> None:
    """Two staircases: below and to the right of a point nothing of its front is better."""
    end = rows["makespan_s"].max() * _BEYOND
    for front, (text, colour, marker, dashes) in _LOOKS.items():
        mine = rows[rows["front"] == front].sort_values("makespan_s")
        at, joules = [*mine["makespan_s"], end], [*mine["energy_per_sample_j"], mine["energy_per_sample_j"].iloc[-1]]
        ax.step(at, joules, where="post", color=colour, linestyle=dashes, linewidth=1.0)
        ax.plot(mine["makespan_s"], mine["energy_per_sample_j"], marker, color=colour, markersize=3)
        ax.plot([], [], color=colour, marker=marker, markersize=3, linestyle=dashes, label=text)
    saving = rows["saving_at_equal_time"].max()
    text = f"up to {100 * saving:.0f} % less\nin equal time" if saving >= 0.005 else "no less in equal time"
    ax.text(0.04, 0.06, text, transform=ax.transAxes, va="bottom", fontsize=SMALL_PT)
    ax.margins(y=0.18)
    bottom, top = ax.get_ylim()
    ax.set_ylim(bottom - _ROOM * (top - bottom), top)
    ax.set_xlabel("iteration time (s)")
    ax.set_ylabel("J per sample (computed)")
