"""Which way of sharing the model is best? A row per way, simulated beside measured.

The fastest is in bold, unless the range of its measured iterations meets another's: that is no win, and is marked.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from edgesim.units import show
from experiments.intervals.wins import NO_WIN, Line, Standing, standings
from experiments.tables.markdown import markdown
from experiments.tables.marks import footnotes, marked

_TIMES = ("simulated (s)", "measured (s)", "error", "samples/s")
_COMPUTED = ("computed energy", "computed peak memory")
HEAD = ("strategy", *_TIMES, *_COMPUTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRow:
    """One way, and its figures; energy is of all devices per iteration, peak memory of the fullest device.

    Neither is measured: energy follows from measured times and assumed watts, peak memory from the plan.
    ``measured_s`` is a median of iterations, ``range_s`` the shortest and the longest of them, None of a single one.
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
    range_s: tuple[float, float] | None = None

    def cells(self, stands: Standing) -> tuple[str, ...]:
        """For people, under :data:`HEAD`."""
        return (
            self.strategy,
            f"{self.simulated_s:.3g}",
            f"{self.measured_s:.3g}{marked(self.disturbance)}" + (f" {NO_WIN}" if stands.is_open else ""),
            f"{self.simulated_s / self.measured_s - 1:+.1%}",
            f"{self.samples_per_s:.3g}",
            show(self.energy_j, "J"),
            show(self.peak_bytes, "B"),
        )


def comparison_table(rows: Sequence[ComparisonRow], *, watts: str) -> Table:
    """The fastest way in bold, if it is one; below, the plans and where the watts come from."""
    plans = "\n".join(f"{row.strategy}: {row.plan}" for row in rows)
    samples = "(in brackets: samples of each micro-batch, where devices share it)"
    energy = f"energy: of measured times and watts that are {watts}"
    stands, notes = _standings(rows)
    caption = "\n".join([plans, samples, energy, *notes, *_footnotes(rows)])
    table = Table(title="one training iteration", caption=caption, title_justify="left", caption_justify="left")
    table.add_column(HEAD[0])
    for head in HEAD[1:]:
        table.add_column(head, justify="right")
    fastest = min(rows, key=lambda row: row.measured_s)
    for row, each in zip(rows, stands, strict=True):
        table.add_row(*row.cells(each), style="bold" if row is fastest and not each.is_open else None)
    return table


def comparison_markdown(rows: Sequence[ComparisonRow]) -> str:
    """The same figures as a file."""
    stands, notes = _standings(rows)
    below = "".join(f"\n{line}\n" for line in (*notes, *_footnotes(rows)))
    return markdown(HEAD, [row.cells(each) for row, each in zip(rows, stands, strict=True)]) + below


def _standings(rows: Sequence[ComparisonRow]) -> tuple[list[Standing], tuple[str, ...]]:
    """How each way stands among all, by its measured iterations."""
    lines = [Line(row=_known_by(row), mean=row.measured_s) for row in rows]
    return standings(lines, (), "makespan_s")


def _known_by(row: ComparisonRow) -> dict[str, str | float | None]:
    low, high = row.range_s or (None, None)
    return {"player": "measured", "makespan_low_s": low, "makespan_high_s": high}


def _footnotes(rows: Sequence[ComparisonRow]) -> list[str]:
    return footnotes(*(f"{row.strategy}: {row.disturbance}" for row in rows if row.disturbance))
