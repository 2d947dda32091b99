"""Where are the tables of the simulator's speed kept? In results/simulator_speed/, with the command that made each."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.configuration.provenance import command, made, record

FOLDER = Path(__file__).parents[2] / "results" / "simulator_speed"


def keep(name: str, rows: Sequence[Mapping[str, Any]], benchmark: str) -> None:
    """Write a table, and what made it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    record(FOLDER, [name], made(command("pytest", [f"tests/benchmarks/{benchmark}"])))
