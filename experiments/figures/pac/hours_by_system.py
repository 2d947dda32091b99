"""How long does every system fine-tune each model for MRPC? Bars of ours, and a diamond where it was published."""

from matplotlib.axes import Axes
from pandas import DataFrame, isna

from experiments.figures.style import BLACK, BLUE, GREEN, GREY, ORANGE, SMALL_PT, VERMILION, log_axis
from experiments.published.claims import HOURS, published

COLUMNS = ("model", "system", "technique", "task", "status", "hours")
PANEL_IN = 2.6
_COLOURS = {"Standalone": GREY, "Eco-FL": BLUE, "EDDL": VERMILION, "PAC": GREEN, "PAC, proven": ORANGE}
_TASK = "MRPC"
_SHORT = {"Parallel Adapters": ""}


def panels(table: DataFrame) -> dict[str, DataFrame]:
    """One for each model; there are no published hours but of the first."""
    return {f"{model}, {_TASK}": rows for model, rows in table[table["task"] == _TASK].groupby("model", sort=False)}


def draw(rows: DataFrame, ax: Axes) -> None:
    """A bar for each system and technique."""
    known, ran = _published(), rows[rows["status"] == "done"]
    least = min(ran["hours"].min() / 3, 0.05)
    for place, row in enumerate(rows.to_dict("records")):
        hours = known.get((row["model"], f"{row['system']}, {row['technique']}"))
        if isna(row["hours"]):
            ax.text(least * 1.05, place, "out of memory", va="center", fontsize=SMALL_PT, color=GREY)
        else:
            ax.barh(place, row["hours"], color=_COLOURS[row["system"]], height=0.7)
            behind = max(row["hours"], hours or 0.0) * 1.25
            ax.text(behind, place, f"{row['hours']:.2f}", va="center", fontsize=SMALL_PT - 1)
        if hours is not None:
            ax.plot(hours, place, marker="D", markersize=4, color=BLACK, markerfacecolor="white", linestyle="none")
    if any(model in set(rows["model"]) for model, _ in known):
        ax.plot(
            [], [], marker="D", markersize=4, color=BLACK, markerfacecolor="white", linestyle="none", label="published"
        )
    labels = [
        f"{row['system']} {_SHORT.get(row['technique'], row['technique'])}".strip() for row in rows.to_dict("records")
    ]
    ax.set_yticks(range(len(rows)), labels, fontsize=SMALL_PT)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xscale("log")
    ax.set_xlim(least, ran["hours"].max() * 3)
    log_axis(ax.xaxis)
    ax.set_xlabel("hours")


def _published() -> dict[tuple[str, str], float]:
    table = published()
    chosen = table[(table["item"] == HOURS) & table["setting"].str.startswith(_TASK) & (table["value"] != "OOM")]
    return {(str(row["model"]), str(row["method"])): float(row["value"]) for row in chosen.to_dict("records")}
