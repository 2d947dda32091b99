"""Of what is a page made? Sections of sentences, tables, figures and timelines, in one HTML file that asks for nothing.

Style and scripts stand in the page itself, and its policy (Content-Security-Policy) forbids every request.
"""

import json
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from io import StringIO
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from experiments.figures.style import RC

_LONG = 60  # letters of a cell that needs room
_STATIC = Path(__file__).parent / "static"
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What stands in a table, and the number by which it is sorted if it is one."""

    text: str
    value: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a page: its head, and what is below it as HTML."""

    title: str
    html: str


def table(heads: Sequence[str], rows: Iterable[Sequence[Cell | str]], *, caption: str = "") -> str:
    """A table that sorts by any column."""
    shown = [[cell if isinstance(cell, Cell) else Cell(text=cell) for cell in row] for row in rows]
    numbers = [bool(shown) and any(row[i].value is not None for row in shown) for i in range(len(heads))]
    head = "".join(
        f"<th scope=col{' class=number' if number else ''}><button type=button>{escape(name)}</button></th>"
        for name, number in zip(heads, numbers, strict=True)
    )
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in shown)
    below = f"<caption>{escape(caption)}</caption>" if caption else ""
    whole = f"{below}<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f"<div class=wide><table class=sortable>{whole}</table></div>"


def _cell(cell: Cell) -> str:
    if cell.value is None:
        return f"<td{' class=long' if len(cell.text) > _LONG else ''}>{escape(cell.text)}</td>"
    return f'<td class=number data-value="{cell.value!r}">{escape(cell.text)}</td>'


def sentence(text: str, *, verdict: bool = False) -> str:
    """A paragraph; a verdict stands out."""
    return f"<p{' class=verdict' if verdict else ''}>{escape(text)}</p>"


def note(text: str) -> str:
    """A paragraph in small type."""
    return f"<p class=note>{escape(text)}</p>"


def verbatim(text: str, *, summary: str = "") -> str:
    """A text as it is; behind its summary, if it has one."""
    shown = f"<pre>{escape(text)}</pre>"
    return f"<details><summary>{escape(summary)}</summary>{shown}</details>" if summary else shown


def figure(drawn: Figure, says: str) -> str:
    """A figure as an SVG within the page; ``says`` is its caption, and what is read to those who cannot see it."""
    text = StringIO()
    with plt.rc_context({**RC, "svg.fonttype": "none", "svg.hashsalt": "report"}):
        drawn.savefig(text, format="svg", metadata={"Date": None})
    plt.close(drawn)
    data = b64encode(text.getvalue().encode()).decode()
    source = f"data:image/svg+xml;base64,{data}"
    return f'<figure><img src="{source}" alt="{escape(says)}"><figcaption>{escape(says)}</figcaption></figure>'


def timeline(name: str, data: Mapping[str, object]) -> str:
    """A timeline of what :mod:`experiments.report.tracks` has made; the name is unique on the page."""
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    return (
        f'<script type="application/json" id="{name}">{text}</script>'
        f'<div class=timeline data-of="{name}"><div class=bar>'
        "<button type=button data-does=in aria-label='zoom in'>+</button>"
        "<button type=button data-does=out aria-label='zoom out'>−</button>"
        "<button type=button data-does=all>all</button>"
        "<label><input type=checkbox class=critical checked> critical path</label><span class=keys></span></div>"
        '<canvas class=tracks tabindex=0 role=application aria-label="timeline: arrows pan, plus and minus zoom, Home '
        'shows all, n and p walk along the critical path"></canvas>'
        "<div class=tip hidden></div><div class=note aria-live=polite></div></div>"
    )


def page(title: str, about: str, verdicts: Sequence[str], sections: Sequence[Section]) -> str:
    """The whole page: what it is of, the verdict first, then its sections."""
    links = "".join(f'<a href="#s{i}">{escape(section.title)}</a>' for i, section in enumerate(sections))
    parts = (f"<h2>{escape(section.title)}</h2>{section.html}" for section in sections)
    body = "".join(f"<section id=s{i}>{part}</section>" for i, part in enumerate(parts))
    style, tables, timelines = (_static(name) for name in ("page.css", "tables.js", "timeline.js"))
    return (
        f'<!doctype html><html lang=en><head><meta charset=utf-8><meta http-equiv="Content-Security-Policy" '
        f'content="{_POLICY}"><meta name=viewport content="width=device-width, initial-scale=1">'
        f'<link rel=icon href="data:,"><title>{escape(title)}</title><style>{style}</style></head><body>'
        f"<header><h1>{escape(title)}</h1><p class=note>{escape(about)}</p>"
        f"{''.join(sentence(each, verdict=True) for each in verdicts)}<nav>{links}</nav></header><main>{body}</main>"
        f"<script>{tables}</script><script>{timelines}</script></body></html>\n"
    )


def _static(name: str) -> str:
    return (_STATIC / name).read_text()
