"""Does the simulator tell the truth? Simulated against measured seconds per iteration, one point per plan."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.analysis.fidelity import ITERATION, Row, from_csv, summary
from experiments.figures.style import GREY, ONE_COLUMN_IN, RC, SMALL_PT, TWO_COLUMNS_IN, label, log_axis, looks

BAND = 0.05  # the shaded corridor around equality


def draw(rows: Sequence[Row], ax: Axes) -> None:
    """Points (their bars as long as the spread), the diagonal, a corridor of 5 %, and the summary in a corner."""
    played = [row for row in rows if row.kind == ITERATION and row.simulated_s and row.measured_s]
    values = [s for row in played for s in (row.simulated_s, row.measured_s) if s]
    low, high = min(values) * 0.8, max(values) * 1.25
    ax.fill_between(
        [low, high],
        [low * (1 - BAND), high * (1 - BAND)],
        [low * (1 + BAND), high * (1 + BAND)],
        color=GREY,
        alpha=0.3,
        lw=0,
    )
    ax.plot([low, high], [low, high], color="black", linewidth=0.6)
    for strategy, look in looks(row.strategy for row in played).items():
        mine = [row for row in played if row.strategy == strategy]
        measured = [row.measured_s or 0.0 for row in mine]
        spread = [s * (row.spread or 0.0) / 2 for s, row in zip(measured, mine, strict=True)]
        ax.errorbar(
            measured,
            [row.simulated_s or 0.0 for row in mine],
            xerr=spread,
            fmt=look.marker,
            color=look.colour,
            markersize=4,
            markerfacecolor="none",
            markeredgewidth=0.9,
            elinewidth=0.8,
            label=label(strategy),
        )
    ax.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high), aspect="equal")
    for axis in (ax.xaxis, ax.yaxis):
        log_axis(axis)
    ax.set_xlabel("measured (s per iteration)")
    ax.set_ylabel("simulated (s per iteration)")
    ax.text(0.97, 0.04, _verdict(rows), transform=ax.transAxes, ha="right", va="bottom", fontsize=SMALL_PT)


def _verdict(rows: Sequence[Row]) -> str:
    figures = summary(rows)
    tau = "" if figures["kendall_tau"] is None else f"\nKendall's τ {figures['kendall_tau']:.2f}"
    errors = f"median |error| {figures['median_abs_error']:.1%}\nworst {figures['worst_abs_error']:.1%}"
    return f"{figures['plans']} plans\n{errors}{tau}"


def parity_figure(folder: Path, testbed: str) -> Figure:
    """A panel for every ``<testbed>_*.csv`` of the folder that holds a played plan."""
    tables = {
        path.stem: from_csv(path.read_text())
        for path in sorted(folder.glob(f"{testbed}_*.csv"), key=_rate, reverse=True)
    }
    tables = {name: rows for name, rows in tables.items() if summary(rows)["plans"]}
    if not tables:
        raise ValueError(
            f"{folder} holds no table of testbed {testbed!r} with a played plan (run python -m experiments.validate)"
        )
    width = ONE_COLUMN_IN if len(tables) == 1 else TWO_COLUMNS_IN
    with plt.rc_context(RC):
        figure, axes = plt.subplots(1, len(tables), squeeze=False, figsize=(width, width / len(tables) + 0.05))
        for (name, rows), ax in zip(tables.items(), axes[0], strict=True):
            draw(rows, ax)
            ax.set_title(f"{testbed}, {_rate_text(name)}", loc="left")
        axes[0, 0].legend(
            loc="upper left", handletextpad=0.4, title="grey: within 5 %", title_fontsize=SMALL_PT, alignment="left"
        )
    return figure


def _rate(path: Path) -> float:
    return float(path.stem.rpartition("_")[2].removesuffix("mbit"))


def _rate_text(name: str) -> str:
    return f"{name.rpartition('_')[2].removesuffix('mbit')} Mbit/s"
