"""How much does Asteroid gain, what makes the gain, and how fast does it recover? Beside what its authors published.

    python -m experiments.asteroid    # tables of the studies -> results/asteroid/summary.json

Reads results/asteroid_throughput (python -m experiments.reproduce asteroid_throughput --keep), results/asteroid
(python -m experiments.asteroid.recovery), and where it is there results/jobs/summary.json (python -m
experiments.validate_jobs). The cells with the largest ratios are planned and simulated anew, to say which term of an
iteration makes the ratio.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from experiments.analysis.goodput import GOODPUT_NEEDS, goodput
from experiments.analysis.tidy import read_table, records
from experiments.asteroid.again import STUDY, terms_in
from experiments.asteroid.pauses import RECOVERY_NEEDS, over_lightweight
from experiments.asteroid.ratios import FAMILIES, NEEDS, OURS, rates, ratios, told
from experiments.asteroid.recovery import FOLDER
from experiments.asteroid.terms import attributed
from experiments.commands import command_parser
from experiments.configuration.command_line import told as told_mistakes
from experiments.configuration.provenance import command, made, record
from experiments.configuration.result_folders import json_text, refuse_unwritable, write_text
from experiments.configuration.studies import table_path

# Of arXiv 2408.08015, as results/published/published.csv has them.
PUBLISHED = {"best_ratio_over_dp": 12.2, "best_ratio_over_pp": 12.2, "best_ratio_over_hybrid": 2.1, "recovery": 14.0}
AT_MEAN = "20"  # iterations between losses
POLICIES = ("heavy", "heavy_missing", "restart", "proven")


def summary(results: Path) -> dict[str, Any]:
    """All numbers. Raises ValueError for a table that is not there."""
    found = rates(records(read_table(table_path(results, STUDY), needs=NEEDS)))
    over = {family: ratios(found, methods) for family, methods in FAMILIES.items()}
    recoveries = records(read_table(results / FOLDER / "recovery.csv", needs=RECOVERY_NEEDS))
    losing = goodput(records(read_table(results / FOLDER / "goodput.csv", needs=GOODPUT_NEEDS)))
    pauses = {policy: over_lightweight(recoveries, policy) for policy in POLICIES}
    return {
        **{f"best_ratio_over_{family}": each[0].ratio for family, each in over.items()},
        "recovery_ratio_simulated": pauses["heavy"]["pause"]["most"],
        "published": PUBLISHED,
        "ratios": {family: told(each) for family, each in over.items()},
        "attribution": {family: _attribution(over[family][0]) for family in FAMILIES},
        "recovery_over_lightweight": pauses,
        "recoveries_that_failed": sum(row["status"] != "done" for row in recoveries),
        f"goodput_at_{AT_MEAN}_iterations": {case: each[AT_MEAN] for case, each in losing.items()},
        "goodput": losing,
        **_measured(results / "jobs" / "summary.json"),
    }


def _attribution(best: Any) -> dict[str, Any]:
    ours, theirs = terms_in(best.cell, OURS), terms_in(best.cell, best.method)
    return {
        "in": best.where,
        "asteroid": asdict(ours),
        best.method: asdict(theirs),
        "share_of_difference": attributed(ours, theirs),
    }


def _measured(path: Path) -> dict[str, Any]:
    """What executed jobs say; None of each where there is no summary of them."""
    jobs: Mapping[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    measured = jobs.get("measured", {})
    return {
        "recovery_ratio_measured": measured.get("pause_heavy_over_lightweight"),
        "detection_s": measured.get("detection_s"),
        "validation": {name: each for name, each in jobs.items() if isinstance(each, dict) and "rows" in each} or None,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the summary and name it; 2 for a mistake."""
    parser = command_parser("experiments.asteroid", __doc__)
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the tables (default: results)")
    asked = parser.parse_args(arguments)
    return told_mistakes(lambda: _summarise(asked.results))


def _summarise(results: Path) -> int:
    refuse_unwritable(results)
    numbers = summary(results)
    path = results / FOLDER / "summary.json"
    write_text(path, json_text(numbers))
    record(path.parent, [path.name], made(command("experiments.asteroid")))
    losses = numbers["recovery_over_lightweight"]["heavy"]["losses"]
    print(f"{path}: {numbers['ratios']['dp']['cells']} cells, {losses} losses")
    return 0


if __name__ == "__main__":
    sys.exit(main())
