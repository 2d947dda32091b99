"""How many times as much does Asteroid train per second as the best of each family, in which cells?"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from experiments.analysis.tidy import Value, in_words

OURS = "asteroid"
FAMILIES: Mapping[str, Sequence[str]] = {
    "dp": ("eddl_even", "eddl_proportional", "ddp"),
    "pp": ("gpipe", "eco_fl"),
    "hybrid": ("pipedream", "dapple", "hetpipe"),
    "one_device": ("one_device",),
    "proven_1f1b": ("pipeline_ilp",),
}
NEEDS = ("cluster", "model", "method", "bandwidth_bit_per_s", "samples_per_s", "status")

Cell = tuple[str, str, float]  # cluster, model, rate
Rates = Mapping[Cell, Mapping[str, float]]  # samples per second, of what ran


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """What Asteroid trains over what the fastest method of a family does, in a cell."""

    cell: Cell
    method: str
    ratio: float

    @property
    def where(self) -> str:
        """The cell, for people."""
        cluster, model, rate = self.cell
        return f"{model} on {cluster}, {in_words('bandwidth_bit_per_s', rate)}"


def rates(rows: Iterable[Mapping[str, Value]]) -> Rates:
    """What ran, by cell. Raises ValueError for two runs of one method in one cell."""
    found: dict[Cell, dict[str, float]] = defaultdict(dict)
    for row in rows:
        cell = (str(row["cluster"]), str(row["model"]), float(row["bandwidth_bit_per_s"] or 0.0))
        method = str(row["method"])
        if method in found[cell]:
            raise ValueError(f"two runs of {method} in {cell} (collect the study anew)")
        if row["status"] == "done":
            found[cell][method] = float(row["samples_per_s"] or 0.0)
    return found


def ratios(found: Rates, methods: Sequence[str]) -> list[Ratio]:
    """Over the fastest of these methods, in each cell where Asteroid and one of them run; the largest first."""
    out = []
    for cell, by_method in found.items():
        those = {method: by_method[method] for method in methods if method in by_method}
        if OURS in by_method and those:
            method = max(those, key=lambda each: those[each])
            out.append(Ratio(cell=cell, method=method, ratio=by_method[OURS] / those[method]))
    return sorted(out, key=lambda each: -each.ratio)


def told(all_of: Sequence[Ratio]) -> dict[str, Any]:
    """The largest ratio with its cell, the middle and the least, and in how many cells Asteroid is slower."""
    return {
        "cells": len(all_of),
        "best": all_of[0].ratio,
        "best_in": all_of[0].where,
        "best_over": all_of[0].method,
        "median": median(each.ratio for each in all_of),
        "least": all_of[-1].ratio,
        "slower_in": sum(each.ratio < 1 for each in all_of),
        "best_by_model": {each.cell[1]: each.ratio for each in reversed(all_of)},
    }
