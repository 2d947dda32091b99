"""Which kind of file is it? Tables with or without a header, and Mahimahi's lists of deliveries, as text of any mark.

=================================  ====================================================================================
a first line of names              columns as :mod:`edgesim.recording.columns` reads their names
two columns of numbers, no names   seconds and Mbit/s, as Pensieve's traces have them; ``columns`` says otherwise
one column of whole numbers        Mahimahi: each line a millisecond at which a packet of 1500 bytes may pass; repeats
=================================  ====================================================================================

Cells stand between tabs, semicolons, commas or blanks, whichever the first line has. Lines that begin with ``#`` are
remarks. What was assumed of a file without names stands in the recording's source, which a run prints.
"""

import codecs
import csv
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from edgesim.recording.columns import Cell, clock_of, column_of, number, seconds_of
from edgesim.recording.recording import Column, Recording, Unit

PACKET_BYTES = 1500  # of one delivery (Netravali et al., Mahimahi, USENIX ATC 2015)
_PENSIEVE = ("time_s", "rate Mbit/s")
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}

Line = tuple[int, list[str]]  # its number in the file, and its cells


def read_recording(path: str | Path, columns: Sequence[str] | None = None) -> Recording:
    """Read a file as :func:`recording_from_text` does; a byte-order mark, as spreadsheets write it, is dropped."""
    raw = Path(path).read_bytes()
    encoding = next((name for mark, name in _MARKS.items() if raw.startswith(mark)), "utf-8")
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        number = raw[: error.start].count(b"\n") + 1
        raise ValueError(f"{path}, line {number}: not {encoding} text (save it as CSV in UTF-8)") from error
    return recording_from_text(text, source=str(path), columns=columns)


def recording_from_text(text: str, *, source: str, columns: Sequence[str] | None = None) -> Recording:
    """Read a table of bandwidth over time, or Mahimahi's list of deliveries.

    ``columns`` are the names of a file's columns that has no line of names. Raises ValueError, naming the source, the
    line and the way out.
    """
    lines = _lines(text, source)
    if not lines:
        raise ValueError(f"{source}: no line of values (write a line of names, time_s and rate Mbit/s, then values)")
    names, body = lines[0][1], lines[1:]
    if all(map(_is_value, names)):
        body = lines
        if columns is None and len(names) == 1:
            return _deliveries(body, source)
        names, assumed = (list(_PENSIEVE), True) if columns is None else (list(columns), False)
        if assumed and len(body[0][1]) != len(names):
            raise ValueError(
                f"{source}, line {body[0][0]}: no line of names above {len(body[0][1])} columns "
                "(write one: time_s and rate Mbit/s, or give columns=[time_s,rate Mbit/s])"
            )
        source = f"{source} (no line of names: read as {' and '.join(names)})" if assumed else source
    elif columns is not None:
        raise ValueError(f"{source}: has a line of names, {', '.join(names)} (leave columns out, or drop that line)")
    return _table(names, body, source)


def _table(names: Sequence[str], body: Sequence[Line], source: str) -> Recording:
    if len(set(names)) < len(names):
        raise ValueError(f"{source}: column {max(names, key=names.count)!r} appears twice (drop one)")
    clocks = [(place, clock) for place, name in enumerate(names) if (clock := clock_of(name, source)) is not None]
    if len(clocks) != 1:
        some = "no column time_s" if not clocks else f"{len(clocks)} columns of time"
        raise ValueError(
            f"{source}: {some} (columns: {', '.join(names)}; name one time_s or time_ms, or timestamp for times of day)"
        )
    if not body:
        raise ValueError(f"{source}: no line of values below the names {', '.join(names)}")
    for line, cells in body:
        if len(cells) != len(names):
            raise ValueError(
                f"{source}, line {line}: {len(cells)} {'cell' if len(cells) == 1 else 'cells'} for {len(names)} "
                f"columns: {','.join(cells)!r} (one cell for each; decimals with a point)"
            )
    (place, clock) = clocks[0]
    at_s = seconds_of([Cell(text=cells[place], line=line, source=source) for line, cells in body], clock)
    return Recording(
        at_s=at_s,
        columns=tuple(
            column_of(name, [Cell(text=cells[i], line=line, source=source) for line, cells in body], source)
            for i, name in enumerate(names)
            if i != place
        ),
        source=source,
    )


def _deliveries(body: Sequence[Line], source: str) -> Recording:
    """Mahimahi's: the bytes of each millisecond as its rate, an outage where there are none; the list repeats."""
    cells = [Cell(text=cells[0], line=line, source=source) for line, cells in body if len(cells) == 1]
    if len(cells) < len(body):
        line = next(line for line, cells in body if len(cells) != 1)
        raise ValueError(f"{source}, line {line}: more than one number, in a list of milliseconds (Mahimahi's)")
    times = [number(cell) for cell in cells]
    for cell, at_ms in zip(cells, times, strict=True):
        if at_ms != int(at_ms) or at_ms < 0:
            raise ValueError(
                f"{cell.place}: {cell.text!r} is no whole millisecond, in a file of one column (Mahimahi's deliveries; "
                "a table needs two columns, of times and of rates)"
            )
    for cell, (before, after) in zip(cells[1:], pairwise(times), strict=True):
        if after < before:
            raise ValueError(f"{cell.place}: {cell.text} ms follows {before:g} ms (sort the deliveries by time)")
    # A delivery at t closes the millisecond before it; one at 0 is the first's.
    per_ms = Counter(max(int(at_ms), 1) - 1 for at_ms in times)
    period_ms = max(per_ms) + 1
    steps = [(0, per_ms[0])]
    for ms in sorted(per_ms.keys() | {ms + 1 for ms in per_ms}):
        if 0 < ms < period_ms and per_ms[ms] != steps[-1][1]:
            steps.append((ms, per_ms[ms]))
    return Recording(
        at_s=tuple(ms / 1000 for ms, _ in steps),
        columns=(
            Column(rank=None, unit=Unit.RATE, values=tuple(1000.0 * PACKET_BYTES * packets for _, packets in steps)),
        ),
        source=f"{source} (Mahimahi's deliveries, repeated every {period_ms / 1000:g} s)",
        repeat_s=period_ms / 1000,
    )


def _lines(text: str, source: str) -> list[Line]:
    """All lines that say something, with their numbers."""
    kept = [
        (i, line) for i, line in enumerate(text.splitlines(), 1) if line.strip() and not line.lstrip().startswith("#")
    ]
    if not kept:
        return []
    first = kept[0][1]
    mark = next((mark for mark in "\t;," if mark in first), None)
    if mark is None and _is_value(first.split()[0]):
        return [(i, line.split()) for i, line in kept]
    return [(i, _cells(line, mark or ",", f"{source}, line {i}")) for i, line in kept]


def _cells(line: str, mark: str, place: str) -> list[str]:
    """What stands between the marks of a line, without quotes, which end where they began: in the line."""
    try:
        (row,) = csv.reader([line], delimiter=mark, strict=True)
    except csv.Error as error:
        raise ValueError(f"{place}: {error}: {line!r} (close the quotes, or drop them)") from error
    return [cell.strip() for cell in row]


def _is_value(cell: str) -> bool:
    """Whether a cell is a number or a time of day, and so no name."""
    return cell[:1].isdigit() or (cell[:1] in "+-." and cell[1:2].isdigit())
