"""What stands in the study's tables? A row per setting and plan, and from these a row per setting and planner.

    spread   (longest - shortest) / measured_s over runs of the same plan: what a measurement cannot tell apart
    error    simulated_s / measured_s - 1
    disturbed   the largest share of the processors that other programs took during an iteration, 0 if too small
    regret   measured_s / least measured_s of the setting - 1

``measured_s`` is the median over all counted iterations of all runs. A planner's row is its first answer's.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from pandas import DataFrame

from edgesim.proof import Objective
from experiments.analysis.placements import in_words
from experiments.configuration.setup import Setup
from experiments.planner_regret.contenders import Contender

if TYPE_CHECKING:  # it loads PyTorch, and whoever draws a figure of any table comes by here
    from experiments.planner_regret.trials import Trial

SETTING = ("testbed", "cluster", "model", "bandwidth_bit_per_s", "batch_samples", "micro_batch_samples")
_MEASURED = (
    "simulated_s",
    "measured_s",
    "runs",
    "iterations",
    "spread",
    "error",
    "disturbed",
    "regret",
    "status",
    "reason",
)
COLUMNS = (*SETTING, "planners", "placement", "analytic_s", "bound_s", "gap", *_MEASURED, "profile_hash")
BY_PLANNER = (*SETTING, "planner", "placement", *_MEASURED)
# What any kept table has: those from before other load was watched do not know of any.
NEEDS, NEEDS_BY_PLANNER = (tuple(name for name in columns if name != "disturbed") for columns in (COLUMNS, BY_PLANNER))
DONE, SKIPPED, FAILED = "done", "skipped", "failed"
_BETWEEN = "; "  # of planners with the same plan
_FURTHER = " #"  # what marks a planner's second answer and those after it


def rows(
    setting: Mapping[str, Any], setup: Setup, contending: Sequence[Contender], tried: Sequence["Trial"]
) -> list[dict[str, Any]]:
    """One for each plan of a setting; regrets are reckoned by :func:`table`."""
    best_s = min(contender.simulated_s for contender in contending)
    return [
        dict(setting) | _known(contender, setup) | _came_of(contender, trial, best_s)
        for contender, trial in zip(contending, tried, strict=True)
    ]


def _known(contender: Contender, setup: Setup) -> dict[str, Any]:
    """Before the plan is played; a bound counts if it is one of ``analytic_s``."""
    plan = contender.plan
    proof = plan.proof if plan.proof and plan.proof.objective is Objective.ITERATION_TIME else None
    in_flight = ", ".join(str(stage.in_flight) for stage in plan.stages)
    placement = in_words(plan, [device.name for device in setup.cluster.devices])
    return {
        "planners": _BETWEEN.join(contender.planners),
        "placement": f"{placement} (in flight: {in_flight})",
        "analytic_s": contender.analytic_s,
        "bound_s": proof and proof.bound,
        "gap": proof and proof.gap,
        "simulated_s": contender.simulated_s,
        "profile_hash": setup.profile.hash,
    }


def _came_of(contender: Contender, trial: "Trial", best_s: float) -> dict[str, Any]:
    """After it."""
    if trial.measured_s is None:
        times = f"simulated {contender.simulated_s / best_s:.3g} times as slow as the fastest, not executed"
        return {
            "runs": 0,
            "iterations": 0,
            "status": FAILED if trial.reason else SKIPPED,
            "reason": trial.reason or times,
        }
    return {
        "measured_s": trial.measured_s,
        "runs": len(trial.runs),
        "iterations": sum(map(len, trial.runs)),
        "spread": trial.spread,
        "error": contender.simulated_s / trial.measured_s - 1,
        "disturbed": trial.disturbed,
        "status": DONE,
        "reason": "",
    }


def table(entries: Sequence[Mapping[str, Any]]) -> DataFrame:
    """The tidy table: settings in order, plans of a setting in the order in which planners were asked."""
    whole = DataFrame(list(entries)).reindex(columns=list(COLUMNS))
    numbers = ["bound_s", "gap", "measured_s", "spread", "error", "disturbed"]
    whole[numbers] = whole[numbers].astype(float)  # also where all are missing
    whole["regret"] = whole["measured_s"] / whole.groupby(list(SETTING))["measured_s"].transform("min") - 1
    return whole.sort_values(list(SETTING), kind="stable").reset_index(drop=True)


def updated(kept: DataFrame, new: DataFrame) -> DataFrame:
    """A kept table with the settings of a new one in the place of its own."""
    again = pd.MultiIndex.from_frame(kept[list(SETTING)]).isin(pd.MultiIndex.from_frame(new[list(SETTING)]))
    return table([*kept[~again].to_dict("records"), *new.to_dict("records")])


def by_planner(measured: DataFrame) -> DataFrame:
    """A row per setting and planner, of the plan that is its first answer."""
    split = measured.assign(planner=measured["planners"].str.split(_BETWEEN)).explode("planner")
    first = ~split["planner"].str.contains(_FURTHER, regex=False)
    return split[first].reindex(columns=list(BY_PLANNER)).reset_index(drop=True)
