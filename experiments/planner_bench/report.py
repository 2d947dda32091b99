"""How does the bench read? A row per planner, on the screen and as Markdown."""

from collections.abc import Iterator, Sequence

from rich.table import Table

from edgesim.units import show
from experiments.planner_bench.summary import Standing
from experiments.tables.markdown import markdown

HEAD = ("planner", "solved", "best", "median regret", "worst", "median planning", "longest", "without a plan")
_NONE = "–"


def cells(standing: Standing) -> tuple[str, ...]:
    """For people, under :data:`HEAD`."""
    return (
        standing.planner.replace("_", " "),
        f"{standing.solved} of {standing.cases}",
        str(standing.best),
        _share(standing.median_regret),
        _share(standing.worst_regret),
        _seconds(standing.median_planning_s),
        _seconds(standing.worst_planning_s),
        ", ".join(f"{count} {end}" for end, count in standing.ends.items()) or _NONE,
    )


def screen(standings: Sequence[Standing]) -> Iterator[Table]:
    """A table of each kind of plan."""
    for plans in dict.fromkeys(each.plans for each in standings):
        table = Table(title=f"planners of {plans}", title_justify="left")
        for place, head in enumerate(HEAD):
            table.add_column(head, justify="right" if 0 < place < len(HEAD) - 1 else "left")
        for each in standings:
            if each.plans == plans:
                table.add_row(*cells(each))
        yield table


def page(standings: Sequence[Standing]) -> str:
    """The same as a file, with what the columns mean."""
    parts = [
        "Regret is a plan's simulated seconds over the best of its case, minus 1; median and worst are over the cases\n"
        "that a planner solves. Planning is wall time of a plan that was found. Without a plan: declined (not made\n"
        "for this), infeasible (nothing fits), late (stopped at the time limit), died.\n"
    ]
    for plans in dict.fromkeys(each.plans for each in standings):
        rows = [cells(each) for each in standings if each.plans == plans]
        parts.append(f"## Planners of {plans}\n\n{markdown(HEAD, rows)}")
    return "\n".join(parts)


def _share(value: float | None) -> str:
    return _NONE if value is None else f"{value:.1%}"


def _seconds(value: float | None) -> str:
    return _NONE if value is None else show(value, "s")
