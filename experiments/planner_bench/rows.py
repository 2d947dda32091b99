"""What stands in the bench's table? A row per case and planner, with its regret over the best plan of the case.

``regret = simulated_s / least simulated_s of the case - 1``, over all planners of the table: one that is added can
raise the others'. Rows without a plan have none.

``bound_s``, ``gap`` and ``proof`` are of the iteration time, ``gap = analytic_s / bound_s - 1``: as its planner proved
it, else by what another one proved for the case and the family of pipelines. What a planner itself minimises has its
value, bound, gap and proof in ``objective_*``, in its own unit.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from edgesim.proof import Objective, gap, status
from experiments.analysis.predictions import PROOF_COLUMNS
from experiments.configuration.planners import Plans
from experiments.planner_bench.competitors import competitors

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
    *PROOF_COLUMNS,
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
    places = {competitor.name: place for place, competitor in enumerate(competitors())}
    order = {str(plans): place for place, plans in enumerate(Plans)}
    found["_place"], found["_plans"] = found["planner"].map(places).fillna(len(places)), found["plans"].map(order)
    by = ["_plans", "cluster", "model", "_place", "planner"]
    return found.sort_values(by, kind="stable").drop(columns=["_place", "_plans"]).reset_index(drop=True)


def _bounded(found: pd.DataFrame) -> pd.DataFrame:
    """The highest bound of each case and family, for those of its rows that have none."""
    proven = found["objective"] == Objective.ITERATION_TIME
    bounds = found["bound_s"].where(proven).groupby([found[name] for name in (*CASE, "family")]).transform("max")
    mine = found["bound_s"].isna() & bounds.notna() & found["analytic_s"].notna()
    found.loc[mine, "bound_s"] = bounds[mine]
    known, done = found["bound_s"].notna(), found["simulated_s"].notna()
    values = zip(found["analytic_s"][known], found["bound_s"][known], strict=True)
    found.loc[known, "gap"] = [gap(value, bound) for value, bound in values]
    found["proof"] = found["gap"].map(lambda each: str(status(None if pd.isna(each) else each))).where(done)
    return found


def updated(kept: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """A kept table with the rows of a new one in the place of its own, and all regrets anew."""
    key = [*CASE, "planner"]
    again = pd.MultiIndex.from_frame(kept[key]).isin(pd.MultiIndex.from_frame(new[key]))
    parts = [part.to_dict("records") for part in (kept[~again], new)]
    return table(row for part in parts for row in part)
