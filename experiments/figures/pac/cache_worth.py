"""When is a cache worth its disk? Time that it saves, over the disk's rate: by storage, epochs and bandwidth."""

from matplotlib.axes import Axes
from pandas import DataFrame

from experiments.figures.style import BLACK, BLUE, GREEN, VERMILION, log_axis

COLUMNS = ("model", "bandwidth_bit_per_s", "disk_bytes_per_s", "storage", "saved_in_3", "saved_in_10")
PANEL_IN = 2.1
_COLOURS = {"fp32": BLUE, "fp16": GREEN, "int8": VERMILION}
_LEAST = -60  # percent; below it nobody would keep a cache


def panels(table: DataFrame) -> dict[str, DataFrame]:
    """One for each model and bandwidth."""
    return {
        f"{model}, {rate / 1e6:g} Mbit/s": rows
        for (model, rate), rows in table.groupby(["model", "bandwidth_bit_per_s"], sort=False)
    }


def draw(rows: DataFrame, ax: Axes) -> None:
    """Above zero a cache pays."""
    for storage, of_storage in rows.groupby("storage", sort=False):
        disks = of_storage["disk_bytes_per_s"] / 1e6
        for epochs, dashes in ((3, "--"), (10, "-")):
            ax.plot(
                disks,
                100 * of_storage[f"saved_in_{epochs}"],
                color=_COLOURS[str(storage)],
                linestyle=dashes,
                label=f"{storage.upper()}, {epochs} epochs",
            )
    ax.axhline(0, color=BLACK, linewidth=0.6)
    ax.set_xscale("log")
    log_axis(ax.xaxis)
    ax.set_ylim(_LEAST, 60)
    ax.set_xlabel("disk (MB/s)")
    ax.set_ylabel("time saved (%)")
