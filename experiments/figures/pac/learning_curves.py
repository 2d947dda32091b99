"""How well does each technique of fine-tuning answer a task, epoch by epoch? Mean over seeds, and their spread."""

from matplotlib.axes import Axes
from pandas import DataFrame

from experiments.analysis.repeats import how_many
from experiments.figures.style import BLUE, GREEN, ORANGE, PURPLE, SMALL_PT

COLUMNS = ("technique", "seed", "epoch", "accuracy")
PANEL_IN = 2.6
_COLOURS = {"full": BLUE, "adapters (Houlsby)": ORANGE, "LoRA": PURPLE, "parallel adapters": GREEN}


def panels(table: DataFrame) -> dict[str, DataFrame]:
    """One of all techniques."""
    return {"second halves of functions": table}


def draw(rows: DataFrame, ax: Axes) -> None:
    """A line for each technique's mean, and a band from its worst seed to its best."""
    for technique, of_technique in rows.groupby("technique", sort=False):
        by_epoch = 100 * of_technique.groupby("epoch")["accuracy"].agg(["mean", "min", "max"])
        epochs, colour = by_epoch.index.tolist(), _COLOURS[str(technique)]
        ax.plot(epochs, by_epoch["mean"], color=colour, marker="o", markersize=3, label=str(technique))
        ax.fill_between(epochs, by_epoch["min"], by_epoch["max"], color=colour, alpha=0.15, linewidth=0)
    of_each = rows.groupby(["technique", "epoch"])["seed"].nunique()
    said = f"mean, worst to best of {how_many(map(int, of_each))} seeds"
    ax.text(0.99, 0.02, said, transform=ax.transAxes, ha="right", va="bottom", fontsize=SMALL_PT)
    ax.set_xticks(sorted(set(rows["epoch"])))
    ax.set_xlabel("epochs")
    ax.set_ylabel("right answers (%)")
