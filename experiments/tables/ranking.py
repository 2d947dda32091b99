"""Which runs of a sweep came out best? A line each, best first; repeated seeds are one, and failed runs are counted."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pandas import DataFrame
from rich.table import Table
from rich.text import Text

from experiments.analysis.names import reader_name
from experiments.analysis.repeats import INTERVAL, Mean, how_many, mean_of, seeds
from experiments.analysis.tidy import Groups, RunStatus, Value, alike, identity, in_words, records, telling
from experiments.intervals.wins import KNOWN_BY, NO_WIN, Line, Standing, standings, unknown
from experiments.tables.latex import escape as latex_escape
from experiments.tables.latex import latex
from experiments.tables.markdown import escape as markdown_escape
from experiments.tables.markdown import markdown
from experiments.tables.methods import VALUES, quantity_of
from experiments.tables.number import INTERVAL_DIGITS, number, one_unit

_BESIDE = ("samples_per_s", "energy_j", "peak_bytes")  # shown beside what the order is by
_NEVER = ("study", "player", "strategy", "planner")  # no column of its own unless methods are not told apart without
_HEADS = {
    "makespan_s": "time ({})",
    "latency_s": "latency ({})",
    "samples_per_s": "{}",
    "energy_j": "energy ({})",
    "energy_per_sample_j": "energy/sample ({})",
    "peak_bytes": "memory ({})",
    "bandwidth_bit_per_s": "bandwidth",
}
_NAMED = ("model", "cluster", "method")

Row = Mapping[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The best lines, as texts under ``heads``; the first ``texts`` columns are no results.

    ``failures`` says how many runs failed, and the most common reason.
    """

    title: str
    heads: tuple[str, ...]
    texts: int
    lines: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    failures: tuple[str, ...]


def ranking(table: DataFrame, *, value: str, top: int) -> Ranking:
    """The best ``top`` lines of a tidy table. Where runs were executed, their measured rows count, else simulated ones.

    Raises ValueError if the table holds no run, or ``top`` is no number of lines.
    """
    quantity = quantity_of(value)
    if top < 1:
        raise ValueError(f"{top} best runs cannot be shown (at least one)")
    if table.empty:
        raise ValueError("the table holds no run (run the sweep first)")
    measured = bool((table["player"] == "measured").any())
    rows = table[table["player"] == ("measured" if measured else "simulated")]
    done = rows[(rows["status"] == RunStatus.DONE) & rows[value].notna()]
    columns = _told_by(done, [name for name in identity(table) if name not in seeds(table.columns)])
    shown = (value, *(name for name in _BESIDE if name != value and name in table.columns))
    groups = alike(done, columns)
    first = np.unique(groups, return_index=True)[1]
    middle = done[value].groupby(groups).mean().to_numpy() * (-1 if quantity.best is max else 1)
    best = np.lexsort((first, middle))[:top]
    told = done[[*columns, *shown]]
    members = told.groupby(groups).indices
    mine = [records(told.iloc[members[group]]) for group in best]
    means = [{name: _mean(repeats, name) for name in shown} for repeats in mine]
    stand, known_by = _standings(done, groups, first, value)
    standing = [stand[group] for group in best]
    chances = any(each.chance is not None for each in standing)
    units = {name: _unit(name, [each[name] for each in means]) for name in shown}
    repeated = [mean.count for each in means if (mean := each[value]) is not None and mean.count > 1]
    return Ranking(
        title=f"the best {len(mine)} of {len(first)}, by {'measured' if measured else 'simulated'} {quantity.title}",
        heads=(
            *(_HEADS.get(name, _short(name, columns)) for name in columns),
            *(_HEADS[name].format(units[name][0]) for name in shown),
            *(["P(fastest)"] if chances else []),
        ),
        texts=len(columns),
        lines=tuple(
            (
                *(_word(name, repeats[0][name]) for name in columns),
                *(
                    _written(each[name], units[name][1], interval=name == value)
                    + (f" {NO_WIN}" if name == value and stands.is_open else "")
                    for name in shown
                ),
                *(["–" if stands.chance is None else f"{stands.chance:.0%}"] if chances else []),
            )
            for repeats, each, stands in zip(mine, means, standing, strict=True)
        ),
        notes=(
            *(
                [f"±: {INTERVAL} of the mean over seeds, {how_many(repeated)}; other columns: means"]
                if repeated
                else []
            ),
            *(note for note in known_by if not note.startswith(NO_WIN) or any(each.is_open for each in standing)),
        ),
        failures=_failures(rows),
    )


