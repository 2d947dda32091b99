"""What did a job take by its meters, activity by activity? Joules of training, of recovering and of waiting."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.markup import escape
from rich.table import Table

from edgesim.job import JobTrace
from edgesim.metered import LogEnergy, PowerLog, TraceOnClock, energy_of_windows
from edgesim.metered.joules import Window
from edgesim.units import show


def job_windows(trace: JobTrace) -> tuple[list[Window], list[str]]:
    """When the job's spans were on the machine's clock, and what each is part of: an activity, of which model."""
    assert trace.began_s is not None, "it was played on a testbed"
    spans = [span for span in sorted(trace.spans, key=lambda span: span.start_s) if span.end_s > span.start_s]
    windows = [(trace.began_s + span.start_s, trace.began_s + span.end_s) for span in spans]
    return windows, [str(span.activity) + (f", {span.model.name}" if span.model else "") for span in spans]


def traces_of(trace: JobTrace) -> list[TraceOnClock]:
    """The schedules that were played, where they were on the machine's clock."""
    played = [span.trace for span in trace.spans if span.trace is not None and span.trace.began_s is not None]
    found = [TraceOnClock(trace=each, began_s=each.began_s) for each in played if each.began_s is not None]
    return sorted({id(each.trace): each for each in found}.values(), key=lambda each: each.began_s)


def job_energies(logs: Sequence[PowerLog], trace: JobTrace) -> list[LogEnergy]:
    """What each meter says of a job's spans."""
    windows, phases = job_windows(trace)
    return [energy_of_windows(log, windows, phases) for log in logs]


def energies_dict(energies: Sequence[LogEnergy]) -> list[dict[str, Any]]:
    """Plain data for JSON."""
    return [
        {
            "ranks": list(each.log.ranks),
            **asdict(each.log.facts),
            "notes": list(each.log.notes),
            "whole": asdict(each.whole),
            "phases": {name: asdict(phase) for name, phase in each.phases.items()},
        }
        for each in energies
    ]


def job_energy_table(energies: Sequence[LogEnergy]) -> Table:
    """A row per activity, a column per meter; below, what each meter is, and why joules are missing."""
    below = [f"rank {_ranks(each)}: {each.log.facts}" for each in energies]
    below += dict.fromkeys(each.whole.refused for each in energies if each.whole.refused)
    kinds = " and ".join(dict.fromkeys(str(each.log.facts.evidence) for each in energies))
    table = Table(
        title=f"{kinds} energy of the job",
        caption=escape("\n".join(below)),
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("activity")
    for each in energies:
        table.add_column(f"rank {_ranks(each)}", justify="right")
    for name in dict.fromkeys(name for each in energies for name in each.phases):
        table.add_row(name, *(_cell(each.phases[name].energy_j) for each in energies))
    table.add_section()
    table.add_row("all", *(_cell(each.whole.energy_j) for each in energies))
    return table


def _ranks(energy: LogEnergy) -> str:
    return ", ".join(map(str, energy.log.ranks))


def _cell(joules: float | None) -> str:
    return "refused" if joules is None else show(joules, "J")
