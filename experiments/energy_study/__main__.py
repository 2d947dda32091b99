"""What does training cost in joules, where do they go, and do the published findings come out? Tables and a summary.

    python -m experiments.energy_study                # everything below, from the kept tables of the studies energy_*
    python -m experiments.energy_study --only fronts  # a part of it: a table, or the summary

Writes to results/energy/:

fronts.csv         plans for energy, and the fastest plan with its clocks turned down: seconds and joules
front_summary.csv  a row per environment: what the first save over the second in no more time
watts.csv          the ratio of two methods' joules over each watt
boards.csv         joules by board and state, and how long a charge would last
switched_on.csv    the least joules of every set of boards that are on
training.csv       joules and carbon until a model is trained, also with a board lost
carbon.csv         what these joules emit on the mains of every grid
summary.json       published findings by rank, joules per sample by method, what waiting costs, and the above in short

Every joule is computed, from simulated times and from assumed, published or derived watts: no meter was read.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pandas import DataFrame

from edgesim.cluster import PowerModel
from experiments.commands import command_parser
from experiments.configuration.command_line import composed, told
from experiments.configuration.provenance import command, made, record
from experiments.configuration.result_folders import json_text, refuse_unwritable, write_text
from experiments.configuration.setup import read_setup
from experiments.energy_study import boards, carbon, cells, fronts, summary, training, watts
from experiments.energy_study.settings import CLUSTERS

FOLDER, SUMMARY = "energy", "summary"
Tables = Mapping[str, list[dict[str, Any]]]
_COMMAND = "experiments.energy_study"
# The cells of this study show all pairs of methods; its plans are those of equal boards.
_WATTS_OF = "energy_batches"


def powers() -> dict[str, PowerModel]:
    """The power model of every cluster whose boards are equal, by the cluster's name."""
    found = {}
    for name in CLUSTERS:
        cluster = read_setup(composed(f"cluster={name}")).cluster
        if len(models := {device.power for device in cluster.devices}) == 1:
            found[cluster.name] = models.pop()
    return found


def _watts(results: Path) -> Tables:
    equal = cells.cells(cells.rows_of(results, _WATTS_OF))
    return {"watts": list(watts.sensitivities(equal, powers()))}


# What each entry of ``--only`` computes: tables by name.
TABLES: Mapping[str, Callable[[Path], Tables]] = {
    "watts": _watts,
    "boards": lambda _: {"boards": list(boards.by_board())},
    "switched_on": lambda _: {"switched_on": list(boards.switched_on())},
    "training": lambda _: {"training": list(training.jobs())},
    "carbon": lambda results: {"carbon": list(carbon.by_grid(summary.rows_of(results, "training")))},
    "fronts": lambda _: fronts.tables(),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the tables and the summary, and name them; 2 for a mistake."""
    parser = command_parser(_COMMAND, __doc__)
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the tables (default: results)")
    parser.add_argument("--only", choices=(*TABLES, SUMMARY), help="one of the tables, or the summary of all")
    options = parser.parse_args(arguments)
    return told(lambda: _study(options))


def _study(options: argparse.Namespace) -> int:
    folder = options.results / FOLDER
    refuse_unwritable(folder)
    by = made(command(_COMMAND, ["--only", options.only] if options.only else []))
    for table in [options.only] if options.only else TABLES:
        for name, rows in TABLES[table](options.results).items() if table != SUMMARY else ():
            write_text(folder / f"{name}.csv", DataFrame(rows).to_csv(index=False))
            record(folder, [f"{name}.csv"], by)
            print(f"{folder / name}.csv: {len(rows)} rows")
    if options.only in (None, SUMMARY):
        numbers = summary.summary(options.results, cells.read(options.results))
        write_text(folder / "summary.json", json_text(numbers))
        record(folder, ["summary.json"], by)
        print(f"{folder / 'summary.json'}: {numbers['cells']['runs']} runs, {numbers['fronts']['environments']} fronts")
    return 0


if __name__ == "__main__":
    sys.exit(main())
