"""How do all figures look? Widths of paper columns, sizes of type, and colours that keep their meaning."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from edgesim.schedule import MESSAGE, Op, Payload, Task
from experiments.analysis.drawn import KEY, description
from experiments.analysis.names import reader_name

if matplotlib.get_backend(auto_select=False) is None:  # a notebook has chosen how it shows figures
    matplotlib.use("Agg")

ONE_COLUMN_IN, TWO_COLUMNS_IN = 3.33, 7.0
SMALL_PT, TEXT_PT = 7, 8

# Okabe & Ito (2008): told apart with any colour vision.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY, PAPER = "#999999", "#F4F4F4"
# For what has no look of its own, one after the other.
COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK)
DASHES = ("-", "--", ":", "-.")

# What a rank does: colour, and a hatch for print without colour. Communication is hatched.
OPS: Mapping[str, tuple[str, str]] = {
    "forward": (BLUE, ""),
    "backward": (ORANGE, ""),
    "recomputation": (SKY, ""),
    "update": (BLACK, ""),
    "activation": (SKY, "////"),
    "gradient": (YELLOW, "\\\\\\\\"),
    "tile": (PURPLE, "||||"),
    "partial sum": (VERMILION, "----"),
    "keys and values": (PURPLE, "++++"),
    "vocabulary": (BLACK, "oooo"),
    "all-reduce": (GREEN, "xxxx"),
    "other": (GREY, "...."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How one method is told from the others, also in print without colour."""

    colour: str
    marker: str
    dashes: str | tuple[float, tuple[float, ...]]
    hatch: str


# Ways to share the model, then published systems, in the order of legends; the first one in a table is what speed-ups
# are over.
METHODS: Mapping[str, Look] = {
    "local": Look(colour=BLACK, marker="P", dashes=(0, (1, 1)), hatch=""),
    "data": Look(colour=VERMILION, marker="o", dashes="-", hatch="////"),
    "sequence": Look(colour=ORANGE, marker="v", dashes=(0, (5, 1, 1, 1, 1, 1)), hatch="----"),
    "tensor": Look(colour=SKY, marker="D", dashes=(0, (3, 1)), hatch="++++"),
    "pipeline": Look(colour=BLUE, marker="s", dashes="--", hatch="\\\\\\\\"),
    "hybrid_pipeline": Look(colour=GREEN, marker="^", dashes="-.", hatch="...."),
    "hybrid_model": Look(colour=PURPLE, marker="X", dashes=(0, (6, 2)), hatch="xxxx"),
    "megatron_tp": Look(colour=SKY, marker="d", dashes=(0, (3, 1, 1, 1)), hatch="++"),
    "sequence_parallel": Look(colour=ORANGE, marker="h", dashes=(0, (5, 1)), hatch="--"),
    "galaxy_without_overlap": Look(colour=GREEN, marker="p", dashes=(0, (1, 1)), hatch="oo"),
    "galaxy": Look(colour=PURPLE, marker="8", dashes="-", hatch="xx"),
    "asteroid": Look(colour=BLACK, marker="*", dashes="-", hatch="**"),
    "ddp": Look(colour=VERMILION, marker="<", dashes=(0, (4, 1)), hatch="///"),
    "eddl_even": Look(colour=VERMILION, marker="2", dashes=(0, (1, 2)), hatch="//"),
    "eddl_proportional": Look(colour=VERMILION, marker=">", dashes=(0, (2, 1)), hatch="/"),
    "gpipe": Look(colour=SKY, marker="x", dashes=(0, (3, 2)), hatch="\\\\\\"),
    "eco_fl": Look(colour=BLUE, marker="1", dashes=(0, (6, 1)), hatch="\\\\"),
    "pipedream": Look(colour=GREEN, marker="3", dashes=(0, (2, 3)), hatch=".."),
    "dapple": Look(colour=GREEN, marker="4", dashes=(0, (4, 2, 1, 2)), hatch="..."),
    "hetpipe": Look(colour=PURPLE, marker="+", dashes=(0, (1, 3)), hatch="|"),
}
# The same way to share a model, planned in another way: it looks alike unless both stand in one figure.
_ALIKE = {
    "one_device": "local",
    "data_parallel": "data",
    "pipeline_exhaustive": "pipeline",
    "pipeline_ilp": "pipeline",
    "hybrid_parallel": "hybrid_pipeline",
}
# For methods that are not listed: by a checksum of the name, so that each keeps its look from figure to figure.
_FURTHER = tuple(
    Look(colour=colour, marker=marker, dashes=dashes, hatch=hatch)
    for marker, dashes, hatch in (("<", ":", "oo"), ("*", (0, (8, 2)), "**"), (">", (0, (2, 2)), "||"))
    for colour in (PURPLE, SKY, ORANGE, YELLOW, GREY)
)


