"""How does the study read? A table of plans per setting, then a row per planner and a verdict."""

from typing import Any

import pandas as pd
from pandas import DataFrame
from rich.box import SIMPLE
from rich.table import Table

from edgesim.units import show
from experiments.analysis.tidy import MBIT_PER_S
from experiments.planner_regret.contenders import CHOICE
from experiments.planner_regret.rows import DONE
from experiments.tables.marks import footnotes, marked
from real_runtime.other_load.foreign_load import told

_NUMBERS = ("analytic", "simulated", "measured", "spread", "error", "regret")
_NONE = "–"


def setting_table(plans: DataFrame) -> Table:
    """The plans of one setting, the fastest measured first; the choice is bold."""
    first = plans.iloc[0]
    title = (
        f"{first['bandwidth_bit_per_s'] / MBIT_PER_S:g} Mbit/s, "
        f"{first['batch_samples']} samples in micro-batches of {first['micro_batch_samples']}"
    )
    out = _table(title, ("planners", "plan"), _NUMBERS)
    for _, row in plans.sort_values(["measured_s", "simulated_s"], kind="stable").iterrows():
        seconds = [_seconds(row[name]) for name in ("analytic_s", "simulated_s", "measured_s")]
        if row["status"] != DONE:
            seconds[-1] = row["status"]
        seconds[-1] += marked(row["disturbed"] > 0)
        numbers = (*seconds, _share(row["spread"]), _share(row["error"], sign="+"), _share(row["regret"]))
        style = "bold" if CHOICE in row["planners"].split("; ") else None
        out.add_row(row["planners"], row["placement"], *numbers, style=style)
    failed = plans[plans["status"] == "failed"]
    said = [f"{row['planners']} failed: {row['reason']}" for _, row in failed.iterrows()]
    said += footnotes(told(plans["disturbed"].dropna().tolist(), "plans"))
    out.caption = "\n".join(said) or None
    return out


def standings_table(study: dict[str, Any]) -> Table:
    """All planners, the smallest median regret first."""
    out = _table(
        "measured regret over the best executed plan", ("planner",), ("executed", "skipped", "median", "worst")
    )
    never = float("inf")
    planners = sorted(
        study["planners"].items(),
        key=lambda item: (never if item[1]["median"] is None else item[1]["median"], item[0] != CHOICE, item[0]),
    )
    for name, mine in planners:
        shares = (_share(mine["median"]), _share(mine["worst"]))
        out.add_row(
            name, str(mine["settings"]), str(mine["skipped"]), *shares, style="bold" if name == CHOICE else None
        )
    return out


def verdict(study: dict[str, Any]) -> str:
    """The study in three sentences."""
    return (
        f"Settings: {study['settings']}. The plan of {study['of']} is {_share(study['median'])} slower than the best "
        f"of all executed ones in the median, {_share(study['worst'])} at worst. Two runs of the same plan are "
        f"{_share(study['spread'])} apart in the median, {_share(study['worst_spread'])} at worst. "
        f"{study['plans_executed']} plans were executed, {study['plans_skipped']} were skipped; the simulator is off "
        f"by {_share(study['median_abs_error'])} in the median, {_share(study['worst_abs_error'])} at worst."
    )


def _table(title: str, texts: tuple[str, ...], numbers: tuple[str, ...]) -> Table:
    out = Table(title=title, title_justify="left", caption_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    for head in texts:
        out.add_column(head, overflow="fold")
    for head in numbers:
        out.add_column(head, justify="right", no_wrap=True)
    return out


def _share(value: float | None, *, sign: str = "") -> str:
    return _NONE if value is None or pd.isna(value) else f"{value:{sign}.1%}"


def _seconds(value: float | None) -> str:
    return _NONE if value is None or pd.isna(value) else show(value, "s")
