"""How near did the simulator come? A row per plan, the summary below."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from edgesim.units import show
from experiments.analysis.fidelity import ITERATION, FidelityRow
from experiments.tables.marks import footnotes, marked
from real_runtime.execution import share_of
from real_runtime.other_load.foreign_load import told


def fidelity_table(name: str, table: Sequence[FidelityRow], figures: Mapping[str, Any]) -> Table:
    """Iterations only; kinds of tasks stand in the CSV."""
    failed = [f"{row.plan} was not played: {row.reason}" for row in table if row.reason]
    shares = [share_of(row.disturbed or 0.0, row.disturbed_on) for row in table if row.kind == ITERATION]
    caption = "\n".join([_verdict(figures), *failed, *footnotes(told(shares, "plans"))])
    out = Table(title=name, caption=caption, title_justify="left", caption_justify="left")
    out.add_column("plan")
    for head in ("simulated", "measured", "spread", "error"):
        out.add_column(head, justify="right")
    for row in table:
        if row.kind == ITERATION and row.error is not None:
            spread = "" if row.spread is None else f"{row.spread:.1%}"
            seconds = (
                show(row.simulated_s or 0.0, "s"),
                show(row.measured_s or 0.0, "s") + marked(row.disturbed),
            )
            out.add_row(row.plan, *seconds, spread, f"{row.error:+.1%}")
    return out


def _verdict(figures: Mapping[str, Any]) -> str:
    if not figures["plans"]:
        return "no plan was played"
    errors = f"median |error| {figures['median_abs_error']:.1%}, worst {figures['worst_abs_error']:.1%}"
    tau = "" if figures["kendall_tau"] is None else f", Kendall's tau {figures['kendall_tau']:.2f}"
    return f"{figures['plans']} plans: {errors}{tau}"
