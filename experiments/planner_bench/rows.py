"""What stands in the bench's table? A row per case and planner, with its regret over the best plan of the case.

``regret = simulated_s / least simulated_s of the case - 1``, over all planners of the table: one that is added can
raise the others'. Rows without a plan have none.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from experiments.planner_bench.competitors import COMPETITORS, Plans

Row = Mapping[str, Any]
CASE = ("plans", "cluster", "model")
COLUMNS = (
    *CASE, "planner", "kind", "layers", "devices", "bandwidth_bit_per_s", "batch_samples", "micro_batch_samples",
    "status", "simulated_s", "regret", "analytic_s", "predicted_s", "bound_s", "gap", "proof", "solver", "objective",
    "objective_value", "planning_s", "planning_bytes", "limit_s", "placement", "profile_hash", "reason",
)  # fmt: skip
_WHOLE = ("layers", "devices", "batch_samples", "micro_batch_samples", "planning_bytes")


def table(rows: Iterable[Row]) -> pd.DataFrame:
    """The tidy table: cases in order, planners in the order of their list, regrets reckoned anew."""
    found = pd.DataFrame(list(rows)).reindex(columns=list(COLUMNS))
    best = found.groupby(list(CASE))["simulated_s"].transform("min")
    found["regret"] = found["simulated_s"] / best - 1
    found = found.astype(dict.fromkeys(_WHOLE, "Int64"))  # whole also where some are missing
    places = {competitor.name: place for place, competitor in enumerate(COMPETITORS)}
    order = {str(plans): place for place, plans in enumerate(Plans)}
    found["_place"], found["_plans"] = found["planner"].map(places).fillna(len(places)), found["plans"].map(order)
    by = ["_plans", "cluster", "model", "_place", "planner"]
    return found.sort_values(by, kind="stable").drop(columns=["_place", "_plans"]).reset_index(drop=True)


def updated(kept: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """A kept table with the rows of a new one in the place of its own, and all regrets anew."""
    key = [*CASE, "planner"]
    again = pd.MultiIndex.from_frame(kept[key]).isin(pd.MultiIndex.from_frame(new[key]))
    parts = [part.to_dict("records") for part in (kept[~again], new)]
    return table(row for part in parts for row in part)
