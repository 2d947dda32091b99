"""What did a job come to? A column per player, and the parts of every recovery."""

from collections.abc import Callable, Sequence

from rich.table import Table

from edgesim.job import JobMetrics
from edgesim.job.job_metrics import RecoveryMetrics
from edgesim.units import show
from experiments.tables.marks import footnotes, marked
from real_runtime.other_load.foreign_load import told

_WHOLE: Sequence[tuple[str, Callable[[JobMetrics], str]]] = (
    ("time", lambda each: show(each.end_s, "s")),
    ("iterations", lambda each: str(each.iterations)),
    ("goodput", lambda each: f"{each.goodput_samples_per_s:.3g} samples/s"),
    ("samples lost before their commit", lambda each: str(each.discarded_samples)),
    ("samples trained again", lambda each: str(each.redone_samples)),
    ("computed energy", lambda each: show(each.energy_j, "J")),
)
_TIMED = ("time", "goodput")  # what other load changes
_PARTS: Sequence[tuple[str, Callable[[RecoveryMetrics], float]]] = (
    ("detection", lambda each: each.detection_s),
    ("re-planning", lambda each: each.planning_s),
    ("reconnection", lambda each: each.reconnection_s),
    ("migration", lambda each: each.migration_s),
    ("refill of the cache", lambda each: each.refill_s),
    ("restart", lambda each: each.restart_s),
    ("waiting for devices", lambda each: each.waiting_s),
)


def job_table(metrics: Sequence[JobMetrics], warning: str = "", disturbed: Sequence[float] = ()) -> Table:
    """The figures of a job that was simulated, and of the same one measured where it was; below them a warning.

    ``disturbed`` says how far other load disturbed each measured iteration: the seconds are marked where it did.
    """
    below = [*footnotes(told(disturbed, "iterations")), *([f"warning: {warning}"] if warning else [])]
    table = Table(title="job", caption="\n".join(below) or None, title_justify="left", caption_justify="left")
    table.add_column("")
    for each in metrics:
        table.add_column(each.player, justify="right")
    for name, tell in _WHOLE:
        marks = (marked(each.player == "measured" and any(disturbed)) if name in _TIMED else "" for each in metrics)
        table.add_row(name, *(tell(each) + mark for each, mark in zip(metrics, marks, strict=True)))
    for number in range(max(len(each.recoveries) for each in metrics)):
        recoveries = [each.recoveries[number] if number < len(each.recoveries) else None for each in metrics]
        table.add_section()
        table.add_row(*_row("change", recoveries, lambda each: f"{each.change}, at {each.at_s:.3g} s"))
        table.add_row(*_row("until training goes on", recoveries, lambda each: show(each.pause_s, "s")))
        for name, seconds in _PARTS:
            if any(each is not None and seconds(each) > 0 for each in recoveries):
                table.add_row(*_row(f"  {name}", recoveries, lambda each, of=seconds: show(of(each), "s")))
        table.add_row(*_row("throughput before, after", recoveries, _rates))
    return table


def _row(
    name: str, recoveries: Sequence[RecoveryMetrics | None], tell: Callable[[RecoveryMetrics], str]
) -> Sequence[str]:
    return [name, *("" if each is None else tell(each) for each in recoveries)]


def _rates(recovery: RecoveryMetrics) -> str:
    rates = (recovery.samples_per_s_before, recovery.samples_per_s_after)
    return ", ".join("-" if rate is None else f"{rate:.3g}" for rate in rates) + " samples/s"
