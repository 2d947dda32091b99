"""How is a planner told from the others in the bench's figures? By colour, dash and marker, as far as these go.

Planners of ours come first, then those of papers, baselines and oracles, of each kind the one with the smallest median
regret. Eight of a panel have looks of their own, the same in every figure of a table; the others are one pale crowd.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from pandas import DataFrame

from experiments.analysis.names import reader_name
from experiments.configuration.planners import Kind
from experiments.figures.style import COLOURS, GREY, Look
from experiments.planner_bench.rows import CASE

COLUMNS = (*CASE, "planner", "kind", "status", "layers", "devices", "regret", "planning_s", "limit_s")
PANEL_IN = 2.9  # with its legend
_KINDS = [str(kind) for kind in (Kind.OURS, Kind.PUBLISHED, Kind.BASELINE, Kind.ORACLE)]
_DASHES: tuple[str | tuple[float, tuple[float, ...]], ...] = (
    "-",
    "--",
    "-.",
    (0, (5, 1)),
    (0, (3, 1, 1, 1)),
    (0, (1, 1)),
    (0, (6, 2)),
    ":",
)
_LOOKS = tuple(
    Look(colour=colour, marker=marker, dashes=dashes, hatch="")
    for colour, marker, dashes in zip((*COLOURS, GREY), "osDv^PX*", _DASHES, strict=True)
)
_CROWD = Look(colour="#CCCCCC", marker="", dashes="-", hatch="")
MARKER_PT = 3.5
_NEVER = float("inf")  # the regret of no plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A planner's rows of a panel, and how they are drawn."""

    planner: str
    rows: DataFrame
    look: Look

    @property
    def text(self) -> str:
        """Its entry in the legend."""
        return reader_name(self.planner, "planner") if self.look.marker else "others"


def panels(table: DataFrame) -> dict[str, DataFrame]:
    """A panel for each kind of plan, with the number of cases that any planner solves."""
    parts = {str(plans): mine for plans, mine in table.groupby("plans", sort=False)}
    counts = {plans: solved(mine).groupby(list(CASE)).ngroups for plans, mine in parts.items()}
    return {
        f"{plans}: {counts[plans]} case{'s' * (counts[plans] != 1)} with a plan": mine for plans, mine in parts.items()
    }


def solved(rows: DataFrame) -> DataFrame:
    """The rows of cases for which any planner found a plan."""
    return rows[rows.groupby(list(CASE))["regret"].transform("count") > 0]


def lines(rows: DataFrame) -> list[Line]:
    """The planners of a panel, in the order of legends."""
    medians = solved(rows)["regret"].fillna(_NEVER).groupby(rows["planner"]).median()
    ranked = sorted(
        ((str(planner), mine) for planner, mine in rows.groupby("planner", sort=False)),
        key=lambda entry: (_KINDS.index(entry[1]["kind"].iloc[0]), medians.get(entry[0], _NEVER), entry[0]),
    )
    return [
        Line(planner=planner, rows=mine, look=_LOOKS[place] if place < len(_LOOKS) else _CROWD)
        for place, (planner, mine) in enumerate(ranked)
    ]


def legend(ax: Axes, planner_lines: Sequence[Line]) -> None:
    """Below the panel: panels have different planners."""
    entries = {
        line.text: Line2D(
            [], [], color=line.look.colour, linestyle=line.look.dashes, marker=line.look.marker, markersize=MARKER_PT
        )
        for line in planner_lines
    }
    ax.legend(
        list(entries.values()),
        list(entries),
        loc="upper center",
        bbox_to_anchor=(0.45, -0.22),
        ncols=2,
        handlelength=2.6,
        columnspacing=1.2,
        handletextpad=0.5,
        labelspacing=0.3,
    )
