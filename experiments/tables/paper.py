"""How does a table of methods look on paper? As Markdown, or as LaTeX."""

from collections.abc import Callable, Mapping

from experiments.tables.latex import bold, latex, latex_number
from experiments.tables.latex import escape as latex_escape
from experiments.tables.markdown import escape as markdown_escape
from experiments.tables.markdown import markdown
from experiments.tables.methods import Cell, MethodsTable


def methods_markdown(table: MethodsTable) -> str:
    """The caption, the table, and a list of notes."""
    head = [markdown_escape(text) for text in (*table.heads, *(f"{name} ({table.unit})" for name in table.methods))]
    rows = [[*map(markdown_escape, headings), *map(_markdown_cell, cells)] for headings, cells in table.rows]
    notes = [f"<sup>{place}</sup> {markdown_escape(reason)}" for place, reason in enumerate(table.reasons, start=1)]
    notes += map(markdown_escape, table.legend)
    listed = "\n" + "".join(f"- {note}\n" for note in notes) if notes else ""
    return f"{table.caption}\n\n{markdown(head, rows, texts=len(table.heads))}{listed}"


def _markdown_cell(cell: Cell) -> str:
    text = f"**{cell.text}**" if cell.best else cell.text
    text += f" ± {cell.half_width}" if cell.half_width else ""
    return text if cell.note is None else f"{text}<sup>{cell.note}</sup>"


def methods_latex(table: MethodsTable) -> str:
    """The same for a paper; the unit stands above the methods."""
    rows = [[*map(latex_escape, headings), *map(_latex_cell, cells)] for headings, cells in table.rows]
    notes = [rf"\textsuperscript{{{place}}}{latex_escape(why)}" for place, why in enumerate(table.reasons, start=1)]
    return latex(
        [latex_escape(text) for text in (*table.heads, *table.methods)],
        rows,
        texts=len(table.heads),
        above=latex_escape(table.title),
        caption=latex_escape(table.caption),
        label=f"tab:{table.value}".replace("_", "-"),
        notes=[*notes, *map(latex_escape, table.legend)],
    )


def _latex_cell(cell: Cell) -> str:
    text = latex_number(cell.text) if cell.value is not None else latex_escape(cell.text)
    text = bold(text) if cell.best else text
    text += rf" $\pm$ {latex_number(cell.half_width)}" if cell.half_width else ""
    return text if cell.note is None else rf"{text}\textsuperscript{{{cell.note}}}"


FORMATS: Mapping[str, Callable[[MethodsTable], str]] = {"markdown": methods_markdown, "latex": methods_latex}
