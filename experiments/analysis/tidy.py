"""What stands in a tidy table? One row per run and player, in SI units: what identifies the row, and what came out.

Any column that is neither a result nor says where one comes from identifies the row: a study may add its own.
"""

from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum
from pathlib import Path

import numpy as np
import pandas as pd
from pandas import DataFrame, Series
from pandas.api.types import is_numeric_dtype

from edgesim.units import si
from experiments.configuration.suggestions import suggestion

# The usual ones, in the order in which people name them. ``plan`` and ``kind`` are those of validation tables.
IDENTITY = (
    "study",
    "cluster",
    "model",
    "strategy",
    "planner",
    "method",
    "plan",
    "kind",
    "devices",
    "bandwidth_bit_per_s",
    "batch_samples",
    "player",
)
METRICS = frozenset(
    {
        "iterations",
        "makespan_s",
        "makespan_low_s",
        "makespan_high_s",
        "interval_plans",
        "samples_per_s",
        "latency_s",
        "energy_j",
        "metered_energy_per_sample_j",
        "metered_coverage",
        "energy_per_sample_j",
        "edp_js",
        "samples_per_charge",
        "carbon_g",
        "idle_j",
        "waiting_j",
        "compute_j",
        "transmit_j",
        "receive_j",
        "peak_bytes",
        "bubble",
        "utilisation",
        "sent_bytes",
        "tasks",
        "simulated_s",
        "measured_s",
        "spread",
        "error",
        "disturbed",
        "regret",
        "analytic_s",
        "predicted_s",
        "bound_s",
        "gap",
        "objective_value",
        "objective_bound",
        "objective_gap",
        "planning_s",
        "planning_bytes",
    }
)
PROVENANCE = frozenset(
    {
        "placement",
        "profile_hash",
        "profile_origin",
        "energy_source",
        "energy_from",
        "metered_evidence",
        "metered_covers",
        "carbon_source",
        "interval_kind",
        "interval_from",
        "schedule",
        "status",
        "reason",
        "slower_because",
        "proof",
        "objective",
        "objective_details",
        "objective_unit",
        "objective_proof",
        "solver",
    }
)
RESULTS = METRICS | PROVENANCE

_TEXTS = (*(name for name in IDENTITY if name not in {"devices", "bandwidth_bit_per_s", "batch_samples"}), *PROVENANCE)
MBIT_PER_S = si("1 Mbit/s") / si("1 bit/s")

_NUMBERS = METRICS | {"devices", "bandwidth_bit_per_s", "batch_samples", "micro_batch_samples", "layers", "limit_s"}

Value = float | int | str | None
Groups = np.ndarray[tuple[int], np.dtype[np.int64]]


class RunStatus(StrEnum):
    """How a run of a study ended."""

    DONE = "done"
    OUT_OF_MEMORY = "out_of_memory"  # its plan does not fit, or no plan does
    FAILED = "failed"  # for any other reason


def identity(table: DataFrame, *, ignore: Collection[str] = (), results: Collection[str] = RESULTS) -> list[str]:
    """The columns that tell one row from another, the usual ones first."""
    usual = {name: place for place, name in enumerate(IDENTITY)}
    columns = [name for name in table.columns if name not in results and name not in ignore]
    return sorted(columns, key=lambda name: (usual.get(name, len(usual)), name))


def records(table: DataFrame) -> list[dict[str, Value]]:
    """The rows as Python has them: a missing cell and an empty text are None."""
    return [{name: _plain(value) for name, value in row.items()} for row in table.to_dict("records")]


def _plain(value: object) -> Value:
    if isinstance(value, str | bool):
        return str(value) or None
    return None if pd.isna(value) else value  # type: ignore[return-value]


def telling(table: DataFrame, among: Collection[str], *, same: Collection[str]) -> list[str]:
    """The columns ``among`` that tell rows apart which are alike in the columns ``same``."""
    groups = alike(table, same)
    return [column for column in among if _count(_finer(groups, table[column])) > _count(groups)]


