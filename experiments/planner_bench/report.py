"""How does the bench read? A row per planner, on the screen and as Markdown."""

from collections.abc import Iterator, Mapping, Sequence

from rich.box import SIMPLE
from rich.table import Table

from edgesim.units import show
from experiments.planner_bench.cases import Whose
from experiments.planner_bench.summary import Standing
from experiments.tables.markdown import markdown

HEAD = ("planner", "solved", "best", "proven", "regret", "worst", "planning", "longest", "without a plan")
_NONE = "–"


def cells(standing: Standing) -> tuple[str, ...]:
    """For people, under :data:`HEAD`."""
    return (
        standing.planner.replace("_", " "),
        f"{standing.solved}/{standing.cases}",
        str(standing.best),
        str(standing.proven),
        _share(standing.median_regret),
        _share(standing.worst_regret),
        _seconds(standing.median_planning_s),
        _seconds(standing.worst_planning_s),
        ", ".join(f"{count} {end}" for end, count in standing.ends.items()) or _NONE,
    )


def screen(standings: Sequence[Standing]) -> Iterator[Table]:
    """A table of each kind of plan."""
    for plans in dict.fromkeys(each.plans for each in standings):
        table = Table(
            title=f"planners of {plans}: median and worst regret, median and longest planning",
            title_justify="left",
            box=SIMPLE,
            padding=(0, 1, 0, 0),
        )
        for head in HEAD[:-1]:
            table.add_column(head, justify="left" if head is HEAD[0] else "right", no_wrap=True)
        table.add_column(HEAD[-1])
        for each in standings:
            if each.plans == plans:
                table.add_row(*cells(each))
        yield table


def page(standings: Sequence[Standing], by_group: Mapping[Whose, Sequence[Standing]]) -> str:
    """The same as a file, with what the columns mean, and the regrets in each group of environments."""
    parts = [
        "Regret is a plan's simulated seconds over the best of its case, minus 1; its median and worst are over the\n"
        "cases that a planner solves. Proven are plans whose iteration time by the closed form is within 0.01 % of a\n"
        "bound on it, whoever proved it; proofs of other objectives stand in table.csv, each in its own unit.\n"
        "Planning is wall time, median and longest, of plans that were found. Without a plan: declined (not made for\n"
        "this), infeasible (nothing fits), late (stopped at the time limit), died.\n"
    ]
    for plans in dict.fromkeys(each.plans for each in standings):
        rows = [cells(each) for each in standings if each.plans == plans]
        parts.append(f"## Planners of {plans}\n\n{markdown(HEAD, rows)}")
        mine = {where: [each for each in of if each.plans == plans] for where, of in by_group.items()}
        if len(groups := [where for where, of in mine.items() if of]) > 1:
            where_rows = [[name, *cells] for name, cells in _by_planner([mine[each] for each in groups])]
            parts.append(
                f"## Planners of {plans}, by environment\n\n"
                "Median and worst regret, and in how many of the cases.\n\n"
                + markdown(("planner", *map(str, groups)), where_rows)
            )
    return "\n".join(parts)


def _by_planner(groups: Sequence[Sequence[Standing]]) -> Iterator[tuple[str, list[str]]]:
    """Each planner's cells, one for each group, in the order of the first group."""
    for planner in dict.fromkeys(each.planner for group in groups for each in group):
        mine = [next((each for each in group if each.planner == planner), None) for group in groups]
        yield planner.replace("_", " "), [_NONE if each is None else _regrets(each) for each in mine]


def _regrets(each: Standing) -> str:
    if each.median_regret is None:
        return f"{_NONE} ({each.solved}/{each.cases})"
    return f"{_share(each.median_regret)}, {_share(each.worst_regret)} ({each.solved}/{each.cases})"


def _share(value: float | None) -> str:
    return _NONE if value is None else f"{value:.1%}" if value < 1 else f"{value:.0%}"


def _seconds(value: float | None) -> str:
    return _NONE if value is None else show(value, "s")
