"""How is a sweep drawn that no study describes? By a figure that suits what varied, or by those that are named."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from pandas import DataFrame

from experiments.analysis.tidy import require_columns, telling
from experiments.figures.catalogue import Folders, Request, load_figure
from experiments.figures.panels import figure_of
from experiments.tables.sources import INFERENCE, Source

_FEW = 3  # numbers of devices from which a line over them says something


def default_figure(table: DataFrame, value: str, *, source: str = "the table") -> str:
    """Throughput over devices where one cluster's number of devices varied, else the seconds that runs are judged by.

    ``value`` is what they are judged by. Seconds are bars by bandwidth or, where that did not vary, by cluster or by
    whatever else did; over many numbers they are lines. Raises ValueError, naming the source, for a missing column.
    """
    same = ("model", "cluster", "method", "player")
    require_columns(table, (*same, "devices"), source=source)
    over_devices = telling(table, ["devices"], same=same)
    if over_devices and table["devices"].nunique() >= _FEW:
        return "scaling_over_devices"
    return "latency" if value == INFERENCE else "iteration_time"


def requests_of(runs: Source, names: Sequence[str], folders: Folders, out: Path) -> Iterator[Request]:
    """The figures of these names, or one that suits, as ``<table>_<figure>`` in the folder ``out``."""
    parts = {value: runs.whole for value in list(runs.parts)[:1]} if names else runs.parts
    for value, table in parts.items():
        for name in names or [default_figure(table, value, source=str(runs.path))]:
            drawing = load_figure(name, folders.figures)
            yield Request(
                of=runs.name,
                stem=out / f"{runs.name}_{name}",
                make=partial(figure_of, drawing, table, source=str(runs.path)),
            )
