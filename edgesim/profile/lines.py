"""What lies between known counts? Straight lines through points over samples, tokens, keys or shares."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any

from edgesim.profile.point import Point

Line = tuple[list[float], list[float]]  # counts or shares, rising, and the seconds of each


def line_through(seconds: Mapping[float, float]) -> Line:
    """Return the line through the seconds of known counts."""
    counts = sorted(seconds)
    return counts, [seconds[count] for count in counts]


def between(line: Line, count: float) -> float:
    """Return the seconds of a count within the line: its own, or interpolated between its neighbours'."""
    counts, seconds = line
    i = bisect_left(counts, count)
    if counts[i] == count:
        return seconds[i]
    part = (count - counts[i - 1]) / (counts[i] - counts[i - 1])
    return seconds[i - 1] + part * (seconds[i] - seconds[i - 1])


def leave_one_out_error(points: Iterable[Point]) -> float | None:
    """Return the median relative error of predicting each inner point from its neighbours; None without inner points.

    Neighbours in samples, tokens, keys or share, where all the rest is the same.
    """
    errors = [
        abs(between((counts[:i] + counts[i + 1 :], seconds[:i] + seconds[i + 1 :]), counts[i]) / seconds[i] - 1)
        for counts, seconds in _all_lines(tuple(points))
        for i in range(1, len(counts) - 1)
        if seconds[i] > 0
    ]
    return sorted(errors)[len(errors) // 2] if errors else None


def _all_lines(points: Iterable[Point]) -> Iterator[Line]:
    """The grid's lines over samples, over tokens, over keys and over shares."""
    names = [item.name for item in fields(Point) if item.name not in ("seconds", "repeats")]
    for over in ("samples", "tokens", "keys", "share"):
        lines: dict[tuple[Any, ...], dict[float, float]] = defaultdict(dict)
        for p in points:
            at = p.keys or p.tokens if over == "keys" else getattr(p, over)
            lines[tuple(getattr(p, name) for name in names if name != over)][at] = p.seconds
        yield from map(line_through, lines.values())
