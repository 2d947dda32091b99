"""What stands in the bench's table? A row per case and planner, with its regret over the best plan of the case.

``regret = simulated_s / least simulated_s of the case - 1``, over all planners of the table: one that is added can
raise the others'. Rows without a plan have none. A pipeline whose planner proves nothing gets the bound that an integer
programme proved for its case and depth: ``gap = analytic_s / bound_s - 1``.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from edgesim.planners.exact.pipelines.search import OBJECTIVE
from experiments.planner_bench.competitors import COMPETITORS, Plans

Row = Mapping[str, Any]
CASE = ("plans", "cluster", "model")
COLUMNS = (
    *CASE,
    "planner",
    "kind",
    "layers",
    "devices",
    "bandwidth_bit_per_s",
    "batch_samples",
    "micro_batch_samples",
    "status",
    "simulated_s",
    "regret",
    "analytic_s",
    "predicted_s",
    "bound_s",
    "gap",
    "proof",
    "solver",
    "objective",
    "objective_value",
    "planning_s",
    "planning_bytes",
    "limit_s",
    "family",
    "placement",
    "profile_hash",
    "reason",
)
_WHOLE = ("layers", "devices", "batch_samples", "micro_batch_samples", "planning_bytes")


def table(rows: Iterable[Row]) -> pd.DataFrame:
    """The tidy table: cases in order, planners in the order of their list, regrets reckoned anew."""
    found = pd.DataFrame(list(rows)).reindex(columns=list(COLUMNS))
    best = found.groupby(list(CASE))["simulated_s"].transform("min")
    found["regret"] = found["simulated_s"] / best - 1
    found = _bounded(found)
    found = found.astype(dict.fromkeys(_WHOLE, "Int64"))  # whole also where some are missing
    places = {competitor.name: place for place, competitor in enumerate(COMPETITORS)}
    order = {str(plans): place for place, plans in enumerate(Plans)}
    found["_place"], found["_plans"] = found["planner"].map(places).fillna(len(places)), found["plans"].map(order)
    by = ["_plans", "cluster", "model", "_place", "planner"]
    return found.sort_values(by, kind="stable").drop(columns=["_place", "_plans"]).reset_index(drop=True)


def _bounded(found: pd.DataFrame) -> pd.DataFrame:
    """The highest bound of each case and family, for those of its rows that have none."""
    proven = found["objective"] == OBJECTIVE
    bounds = found["bound_s"].where(proven).groupby([found[name] for name in (*CASE, "family")]).transform("max")
    mine = found["bound_s"].isna() & bounds.notna() & found["analytic_s"].notna()
    found.loc[mine, "bound_s"] = bounds[mine]
    found.loc[mine, "gap"] = found["analytic_s"][mine] / bounds[mine] - 1
    return found


def updated(kept: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """A kept table with the rows of a new one in the place of its own, and all regrets anew."""
    key = [*CASE, "planner"]
    again = pd.MultiIndex.from_frame(kept[key]).isin(pd.MultiIndex.from_frame(new[key]))
    parts = [part.to_dict("records") for part in (kept[~again], new)]
    return table(row for part in parts for row in part)
