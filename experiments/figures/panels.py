"""How does a table become a figure? A panel per model and cluster, drawn by a figure's ``draw``, under one legend.

What else tells runs of one method apart (a batch, a planner) makes further panels: nothing is averaged in silence.
Seeds make none: figures draw the mean of runs that differ in nothing else, and say so.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from pandas import DataFrame

from experiments.analysis.names import reader_name
from experiments.analysis.repeats import seeds
from experiments.analysis.tidy import RunStatus, Value, alike, identity, in_words, records, require_columns, telling
from experiments.figures.style import ONE_COLUMN_IN, ORDER, RC, TWO_COLUMNS_IN

_ACROSS = 3  # panels side by side
_MOST = 60  # panels of a figure
_PANEL_IN, _LEGEND_IN = 1.6, 0.5  # heights
_SINGLE_IN = 2.3
_ENTRY_IN, _LETTER_IN = 0.42, 0.056  # of the legend: the width of an entry without its text, and of a letter
# Never a panel of its own: who made the study, what the method is, and where the number comes from.
_WITHIN = frozenset({"study", "method", "player"})

Panels = Mapping[str, DataFrame]


class Drawing(Protocol):
    """A figure's module: one file in this folder, or in a folder of the user's.

    Optional names: ``NEEDS``, the columns it reads; ``axis(table)``, the columns that its x axis shows, which make no
    panels; ``panels(table)`` to split a table in its own way; ``PANEL_IN``, the height of a panel if it is unusual;
    ``readable_scale(axes)`` (imported from ``style``) for y axes on which no value vanishes beside another;
    ``whole_figure(table)`` to make more than panels under a legend.
    """

    def draw(self, rows: DataFrame, ax: Axes) -> None:
        """Draw the rows of one panel."""


def figure_of(drawing: Drawing, table: DataFrame, *, source: str = "the table") -> Figure:
    """The whole figure. Raises ValueError for a table without rows or without a needed column."""
    own = getattr(drawing, "panels", None)
    require_columns(table, (*getattr(drawing, "NEEDS", ()), *(() if own else ("status",))), source=source)
    if table.empty:
        raise ValueError(f"{source} holds no rows (run the study first)")
    if whole := getattr(drawing, "whole_figure", None):
        figure: Figure = whole(table)
        return figure
    parts: Panels = own(table) if own else panels(table, shown=getattr(drawing, "axis", lambda table: ())(table))
    parts, left_out = (parts, []) if own else with_a_run(parts)
    across = min(len(parts), _across(parts))
    down = math.ceil(len(parts) / across)
    single = len(parts) == 1
    width = ONE_COLUMN_IN if single else TWO_COLUMNS_IN
    height = getattr(drawing, "PANEL_IN", _SINGLE_IN if single else _PANEL_IN)
    with plt.rc_context(RC):
        figure, axes = plt.subplots(down, across, squeeze=False, figsize=(width, _LEGEND_IN + down * height))
        for (title, rows), ax in zip(parts.items(), axes.flat, strict=False):
            drawing.draw(rows, ax)
            ax.set_title(title, loc="left")
        for ax in axes.flat[len(parts) :]:
            ax.remove()
        getattr(drawing, "readable_scale", lambda axes: None)(list(axes.flat)[: len(parts)])
        _say_once(axes, len(parts))
        _legend(figure, width, left_out)
    return figure


def panels(table: DataFrame, *, shown: Sequence[str] = ()) -> Panels:
    """The table by model, cluster and whatever else tells two runs of a method apart, but not by what is ``shown``."""
    columns = [name for name in identity(table) if name not in (*_WITHIN, *shown, *seeds(table.columns))]
    same = [name for name in ("model", "cluster", "method", "player", *shown) if name in table.columns]
    apart = telling(table, columns, same=same)
    split = [name for name in columns if name in ("model", "cluster") or name in apart]
    varying = _by_model(telling(table, split, same=()) or split[:2])
    groups = alike(table, varying)
    keys = [tuple(row.values()) for row in records(table[varying].iloc[np.unique(groups, return_index=True)[1]])]
    if len(keys) > _MOST:
        raise ValueError(
            f"{len(keys)} panels, one for each {', '.join(varying)}, are more than a figure can hold ({_MOST}): "
            f"draw a part (--only {_an_only(varying, keys)}), or rank all runs (python -m experiments.tables)"
        )
    parts = {key: table[groups == place] for place, key in enumerate(keys)}
    ordered = sorted(parts, key=lambda key: [(value is None, isinstance(value, str), value or 0) for value in key])
    return {", ".join(_title(*cell) for cell in zip(varying, key, strict=True)): parts[key] for key in ordered}


def _an_only(varying: Sequence[str], keys: Sequence[tuple[Value, ...]]) -> str:
    """The column with the most values, and one of them."""
    place = max(range(len(varying)), key=lambda each: len({key[each] for key in keys}))
    return f"{varying[place]}={keys[0][place]}"


def _title(column: str, value: Value) -> str:
    named = isinstance(value, str) and column in ("model", "cluster")
    return reader_name(str(value), column) if named else in_words(column, value)


def with_a_run(parts: Panels) -> tuple[Panels, list[str]]:
    """The panels in which something ran, and words for the others; all of them where nothing ran anywhere."""
    ran = {title: rows for title, rows in parts.items() if (rows["status"] == "done").any()}
    if not ran:
        return parts, []
    return ran, [f"{title}: {_why(rows)} everywhere" for title, rows in parts.items() if title not in ran]


def _why(rows: DataFrame) -> str:
    return "out of memory" if (rows["status"] == RunStatus.OUT_OF_MEMORY).all() else "failed"


def _by_model(columns: Sequence[str]) -> list[str]:
    """Panels of one model stand together."""
    return sorted(columns, key=lambda name: name != "model")


def _across(parts: Panels) -> int:
    """Panels of one model in one line, if they fit."""
    first = [title.partition(", ")[0] for title in parts]
    of_one = max(first.count(title) for title in first)
    if 1 < of_one <= _ACROSS:
        return of_one
    return 2 if len(parts) == 4 else _ACROSS


def _say_once(axes: "Sequence[Sequence[Axes]]", count: int) -> None:
    """Labels of axes at the left and at the bottom only, where those beside them say the same."""
    across = len(axes[0])
    for place, ax in enumerate(ax for line in axes for ax in line):
        if place >= count:
            continue
        if place % across and ax.get_ylabel() == axes[place // across][0].get_ylabel():
            ax.set_ylabel("")
        below = place + across
        if below < count and ax.get_xlabel() == axes[below // across][below % across].get_xlabel():
            ax.set_xlabel("")


def _legend(figure: Figure, width_in: float, left_out: Sequence[str]) -> None:
    """Every label once, methods first, then what the marks are; nothing for a figure that labels nothing."""
    entries = {name: handle for ax in figure.axes for handle, name in zip(*ax.get_legend_handles_labels(), strict=True)}
    entries |= {text: Line2D([], [], linestyle="none") for text in left_out}
    names = sorted(entries, key=lambda name: ORDER.get(name, len(ORDER)))
    if names:
        figure.legend(
            [entries[name] for name in names],
            names,
            loc="outside upper center",
            ncols=_columns(names, width_in),
            handlelength=2.2,
            columnspacing=1.4,
            handletextpad=0.5,
        )


def _columns(names: Sequence[str], width_in: float) -> int:
    """As many columns of a legend as have room, one below the other filled."""
    for lines in range(1, len(names)):
        across = math.ceil(len(names) / lines)
        sizes = [len(names) // across + (place < len(names) % across) for place in range(across)]
        starts = [sum(sizes[:place]) for place in range(across)]
        longest = [max(map(len, names[start : start + size])) for start, size in zip(starts, sizes, strict=True)]
        if sum(_ENTRY_IN + _LETTER_IN * letters for letters in longest) <= width_in:
            return across
    return 1
