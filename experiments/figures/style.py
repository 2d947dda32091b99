"""How do all figures look? Widths of paper columns, sizes of type, and colours that keep their meaning."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from edgesim.schedule import MESSAGE, Op, Payload, Task

matplotlib.use("Agg")

ONE_COLUMN_IN, TWO_COLUMNS_IN = 3.33, 7.0
SMALL_PT, TEXT_PT = 7, 8

# Okabe & Ito (2008): told apart with any colour vision.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY, PAPER = "#999999", "#F4F4F4"

# What a rank does: colour, and a hatch for print without colour. Communication is hatched.
OPS: Mapping[str, tuple[str, str]] = {
    "forward": (BLUE, ""),
    "backward": (ORANGE, ""),
    "update": (BLACK, ""),
    "activation": (SKY, "////"),
    "gradient": (YELLOW, "\\\\\\\\"),
    "all-reduce": (GREEN, "xxxx"),
    "other": (GREY, "...."),
}

# A way to share the model: colour, marker, dashes.
METHODS: Mapping[str, tuple[str, str, str]] = {
    "data": (VERMILION, "o", "-"),
    "pipeline": (BLUE, "s", "--"),
    "hybrid_pipeline": (GREEN, "^", "-."),
    "other": (PURPLE, "D", ":"),
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


_BY_OP = {Op.F: "forward", Op.B: "backward", Op.UPDATE: "update", Op.ALL_REDUCE: "all-reduce"}
_BY_PAYLOAD = {Payload.ACTIVATION: "activation", Payload.GRADIENT: "gradient"}


def meaning(task: Task) -> str:
    """The entry of :data:`OPS` for a task."""
    if task.op in MESSAGE and task.payload is not None:
        return _BY_PAYLOAD.get(task.payload, "other")
    return _BY_OP.get(task.op, "other")


def method(strategy: str) -> tuple[str, str, str]:
    """Colour, marker and dashes of a strategy."""
    return METHODS.get(strategy, METHODS["other"])


def save(figure: Figure, stem: Path) -> Path:
    """Write ``stem.pdf`` and ``stem.png``; the same figure gives the same bytes."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    pdf, png = (stem.with_name(f"{stem.name}.{ending}") for ending in ("pdf", "png"))
    figure.savefig(pdf, metadata={"CreationDate": None})
    figure.savefig(png, dpi=200, metadata={"Software": None})
    return pdf
