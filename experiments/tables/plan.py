"""How does it read what was promised of a plan, beside what was simulated and measured?"""

from rich.table import Table

from edgesim.proof import Proof, status
from edgesim.units import show
from experiments.analysis.promised import SideBySide

_NONE = "–"


def plan_table(row: SideBySide, interval: str = "") -> Table:
    """A line of the iteration time; and one of what the planner minimised, where that is something else.

    Each has a bound and a gap of its own. Power modes that the plan chose stand below, and ``interval``: how far the
    simulated time may be off.
    """
    modes = ", ".join(f"rank {rank} in {mode}" for rank, mode in row.modes.items())
    below = [*([f"power modes: {modes}"] if modes else []), *([f"predicted iteration: {interval}"] if interval else [])]
    table = Table(
        title=f"the plan of {row.planner}",
        caption="\n".join(below) or None,
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("objective")
    for head in ("value", "bound", "gap"):
        table.add_column(head, justify="right")
    table.add_column("proof")
    for head in ("simulated", "measured"):
        table.add_column(head, justify="right")
    table.add_row(*_iteration_time(row))
    if row.promised.own is not None:
        table.add_row(*_own(row.promised.own), _NONE, _NONE)
    return table


def _iteration_time(row: SideBySide) -> tuple[str, ...]:
    promised = row.promised
    by = "" if promised.seconds is None else ", predicted" if promised.analytic_s is None else ", analytic"
    error = "" if row.error is None else f" ({row.error:+.1%})"
    return (
        f"iteration time{by}",
        _seconds(promised.seconds),
        _seconds(promised.bound_s),
        _share(promised.gap),
        str(status(promised.gap)),
        _seconds(row.simulated_s) + error,
        _seconds(row.measured_s),
    )


def _own(proof: Proof) -> tuple[str, ...]:
    bound = _NONE if proof.bound is None else proof.objective.show(proof.bound)
    return proof.minimised, proof.objective.show(proof.value), bound, _share(proof.gap), str(proof.status)


def _share(value: float | None) -> str:
    return _NONE if value is None else f"{value:.1%}"


def _seconds(value: float | None) -> str:
    return _NONE if value is None else show(value, "s")
