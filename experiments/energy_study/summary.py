"""What do the tables of the energy study say in short? Everything that its targets are about."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from experiments.analysis.names import EVEN, EVEN_AS_ASKED, PP, SP, TP
from experiments.analysis.tidy import MBIT_PER_S, RunStatus, read_table, records
from experiments.configuration.command_line import composed
from experiments.configuration.setup import read_setup
from experiments.energy_study.break_even import break_even_tokens
from experiments.energy_study.cells import Cell, Cells, Row, alone, number, per_sample_j, ran
from experiments.energy_study.findings import agreement, less, over_one_device, pairs_in_order, shares
from experiments.energy_study.settings import BATTERY_SOURCE, Environment

FOLDER = "energy"
# The clusters of each board that is alone in energy_alone.
_CLUSTERS = {
    "jetson_nano": ("energy-study-gpu", "energy-study-gpu-wifi"),
    "jetson_nano_cpu": ("energy-study-cpu", "energy-study-cpu-wifi"),
    "jetson_tx2": ("energy-study-tx2",),
    "jetson_xavier_nx_15w": ("energy-study-nx",),
}
_BOARD = "device@devices.nano"
_PROBED = Environment("bert_base_untied", "energy_study_gpu")


def summary(results: Path, cells: Cells) -> dict[str, Any]:
    """All numbers. Raises ValueError for a table that is not there."""
    one_j = single_board_j(alone(results))
    of = {
        name: rows_of(results, name)
        for name in ("front_summary", "watts", "boards", "switched_on", "training", "carbon")
    }
    return {
        "joules_are": "computed, from simulated times and from watts of the devices' files; no meter was read",
        "cells": counted(cells),
        "findings": agreement(cells, one_j),
        "published_pairs_in_order": pairs_in_order(cells),
        "sequence_before_tensor": _break_even(cells),
        "pipeline": _pipelines(cells),
        "over_one_device": over_one_device(cells, one_j),
        "joules_per_sample": per_method(cells),
        "one_device_j_per_sample": one_j,
        "watts_that_decide": deciding(of["watts"]),
        "fronts": saved(of["front_summary"]),
        "idle_or_off": idle_or_off(of["switched_on"]),
        "battery": _batteries(of["boards"]),
        "until_trained": _trained(of["training"]),
        "carbon_until_trained": by_grid(of["carbon"]),
    }


def rows_of(results: Path, name: str) -> list[Row]:
    """The rows of one of this study's own tables. Raises ValueError if it is not there."""
    return records(read_table(results / FOLDER / f"{name}.csv"))


def single_board_j(rows: Iterable[Row]) -> dict[str, float]:
    """``model on cluster``: joules per sample of a board of it alone, in its own mode."""
    return {
        f"{row['model']} on {cluster}": per_sample_j(row)
        for row in rows
        if ran(row)
        for cluster in _CLUSTERS.get(str(row[_BOARD]), ())
    }


def counted(cells: Cells) -> dict[str, Any]:
    """How many runs there are and how they ended, also by method."""
    by_method: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(map(str, RunStatus), 0))
    for methods in cells.values():
        for method, row in methods.items():
            by_method[method][str(row["status"])] += 1
    total = {str(status): sum(each[status] for each in by_method.values()) for status in RunStatus}
    return {"places": len(cells), "runs": sum(total.values()), **total, "by_method": dict(sorted(by_method.items()))}


