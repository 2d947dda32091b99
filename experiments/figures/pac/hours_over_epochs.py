"""How much longer does a training take with every epoch, with a cache and without? Figure 11 of PAC's paper."""

from matplotlib.axes import Axes
from pandas import DataFrame

from experiments.figures.style import GREEN, GREY
from experiments.published.claims import EPOCHS

COLUMNS = ("item", "model", "method", "metric", "published", "predicted")
PANEL_IN = 2.4
_COLOURS = {"PAC with cache": GREEN, "PAC without cache": GREY}


def panels(table: DataFrame) -> dict[str, DataFrame]:
    """One for each model."""
    return {f"{model}, MRPC": rows for model, rows in table[table["item"] == EPOCHS].groupby("model", sort=False)}


def draw(rows: DataFrame, ax: Axes) -> None:
    """Lines of ours, diamonds of what was published."""
    for method, of_method in rows.groupby("method", sort=False):
        epochs = [int(metric.split()[-2]) for metric in of_method["metric"]]
        colour = _COLOURS[str(method)]
        name = str(method).removeprefix("PAC ")
        ax.plot(epochs, of_method["predicted"], color=colour, label=f"simulated, {name}")
        ax.plot(
            epochs,
            of_method["published"],
            color=colour,
            marker="D",
            markersize=4,
            markerfacecolor="white",
            linestyle="none",
            label=f"published, {name}",
        )
    ax.set_ylim(bottom=0)
    ax.set_xlabel("epochs")
    ax.set_ylabel("hours")
