"""How good is the simulator's choice when measured? Its regrets over all settings, those of others, and what is noise.

A regret below the spread, by which two runs of the same plan are apart, says nothing.
"""

from pathlib import Path
from typing import Any

import pandas as pd
from pandas import DataFrame

from experiments.analysis.tidy import read_table
from experiments.configuration.result_folders import entries_of, json_text, write_text
from experiments.planner_regret.contenders import CHOICE
from experiments.planner_regret.rows import NEEDS, SKIPPED, by_planner

ENTRY = "measured_regret"  # of the bench's summary
MEASURED, REGRET = FILES = "measured.csv", "regret.csv"


def kept(folder: Path) -> dict[str, Any] | None:
    """What was measured before, in numbers; None where nothing was."""
    path = folder / MEASURED
    return measured_regret(read_table(path, needs=NEEDS)) if path.exists() else None


def measured_regret(measured: DataFrame) -> dict[str, Any]:
    """The study in numbers; those of planners are over the settings in which their plan was executed."""
    planners = by_planner(measured)
    mine = planners[planners["planner"] == CHOICE]["regret"]
    return {
        "of": CHOICE,
        "settings": int(mine.notna().sum()),
        "median": _number(mine.median()),
        "worst": _number(mine.max()),
        "spread": _number(measured["spread"].median()),
        "worst_spread": _number(measured["spread"].max()),
        "plans_executed": int(measured["measured_s"].notna().sum()),
        "plans_skipped": int((measured["status"] == SKIPPED).sum()),
        "median_abs_error": _number(measured["error"].abs().median()),
        "worst_abs_error": _number(measured["error"].abs().max()),
        "planners": {
            str(planner): {
                "settings": int(rows["regret"].notna().sum()),
                "skipped": int((rows["status"] == SKIPPED).sum()),
                "median": _number(rows["regret"].median()),
                "worst": _number(rows["regret"].max()),
            }
            for planner, rows in planners.groupby("planner")
        },
    }


def merge(path: Path, numbers: dict[str, Any]) -> None:
    """Put the study's numbers into the bench's summary; all other entries stay."""
    old = entries_of(path, "summary of a bench", written_by="experiments.planner_bench")
    write_text(path, json_text(old | {ENTRY: numbers}))


def _number(value: Any) -> float | None:
    """As JSON has it."""
    return None if pd.isna(value) else float(value)
