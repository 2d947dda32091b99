"""How many samples per second do 2 to 8 Nanos train? Published, as schedules say, and with all-reduces that overlap."""

from matplotlib.axes import Axes
from pandas import DataFrame

from experiments.figures.style import BLACK, BLUE, GREEN

COLUMNS = ("model", "system", "nanos", "player", "published", "predicted")
PANEL_IN = 2.2
_LOOKS = ((BLUE, "--", "s"), (GREEN, ":", "^"))


def panels(table: DataFrame) -> dict[str, DataFrame]:
    """One for each system; PAC's plans are EDDL's here."""
    return {f"{model}, {system}": rows for (model, system), rows in table.groupby(["model", "system"], sort=False)}


def draw(rows: DataFrame, ax: Axes) -> None:
    """A line for what was published, and one for each player."""
    first = rows.drop_duplicates("nanos")
    ax.plot(first["nanos"], first["published"], color=BLACK, marker="D", markersize=4, label="published")
    for (player, of_player), (colour, dashes, marker) in zip(rows.groupby("player", sort=False), _LOOKS, strict=False):
        ax.plot(
            of_player["nanos"],
            of_player["predicted"],
            color=colour,
            linestyle=dashes,
            marker=marker,
            markersize=4,
            label=f"simulated, {player}",
        )
    ax.set_xticks(sorted(first["nanos"]))
    ax.set_ylim(bottom=0)
    ax.set_xlabel("Jetson Nanos")
    ax.set_ylabel("samples/s")
