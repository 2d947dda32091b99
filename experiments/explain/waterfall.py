"""Where do seconds come from, or a difference of seconds? A waterfall: each bar begins where the one above it ends."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from edgesim.units import show
from experiments.explain.bounds import Bounds
from experiments.explain.explanation import Explanation
from experiments.explain.inputs import ROUGH
from experiments.figures.style import BLUE, GREY, RC, SMALL_PT, TWO_COLUMNS_IN, VERMILION

_MOST_BARS = 12  # the rest is one bar

Bar = tuple[str, float]  # its name, and its seconds


def differences_figure(explanation: Explanation) -> Figure:
    """From the makespan of the first to that of the second, by cause; where a whole plan differs, by term."""
    first, second = explanation.first, explanation.second
    bars = [(share.name, share.seconds) for share in explanation.shares]
    if any(share.what in ROUGH for share in explanation.shares):
        by_cause = [(str(cause), seconds) for cause, seconds in explanation.more_by_cause_s.items()]
        bars = sorted(by_cause, key=lambda bar: -abs(bar[1]))
    return _figure(bars, (first.name, first.trace.makespan_s), (second.name, second.trace.makespan_s))


def terms_figure(bounds: Bounds) -> Figure:
    """From nothing to the makespan, term by term."""
    bars = [(f"{term.cause}, {term.where}" if term.where else str(term.cause), term.seconds) for term in bounds.terms]
    side = bounds.side
    return _figure(sorted(bars, key=lambda bar: -abs(bar[1])), None, (side.name, side.trace.makespan_s))


def _figure(bars: Sequence[Bar], first: Bar | None, last: Bar) -> Figure:
    shown = _shortened(bars)
    rows = len(shown) + (first is not None) + 1
    with plt.rc_context(RC):
        figure, ax = plt.subplots(figsize=(TWO_COLUMNS_IN, 0.6 + 0.22 * rows))
        _draw(ax, shown, first, last)
    return figure


def _shortened(bars: Sequence[Bar]) -> list[Bar]:
    """The largest bars, and one for all others; none for what is nothing."""
    real = [bar for bar in bars if abs(bar[1]) > 0]
    largest, rest = real[:_MOST_BARS], real[_MOST_BARS:]
    return [*largest, (f"{len(rest)} more", sum(seconds for _, seconds in rest))] if rest else largest


def _draw(ax: Axes, bars: Sequence[Bar], first: Bar | None, last: Bar) -> None:
    at_s = 0.0 if first is None else first[1]
    rows: list[tuple[str, float, float, str]] = [] if first is None else [(first[0], 0.0, first[1], GREY)]
    for name, seconds in bars:
        rows.append((name, at_s, seconds, VERMILION if seconds > 0 else BLUE))
        at_s += seconds
    rows.append((last[0], 0.0, last[1], GREY))
    longest_s = max(max(start_s, start_s + seconds) for _, start_s, seconds, _ in rows) or 1.0
    for y, (_, start_s, seconds, colour) in enumerate(rows):
        ax.barh(y, seconds, left=start_s, height=0.7, color=colour, hatch="" if colour != BLUE else "////", linewidth=0)
        whole = colour == GREY
        text = show(seconds, "s") if whole else f"{'+' if seconds >= 0 else '−'}{show(abs(seconds), 's')}"
        end_s = max(start_s, start_s + seconds)
        ax.text(end_s + 0.01 * longest_s, y, text, va="center", fontsize=SMALL_PT)
        if y + 1 < len(rows):
            ax.vlines(start_s + seconds, y - 0.35, y + 1.35, color=GREY, linewidth=0.5)
    ax.set_yticks(range(len(rows)), [name for name, *_ in rows])
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlim(0, 1.12 * longest_s)
    ax.set_xlabel("time (s)")
