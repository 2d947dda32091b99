"""How does a sweep, or a kept table, read as a page? Its best runs, figures, all of its runs, and what made them."""

from collections.abc import Iterator
from math import isfinite
from pathlib import Path

from pandas import DataFrame

from edgesim.errors import EdgesimError
from experiments.analysis.tidy import RESULTS, Value, in_words, records
from experiments.configuration.provenance import command, recorded
from experiments.figures.any_table import requests_of
from experiments.figures.catalogue import Folders
from experiments.report.page import Cell, Section, figure, note, page, table, verbatim
from experiments.tables.ranking import Ranking, ranking
from experiments.tables.sources import Source

_BEST, _MOST_ROWS = 20, 5000
_OF_ORIGIN = ("player", "energy_from", "energy_source", "profile_origin", "carbon_source")


def sweep_page(runs: Source) -> str:
    """The page. Raises ValueError for a table without runs."""
    rankings = {value: ranking(part, value=value, top=_BEST) for value, part in runs.parts.items()}
    verdicts = [_verdict(best) for best in rankings.values()]
    sections = [
        *(Section(title=best.title.capitalize(), html=_best(best)) for best in rankings.values()),
        *_figures(runs),
        Section(title="All runs", html=_rows(runs.whole)),
        Section(title="Where numbers come from", html=_origins(runs.whole)),
        Section(title="To make it again", html=_made(runs)),
    ]
    return page(runs.name, f"{len(runs.whole)} rows of {runs.path}", verdicts, sections)


def _verdict(best: Ranking) -> str:
    if not best.lines:
        return f"No run is done: {'; '.join(best.failures) or 'there is none'}."
    line = ", ".join(f"{head} {text}" for head, text in zip(best.heads, best.lines[0], strict=True) if text)
    return f"The first of {best.title}: {line}."


def _best(best: Ranking) -> str:
    rows = [[*line[: best.texts], *(_number(text) for text in line[best.texts :])] for line in best.lines]
    return table(best.heads, rows) + "".join(note(text) for text in (*best.notes, *best.failures))


def _number(text: str) -> Cell | str:
    """A cell that sorts by the number with which its text begins."""
    try:
        return Cell(text=text, value=float(text.split()[0].replace("−", "-")))
    except (ValueError, IndexError):
        return text


def _figures(runs: Source) -> Iterator[Section]:
    html = ""
    for request in requests_of(runs, [], Folders(results=Path()), Path()):
        try:
            html += figure(request.make(), request.stem.name.replace("_", " "))
        except (EdgesimError, ValueError) as error:
            html += note(f"Not drawn: {error}")
    if html:
        yield Section(title="Figures", html=html)


def _rows(whole: DataFrame) -> str:
    shown = whole.head(_MOST_ROWS)
    names = [str(name) for name in shown.columns if shown[name].notna().any()]
    rows = [[_cell(name, row[name]) for name in names] for row in records(shown)]
    hidden = len(whole) - len(shown)
    more = note(f"{hidden} more rows are in the table itself.") if hidden else ""
    return table(names, rows, caption="SI units: seconds, joules, bytes, bit per second.") + more


def _cell(name: str, value: Value) -> Cell | str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        text = f"{value:.5g}" if name in RESULTS else in_words(name, value)
        return Cell(text=text, value=float(value)) if isfinite(value) else ""
    return "" if value is None else str(value)


def _origins(whole: DataFrame) -> str:
    columns = [name for name in _OF_ORIGIN if name in whole]
    found = whole[columns].astype(str).drop_duplicates()
    counted = whole[columns].astype(str).value_counts(sort=False)
    rows = [
        [*map(str, row), Cell(text=str(count), value=float(count))]
        for row in found.itertuples(index=False, name=None)
        for count in [int(counted[row])]
    ]
    caption = "Seconds of player simulated are predicted, those of measured were read off clocks."
    return table([*columns, "rows"], rows, caption=caption)


def _made(runs: Source) -> str:
    folder = runs.path if runs.path.is_dir() else runs.path.parent
    made = recorded(folder).get(runs.path.name, {})
    said = str(made.get("command") or command("experiments.run", ["-m", "..."]))
    told = [f"{name}: {made[name]}" for name in ("commit", "tree", "date") if name in made]
    return verbatim(said) + "".join(map(note, told))
