"""What did each rank do, and when? Simulated above measured, on one axis of seconds.

Each rank has a tall bar for computation and, below it, two thin ones for what it sends and receives. A computation of
layers is labelled by its micro-batch; of a block, by its name or its tile, where there is room.
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from edgesim.errors import text_of
from edgesim.schedule import COLLECTIVE, COMPUTE, Op, Schedule, Task
from edgesim.trace import Span, Trace
from edgesim.units import show
from experiments.figures.style import OPS, PAPER, RC, SMALL_PT, TWO_COLUMNS_IN, meaning

_RANK, _GAP = 1.0, 0.9  # heights in units of the y axis: one rank, and the space between two players
# Of a rank's unit height: (bottom, height) from below, for receiving, sending, computing.
_LANES = {"receive": (0.06, 0.15), "send": (0.23, 0.15), "compute": (0.40, 0.50)}
_LABEL_SHARE = 0.016  # a bar is labelled if it takes this share of the axis for every digit,
_LETTER_SHARE = 0.009  # or this for every letter


def draw(traces: Sequence[Trace], ax: Axes, *, ranks: Sequence[str] = ()) -> None:
    """Draw the traces of one schedule, the first on top; ``ranks`` names the lanes."""
    end_s = max(trace.makespan_s for trace in traces)
    ticks: list[float] = []
    labels: list[str] = []
    top = 0.0
    for trace in traces:
        count = trace.schedule.ranks
        zero_s = min(trace.start_s)
        for span in trace:
            _draw_span(ax, span, zero_s, top - (span.task.rank + 1) * _RANK, end_s)
        for rank in range(count):
            bottom = top - (rank + 1) * _RANK
            ax.axhspan(bottom + 0.02, bottom + 0.94, color=PAPER, linewidth=0, zorder=0)
            ticks.append(bottom + _LANES["compute"][0] + _LANES["compute"][1] / 2)
            labels.append(ranks[rank] if rank < len(ranks) else f"rank {rank}")
        ax.text(
            0,
            top + 0.08,
            f"{trace.player}: {_seconds(trace.makespan_s)}",
            fontsize=SMALL_PT,
            fontweight="bold",
            va="bottom",
        )
        ax.vlines(trace.makespan_s, top - count * _RANK, top, color="black", linewidth=0.8)
        top -= count * _RANK + _GAP
    ax.set_yticks(ticks, labels)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_ylim(top + _GAP - 0.1, 0.75)
    ax.set_xlim(0, end_s * 1.01)
    ax.set_xlabel("time (s)")


def _draw_span(ax: Axes, span: Span, zero_s: float, bottom: float, axis_s: float) -> None:
    task = span.task
    colour, hatch = OPS[meaning(task)]
    for lane in _lanes(task):
        offset, height = _LANES[lane]
        ax.add_patch(
            Rectangle(
                (span.start_s - zero_s, bottom + offset),
                span.seconds,
                height,
                facecolor=colour,
                hatch=hatch,
                edgecolor="white" if lane == "compute" else "#444444",
                linewidth=0.3,
            )
        )
    if task.op in (Op.F, Op.B) and (text := _label(task, span.seconds / axis_s)):
        offset, height = _LANES["compute"]
        ax.text(
            (span.start_s + span.end_s) / 2 - zero_s,
            bottom + offset + height / 2 - 0.02,
            text,
            ha="center",
            va="center",
            fontsize=SMALL_PT,
            color="white" if task.op is Op.F else "black",
            clip_on=True,
        )


def _label(task: Task, share: float) -> str:
    """What a bar with this share of the axis says; nothing where it is too short."""
    if task.block and task.tile is None:
        name = task.block.partition("/")[2]
        return name if share > _LETTER_SHARE * (len(name) + 1) else ""
    number = task.micro_batch if task.tile is None else task.tile
    return "" if number is None or share <= _LABEL_SHARE else str(number)


def _seconds(seconds: float) -> str:
    """Two digits behind the point; three digits of milliseconds below a second."""
    return f"{seconds:.2f} s" if seconds >= 1 else show(seconds, "s")


def _lanes(task: Task) -> tuple[str, ...]:
    if task.op in COMPUTE:
        return ("compute",)
    if task.op in COLLECTIVE:
        return ("send", "receive")
    return ("send",) if task.op is Op.SEND else ("receive",) if task.op is Op.RECV else ("compute",)


def legend(traces: Sequence[Trace]) -> list[Patch]:
    """A patch for every kind of work that the traces hold, in the order of the palette."""
    held = {meaning(span.task) for trace in traces for span in trace}
    return [
        Patch(facecolor=colour, hatch=hatch * 2, edgecolor="#444444", linewidth=0.3, label=name)
        for name, (colour, hatch) in OPS.items()
        if name in held
    ]


def gantt_figure(panels: Sequence[tuple[str, Sequence[Trace]]], *, ranks: Sequence[str] = ()) -> Figure:
    """One panel per plan, each with its own axis of seconds."""
    with plt.rc_context(RC):
        lanes = [sum(trace.schedule.ranks for trace in traces) + 2.6 for _, traces in panels]
        figure, axes = plt.subplots(
            len(panels), 1, squeeze=False, figsize=(TWO_COLUMNS_IN, 0.3 + 0.235 * sum(lanes)), height_ratios=lanes
        )
        for (title, traces), ax in zip(panels, axes[:, 0], strict=True):
            draw(traces, ax, ranks=ranks)
            ax.set_title(title, loc="left")
        handles = legend([trace for _, traces in panels for trace in traces])
        figure.legend(
            handles=handles, loc="outside upper right", ncols=len(handles), handlelength=1.6, columnspacing=1.2
        )
    return figure


def load(folder: Path) -> list[Trace]:
    """The traces of a run's folder, simulated first."""
    path = folder / "schedule.txt"
    schedule = Schedule.from_text(text_of(path, "schedule"), source=str(path))
    files = [folder / f"{player}.jsonl" for player in ("simulated", "measured")]
    return [Trace.from_lines(text_of(file, "trace"), schedule, source=str(file)) for file in files if file.exists()]
