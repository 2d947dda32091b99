"""Which methods are worth their energy? Joules over seconds per iteration, with the Pareto front at each bandwidth.

Nobody measured a joule: they are computed from the times of a trace, simulated or measured, and from assumed watts.

A method is on the front if no other one at that bandwidth takes both less time and less energy; the others are pale.
"""

from itertools import pairwise

from matplotlib.axes import Axes
from pandas import DataFrame

from experiments.analysis.tidy import MBIT_PER_S
from experiments.figures.marks import IDENTITY, RATE, explain_repeats, means
from experiments.figures.style import BLACK, SMALL_PT, label, log_axis, looks

NEEDS = ("cluster", "model", RATE, *IDENTITY, "makespan_s", "energy_j")
_PALE = 0.3
_SIZE_PT = 3.4
_REACH = 1.2  # how far a front is drawn beyond its ends: so many times the value there
_FAR = 3.0  # times the slowest run of a front: beyond that no run is drawn
_MANY = 2000  # points of a method: as shapes of a PDF they would be slow to show
_GREYS = (0.8, 0.3)  # of the fronts, from the slowest links to the fastest


def axis(table: DataFrame) -> tuple[str, ...]:
    """Bandwidths share a panel, each with its front."""
    return (RATE,)


def draw(rows: DataFrame, ax: Axes) -> None:
    """A point per run, and a step line per bandwidth through those of the front; far slower runs are counted."""
    done = means(rows[rows["status"] == "done"], by=RATE, columns=("makespan_s", "energy_j"))
    done = _near(done, ax)
    rates = sorted(done[RATE].dropna().unique())
    on_front = set()
    ax.set(xscale="log", yscale="log")
    for place, rate in enumerate(rates):
        front = pareto(done[(done[RATE] == rate) & (done["player"] == "simulated")])
        on_front |= set(front.index)
        light, dark = _GREYS
        grey = light + (dark - light) * place / max(1, len(rates) - 1)
        _steps(ax, front, colour=str(round(grey, 3)), text=_text(rate, rates))
    pale = (done["player"] == "simulated") & ~done.index.isin(on_front)
    for method, look in looks(done["method"]).items():
        mine = done[done["method"] == method].assign(pale=pale)
        for (player, dominated), points in mine.groupby(["player", "pale"], sort=False):
            ax.plot(
                points["makespan_s"],
                points["energy_j"],
                marker=look.marker,
                markersize=_SIZE_PT,
                linestyle="none",
                color=look.colour,
                alpha=_PALE if dominated else 1.0,
                markerfacecolor="white" if player == "published" else look.colour,
                markeredgecolor=BLACK if player == "measured" else look.colour,
                markeredgewidth=0.8,
                zorder=2,
                rasterized=len(points) > _MANY,
            )
        ax.plot(
            [], [], marker=look.marker, markersize=_SIZE_PT, linestyle="none", color=look.colour, label=label(method)
        )
    several = done[done["repeats"] > 1]
    if len(several):
        reach = {"xerr": several["half.makespan_s"], "yerr": several["half.energy_j"]}
        at = several["makespan_s"], several["energy_j"]
        ax.errorbar(*at, **reach, linestyle="none", color=BLACK, elinewidth=0.6, zorder=1)
    explain_repeats(done, ax)
    for player, face, text in (("measured", BLACK, "from measured times"), ("published", "white", "published")):
        if (done["player"] == player).any():
            ax.plot([], [], "o", markersize=_SIZE_PT, color=BLACK, markerfacecolor=face, label=text)
    for each in (ax.xaxis, ax.yaxis):
        log_axis(each)
    ax.margins(0.12, 0.2)
    ax.set_xlabel("iteration time (s)")
    ax.set_ylabel("computed energy (J)")


def _near(done: DataFrame, ax: Axes) -> DataFrame:
    """The runs near the fronts. Points a long way off would leave no room for the others: they are counted."""
    simulated = done[done["player"] == "simulated"]
    slowest_s = max((pareto(mine)["makespan_s"].max() for _, mine in simulated.groupby(RATE)), default=float("inf"))
    far = done["makespan_s"] > _FAR * slowest_s
    if far.any():
        counts = done[far].groupby("method", sort=False).size()
        text = "\n".join(f"{label(str(method))}: {count} beyond" for method, count in counts.items())
        ax.text(0.99, 0.01, text, transform=ax.transAxes, ha="right", va="bottom", fontsize=SMALL_PT)
    return done[~far]


def pareto(rows: DataFrame) -> DataFrame:
    """The rows that no other row beats in both, by time."""
    ordered = rows.sort_values(["makespan_s", "energy_j"], kind="stable")
    least = ordered["energy_j"].cummin()
    return ordered[(ordered["energy_j"] == least) & ~ordered.duplicated(["makespan_s", "energy_j"])].drop_duplicates(
        "energy_j"
    )


def _steps(ax: Axes, front: DataFrame, *, colour: str, text: str) -> None:
    """Down to the front, along it, and to the right: what lies above and beyond is dominated."""
    points = list(zip(front["makespan_s"], front["energy_j"], strict=True))
    if not points:
        return
    first, last = points[0], points[-1]
    corners = [corner for here, there in pairwise(points) for corner in (here, (there[0], here[1]))]
    line = [(first[0], first[1] * _REACH), *corners, last, (last[0] * _REACH, last[1])]
    ax.plot(*zip(*line, strict=True), color=colour, linewidth=0.8, zorder=1, label=text)


def _text(rate: float, rates: list[float]) -> str:
    if len(rates) == 1:
        return "Pareto front"
    return f"front at {rate / MBIT_PER_S:g} Mbit/s" if rate in (rates[0], rates[-1]) else f"_{rate:g}"
