"""Which planner is best over all cases? How many it solves, its regrets, its times, and the whole bench in numbers.

Median and worst regret are over the cases that a planner solves: read them beside how many these are. A plan is proven
if its iteration time by the closed form is within 0.01 % of a bound on it; what a planner proves of anything else does
not count here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from edgesim.proof import Status
from experiments.configuration.planners import Kind
from experiments.planner_bench.cases import Whose, whose

# By layers x devices; a problem belongs to the first class that is large enough.
SIZE_CLASSES: Mapping[str, float] = {"small": 64, "medium": 128, "large": float("inf")}
_OFF = 0.1  # analytic over simulated seconds from which a plan counts as mispredicted
BEST = 1e-9  # regret up to which a plan counts as the best: the simulator's rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One planner over all its cases; ``ends`` counts how the attempts without a plan ended."""

    planner: str
    plans: str
    cases: int
    solved: int
    best: int
    proven: int
    median_regret: float | None
    worst_regret: float | None
    median_planning_s: float | None
    worst_planning_s: float | None
    ends: Mapping[str, int]


def standings(table: pd.DataFrame) -> list[Standing]:
    """All planners, of pipelines first, by how often they are best, then by median regret."""
    unordered = [
        _standing(name, plans, mine) for (plans, name), mine in table.groupby(["plans", "planner"], sort=False)
    ]
    order, unsolved = list(dict.fromkeys(table["plans"])), float("inf")

    def place(each: Standing) -> tuple[int, int, float, str]:
        regret = unsolved if each.median_regret is None else each.median_regret
        return order.index(each.plans), -each.best, regret, each.planner

    return sorted(unordered, key=place)


def _standing(name: str, plans: str, mine: pd.DataFrame) -> Standing:
    done = mine[mine["status"] == "done"]
    return Standing(
        planner=name,
        plans=plans,
        cases=len(mine),
        solved=len(done),
        best=int((done["regret"] <= BEST).sum()),
        proven=int((done["proof"] == Status.OPTIMAL).sum()),
        median_regret=_number(done["regret"].median()),
        worst_regret=_number(done["regret"].max()),
        median_planning_s=_number(done["planning_s"].median()),
        worst_planning_s=_number(done["planning_s"].max()),
        ends={str(end): int(count) for end, count in mine[mine["status"] != "done"]["status"].value_counts().items()},
    )


def by_group(table: pd.DataFrame) -> dict[Whose, list[Standing]]:
    """The standings within each group of environments: a planner may do well at home and badly elsewhere."""
    groups = table["cluster"].map(whose)
    return {each: standings(table[groups == each]) for each in Whose if (groups == each).any()}


def size_class(layers: int, devices: int) -> str:
    """How large a problem is.

    >>> size_class(6, 5), size_class(25, 5), size_class(26, 8)
    ('small', 'medium', 'large')
    """
    return next(name for name, most in SIZE_CLASSES.items() if layers * devices <= most)


def planning_by_class(table: pd.DataFrame) -> dict[str, float | None]:
    """The longest planning of a size class that led to a plan; None where there was none. Oracles are left out."""
    done = table[(table["status"] == "done") & (table["kind"] != Kind.ORACLE)]
    classes = [size_class(layers, devices) for layers, devices in zip(done["layers"], done["devices"], strict=True)]
    longest = done["planning_s"].groupby(classes).max()
    return {name: _number(longest.get(name)) for name in SIZE_CLASSES}


def analytic_error(table: pd.DataFrame) -> dict[str, Any] | None:
    """How far the common formula is from the simulator: median, worst, and where it is off by more than 10 %."""
    known = table[table["analytic_s"].notna() & (table["simulated_s"] > 0)]
    if known.empty:
        return None
    errors = known["analytic_s"] / known["simulated_s"] - 1
    worst = known.loc[errors.abs().idxmax()]
    return {
        "plans": len(known),
        "median": float(errors.abs().median()),
        "worst": float(errors[errors.abs().idxmax()]),
        "worst_of": f"{worst['planner']} on {worst['cluster']}, {worst['model']}",
        "beyond_10_per_cent": {
            str(cluster): int(count) for cluster, count in known["cluster"][errors.abs() > _OFF].value_counts().items()
        },
    }


def summary(table: pd.DataFrame, *, measured_regret: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The bench in numbers, for a file; with what ``experiments.planner_regret`` measured, None where nothing was."""
    cases = table.groupby(["plans", "cluster", "model"])["simulated_s"]
    return {
        "cases": len(cases),
        "cases_with_a_plan": int(cases.min().notna().sum()),
        "attempts": len(table),
        "worst_gap": _number(table["gap"][table["kind"] == Kind.OURS].max()),  # of planners that prove
        "worst_gap_of_all": _number(table["gap"].max()),
        "plans_with_a_bound": int(table["bound_s"].notna().sum()),
        "analytic_error": analytic_error(table),
        "size_classes": {name: None if most == float("inf") else most for name, most in SIZE_CLASSES.items()},
        "max_planning_time_s": planning_by_class(table),
        "measured_regret": measured_regret,
        "planners": {
            each.planner: {
                "plans": each.plans,
                "cases": each.cases,
                "solved": each.solved,
                "best": each.best,
                "proven": each.proven,
                "median_regret": each.median_regret,
                "worst_regret": each.worst_regret,
                "median_planning_s": each.median_planning_s,
                "worst_planning_s": each.worst_planning_s,
                "without_a_plan": dict(each.ends),
            }
            | own_objective(table[table["planner"] == each.planner])
            for each in standings(table)
        },
        "by_environment": {
            str(where): {
                each.planner: {
                    "cases": each.cases,
                    "solved": each.solved,
                    "best": each.best,
                    "proven": each.proven,
                    "median_regret": each.median_regret,
                    "worst_regret": each.worst_regret,
                }
                for each in mine
            }
            for where, mine in by_group(table).items()
        },
    }


def own_objective(mine: pd.DataFrame) -> dict[str, Any]:
    """What a planner minimises itself, and its worst gap to a bound of that; None where it has none."""
    objectives = sorted(mine["objective"].dropna().unique())
    return {"objective": " or ".join(objectives) or None, "worst_objective_gap": _number(mine["objective_gap"].max())}


def _number(value: Any) -> float | None:
    """As JSON has it."""
    return None if value is None or pd.isna(value) else float(value)
