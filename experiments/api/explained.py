"""What does a script get that asks why? A verdict, tables, a figure, and the explanation that they show."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from pandas import DataFrame
from rich.console import Console

from experiments.api.mistakes import in_sentences
from experiments.execution.play import Played
from experiments.explain.bounds import Bounds, bounds_of
from experiments.explain.explanation import Explanation, explain_sides
from experiments.explain.tables import tables_of
from experiments.explain.verdicts import bound, verdict
from experiments.explain.worlds import side_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Explained:
    """Why a run takes its time, or another time than a second one.

    Attributes:
        of: What was found: causes with their seconds, which add up to the makespan or to the difference.
    """

    of: Explanation | Bounds

    @property
    def verdict(self) -> str:
        """It in one sentence."""
        return verdict(self.of) if isinstance(self.of, Explanation) else bound(self.of)

    @in_sentences
    def to_pandas(self) -> DataFrame:
        """Tell what makes the seconds.

        Returns:
            A row per cause and place, the most first, whose ``seconds`` add up: of two runs to their difference, of one
            to its makespan.
        """
        if isinstance(self.of, Explanation):
            return pd.DataFrame(
                [(s.what, s.where, s.seconds, s.least_s, s.most_s, s.detail) for s in self.of.shares],
                columns=["cause", "where", "seconds", "least_s", "most_s", "detail"],
            )
        terms = sorted(self.of.terms, key=lambda term: -abs(term.seconds))
        return pd.DataFrame(
            [(str(term.cause), term.where, term.seconds) for term in terms], columns=["cause", "where", "seconds"]
        )

    @in_sentences
    def plot(self, path: str | Path | None = None) -> "Figure":
        """Draw a waterfall: each bar begins where the one above it ends.

        Args:
            path: Where to write it as well: a .png, .pdf or .svg.

        Returns:
            The figure.

        Raises:
            ValueError: If the path ends in anything else.
        """
        from experiments.explain.waterfall import differences_figure, terms_figure
        from experiments.figures.style import written

        drawn = differences_figure(self.of) if isinstance(self.of, Explanation) else terms_figure(self.of)
        return written(drawn, path)

    def __repr__(self) -> str:
        console = Console(width=120, color_system=None)
        with console.capture() as captured:
            console.print(self.verdict)
            for table in tables_of(self.of):
                console.print(table)
        return captured.get().rstrip()


def explained(run: Played, before: Played | None) -> Explained:
    """Explain a run alone, or beside the one before it; of two runs the measured iterations if both were executed."""
    if before is None:
        return Explained(of=bounds_of(side_of(run, run.name)))
    player = "" if len(run.traces) > 1 and len(before.traces) > 1 else "simulated"
    names = (before.name, run.name) if before.name != run.name else ("the run before", "this run")
    first, second = (side_of(each, name, player) for each, name in zip((before, run), names, strict=True))
    return Explained(of=explain_sides(first, second))
