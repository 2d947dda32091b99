"""Does the simulator tell the truth? Simulated against measured seconds, one point per plan, and below the errors.

Of a study's table, a run that both players made is a point; of the tables of :mod:`experiments.validate` and
:mod:`experiments.fidelity_study`, a plan.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from edgesim.errors import text_of
from experiments.analysis.fidelity import ITERATION, FidelityRow, from_csv, row, summary
from experiments.analysis.names import reader_name
from experiments.analysis.tidy import Value, identity, records
from experiments.figures.style import GREY, ONE_COLUMN_IN, RC, SMALL_PT, TWO_COLUMNS_IN, label, log_axis, looks

COLUMNS = (
    "setting",
    "part",
    "strategy",
    "plan",
    "simulated_s",
    "measured_s",
    "measured_low_s",
    "measured_high_s",
    "disturbed",
)  # of the study of drawn plans
NEEDS = ("cluster", "model", "method", "player", "status", "makespan_s", "makespan_low_s", "makespan_high_s")
BAND = 0.05  # the shaded corridor around equality
_PER_CENT = 100
_ABREAST = 3
_ABREAST_IN_ONE_COLUMN = 2
_ROOM = 5  # entries of a legend that have room in a panel, above the diagonal
_LINE_IN = 0.17  # the height of a line of a legend below the panels
GREY_IS = "grey: within 5 %"
_ERRORS = 0.3  # of the height of the panel above


def draw(rows: Sequence[FidelityRow], ax: Axes, errors: Axes) -> None:
    """Points (their bars as long as the spread), the diagonal, a corridor of 5 % and the summary; the errors below.

    What other load disturbed is crossed out.
    """
    played = [each for each in rows if each.kind == ITERATION and each.simulated_s and each.measured_s]
    values = [s for each in played for s in (each.simulated_s, each.measured_s) if s]
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
    errors.axhspan(-BAND * _PER_CENT, BAND * _PER_CENT, color=GREY, alpha=0.3, lw=0)
    errors.axhline(0, color="black", linewidth=0.6)
    for strategy, look in looks(each.strategy for each in played).items():
        mine = [each for each in played if each.strategy == strategy]
        measured = [each.measured_s or 0.0 for each in mine]
        spread = [(each.spread or 0.0) / 2 for each in mine]
        marks = {
            "fmt": look.marker,
            "color": look.colour,
            "markersize": 4,
            "markerfacecolor": "none",
            "markeredgewidth": 0.9,
            "elinewidth": 0.8,
        }
        across = [s * half for s, half in zip(measured, spread, strict=True)]
        ax.errorbar(measured, [each.simulated_s or 0.0 for each in mine], xerr=across, label=label(strategy), **marks)
        off = [_PER_CENT * (each.error or 0.0) for each in mine]
        errors.errorbar(measured, off, yerr=[_PER_CENT * half for half in spread], **marks)
    if disturbed := [each for each in played if each.disturbed]:
        crosses = {"linestyle": "none", "marker": "x", "color": "black", "markersize": 5, "markeredgewidth": 0.9}
        at = [each.measured_s or 0.0 for each in disturbed]
        ax.plot(at, [each.simulated_s or 0.0 for each in disturbed], label="disturbed by other load", **crosses)
        errors.plot(at, [_PER_CENT * (each.error or 0.0) for each in disturbed], **crosses)
    ax.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high), box_aspect=1)
    errors.set(xscale="log", xlim=(low, high), box_aspect=_ERRORS)
    worst = max(BAND, *(abs(each.error or 0.0) + (each.spread or 0.0) / 2 for each in played)) * _PER_CENT
    errors.set_ylim(-1.25 * worst, 1.25 * worst)
    for axis in (ax.xaxis, ax.yaxis, errors.xaxis):
        log_axis(axis)
    ax.tick_params(axis="x", labelbottom=False)
    ax.set_ylabel("simulated (s)")
    errors.set_xlabel("measured (s)")
    errors.set_ylabel("error (%)")
    ax.text(0.97, 0.04, _verdict(rows), transform=ax.transAxes, ha="right", va="bottom", fontsize=SMALL_PT)


def _verdict(rows: Sequence[FidelityRow]) -> str:
    figures = summary(rows)
    tau = "" if figures["kendall_tau"] is None else f"\nKendall's τ {figures['kendall_tau']:.2f}"
    median, worst = (_PER_CENT * figures[f"{name}_abs_error"] for name in ("median", "worst"))
    return f"n = {figures['plans']} plans\nmedian |error| {median:.1f} %\nworst {worst:.1f} %{tau}"


def whole_figure(table: DataFrame) -> Figure:
    """A figure of one panel: all runs that both players made. Raises ValueError if there is none."""
    paired = pairs(table)
    if not paired:
        raise ValueError("no run was made by both players (set execute=true for the study)")
    return tables_figure({"": paired})


def pairs(table: DataFrame) -> list[FidelityRow]:
    """Runs that were simulated and measured, as rows of a validation. Raises ValueError for two of the same run."""
    columns = [name for name in identity(table) if name != "player"]
    by_player: dict[str, dict[tuple[Value, ...], dict[str, Value]]] = {"simulated": {}, "measured": {}}
    for run in records(table):
        if run["status"] != "done" or run["player"] not in by_player:
            continue
        key, mine = tuple(run[name] for name in columns), by_player[str(run["player"])]
        if key in mine:
            raise ValueError(f"two {run['player']} runs are the same: {', '.join(map(str, key))}")
        mine[key] = run
    return [
        _pair(simulated, measured, ", ".join(str(part) for part in key if part is not None))
        for key, simulated in by_player["simulated"].items()
        if (measured := by_player["measured"].get(key)) is not None
    ]


def _pair(simulated: dict[str, Value], measured: dict[str, Value], plan: str) -> FidelityRow:
    """The median of the iterations counts; their extremes are known where there were several."""
    ends = [measured[name] for name in ("makespan_low_s", "makespan_high_s") if measured[name] is not None]
    return row(
        strategy=str(simulated["method"]),
        plan=plan,
        kind=ITERATION,
        tasks=1,
        simulated_s=float(simulated["makespan_s"] or 0.0),
        measured_s=sorted(float(seconds or 0.0) for seconds in (*ends, measured["makespan_s"])),
        disturbed=float(share) if (share := measured.get("disturbed")) is not None else None,
    )


def parity_figure(folder: Path, testbed: str) -> Figure:
    """A panel for every ``<testbed>_*.csv`` of the folder that holds a played plan."""
    tables = {
        path.stem: from_csv(text_of(path, "table"), source=str(path))
        for path in sorted(folder.glob(f"{testbed}_*.csv"), key=_rate, reverse=True)
    }
    tables = {name: rows for name, rows in tables.items() if summary(rows)["plans"]}
    if not tables:
        raise ValueError(
            f"{folder} holds no table of testbed {testbed!r} with a played plan (run python -m experiments.validate)"
        )
    return tables_figure(
        {f"{reader_name(testbed, 'testbed')}, {_rate_text(name)}": rows for name, rows in tables.items()}
    )


def parts_figure(table: DataFrame) -> Figure:
    """A panel for each part of the study of drawn plans. Raises ValueError if none of its plans was executed."""
    parts: dict[str, list[FidelityRow]] = {}
    for plan in records(table):
        if plan["measured_s"] is None:
            continue
        rows = parts.setdefault(f"{plan['part']} part", [])
        rows.append(
            row(
                strategy=str(plan["strategy"]),
                plan=f"{plan['setting']}, {plan['plan']}",
                kind=ITERATION,
                tasks=1,
                simulated_s=float(plan["simulated_s"] or 0.0),
                measured_s=[float(plan[name] or 0.0) for name in ("measured_low_s", "measured_s", "measured_high_s")],
                disturbed=float(share) if (share := plan["disturbed"]) is not None else None,
            )
        )
    if not parts:
        raise ValueError("no plan was executed (run python -m experiments.fidelity_study)")
    return tables_figure(parts)


def tables_figure(tables: Mapping[str, Sequence[FidelityRow]]) -> Figure:
    """A column per table, three at most beside each other: parity above errors."""
    columns, bands = min(len(tables), _ABREAST), -(-len(tables) // _ABREAST)
    width = ONE_COLUMN_IN if columns == 1 else TWO_COLUMNS_IN
    with plt.rc_context(RC):
        figure, axes = plt.subplots(
            2 * bands,
            columns,
            squeeze=False,
            figsize=(width, bands * ((width / columns - 0.45) * (1 + _ERRORS) + 0.65)),
            height_ratios=(1, _ERRORS) * bands,
        )
        for ax in axes.flat[2 * columns * (bands - 1) :]:
            ax.set_visible(False)
        for place, (title, rows) in enumerate(tables.items()):
            band, column = divmod(place, columns)
            pair = axes[2 * band : 2 * band + 2, column]
            draw(rows, *pair)
            pair[0].set_title(title, loc="left")
            for ax in pair:
                ax.set_visible(True)
        entries = {
            text: handle for ax in figure.axes for handle, text in zip(*ax.get_legend_handles_labels(), strict=True)
        }
        legend = {"handletextpad": 0.4, "title": GREY_IS, "title_fontsize": SMALL_PT, "alignment": "left"}
        if len(entries) <= _ROOM:
            axes[0, 0].legend(entries.values(), entries.keys(), loc="upper left", **legend)
        else:  # more of them would lie on the diagonal
            abreast = _ABREAST if columns > 1 else _ABREAST_IN_ONE_COLUMN
            figure.set_figheight(figure.get_figheight() + _LINE_IN * (1 + -(-len(entries) // abreast)))
            figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=abreast, **legend)
        figure.align_ylabels()
    return figure


def _rate(path: Path) -> float:
    return float(path.stem.rpartition("_")[2].removesuffix("mbit"))


def _rate_text(name: str) -> str:
    return f"{name.rpartition('_')[2].removesuffix('mbit')} Mbit/s"
