"""What does PAC gain, what makes the gain, and when is its cache worth a disk? Beside what its authors published.

    python -m experiments.pac                # results/pac_studies/: hours, throughput, worth, claims, errors, summary

Every job is planned and simulated anew, which takes about three minutes. Constants that the paper does not state were
fitted to its figure 8a, of T5-Base alone, or read from its table 1; every row says which, and what it is to it.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pandas import DataFrame

from experiments.commands import command_parser
from experiments.configuration.command_line import told
from experiments.configuration.provenance import command, made, record
from experiments.configuration.result_folders import json_text, refuse_unwritable, write_text
from experiments.pac.claims import (
    of_abstract,
    of_epochs,
    of_hours,
    of_parts,
    of_throughput,
    runs_out_of_memory,
)
from experiments.pac.comparing import attribution, ratios, sources_apart, swapped
from experiments.pac.hours import Row, hours
from experiments.pac.left_over import evaluation, idle_devices, rounding
from experiments.pac.settings import TASKS
from experiments.pac.throughput import Throughput, throughputs
from experiments.pac.worth import Worth, worths
from experiments.published.__main__ import claims_frame, errors_frame, to_csv
from experiments.published.claims import EPOCHS, MODELS, Claim
from experiments.published.grouping import groupings

FOLDER = "pac_studies"
_NEAR = 0.15


def summary(
    rows: Sequence[Row], rates: Sequence[Throughput], worth: Sequence[Worth], claims: Sequence[Claim]
) -> dict[str, Any]:
    """All numbers that the targets of this study are about."""
    memory = runs_out_of_memory(rows)
    planned = list(groupings())
    return {
        "out_of_memory": {
            "published": sum(was for was, _ in memory.values()),
            "as_published": sum(was == now for was, now in memory.values()),
            "cells": len(memory),
        },
        "groupings": {"as_published": sum(each.published == each.planned for each in planned), "of": len(planned)},
        "hours": ratios(claims) | {"swapped": swapped(claims)},
        "throughput": {
            player: {
                "rows": len(of_player),
                "within_15_percent": sum(abs(each.error) <= _NEAR for each in of_player),
                "errors": {f"{each.system}, {each.nanos} Nanos": each.error for each in of_player},
            }
            for player in dict.fromkeys(each.player for each in rates)
            if (of_player := [each for each in rates if each.player == player])
        },
        "published_sources_apart": sources_apart(),
        "left_over": {
            "rounding": rounding(claims),
            "evaluation": evaluation(claims),
            "idle_devices_slower": idle_devices(rows, claims),
        },
        "reduction_by_cache": _reductions(claims),
        "headlines": {
            claim.row.metric: {"published": claim.published, "predicted": claim.predicted}
            for claim in claims
            if claim.row.item == "abstract"
        },
        "attribution": {model: attribution(rows, model=model, task=TASKS[0].name) for model in MODELS},
        "slowest_disk_that_pays": _slowest_disks(worth),
    }


def _reductions(claims: Sequence[Claim]) -> dict[str, dict[str, float]]:
    """Of figure 11: by epochs, the percentage of time that a cache saves."""
    found: dict[str, dict[str, float]] = {}
    of_epochs = {(each.row.method, each.row.metric): each for each in claims if each.row.item == EPOCHS}
    for (method, metric), each in of_epochs.items():
        if method == "PAC with cache":
            without = of_epochs["PAC without cache", metric]
            was, now = (100 * (1 - a / b) for a, b in _pairs(each, without))
            found[metric.removeprefix("time, ")] = {"published": was, "predicted": now, "points": now - was}
    return found


def _pairs(each: Claim, without: Claim) -> tuple[tuple[float, float], tuple[float, float]]:
    return (each.published, without.published), (each.predicted, without.predicted)


def _slowest_disks(worth: Sequence[Worth]) -> dict[str, dict[str, float | None]]:
    """By model and rate, and by storage and epochs, the slowest disk (bytes per second) with which a cache pays."""
    found: dict[str, dict[str, float | None]] = {}
    for each in worth:
        where = found.setdefault(f"{each.model}, {each.bandwidth_bit_per_s / 1e6:g} Mbit/s", {})
        for epochs, saved in ((3, each.saved_in_3), (10, each.saved_in_10)):
            key = f"{each.storage}, {epochs} epochs"
            known = where.setdefault(key, None)
            if saved > 0 and (known is None or each.disk_bytes_per_s < known):
                where[key] = each.disk_bytes_per_s
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the tables and name them; 2 for a mistake."""
    parser = command_parser("experiments.pac", __doc__)
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the tables (default: results)")
    options = parser.parse_args(arguments)
    return told(lambda: _study(options))


def _study(options: argparse.Namespace) -> int:
    folder = options.results / FOLDER
    refuse_unwritable(folder)
    rows, rates, worth = list(hours()), list(throughputs()), list(worths())
    claims = [*of_hours(rows), *of_throughput(rates), *of_epochs(_as_published(worth)), *of_abstract(rows), *of_parts()]
    tables = {
        "hours": DataFrame([asdict(row) for row in rows]),
        "throughput": DataFrame([asdict(row) | {"error": row.error} for row in rates]),
        "worth": DataFrame([asdict(row) for row in worth]),
        "claims": claims_frame(claims),
        "errors": errors_frame(claims),
    }
    for name, frame in tables.items():
        write_text(folder / f"{name}.csv", to_csv(frame))
    write_text(folder / "summary.json", json_text(summary(rows, rates, worth, claims)))
    record(folder, [*(f"{name}.csv" for name in tables), "summary.json"], made(command("experiments.pac")))
    print(f"{len(rows)} jobs, {len(rates)} rates, {len(worth)} caches and {len(claims)} claims in {folder}")
    return 0


def _as_published(worth: Sequence[Worth]) -> Worth:
    """The paper's own setting: its network, an SD card, and FP32."""
    return next(
        each
        for each in worth
        if (each.model, each.bandwidth_bit_per_s, each.storage) == ("T5-Base", 1e9, "fp32")
        and each.disk_bytes_per_s == 80e6
    )


if __name__ == "__main__":
    sys.exit(main())
