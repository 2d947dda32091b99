"""How much memory and power does each device take, second by second? From the series.csv of a run.

Both are computed, from the times of a simulated or a measured trace: of what is held when, and of assumed watts.
"""

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from pandas import DataFrame

from edgesim.units import si
from experiments.figures.style import COLOURS, DASHES

NEEDS = ("player", "device", "time_s", "memory_bytes", "power_w")
_MEMORY, _POWER = "computed memory (MB)", "computed power (W)"
# Bins across a panel, each about as wide as a line: gaps of microseconds between tasks would look like real ones.
_BINS = 300


def panels(table: DataFrame) -> dict[str, DataFrame]:
    """Memory above power, a column per player."""
    table = table.assign(end_s=table["time_s"].max())  # all panels have one axis of time
    amounts = {_MEMORY: table["memory_bytes"] / si("1 MB"), _POWER: table["power_w"]}
    return {
        f"{quantity.split()[1]}, from {player} times": whole[whole["player"] == player]
        for quantity, amount in amounts.items()
        for whole in [table.assign(quantity=quantity, amount=amount)]
        for player in table["player"].unique()
    }


def draw(rows: DataFrame, ax: Axes) -> None:
    """A step line per device, from zero: of a bin the most memory, and the mean power."""
    quantity = rows["quantity"].iloc[0]
    edges_s = np.linspace(0, rows["time_s"].max(), _BINS + 1)
    for place, device in enumerate(rows["device"].unique()):
        mine = rows[rows["device"] == device]
        binned = binned_max if quantity == _MEMORY else binned_mean
        ax.stairs(
            binned(mine["time_s"].to_numpy(), mine["amount"].to_numpy(), edges_s),
            edges_s,
            baseline=None,
            label=device,
            color=COLOURS[place % len(COLOURS)],
            linestyle=DASHES[place % len(DASHES)],  # told apart in print without colour, too
            linewidth=0.9,
        )
    ax.set_ylim(bottom=0)
    ax.set_xlim(0, rows["end_s"].iloc[0] or 1.0)  # a series of one moment has no length
    ax.set_xlabel("time (s)")
    ax.set_ylabel(quantity)


def binned_mean(
    time_s: NDArray[np.float64], amount: NDArray[np.float64], edges_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The mean of steps, each of which holds until the next, over each bin; before the first step its amount holds."""
    integral = np.concatenate([[0.0], np.cumsum(amount[:-1] * np.diff(time_s))])
    before = amount[0] * np.minimum(edges_s - time_s[0], 0)
    after = amount[-1] * np.maximum(edges_s - time_s[-1], 0)
    return np.diff(np.interp(edges_s, time_s, integral) + before + after) / np.diff(edges_s)


def binned_max(
    time_s: NDArray[np.float64], amount: NDArray[np.float64], edges_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The most that holds at any time of each bin."""
    first = np.maximum(np.searchsorted(time_s, edges_s[:-1], side="right") - 1, 0)
    last = np.searchsorted(time_s, edges_s[1:], side="left")
    return np.array([amount[i : max(j, i + 1)].max() for i, j in zip(first, last, strict=True)])
