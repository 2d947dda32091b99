"""Which runs of the energy studies can be compared? By model, boards, links and mini-batch, a row for each method."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from experiments.analysis.names import EVEN, EVEN_AS_ASKED
from experiments.analysis.tidy import RunStatus, Value, in_words, read_table, records
from experiments.configuration.studies import table_path

STUDIES = ("energy_parallelisms", "energy_devices", "energy_batches")
ALONE = "energy_alone"
STATES = ("idle_j", "waiting_j", "compute_j", "transmit_j", "receive_j")
NEEDS = (
    *("cluster", "model", "method", "devices", "bandwidth_bit_per_s", "batch_samples", "status", "energy_j"),
    *("energy_per_sample_j", "makespan_s", "utilisation", *STATES),
)
Row = Mapping[str, Value]


class Cell(NamedTuple):
    """Where methods are compared."""

    model: str
    cluster: str
    devices: int
    bandwidth_bit_per_s: float
    batch_samples: int

    def __str__(self) -> str:
        rate = in_words("bandwidth_bit_per_s", self.bandwidth_bit_per_s)
        boards = f"{self.devices} boards of {self.cluster}"
        return f"{self.model} on {boards}, {rate}, {self.batch_samples} samples a mini-batch"

    @property
    def processor(self) -> str:
        """``cpu`` or ``gpu``."""
        return "cpu" if "-cpu" in self.cluster else "gpu"

    @property
    def mixed(self) -> bool:
        """Whether its boards are of several kinds."""
        return "-mixed" in self.cluster


Cells = Mapping[Cell, Mapping[str, Row]]


def read(results: Path) -> Cells:
    """The runs of all studies. Raises ValueError for a table that is not there."""
    return cells(row for study in STUDIES for row in rows_of(results, study))


def alone(results: Path) -> list[Row]:
    """What one board takes alone, a row per model and power mode."""
    return rows_of(results, ALONE)


def rows_of(results: Path, study: str) -> list[Row]:
    """The rows of a study's table. Raises ValueError if it is not there."""
    return records(read_table(table_path(results, study), needs=NEEDS))


def cells(rows: Iterable[Row]) -> Cells:
    """Rows by cell and method. Raises ValueError where two studies say different joules of the same run."""
    found: dict[Cell, dict[str, Row]] = defaultdict(dict)
    for row in rows:
        cell, method = _cell(row), _method(row)
        known = found[cell].setdefault(method, row)
        if known["energy_j"] != row["energy_j"]:
            raise ValueError(f"two runs of {method} of {cell} differ: {known['energy_j']} J and {row['energy_j']} J")
    return found


def _cell(row: Row) -> Cell:
    rate, devices, batch = (float(row[name] or 0) for name in ("bandwidth_bit_per_s", "devices", "batch_samples"))
    return Cell(str(row["model"]), str(row["cluster"]), int(devices), rate, int(batch))


def _method(row: Row) -> str:
    as_asked = row["method"] == EVEN and row.get("planner.micro_batch") == "workload"
    return EVEN_AS_ASKED if as_asked else str(row["method"])


def ran(row: Row | None) -> bool:
    """Whether there is a run that ended well."""
    return row is not None and row["status"] == RunStatus.DONE


def number(row: Row, name: str) -> float:
    """A figure of a run. Raises ValueError if there is none."""
    value = row[name]
    if not isinstance(value, int | float):
        raise ValueError(f"{row['method']} of {row['model']} has no {name}: it {row['status']}")
    return float(value)


def per_sample_j(row: Row) -> float:
    """Joules of all boards per sample."""
    return number(row, "energy_per_sample_j")