def looks(methods: Iterable[str]) -> dict[str, Look]:
    """A look for every method, no two alike, in the order of legends."""
    names = set(methods)
    look_of = {name: look for name, look in METHODS.items() if name in names}
    for name in sorted(names - look_of.keys()):
        if (look := METHODS.get(_ALIKE.get(name, ""))) is not None and look not in look_of.values():
            look_of[name] = look
            continue
        start = crc32(name.encode()) % len(_FURTHER)
        free = [look for look in (*_FURTHER[start:], *_FURTHER[:start]) if look not in look_of.values()]
        if not free:
            raise ValueError(
                f"{len(names)} methods in one figure: at most {len(METHODS) + len(_FURTHER)} can be told apart"
            )
        look_of[name] = free[0]
    return dict(sorted(look_of.items(), key=lambda entry: (ORDER.get(label(entry[0]), len(ORDER)), entry[0])))


def label(name: str) -> str:
    """A method's name as a reader of a paper writes it."""
    return reader_name(name)


# Of legends: by the way to share the model.
ORDER: Mapping[str, int] = {
    label(name): place
    for place, way in enumerate(METHODS)
    for name in (way, *(other for other, like in _ALIKE.items() if like == way))
}


RC = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": TEXT_PT,
    "axes.labelsize": TEXT_PT,
    "axes.titlesize": TEXT_PT,
    "xtick.labelsize": SMALL_PT,
    "ytick.labelsize": SMALL_PT,
    "legend.fontsize": SMALL_PT,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.0,
    "hatch.linewidth": 0.35,
    "pdf.fonttype": 42,  # text stays text
    "figure.constrained_layout.use": True,
}


_BY_OP = {
    Op.F: "forward",
    Op.B: "backward",
    Op.RECOMPUTE: "recomputation",
    Op.UPDATE: "update",
    Op.ALL_REDUCE: "all-reduce",
}
_BY_PAYLOAD = {
    Payload.ACTIVATION: "activation",
    Payload.GRADIENT: "gradient",
    Payload.TILE: "tile",
    Payload.PARTIAL: "partial sum",
    Payload.KV: "keys and values",
    Payload.VOCABULARY: "vocabulary",
}


def meaning(task: Task) -> str:
    """The entry of :data:`OPS` for a task."""
    if task.op in MESSAGE and task.payload is not None:
        return _BY_PAYLOAD.get(task.payload, "other")
    return _BY_OP.get(task.op, "other")


_TINY = 20  # times larger is a neighbour beside which a value cannot be read off a linear axis


def readable_scale(axes: Sequence[Axes]) -> None:
    """A logarithmic y axis in all panels if in one of them the largest value is more than 20 times the smallest."""
    heights = [values for ax in axes if (values := _heights(ax))]
    if not any(max(values) > _TINY * min(values) for values in heights):
        return
    for ax, values in zip((ax for ax in axes if _heights(ax)), heights, strict=True):
        ax.set_yscale("log")
        ax.set_ylim(min(values) / 1.8, max(values) * 1.5)
        log_axis(ax.yaxis)


def _heights(ax: Axes) -> list[float]:
    """All positive values that bars and points show."""
    bars = [bar.get_height() for container in ax.containers for bar in container if isinstance(bar, Rectangle)]
    points = [
        float(value)
        for line in ax.lines
        if line.get_transform() == ax.transData and line.get_marker() not in ("None", "", None)
        for value in line.get_ydata()
    ]
    return [value for value in (*bars, *points) if math.isfinite(value) and value > 0]


def log_axis(axis: Axis, *, ticks: Sequence[float] | None = None) -> None:
    """Plain numbers on a logarithmic axis whose data is drawn: at ``ticks``, or at round ones as many as have room."""
    low, high = axis.get_view_interval()
    decades = math.log10(high / low)
    subs = (
        (1, 1.5, 2, 3, 4, 5, 7)
        if decades < 0.6
        else (1, 2, 3, 5)
        if decades < 1.2
        else (1, 3)
        if decades < 2.5
        else (1,)
    )
    axis.set_major_locator(FixedLocator(ticks) if ticks is not None else LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def save(figure: Figure, stem: Path) -> Path:
    """Write ``stem.pdf`` and ``stem.png`` and close the figure; the same figure gives the same bytes.

    The PNG says in its texts what it shows (:mod:`experiments.analysis.drawn`).
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    pdf, png = (stem.with_name(f"{stem.name}.{ending}") for ending in ("pdf", "png"))
    _write(figure, pdf)
    _write(figure, png)
    plt.close(figure)
    return pdf


def written(figure: Figure, path: str | Path | None) -> Figure:
    """The figure, closed, and written where a path is given. Raises ValueError if that ends like no figure."""
    plt.close(figure)  # a notebook shows what a cell returns, and would show an open figure twice
    if path is not None:
        target = Path(path)
        if target.suffix not in _HOW:
            raise ValueError(f"{target} does not end like a figure (say {', '.join(_HOW)})")
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(figure, target)
    return figure


# By its ending, what of a file would change from day to day.
_HOW: Mapping[str, Mapping[str, None]] = {
    ".png": {"Software": None},
    ".pdf": {"CreationDate": None},
    ".svg": {"Date": None},
}


def _write(figure: Figure, path: Path) -> None:
    told = {KEY: description(figure)} if path.suffix == ".png" else {}
    with plt.rc_context(RC):
        figure.savefig(path, dpi=200, metadata={**_HOW[path.suffix], **told})
