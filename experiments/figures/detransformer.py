"""Do the schedules of tensor and sequence parallelism follow the published curves over bandwidth (DeTransformer)?"""

from pathlib import Path

from matplotlib.axes import Axes
from pandas import DataFrame

from experiments.analysis.tidy import read_table
from experiments.figures.marks import BANDWIDTH, lines
from experiments.figures.style import log_axis

SOURCE = "DeTransformer (DATE 2024)"
_METHODS = {"TP": "tensor", "SP": "sequence"}


def curves(path: Path) -> DataFrame:
    """The published rows and what was simulated for them, from the table of :mod:`experiments.published`."""
    table = read_table(path, needs=("source", "method", "metric", "published", "predicted"))
    table = table[(table["source"] == SOURCE) & table["metric"].str.endswith("simulated")]
    if table.empty:
        raise ValueError(f"{path} has no simulated row of {SOURCE} (run python -m experiments.published)")
    rows = DataFrame(
        {
            "method": table["method"].map(_METHODS),
            "mbit_per_s": table["metric"].str.extract(r"(\d+) Mbit/s")[0].astype(float),
            "status": "done",
            "low": float("nan"),
            "high": float("nan"),
        }
    )
    parts = [
        rows.assign(player=player, value=table[column])
        for player, column in (("simulated", "predicted"), ("published", "published"))
    ]
    return DataFrame([row for part in parts for row in part.to_dict("records")])


def panels(table: DataFrame) -> dict[str, DataFrame]:
    """One."""
    return {"BERT-base, 4 Raspberry Pi 4B": table}


def draw(rows: DataFrame, ax: Axes) -> None:
    """A line per method, published numbers hollow."""
    lines(rows, ax, column="mbit_per_s")
    ax.set_ylim(0, 1.04 * ax.get_ylim()[1])
    ax.set_xscale("log")
    log_axis(ax.xaxis, ticks=sorted(rows["mbit_per_s"].unique()))
    ax.set_xlabel(BANDWIDTH)
    ax.set_ylabel("latency / latency of one device")
