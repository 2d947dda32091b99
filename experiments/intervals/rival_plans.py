"""Which of several plans is the fastest, and is that known? A line each, with what executed plans say of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rich.table import Table
from rich.text import Text

from edgesim.intervals import LEVEL, Residuals, WorkKind
from edgesim.units import show
from experiments.commands import as_typed
from experiments.intervals.faster import faster
from experiments.intervals.validated import PredictedInterval
from experiments.intervals.wins import NO_WIN, Line, Standing, in_settings, is_way, standings

_NONE = "–"
_VALUE = "makespan_s"


@dataclass(frozen=True, slots=True, kw_only=True)
class RivalPlan:
    """One of several plans.

    Attributes:
        choices: by key what was chosen for it, and not for all.
        simulated_s: its seconds per iteration; None where there is no plan.
        interval: between which seconds an iteration lies.
        known: the executed plans that say so.
        kind: what is asked of the model, for which they say it.
        columns: of a table of runs, which tell where these are kept.
        failure: in words, why there is no plan.
    """

    choices: Mapping[str, str]
    simulated_s: float | None = None
    interval: PredictedInterval = field(default_factory=PredictedInterval)
    known: Residuals | None = None
    kind: WorkKind = WorkKind.TRAIN
    columns: Mapping[str, float | int | str | None] = field(default_factory=dict)
    failure: str = ""


def plans_table(plans: Sequence[RivalPlan]) -> Table:
    """The plans, fastest first; below, what the interval is of, and whether the fastest two can be told apart."""
    made = sorted((each for each in plans if each.simulated_s is not None), key=lambda each: each.simulated_s or 0.0)
    keys = list(dict.fromkeys(key for each in plans for key in each.choices))
    lines = [_line(each) for each in made]
    stands, notes = standings(lines, keys, _VALUE)
    chances = any(each.chance is not None for each in stands)
    said = [*_why_none(made), *(note for note in notes if not note.startswith("no interval"))]
    below = [*said, *_fastest_two(made, lines, stands, keys)]
    table = Table(
        title="plans, the fastest first",
        caption=Text("\n".join(below)) if below else None,
        title_justify="left",
        caption_justify="left",
    )
    for key in keys:
        table.add_column(Text(key), overflow="fold")
    for head in ("simulated", f"{LEVEL:.0%} interval".replace("%", " %"), *(["P(fastest)"] if chances else [])):
        table.add_column(head, justify="right")
    for each, stand in zip(made, stands, strict=True):
        chance = [_NONE if stand.chance is None else f"{stand.chance:.0%}"] if chances else []
        table.add_row(*(Text(each.choices.get(key, _NONE)) for key in keys), *_times(each, stand), *chance)
    for each in plans:
        if each.simulated_s is None:
            table.add_row(*(Text(each.choices.get(key, _NONE)) for key in keys), "no plan", *[_NONE] * (1 + chances))
    return table


def _line(plan: RivalPlan) -> Line:
    return Line(row={**plan.choices, **plan.columns, "player": "simulated"}, mean=plan.simulated_s or 0.0)


def _times(plan: RivalPlan, stand: Standing) -> tuple[str, str]:
    known = plan.interval.interval
    mark = f" {NO_WIN}" if stand.is_open else ""
    between = _NONE if known is None else f"{show(known.low_s, 's')} to {show(known.high_s, 's')}"
    return show(plan.simulated_s or 0.0, "s") + mark, between


def _why_none(plans: Sequence[RivalPlan]) -> list[str]:
    """Why plans have no interval."""
    return list(dict.fromkeys(as_typed(str(each.interval)) for each in plans if each.interval.interval is None))


def _fastest_two(
    plans: Sequence[RivalPlan], lines: Sequence[Line], stands: Sequence[Standing], keys: Sequence[str]
) -> Iterator[str]:
    """A line for each setting whose fastest two plans cannot be told apart."""
    settings = in_settings(lines, keys)
    for first, *others in settings.values():  # the fastest comes first, as the lines do
        known = plans[first].known
        if not (others and stands[first].is_open) or known is None:
            continue
        one, other = plans[first], plans[others[0]]
        where = _named(one, [key for key in keys if not is_way(key)]) if len(settings) > 1 else ""
        ways = [key for key in keys if is_way(key)]
        two = [(_named(each, ways), each.simulated_s or 0.0) for each in (one, other)]
        yield f"{where + ': ' if where else ''}the fastest two cannot be told apart, {faster(*two, known, one.kind)}"


def _named(plan: RivalPlan, keys: Sequence[str]) -> str:
    return ", ".join(f"{key}={plan.choices[key]}" for key in keys if key in plan.choices)
