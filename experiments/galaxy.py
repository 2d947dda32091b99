"""How much faster is Galaxy than what it compares itself with, and how far is the simulator from what was measured?

    python -m experiments.galaxy    # results/galaxy_latency, results/galaxy_measured -> results/galaxy/summary.json

Reads the studies' tables; those of galaxy_measured, at two rates, may be missing. Gains are a method's latency over
Galaxy's, by environment and model, simulated beside measured; None where either does not run. Error: simulated over
measured, minus 1, over all runs that both players made; tau is Kendall's, of their order.
"""

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from scipy.stats import kendalltau

from experiments.analysis.tidy import RESULTS, Value, in_words, read_table, records
from experiments.commands import command_parser
from experiments.configuration.command_line import told
from experiments.configuration.provenance import command, made, record
from experiments.configuration.result_folders import json_text, refuse_unwritable, write_text
from experiments.configuration.studies import table_path

SIMULATED, MEASURED = "galaxy_latency", ("galaxy_measured", "galaxy_measured_500mbit")
OURS, OVER = "galaxy", {"gain_over_tp": "megatron_tp", "gain_over_sp": "sequence_parallel"}
WITHOUT_OVERLAP = "galaxy_without_overlap"
_NEEDS = ("cluster", "model", "method", "bandwidth_bit_per_s", "player", "status", "latency_s", "profile_origin")
# What a method is and how it was measured, not where it runs.
_OF_METHOD = ("study", "rehearsals", "strategy", "planner", "method", "model", "player", "devices", "batch_samples")
PLAYERS = ("simulated", "measured")

Row = Mapping[str, Value]
Place = tuple[str, str]  # environment, in words, and model
Latencies = dict[str, dict[Place, dict[str, float | None]]]  # by player, place and method; None: did not run
Gains = dict[str, dict[str, float | None]]  # by environment and model


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Gains by player, and how near the players are. Raises ValueError for two runs of one method in one place."""
    latencies = latency_by_place(rows)
    return {
        **{
            name: {player: gains(latencies[player], over=method) for player in PLAYERS} for name, method in OVER.items()
        },
        **{f"overlap_gain_{player}": gains(latencies[player], over=WITHOUT_OVERLAP) for player in PLAYERS},
        "validation": validation(latencies),
    }


def latency_by_place(rows: Iterable[Row]) -> Latencies:
    """Seconds of every run, by player, place and method."""
    latencies: Latencies = {player: defaultdict(dict) for player in PLAYERS}
    for row in rows:
        by_method = latencies[str(row["player"])][environment(row), str(row["model"])]
        method, seconds = str(row["method"]), row["latency_s"] if row["status"] == "done" else None
        if method in by_method:
            raise ValueError(f"two runs of {method} of {row['model']} in {environment(row)} (collect the study anew)")
        by_method[method] = None if seconds is None else float(seconds)
    return latencies


def environment(row: Row) -> str:
    """``galaxy-a, 125 Mbit/s, estimated profile``: cluster, rate, what else the study varies, and whose seconds."""
    places = [name for name in row if name not in RESULTS and name not in _OF_METHOD and row[name] is not None]
    return ", ".join([*(in_words(name, row[name]) for name in places), f"{row['profile_origin']} profile"])


def gains(latencies: Mapping[Place, Mapping[str, float | None]], *, over: str) -> Gains:
    """The method's latency over Galaxy's, where both were asked for."""
    by_place: Gains = defaultdict(dict)
    for (where, model), by_method in latencies.items():
        if {OURS, over} <= by_method.keys():
            theirs, ours = by_method[over], by_method[OURS]
            by_place[where][model] = None if theirs is None or ours is None else theirs / ours
    return by_place


def validation(latencies: Latencies) -> dict[str, float | int | None]:
    """Median and worst error and Kendall's tau of the runs that both players made."""
    pairs = [
        (seconds, measured)
        for place, by_method in latencies["measured"].items()
        for method, measured in by_method.items()
        if measured is not None and (seconds := latencies["simulated"][place][method]) is not None
    ]
    errors = [abs(simulated / measured - 1) for simulated, measured in pairs]
    return {
        "runs": len(pairs),
        "median_abs_error": median(errors) if errors else None,
        "worst_abs_error": max(errors, default=None),
        "kendall_tau": float(kendalltau(*zip(*pairs, strict=True)).statistic) if len(pairs) > 1 else None,
    }


def read(results: Path) -> Sequence[Row]:
    """The rows of both studies. Raises ValueError if the simulated one has no table."""
    rows = records(read_table(table_path(results, SIMULATED), needs=_NEEDS))
    kept = (path for study in MEASURED if (path := table_path(results, study)).exists())
    return rows + [row for path in kept for row in records(read_table(path, needs=_NEEDS))]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the summary and name it; 2 for a mistake."""
    parser = command_parser("experiments.galaxy", __doc__)
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the tables (default: results)")
    asked = parser.parse_args(arguments)
    return told(lambda: _summarise(asked.results))


def _summarise(results: Path) -> int:
    refuse_unwritable(results)
    numbers = summary(read(results))
    path = results / "galaxy" / "summary.json"
    write_text(path, json_text(numbers))
    record(path.parent, [path.name], made(command("experiments.galaxy")))
    print(
        f"{path}: {len(numbers['overlap_gain_simulated'])} environments, {numbers['validation']['runs']} runs validated"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
