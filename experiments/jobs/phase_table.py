"""How are phases of jobs in both players shown to people?"""

from collections.abc import Sequence

from rich.table import Table

from edgesim.units import show
from experiments.analysis.cached_fidelity import PhaseRow


def phase_table(table: Sequence[PhaseRow]) -> Table:
    """Seconds of every phase, simulated and measured."""
    failed = [f"{row.case}: {row.reason}" for row in table if row.reason]
    out = Table(title="jobs", caption="\n".join(failed), title_justify="left", caption_justify="left")
    for head in ("case", "kept as", ""):
        out.add_column(head)
    for head in ("simulated", "measured", "error"):
        out.add_column(head, justify="right")
    for row in table:
        if row.simulated is not None and row.measured is not None and row.error is not None:
            seconds = [show(value, "s") for value in (row.simulated, row.measured)]
            out.add_row(row.case, row.storage, row.what, *seconds, f"{row.error:+.1%}")
    return out
