"""Which way of sharing the model is best? A row per way, simulated beside measured."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from edgesim.units import show
from experiments.tables.markdown import markdown
from experiments.tables.marks import footnotes, marked

_TIMES = ("simulated (s)", "measured (s)", "error", "samples/s")
_COMPUTED = ("computed energy", "computed peak memory")
HEAD = ("strategy", *_TIMES, *_COMPUTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRow:
    """One way, and its figures; energy is of all devices per iteration, peak memory of the fullest device.

    Neither is measured: energy follows from measured times and assumed watts, peak memory from the plan.
    ``disturbance`` says in words what other load did to the measured iterations, if it did anything.
    """

    strategy: str
    plan: str
    simulated_s: float
    measured_s: float
    samples_per_s: float
    energy_j: float
    peak_bytes: float
    disturbance: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        """For people, under :data:`HEAD`."""
        return (
            self.strategy,
            f"{self.simulated_s:.3g}",
            f"{self.measured_s:.3g}{marked(self.disturbance)}",
            f"{self.simulated_s / self.measured_s - 1:+.1%}",
            f"{self.samples_per_s:.3g}",
            show(self.energy_j, "J"),
            show(self.peak_bytes, "B"),
        )


def comparison_table(rows: Sequence[ComparisonRow], *, watts: str) -> Table:
    """The fastest way in bold; below, the plans and where the watts come from."""
    plans = "\n".join(f"{row.strategy}: {row.plan}" for row in rows)
    samples = "(in brackets: samples of each micro-batch, where devices share it)"
    energy = f"energy: of measured times and watts that are {watts}"
    caption = "\n".join([plans, samples, energy, *_footnotes(rows)])
    table = Table(title="one training iteration", caption=caption, title_justify="left", caption_justify="left")
    table.add_column(HEAD[0])
    for head in HEAD[1:]:
        table.add_column(head, justify="right")
    fastest = min(rows, key=lambda row: row.measured_s)
    for row in rows:
        table.add_row(*row.cells, style="bold" if row is fastest else None)
    return table


def comparison_markdown(rows: Sequence[ComparisonRow]) -> str:
    """The same figures as a file."""
    below = "".join(f"\n{line}\n" for line in _footnotes(rows))
    return markdown(HEAD, [row.cells for row in rows]) + below


def _footnotes(rows: Sequence[ComparisonRow]) -> list[str]:
    return footnotes(*(f"{row.strategy}: {row.disturbance}" for row in rows if row.disturbance))
