"""Which line of a table has won, and how likely is each the fastest? By intervals: what lies within them is no win.

Lines are compared within their setting: all that is no way to share the model is alike. Of simulated seconds, executed
plans say how far two of a setting may be off beside each other; of runs that differ in their seeds, their t intervals
say it; of measured ones, the ranges of their iterations.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import hypot
from pathlib import Path

from edgesim.intervals import LEVEL, Residuals, WorkKind, chances_of_fastest, is_within_error
from experiments.commands import as_typed
from experiments.intervals.validated import NEVER

KNOWN_BY = ("interval_from", "interval_kind", "makespan_low_s", "makespan_high_s")
"""Columns of a table that tell how sure its rows are, where it has them."""
NO_WIN = "≈"
_WAYS = ("study", "strategy", "planner", "method", "plan", "kind", "groups", "depth", "divides")  # of a setting's plans
_OF_A_WAY = ("strategy.", "planner.", "method.")
_SIZE = "micro_batch_samples"
_SECONDS = {"makespan_s": False, "latency_s": False, "samples_per_s": True}  # whether more is faster


Row = Mapping[str, float | int | str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What is compared: a row of its runs, the mean of the value over them, and half of its interval over seeds."""

    row: Row
    mean: float
    half_width: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a line stands in its setting: how likely it is the fastest, and whether it is as good as told to have won.

    ``chance`` is None where executed plans do not tell; ``is_open`` where the difference from the best, or of the best
    from another, lies within its interval.
    """

    chance: float | None = None
    is_open: bool = False


def is_way(column: str) -> bool:
    """Whether a column tells how a model is shared, and not what is asked of it, or where.

    >>> is_way("planner.keep"), is_way("workload.micro_batch_samples"), is_way("network.rate")
    (True, True, False)
    """
    return column in _WAYS or column.startswith(_OF_A_WAY) or column.rpartition(".")[2] == _SIZE


def standings(lines: Sequence[Line], columns: Sequence[str], value: str) -> tuple[list[Standing], tuple[str, ...]]:
    """How each line stands, and what a reader has to know of it."""
    found, notes = [Standing() for _ in lines], dict[str, None]()
    for places in in_settings(lines, columns).values():
        if len(places) > 1:
            mine, said = _of_setting([lines[place] for place in places], value)
            notes |= dict.fromkeys(said)
            for place, standing in zip(places, mine, strict=True):
                found[place] = standing
    return found, tuple(notes)


def in_settings(lines: Sequence[Line], columns: Sequence[str]) -> dict[tuple[object, ...], list[int]]:
    """The places of the lines that are rivals, by what they have in common."""
    settings: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for place, line in enumerate(lines):
        settings[tuple(line.row.get(name) for name in columns if not is_way(name))].append(place)
    return dict(settings)


def rivals(simulated_s: Sequence[float], known: Residuals, kind: WorkKind) -> tuple[list[Standing], tuple[str, ...]]:
    """How several plans stand, and what a reader has to know of it. Raises ValueError where too few were executed."""
    near, chances, said = _among(simulated_s, known, kind)
    found = _standing(near, chances, simulated_s.index(min(simulated_s)))
    return found, tuple(_needed(said, found))


def unknown(players: Iterable[str], value: str) -> tuple[str, ...]:
    """What is said of lines without repeats that nothing tells the intervals of: of simulated seconds, that."""
    several = list(players)
    if len(several) < 2 or "simulated" not in several or value not in _SECONDS:
        return ()
    return (_never(),)


def _never() -> str:
    return as_typed(f"no interval: {NEVER}")


def _of_setting(lines: Sequence[Line], value: str) -> tuple[list[Standing], list[str]]:
    amounts = [line.mean for line in lines]
    best = amounts.index(max(amounts) if _SECONDS.get(value) else min(amounts))
    chances: Sequence[float | None] = [None] * len(lines)
    if all(line.row.get("player") == "simulated" for line in lines) and value in _SECONDS and min(amounts) > 0:
        seconds = [1 / each for each in amounts] if _SECONDS[value] else amounts
        near, chances, said = _by_executed_plans(lines, seconds)
    elif value == "makespan_s" and all(_range(line) for line in lines):
        near = [_meet(_range(line), _range(lines[best])) for line in lines]
        said = [f"{NO_WIN}: the range of its iterations meets that of the fastest of its setting: no win"]
    else:
        near, said = [False] * len(lines), []
    halves = [line.half_width for line in lines]
    if None not in halves:
        near = [
            hypot(half or 0.0, halves[best] or 0.0) >= abs(each - amounts[best])
            for half, each in zip(halves, amounts, strict=True)
        ]
        said = [
            *said,
            f"{NO_WIN}: differs from the best of its setting by no more than their t intervals over seeds: no win",
        ]
    found = _standing(near, chances, best)
    return found, _needed(said, found)


def _standing(near: Sequence[bool], chances: Sequence[float | None], best: int) -> list[Standing]:
    others = [is_near and place != best for place, is_near in enumerate(near)]
    opened = [each or (place == best and any(others)) for place, each in enumerate(others)]
    return [Standing(chance=c, is_open=o) for c, o in zip(chances, opened, strict=True)]


def _needed(said: Sequence[str], found: Sequence[Standing]) -> list[str]:
    """Without what a mark means that no line has."""
    return [each for each in said if not each.startswith(NO_WIN) or any(one.is_open for one in found)]


def _by_executed_plans(
    lines: Sequence[Line], seconds: Sequence[float]
) -> tuple[list[bool], Sequence[float | None], list[str]]:
    """Which lines are near the best, how likely each is the fastest, and by what that is known."""
    nobody: list[float | None] = [None] * len(lines)
    sources = {(line.row.get("interval_from"), line.row.get("interval_kind")) for line in lines}
    if None in {path for path, _ in sources}:
        return [False] * len(lines), nobody, [_never()]
    if len(sources) > 1:
        return (
            [False] * len(lines),
            nobody,
            ["who is the fastest is not known: other plans were executed for each line"],
        )
    ((path, kind),) = sources
    try:
        return _among(seconds, _residuals(str(path)), WorkKind(str(kind)))
    except (ValueError, OSError) as error:
        return [False] * len(lines), nobody, [as_typed(f"who is the fastest is not known: {error}")]


def _among(
    seconds: Sequence[float], known: Residuals, kind: WorkKind
) -> tuple[list[bool], Sequence[float | None], list[str]]:
    """Which of several simulated plans are near the fastest, how likely each is that, and by what it is known."""
    deviations, fastest_s = known.deviations(kind), min(seconds)
    chances = chances_of_fastest(seconds, deviations)
    near = [
        chance > 0 and is_within_error(fastest_s, each, deviations)
        for chance, each in zip(chances, seconds, strict=True)
    ]
    plans = sum(map(len, deviations))
    level = f"{LEVEL:.0%}".replace("%", " %")
    said = [
        f"P(fastest): of the lines of its setting, as {plans} plans say that were executed on {known.testbed}",
        f"{NO_WIN}: within the {level} interval of its difference from the fastest of its setting: no win",
    ]
    return near, chances, said


@lru_cache(maxsize=8)
def _residuals(path: str) -> Residuals:
    return Residuals.load(Path(path))


def _range(line: Line) -> tuple[float, float] | None:
    """Of measured iterations; None where there was one, or it is not known."""
    low, high = line.row.get("makespan_low_s"), line.row.get("makespan_high_s")
    known = isinstance(low, int | float) and isinstance(high, int | float) and low < high
    return (float(low), float(high)) if known and line.row.get("player") == "measured" else None  # type: ignore[arg-type]


def _meet(one: tuple[float, float] | None, other: tuple[float, float] | None) -> bool:
    return one is not None and other is not None and one[0] <= other[1] and other[0] <= one[1]
