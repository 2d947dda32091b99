"""How does a job read as a page? How long it took and for what, every recovery, its timeline, and what it was asked."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from edgesim.errors import reading, text_of
from edgesim.units import show
from experiments.analysis.job_spans import RankRow, SpanRow
from experiments.execution.other_load import told_of
from experiments.explain.tables import percent
from experiments.figures.jobs.timeline import timeline_figure
from experiments.report.page import Cell, Section, figure, page, table, verbatim

JOB = "job.json"
_ROUNDING = 1e-9  # of a job: what is less is none of it


def job_page(folder: Path) -> str:
    """The page of a folder that a job wrote. Raises ValueError for files that are damaged."""
    path = folder / JOB
    with reading(str(path), "job", written_by="a job (python -m experiments.run +job=...)"):
        told = json.loads(text_of(path, "job"))
        jobs: list[Mapping[str, Any]] = list(told["jobs"])
        verdicts = [_verdict(job) for job in jobs]
        sections = [
            Section(title="Where the seconds are", html=_seconds(jobs)),
            Section(title="Timeline", html=_timeline(folder)),
            Section(title="Recoveries", html=_recoveries(jobs)),
            Section(title="Figures", html=_figures(jobs)),
            Section(title="Where numbers come from", html=_origins(jobs)),
            Section(title="To make it again", html=_made(folder)),
        ]
    return page(folder.name, f"a job of {told['iterations']} iterations", verdicts, sections)


def _verdict(job: Mapping[str, Any]) -> str:
    """How long it took, what of that was no training, and what most of that was."""
    whole_s, by_activity = job["end_s"], dict(job["seconds_by_activity"])
    training_s = by_activity.pop("training", 0.0)
    head = (
        f"{job['player'].capitalize()}: the job takes {show(whole_s, 's')}, "
        f"{100 * training_s / whole_s:.3g} % of it training, at {job['goodput_samples_per_s']:.3g} samples/s in all"
    )
    longest = max(by_activity, key=lambda name: by_activity[name], default="")
    rest = f"; most of the rest is {longest} ({show(by_activity[longest], 's')})" if by_activity.get(longest) else ""
    disturbance = told_of(job)
    return f"{head}{rest}{'; ' * bool(disturbance)}{disturbance}."


def _amount(value: float, unit: str) -> Cell:
    return Cell(text=show(value, unit), value=float(value))


def _seconds(jobs: list[Mapping[str, Any]]) -> str:
    """By activity; what is left is when nobody did anything that has a name."""
    rows = []
    for job in jobs:
        parts = dict(job["seconds_by_activity"])
        parts["otherwise"] = job["end_s"] - sum(parts.values())
        for name, seconds in parts.items():
            if abs(seconds) <= _ROUNDING * job["end_s"]:
                continue
            share = Cell(text=percent(seconds, job["end_s"]), value=seconds)
            rows.append((job["player"], name, _amount(seconds, "s"), share))
    return table(("player", "activity", "seconds", "of it"), rows, caption="Activities add up to the job's seconds.")


_PARTS = ("detection_s", "planning_s", "reconnection_s", "migration_s", "refill_s", "restart_s", "waiting_s")


def _recoveries(jobs: list[Mapping[str, Any]]) -> str:
    rows = [
        (
            job["player"],
            each["change"],
            each["says"],
            *(_amount(each[name], "s") for name in ("at_s", "pause_s", *_PARTS)),
            Cell(text=str(each["redone_iterations"]), value=each["redone_iterations"]),
        )
        for job in jobs
        for each in job["recoveries"]
    ]
    parts = (name.removesuffix("_s") for name in _PARTS)
    return table(("player", "change", "what", "at", "pause", *parts, "redone"), rows)


def _timeline(folder: Path) -> str:
    """The figure that the job drew, from its tables."""
    spans = [SpanRow(**row) for row in _table(folder / "spans.csv", says="")]
    ranks = [RankRow(**row) for row in _table(folder / "ranks.csv", layers="")]
    return figure(timeline_figure(spans, ranks), "Throughput, what the job is at, and what each rank does.")


def _table(path: Path, **texts: str) -> list[dict[str, Any]]:
    """Rows of a table of the job's; a missing number is None, a missing text is empty."""
    found = pd.read_csv(path).astype(object)
    rows = found.where(found.notna(), None).to_dict("records")
    filled = ({**row, **{name: row[name] or empty for name, empty in texts.items()}} for row in rows)
    return [{str(name): value for name, value in row.items()} for row in filled]


def _figures(jobs: list[Mapping[str, Any]]) -> str:
    names = {"energy_j": "J", "trained_samples": "", "redone_samples": "", "discarded_samples": ""}
    rows = [(job["player"], name, _amount(job[name], unit)) for job in jobs for name, unit in names.items()]
    for what, unit, key in (("bytes", "B", "bytes_by_payload"), ("joules", "J", "energy_by_state_j")):
        rows += [(job["player"], f"{what}: {n}", _amount(much, unit)) for job in jobs for n, much in job[key].items()]
    return table(("player", "what", "amount"), rows)


def _origins(jobs: list[Mapping[str, Any]]) -> str:
    kinds, players = {"simulated": "predicted"}, [job["player"] for job in jobs]
    rows = [(player, kinds.get(player, player), f"computed from {player} times") for player in players]
    return table(("player", "seconds are", "energy is"), rows)


def _made(folder: Path) -> str:
    parts = (("versions.json", "Versions"), ("config.yaml", "The whole configuration"))
    there = [(folder / name, summary) for name, summary in parts if (folder / name).is_file()]
    return "".join(verbatim(text_of(path, "text"), summary=summary) for path, summary in there)