def per_method(cells: Cells) -> dict[str, dict[str, Any]]:
    """By model and cluster, at each rate: joules per sample of every method, and how much of them waits."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for cell, methods in sorted(cells.items()):
        found[f"{cell.model} on {cell.cluster}"][f"{_where(cell)}"] = {
            method: {"joules": per_sample_j(row), **waiting(row)} if ran(row) else str(row["status"])
            for method, row in sorted(methods.items())
        }
    return found


def _where(cell: Cell) -> str:
    return f"{cell.devices} boards, {cell.bandwidth_bit_per_s / MBIT_PER_S:g} Mbit/s, batch {cell.batch_samples}"


def waiting(row: Row) -> dict[str, float]:
    """The share of joules of boards that neither compute nor communicate, and of idle watts while none computes.

    The second, of the mean board, is what would be saved if nothing but computing took time or radio.
    """
    total, base = number(row, "energy_j"), number(row, "idle_j") + number(row, "waiting_j")
    return {
        "waiting": number(row, "waiting_j") / total,
        "idle_while_not_computing": base * (1 - number(row, "utilisation")) / total,
        "messages": (number(row, "transmit_j") + number(row, "receive_j")) / total,
    }


def _break_even(cells: Cells) -> dict[str, Any]:
    """The mini-batch from which on sequence parallelism is thriftier, by its bytes and as it comes out."""
    model = read_setup(composed(*_PROBED.plain_words)).model
    judged = [(cell, held) for cell, held in less(cells, SP, TP) if cell.model == model.name]
    return {
        "model": model.name,
        "tokens_by_bytes": break_even_tokens(model),
        "as_simulated": shares(each for each in judged if each[0].devices == 4 and "wifi" not in each[0].cluster),
    }


def _pipelines(cells: Cells) -> dict[str, Any]:
    """What few micro-batches and an even cut cost a pipeline: its joules over those of the planned one."""
    found: dict[str, list[float]] = defaultdict(list)
    for methods in cells.values():
        for name in (EVEN, EVEN_AS_ASKED):
            if ran(methods.get(PP)) and ran(methods.get(name)):
                found[name].append(per_sample_j(methods[name]) / per_sample_j(methods[PP]))
    return {
        f"{name}_over_planned": {"cells": len(each), "median": median(each), "most": max(each)}
        for name, each in found.items()
    } | {"even_as_asked_before_tensor": shares(less(cells, EVEN_AS_ASKED, TP))}


def deciding(rows: Sequence[Row]) -> dict[str, Any]:
    """By pair and watt: in how many cells their order turns within the factors that were tried, and from which on."""
    found: dict[str, dict[str, list[float | None]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["factor"] == 1.0:
            at = row["flips_at"]
            within = isinstance(at, int | float) and 0.25 <= at <= 4
            found[f"{row['first']} over {row['second']}"][str(row["watt"])].append(float(at) if within else None)  # type: ignore[arg-type]
    return {
        pair: {
            watt: {
                "cells": len(all_of),
                "turn": len(at := [each for each in all_of if each is not None]),
                "at": sorted(at),
            }
            for watt, all_of in by_watt.items()
        }
        for pair, by_watt in found.items()
    }


def saved(rows: Sequence[Row]) -> dict[str, Any]:
    """In how many environments the front dominates, and what it saves at equal time."""
    ran_rows = [row for row in rows if row["status"] == "done"]
    most = {
        f"{row['model']} on {row['cluster']}, {row['rate']}": number(row, "most_saved_at_equal_time")
        for row in ran_rows
    }
    return {
        "environments": len(ran_rows),
        "out_of_memory": len(rows) - len(ran_rows),
        "dominates_or_equals": sum(str(row["dominates"]) == "True" for row in ran_rows),
        "saves_more_than_1_percent": sum(value > 0.01 for value in most.values()),
        "largest_gap_of_a_proof": max(number(row, "slowest_gap") for row in ran_rows),
        "most_saved_at_equal_time": max(most.values()),
        "mean_saved_at_equal_time": sum(number(row, "mean_saved_at_equal_time") for row in ran_rows) / len(ran_rows),
        "by_environment": most,
    }


def idle_or_off(rows: Sequence[Row]) -> dict[str, Any]:
    """By environment: the thriftiest set of boards that are on, the fastest, and all."""
    found: dict[str, dict[str, Any]] = {}
    by_place: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["status"] == "done":
            by_place[f"{row['model']} on {row['cluster']}, {row['rate']}"].append(row)
    for place, sets in by_place.items():
        told = {
            "thriftiest": min(sets, key=per_sample_j),
            "fastest": min(sets, key=lambda row: number(row, "makespan_s")),
            "all": max(sets, key=lambda row: number(row, "boards")),
        }
        found[place] = {
            name: {
                "on": row["on"],
                "idle_boards": row["idle_boards"],
                "energy_per_sample_j": per_sample_j(row),
                "makespan_s": row["makespan_s"],
            }
            for name, row in told.items()
        }
    return found


def _batteries(rows: Sequence[Row]) -> dict[str, Any]:
    """By place and method: hours until the first board's charge is used up, and samples by then."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[f"{row['model']} on {row['cluster']}, {row['rate']}", str(row["method"])].append(row)
    for (place, method), boards in groups.items():
        first = min(boards, key=lambda row: number(row, "battery_h"))
        found[place][method] = {
            "board": first["board"],
            "hours": first["battery_h"],
            "samples": first["samples_per_charge"],
        }
    return {"source": BATTERY_SOURCE, "first_empty": found}


def by_grid(rows: Sequence[Row]) -> dict[str, Any]:
    """By grid: the fewest and the most grams until trained, of which place, method and history."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[str(row["grid"])].append(row)

    def told(row: Row) -> dict[str, Any]:
        where = f"{row['model']} on {row['cluster']}, {row['rate']}, {row['method']}, {row['history']}"
        return {"grams": row["carbon_g"], "of": where}

    return {
        grid: {
            "g_per_kwh": own[0]["g_per_kwh"],
            "source": own[0]["source"],
            "fewest": told(min(own, key=lambda row: number(row, "carbon_g"))),
            "most": told(max(own, key=lambda row: number(row, "carbon_g"))),
        }
        for grid, own in found.items()
    }


def _trained(rows: Sequence[Row]) -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for row in rows:
        told = {name: row[name] for name in ("energy_j", "end_s", "carbon_g")} if ran(row) else str(row["reason"])
        found[f"{row['model']} on {row['cluster']}, {row['rate']}"][f"{row['method']}, {row['history']}"] = told
    return found
