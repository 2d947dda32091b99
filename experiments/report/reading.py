"""What of a run's folder does a page show? Both players' traces, and what they rest on."""

import json
from pathlib import Path

from experiments.commands import NAME
from experiments.execution.folders import COMMAND
from experiments.execution.other_load import told_of
from experiments.explain.reading import MEASURED, SIMULATED, players_of, read_sides
from experiments.report.run_page import ShownRun


def read_run(folder: Path) -> ShownRun:
    """A folder that experiments.run wrote. Raises ValueError if it is none."""
    players = players_of(folder)
    # Where there is none, reading says what is missing.
    sides = read_sides(folder, [player for player in (SIMULATED, MEASURED) if player in players] or [""])
    config, versions, command = (_text(folder / name) for name in ("config.yaml", "versions.json", COMMAND))
    return ShownRun(
        name=folder.name,
        sides=tuple(sides),
        config=config,
        versions=versions,
        command=command or f"{NAME} run    # with the configuration below",
        disturbed=_disturbed(folder / "metrics.json"),
    )


def _text(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def _disturbed(path: Path) -> str:
    return told_of(json.loads(path.read_text())) if path.is_file() else ""