def _told_by(rows: DataFrame, columns: Sequence[str]) -> list[str]:
    """Columns enough to tell the lines apart; methods where all are alike."""
    first = [name for name in columns if name not in _NEVER]
    told: list[str] = []
    for name in (*sorted(first, key=lambda each: each != "method"), *_NEVER[2:]):
        if name in columns and telling(rows, [name], same=told):
            told.append(name)
    return told or ["method"]


def _standings(done: DataFrame, groups: Groups, first: Groups, value: str) -> tuple[list[Standing], tuple[str, ...]]:
    """How each group of repeats stands in its setting: by one row of it, and its mean."""
    if len(first) == len(done) and not {"interval_from", "makespan_low_s"} & {*done.columns[done.notna().any()]}:
        return [Standing()] * len(first), unknown(done["player"].iloc[:2], value)
    columns = [name for name in identity(done) if name not in seeds(done.columns)]
    rows = records(done.iloc[first][[*columns, *(name for name in KNOWN_BY if name in done.columns)]])
    members = done[value].groupby(groups)
    means = [mean_of(list(mine)) for _, mine in members]
    lines = [Line(row=row, mean=each.value, half_width=each.half_width) for row, each in zip(rows, means, strict=True)]
    return standings(lines, columns, value)


def _mean(rows: Sequence[Row], name: str) -> Mean | None:
    values = [row[name] for row in rows]
    return mean_of([float(each) for each in values if isinstance(each, int | float)]) if None not in values else None


def _unit(name: str, means: Sequence[Mean | None]) -> tuple[str, float]:
    quantity = VALUES[name]
    amounts = [mean.value for mean in means if mean is not None]
    return one_unit(amounts, quantity.unit) if quantity.prefixed else (quantity.unit, 1.0)


def _written(mean: Mean | None, scale: float, *, interval: bool) -> str:
    if mean is None:
        return "–"
    half_width = mean.half_width if interval else None
    half = "" if half_width is None else f" ± {number(half_width / scale, digits=INTERVAL_DIGITS)}"
    return number(mean.value / scale) + half


def _word(name: str, entry: Value) -> str:
    if entry is None:
        return "–"
    if isinstance(entry, str):
        return reader_name(entry, name) if name in _NAMED else entry
    return in_words(name, entry) if name == "bandwidth_bit_per_s" else f"{entry:.12g}"


def _short(name: str, columns: Sequence[str]) -> str:
    """``memory_bytes`` of ``devices.slow.memory_bytes``, unless another column ends alike."""
    last = name.rpartition(".")[2]
    alone = sum(each.rpartition(".")[2] == last for each in columns) == 1
    return (last if alone else name).replace("_", " ")


def _failures(rows: DataFrame) -> tuple[str, ...]:
    failed = rows[rows["status"] != RunStatus.DONE]
    if failed.empty:
        return ()
    reasons = Counter(str(row["reason"] or "no reason is known") for row in records(failed[["reason"]]))
    most, times = reasons.most_common(1)[0]
    often = f", most often ({times})" if len(reasons) > 1 else ""
    return (f"{len(failed)} of {len(rows)} runs failed{often}: {most}",)


def ranking_table(best: Ranking) -> Table:
    """For a screen, without the failures: these belong to the errors."""
    table = Table(
        title=best.title,
        caption=Text("\n".join(best.notes)) if best.notes else None,
        title_justify="left",
        caption_justify="left",
    )
    for place, head in enumerate(best.heads):
        table.add_column(Text(head), justify="left" if place < best.texts else "right", overflow="fold")
    for line in best.lines:
        table.add_row(*map(Text, line))
    return table


def ranking_markdown(best: Ranking) -> str:
    """The same with its title above and its notes below."""
    lines = [[markdown_escape(text) for text in line] for line in best.lines]
    notes = "".join(f"- {markdown_escape(note)}\n" for note in (*best.notes, *best.failures))
    body = markdown([markdown_escape(head) for head in best.heads], lines, texts=best.texts)
    return f"{markdown_escape(best.title)}\n\n{body}" + (f"\n{notes}" if notes else "")


def ranking_latex(best: Ranking) -> str:
    """The same for a paper."""
    return latex(
        [latex_escape(head) for head in best.heads],
        [[latex_escape(text) for text in line] for line in best.lines],
        texts=best.texts,
        caption=latex_escape(best.title),
        notes=[latex_escape(note) for note in (*best.notes, *best.failures)],
    )


RANKING_FORMATS: Mapping[str, Callable[[Ranking], str]] = {"markdown": ranking_markdown, "latex": ranking_latex}
