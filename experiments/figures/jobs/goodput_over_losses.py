"""What is left of a training where losses are many? Its share of undisturbed throughput, over how rare losses are.

Means over the seeds with which all policies went on to the end, with 95 % t intervals.
"""

from matplotlib.axes import Axes
from pandas import DataFrame

from experiments.analysis.goodput import GOODPUT_NEEDS, goodput
from experiments.analysis.names import reader_name
from experiments.analysis.tidy import records
from experiments.figures.jobs.recovery_by_policy import POLICIES
from experiments.figures.style import BLUE, GREEN, GREY, ORANGE, VERMILION, log_axis

COLUMNS = GOODPUT_NEEDS
PANEL_IN = 2.2
_LOOKS = dict(
    zip(POLICIES, ((BLUE, "o", "-"), (VERMILION, "s", "--"), (ORANGE, "D", ":"), (GREEN, "^", "-.")), strict=True)
)
_APART = 1.06  # from policy to policy, so that intervals do not cover each other


def panels(table: DataFrame) -> dict[str, DataFrame]:
    """One for each model and cluster."""
    return {
        f"{reader_name(str(model), 'model')}, {reader_name(str(cluster), 'cluster')}": rows
        for (model, cluster), rows in table.groupby(["model", "cluster"], sort=False)
    }


def draw(rows: DataFrame, ax: Axes) -> None:
    """A line per policy."""
    (by_mean,) = goodput(records(rows)).values()
    means = sorted(by_mean, key=float)
    for place, policy in enumerate(POLICIES):
        colour, marker, dashes = _LOOKS[policy]
        drawn = [
            (float(mean), each) for mean in means if (each := by_mean[mean].get(policy)) and each["mean"] is not None
        ]
        ax.errorbar(
            [mean * _APART ** (place - 1.5) for mean, _ in drawn],
            [each["mean"] for _, each in drawn],
            yerr=[each["half_width"] or 0.0 for _, each in drawn],
            color=colour,
            marker=marker,
            linestyle=dashes,
            markersize=3.5,
            elinewidth=0.7,
            capsize=1.5,
            label=policy,
        )
    ax.axhline(1, color=GREY, linewidth=0.6, linestyle=":")
    ax.set_xscale("log")
    ax.set_xlim(min(map(float, means)) / 1.4, max(map(float, means)) * 1.4)
    log_axis(ax.xaxis)
    ax.set_ylim(0, 1.1)
    ax.set_xlabel("mean time between losses (iterations)")
    ax.set_ylabel("share of undisturbed")
