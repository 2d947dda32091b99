"""What is kept of the study? Tables of plans, kinds of tasks and causes, the worst explained, and figures of merit."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
from pandas import DataFrame

from edgesim.units import show
from experiments.analysis.task_kinds import kind_errors
from experiments.analysis.tidy import read_table
from experiments.collect import to_csv
from experiments.configuration.provenance import made, record
from experiments.configuration.result_folders import json_text, write_text
from experiments.fidelity_study.draws import DrawnSetting
from experiments.fidelity_study.figures_of_merit import executed, figures_of_merit, residuals_of
from experiments.fidelity_study.journal import Entry
from experiments.fidelity_study.judging import Judged, judged
from experiments.figures.parity import parts_figure
from experiments.figures.style import save
from real_runtime.execution import host_of

_WORST = 10
_FILES = ("table.csv", "kinds.csv", "causes.csv", "worst.md", "summary.json", "residuals.json")


def keep(folder: Path, entries: Sequence[tuple[DrawnSetting, Entry]], *, by: str) -> str:
    """Judge all that was played, write it, and say it in a few lines; ``by`` is the command that makes it."""
    plans = judged(entries)
    testbed = entries[0][1].testbed
    settings = len(entries)
    residuals = residuals_of(plans, testbed, f"experiments.fidelity_study, conformal part of {settings} settings")
    figures = figures_of_merit(plans, residuals)
    kinds, causes = kinds_table(plans), causes_table(plans)
    write_text(folder / "table.csv", to_csv(table(plans)))
    write_text(folder / "kinds.csv", to_csv(kinds))
    write_text(folder / "causes.csv", to_csv(causes))
    write_text(folder / "worst.md", worst_text(plans))
    write_text(folder / "summary.json", json_text(figures))
    residuals.save(folder / "residuals.json")
    record(folder, _FILES, made(by))
    if executed(plans):
        save(parts_figure(read_table(folder / "table.csv")), folder / "parity")
    return "\n".join((*verdict(figures), "", str(kinds.to_string(index=False)), f"\nAll in {folder}"))


def verdict(figures: dict[str, object]) -> list[str]:
    """The figures of merit of the test part, and of its kinds, a line each."""
    names = (
        "plans",
        "median_abs_error",
        "p95_abs_error",
        "worst_abs_error",
        "kendall_tau",
        "told_apart",
        "median_regret",
        "worst_regret",
        "coverage",
        "width_ratio",
        "ks",
        "median_run_to_run_range",
    )
    lines = [f"{'':>16} " + " ".join(f"{name.replace('_', ' '):>16.16}" for name in names)]
    kinds = figures["by_kind"]
    assert isinstance(kinds, dict), "figures of merit have those of each kind"
    for name, mine in (("test", figures), *kinds.items()):
        cells = (_cell(mine[each]) for each in names)
        lines.append(f"{name:>16} " + " ".join(f"{cell:>16}" for cell in cells))
    return lines


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def table(plans: Iterable[Judged]) -> DataFrame:
    """A row per plan."""
    return pd.DataFrame(
        {
            "setting": each.setting,
            "part": str(each.part),
            "case": each.case,
            "kind": str(each.kind),
            "strategy": each.played.strategy,
            "plan": each.played.name,
            "placement": str(each.played.plan),
            "hosts": each.hosts,
            "rate_mbit_per_s": each.rate_mbit_per_s,
            "iterations": len(each.played.measured_s),
            "simulated_s": each.simulated_s,
            "measured_s": each.measured_s,
            "measured_low_s": min(each.played.measured_s, default=None),
            "measured_high_s": max(each.played.measured_s, default=None),
            "error": each.error,
            "disturbed": each.played.disturbed,
            "disturbed_on": host_of(each.played.disturbed),
            "cause": each.cause.name if each.cause else "",
            "reason": each.played.reason,
        }
        for each in plans
    )


def kinds_table(plans: Sequence[Judged]) -> DataFrame:
    """Errors by kind of workload and kind of task, in plans where it takes a part of the time that counts."""
    found = []
    for work in sorted({each.kind for each in plans}):
        mine = [each.kinds for each in plans if each.kind is work]
        found += [
            {
                "kind": str(work),
                "task": each.kind,
                "plans": each.plans,
                "median_error": each.error,
                "median_abs_error": each.abs_error,
                "worst_error": each.worst,
            }
            for each in kind_errors(mine)
        ]
    return pd.DataFrame(found, columns=["kind", "task", "plans", "median_error", "median_abs_error", "worst_error"])


def causes_table(plans: Iterable[Judged]) -> DataFrame:
    """A row per plan and cause: what it adds to the simulated seconds, which add up to the measured ones."""
    found = [
        (each.setting, str(each.part), str(each.kind), each.played.name, s.what, s.where, s.seconds, s.detail)
        for each in executed(plans)
        for s in each.shares
    ]
    columns = ["setting", "part", "kind", "plan", "cause", "where", "seconds", "detail"]
    out = pd.DataFrame(found, columns=columns)
    measured = {(each.setting, each.played.name): each.measured_s or 0.0 for each in executed(plans)}
    out["of_measured"] = [
        seconds / measured[setting, plan]
        for setting, plan, seconds in zip(out["setting"], out["plan"], out["seconds"], strict=True)
    ]
    return out


def worst_text(plans: Iterable[Judged]) -> str:
    """The plans that are farthest off, each with what makes the difference, in Markdown."""
    worst = sorted(executed(plans), key=lambda each: -abs(each.error or 0.0))[:_WORST]
    lines = ["# The plans that are farthest off, and why", ""]
    for number, each in enumerate(worst, 1):
        lines += [
            f"## {number}. {each.case}, {each.played.name}: {each.error:+.1%}",
            "",
            f"Setting {each.setting} ({each.part}), {each.hosts} hosts, {each.rate_mbit_per_s:g} Mbit/s: "
            f"{each.played.plan}. Simulated {show(each.simulated_s or 0.0, 's')}, measured "
            f"{show(each.measured_s or 0.0, 's')} ({', '.join(f'{s:.4g}' for s in each.played.measured_s)}).",
            "",
            "| cause | where | seconds | detail |",
            "|---|---|---|---|",
            *(f"| {s.what} | {s.where} | {s.seconds:+.4f} | {s.detail} |" for s in each.shares),
            "",
        ]
    return "\n".join(lines)
