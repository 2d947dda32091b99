"""Where are tables of our own speed kept? In results/, with the command that made each."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.configuration.provenance import command, made, record

_RESULTS = Path(__file__).parents[2] / "results"
SIMULATOR, RUNTIME = _RESULTS / "simulator_speed", _RESULTS / "runtime_speed"


def keep(name: str, rows: Sequence[Mapping[str, Any]], benchmark: str, *, folder: Path = SIMULATOR) -> None:
    """Write a table, and what made it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    record(folder, [name], made(command("pytest", [f"tests/benchmarks/{benchmark}"])))
