"""How did a job go? Throughput over time, who was there, and what each rank did; a column per player."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from edgesim.job import Activity
from experiments.analysis.job_spans import AWAY, IDLE, MOVES, RECOVERS, TRAINS, RankRow, SpanRow
from experiments.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RC,
    SKY,
    SMALL_PT,
    TWO_COLUMNS_IN,
    VERMILION,
    YELLOW,
)

_PALE = "#DDDDDD"
# What the job is at while it does not train.
PAUSES = {
    Activity.LOST: GREY,
    Activity.DETECTION: VERMILION,
    Activity.PLANNING: PURPLE,
    Activity.REGROUPING: YELLOW,
    Activity.MIGRATION: SKY,
    Activity.REFILL: ORANGE,
    Activity.RESTART: BLACK,
    Activity.CHECKPOINT: GREEN,
    Activity.WAITING: _PALE,
}
_DOES = {TRAINS: (BLUE, ""), IDLE: (_PALE, ""), RECOVERS: (ORANGE, "////"), MOVES: (SKY, "////"), AWAY: ("white", "")}
_HEAD_IN, _RANK_IN = 1.5, 0.22
_LABEL_SHARE = 0.06  # of the figure's width that a bar takes which is labelled


def timeline_figure(spans: Sequence[SpanRow], ranks: Sequence[RankRow]) -> Figure:
    """Throughput above, with what the job is at while it is none; below, the ranks."""
    players = list(dict.fromkeys(row.player for row in spans))
    count = 1 + max(row.rank for row in ranks)
    end_s = max(row.end_s for row in spans)
    most = max((row.samples_per_s for row in spans), default=0.0)
    with plt.rc_context(RC):
        figure, axes = plt.subplots(
            2,
            len(players),
            squeeze=False,
            sharex=True,
            figsize=(TWO_COLUMNS_IN, _HEAD_IN + 0.6 + _RANK_IN * count),
            height_ratios=(_HEAD_IN, 0.1 + _RANK_IN * count),
        )
        for column, player in enumerate(players):
            above, below = axes[0][column], axes[1][column]
            _draw_throughput(above, [row for row in spans if row.player == player])
            _draw_ranks(below, [row for row in ranks if row.player == player], count, end_s * len(players))
            above.set_title(player, loc="left")
            above.set_ylim(0, 1.1 * most if most else 1)
            below.set_xlim(0, end_s)
            below.set_xlabel("time (s)")
        axes[0][0].set_ylabel("samples/s")
        handles = _legend(spans, ranks)
        figure.legend(handles=handles, loc="outside upper right", ncols=min(6, len(handles)), handlelength=1.4)
    return figure


def _draw_throughput(ax: Axes, spans: Sequence[SpanRow]) -> None:
    for row in spans:
        if row.activity == Activity.TRAINING:
            ax.fill_between([row.start_s, row.end_s], [row.samples_per_s] * 2, color=BLUE, linewidth=0)
        else:
            ax.axvspan(row.start_s, row.end_s, color=PAUSES[Activity(row.activity)], alpha=0.6, linewidth=0)


def _draw_ranks(ax: Axes, rows: Sequence[RankRow], count: int, width_s: float) -> None:
    for row in rows:
        colour, hatch = _DOES[row.does]
        bar = (row.start_s, row.end_s - row.start_s)
        ax.broken_barh([bar], (row.rank - 0.4, 0.8), facecolor=colour, hatch=hatch, edgecolor="white", linewidth=0.4)
        if row.stage is not None and bar[1] > _LABEL_SHARE * width_s:
            middle = row.start_s + bar[1] / 2
            ax.text(middle, row.rank, f"stage {row.stage}", ha="center", va="center", fontsize=SMALL_PT, color="white")
    ax.set_yticks(range(count), [f"rank {rank}" for rank in range(count)])
    ax.set_ylim(count - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)


def _legend(spans: Sequence[SpanRow], ranks: Sequence[RankRow]) -> list[Patch]:
    """A patch for all that is drawn."""
    at, does = {row.activity for row in spans}, {row.does for row in ranks}
    lanes = [
        Patch(facecolor=colour, hatch=hatch * 2, edgecolor="#444444", linewidth=0.3, label=what)
        for what, (colour, hatch) in _DOES.items()
        if what in does
    ]
    pauses = [
        Patch(facecolor=colour, alpha=0.6, label=_named(activity, spans))
        for activity, colour in PAUSES.items()
        if activity in at
    ]
    return [*lanes, *pauses]


def _named(activity: Activity, spans: Sequence[SpanRow]) -> str:
    """An activity; where all that moves has one name, that."""
    names = {row.says for row in spans if row.activity == activity}
    return names.pop() if activity is Activity.MIGRATION and len(names) == 1 else str(activity)
