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
_SAME = 1e-6  # relative: how near two ways to reckon the same seconds are
_WHOLE = ("layers", "devices", "batch_samples", "micro_batch_samples", "planning_bytes")


def table(rows: Iterable[Row]) -> pd.DataFrame:
    """The tidy table: cases in order, planners in the order of their list, regrets reckoned anew."""
    attempts = pd.DataFrame(list(rows)).reindex(columns=list(COLUMNS))
    best = attempts.groupby(list(CASE))["simulated_s"].transform("min")
    attempts["regret"] = attempts["simulated_s"] / best - 1
    attempts = _bounded(attempts)
    attempts = attempts.astype(dict.fromkeys(_WHOLE, "Int64"))  # whole also where some are missing
    places = {competitor.name: place for place, competitor in enumerate(competitors())}
    order = {str(plans): place for place, plans in enumerate(Plans)}
    attempts["_place"], attempts["_plans"] = (
        attempts["planner"].map(places).fillna(len(places)),
        attempts["plans"].map(order),
    )
    by = ["_plans", "cluster", "model", "_place", "planner"]
    return attempts.sort_values(by, kind="stable").drop(columns=["_place", "_plans"]).reset_index(drop=True)


def _bounded(attempts: pd.DataFrame) -> pd.DataFrame:
    """Bounds of the iteration time, always anew: a planner's own, or the highest proven for the case and family."""
    value, analytic_s = attempts["objective_value"].astype(float), attempts["analytic_s"].astype(float)
    common = attempts["objective"].isin([str(each) for each in Objective if each.is_common])
    own_s = attempts["objective_bound"].astype(float).where(common & ((value - analytic_s).abs() <= _SAME * value))
    of_pipelines_s = own_s.where(attempts["objective"] == Objective.ITERATION_TIME)
    family_s = of_pipelines_s.groupby([attempts[name] for name in (*CASE, "family")]).transform("max")
    bound_s = own_s.fillna(family_s).where(analytic_s.notna())
    # Of a value that is reckoned twice, the last digits differ.
    attempts["bound_s"] = bound_s.where(~((bound_s - analytic_s).between(0, _SAME * analytic_s)), analytic_s)
    gaps = [_gap(*each) for each in zip(analytic_s, attempts["bound_s"], strict=True)]
    attempts["gap"] = pd.Series(gaps, index=attempts.index, dtype=float)
    attempts["proof"] = [str(status(each)) if done else None for each, done in zip(gaps, _done(attempts), strict=True)]
    return attempts


def _done(attempts: pd.DataFrame) -> pd.Series:
    return attempts["simulated_s"].notna()


def _gap(analytic_s: float, bound_s: float) -> float | None:
    return None if pd.isna(bound_s) else gap(analytic_s, bound_s)


def updated(kept: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """A kept table with the rows of a new one in the place of its own, and all regrets anew."""
    key = [*CASE, "planner"]
    again = pd.MultiIndex.from_frame(kept[key]).isin(pd.MultiIndex.from_frame(new[key]))
    parts = [part.to_dict("records") for part in (kept[~again], new)]
    return table(row for part in parts for row in part)