def alike(table: DataFrame, columns: Iterable[str]) -> Groups:
    """A number for each row, from 0: that of all rows which have the same in these columns."""
    groups: Groups = np.zeros(len(table), dtype=np.int64)
    for column in columns:
        groups = _finer(groups, table[column])
    return groups


def _finer(groups: Groups, column: Series) -> Groups:
    """These groups, divided by what stands in a column; cells without a value are alike."""
    values, known = pd.factorize(column.mask(column == ""))
    finer: Groups = np.unique(groups * (len(known) + 1) + values, return_inverse=True)[1]
    return finer


def _count(groups: Groups) -> int:
    return int(groups.max(initial=-1)) + 1


def in_words(column: str, value: Value) -> str:
    """A cell that identifies its row, for people.

    >>> in_words("bandwidth_bit_per_s", 1e8), in_words("devices", 3), in_words("depth", 8), in_words("planner", None)
    ('100 Mbit/s', '3 devices', 'depth 8', 'no planner')
    """
    if value is None:
        return f"no {column}"
    if isinstance(value, str):
        return value
    if column == "bandwidth_bit_per_s":
        return f"{value / MBIT_PER_S:.12g} Mbit/s"
    if column == "devices":
        return f"{value:.12g} device{'s' * (value != 1)}"
    return f"{column} {value:.12g}"


def read_table(path: Path, *, needs: Iterable[str] = (), only: Sequence[str] | None = None) -> DataFrame:
    """A table as it was written, to the last bit; all columns of it, or ``only`` these of a .parquet.

    Raises ValueError if there is none, or a needed column is missing.
    """
    if path.suffix not in (".parquet", ".csv"):
        raise ValueError(f"{path} does not end like a table (a table is a .parquet or a .csv)")
    if not path.is_file():
        near = [file.name for file in path.parent.glob("*") if file.suffix in (".parquet", ".csv")]
        raise ValueError(f"no such table: {path}{suggestion(path.name, near) if near else ''}")
    try:
        table = pd.read_parquet(path, columns=only) if path.suffix == ".parquet" else _read_csv(path)
    except (ValueError, OSError) as error:
        raise ValueError(f"{path} cannot be read as a table: {' '.join(str(error).split())}") from error
    require_columns(table, needs, source=str(path))
    return with_numbers(table, source=str(path))


def require_columns(table: DataFrame, needs: Iterable[str], *, source: str) -> None:
    """Raise ValueError, naming the source, for a column that a table lacks."""
    for column in needs:
        if column not in table.columns:
            raise ValueError(
                f"{source} has no column {column!r}{suggestion(column, table.columns)}: write the table anew, or add it"
            )


def with_numbers(table: DataFrame, *, source: str) -> DataFrame:
    """The table with numbers where numbers belong. Raises ValueError, naming row and column, for anything else."""
    known = [name for name in table.columns if name in _NUMBERS]
    numbers = {name: pd.to_numeric(table[name], errors="coerce") for name in known}
    for name, column in numbers.items():
        known_there = table[name].notna()
        if not is_numeric_dtype(table[name]):  # a text may say that it is no number
            known_there &= table[name].astype(str).str.lower() != "nan"
        wrong = known_there & ~np.isfinite(column.to_numpy(dtype=float, na_value=np.nan))
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            value = table[name].iloc[row]
            raise ValueError(f"{source}, row {row + 1}: {name} is {str(value)!r}, which is no number (correct the row)")
    return table.assign(**numbers)


def _read_csv(path: Path) -> DataFrame:
    """An empty cell is empty, a model called NA is a model, and a hash of digits only is no number."""
    return pd.read_csv(
        path,
        dtype=dict.fromkeys(_TEXTS, str),
        keep_default_na=False,
        na_values=[""],
        low_memory=False,
    )
