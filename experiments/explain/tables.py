"""How does an explanation read in a terminal? A table of what makes a difference, and one of where seconds are."""

from collections.abc import Iterable, Sequence

from rich.table import Table
from rich.text import Text

from edgesim.units import show
from experiments.explain.bounds import Bounds
from experiments.explain.explanation import Explanation
from experiments.explain.investments import MORE

_LEAST = 1e-9  # of the largest: what is less is rounding, and is left out

Row = tuple[float, Sequence[str]]  # what a row is ordered by, and its cells


def tables_of(found: Explanation | Bounds, *, top: int = 20) -> list[Table]:
    """All tables of an explanation; none without a line, but for what makes a difference."""
    if isinstance(found, Explanation):
        return [shares_table(found, top=top), term_pairs_table(found, top=top)]
    blamed = [blames_table(found, top=top)] if found.blames else []
    return [terms_table(found, top=top), path_table(found, top=top), *blamed, gains_table(found, top=top)]


def shares_table(explanation: Explanation, *, top: int) -> Table:
    """A line per cause; their seconds add up to the difference."""
    total = explanation.more_s
    rows = [
        (
            share.seconds,
            (
                share.name,
                signed(share.seconds),
                percent(share.seconds, total),
                f"{signed(share.least_s)} to {signed(share.most_s)}",
                share.detail,
            ),
        )
        for share in explanation.shares
    ]
    heads = ("cause", "adds", "of it", "by order", "how it differs")
    table = _table(f"What makes the difference of {signed(total)}", heads, rows, top)
    table.caption = "\n".join(filter(None, [explanation.how, str(table.caption or "")]))
    return table


def term_pairs_table(explanation: Explanation, *, top: int) -> Table:
    """A line per term; each column adds up to a makespan, or to their difference."""
    rows = [
        (
            pair.more_s,
            (_name(pair.cause, pair.where), show(pair.first_s, "s"), show(pair.second_s, "s"), signed(pair.more_s)),
        )
        for pair in explanation.terms
    ]
    names = [explanation.first.name, explanation.second.name]
    table = _table("Where the seconds are", ("term", *names, "change"), rows, top)
    for column, side in zip(table.columns[1:3], (explanation.first, explanation.second), strict=True):
        column.footer = show(side.trace.makespan_s, "s")
    table.columns[0].footer, table.columns[3].footer = "in all", signed(explanation.more_s)
    table.show_footer = True
    return table


def terms_table(bounds: Bounds, *, top: int) -> Table:
    """A line per term; they add up to the makespan."""
    whole_s = bounds.side.trace.makespan_s
    rows = [
        (term.seconds, (_name(term.cause, term.where), show(term.seconds, "s"), percent(term.seconds, whole_s)))
        for term in bounds.terms
    ]
    return _table(f"Where {show(whole_s, 's')} are", ("term", "seconds", "of it"), rows, top)


def path_table(bounds: Bounds, *, top: int) -> Table:
    """What the critical path is made of."""
    whole_s = bounds.side.trace.makespan_s
    rows = [
        (term.seconds, (_name(term.cause, term.where), show(term.seconds, "s"), percent(term.seconds, whole_s)))
        for term in bounds.path
    ]
    return _table("The critical path", ("what", "seconds", "of it"), rows, top)


def blames_table(bounds: Bounds, *, top: int) -> Table:
    """Who is slower than the others, and what the run would save if it were not."""
    rows = [
        (blame.saves_s, (blame.where, f"{blame.times:.3g} times", show(blame.saves_s, "s"))) for blame in bounds.blames
    ]
    return _table("Slower than the others", ("which", "takes", "as fast as they, saves"), rows, top)


def gains_table(bounds: Bounds, *, top: int) -> Table:
    """What more of anything would save."""
    whole_s = bounds.side.trace.makespan_s
    rows = [
        (gain.saves_s, (gain.name, signed(-gain.saves_s), percent(-gain.saves_s, whole_s), gain.detail))
        for gain in bounds.gains
    ]
    how = "simulated" if bounds.simulated else "the trace played again"
    return _table(f"With {100 * MORE:g} % more ({how})", ("of", "changes", "of it", "and"), rows, top, keep_all=True)


def _table(title: str, heads: Sequence[str], rows: Iterable[Row], top: int, *, keep_all: bool = False) -> Table:
    """The largest first; what is nothing but rounding is left out."""
    ordered = sorted(rows, key=lambda row: -abs(row[0]))
    least = _LEAST * max((abs(size) for size, _ in ordered), default=0.0)
    shown = [cells for size, cells in ordered if keep_all or abs(size) > least]
    hidden = len(shown) - top
    table = Table(
        title=title,
        caption=f"and {hidden} more (--top {len(shown)} shows all)" if hidden > 0 else None,
        title_justify="left",
        caption_justify="left",
    )
    for place, head in enumerate(heads):
        words = place == 0 or head in ("how it differs", "and")
        table.add_column(head, justify="left" if words else "right", overflow="fold")
    for cells in shown[:top]:
        table.add_row(*map(Text, cells))
    return table


def _name(cause: str, where: str) -> str:
    return f"{cause}, {where}" if where else str(cause)


def signed(seconds: float) -> str:
    """Seconds that are added or taken away."""
    return f"{'+' if seconds >= 0 else '-'}{show(abs(seconds), 's')}"


def percent(part: float, whole: float) -> str:
    """A part of a whole; nothing of a whole that is 0."""
    return f"{100 * part / whole:.1f} %" if whole else ""
