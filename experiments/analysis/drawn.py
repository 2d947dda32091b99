"""What does a figure show? Its texts and the numbers of everything drawn, as plain data that any machine gives alike.

A kept PNG holds this data as its description: whether the picture is still that of its table can be told without
comparing pixels, which fonts and smoothing change from machine to machine.
"""

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patches import Patch

KEY = "Description"  # of a PNG's texts
_DIGITS = 6


def drawn(figure: Figure) -> dict[str, Any]:
    """Panel by panel, and the texts of the legends."""
    legends = [*figure.legends, *(legend for ax in figure.axes if (legend := ax.get_legend()) is not None)]
    return {
        "panels": [_panel(ax) for ax in figure.axes],
        "legend": [text.get_text() for legend in legends for text in legend.get_texts()],
    }


def description(figure: Figure) -> str:
    """As a PNG holds it."""
    return json.dumps(drawn(figure), ensure_ascii=True, separators=(",", ":"))


def described(path: Path) -> dict[str, Any]:
    """What a kept PNG says that it shows. Raises ValueError if it says nothing."""
    for kind, data in _chunks(path.read_bytes()):
        name, _, text = data.partition(b"\0")
        if (kind, name) == (b"tEXt", KEY.encode()):
            shown: dict[str, Any] = json.loads(text)
            return shown
    raise ValueError(f"{path} does not say what it shows (draw it anew: python -m experiments.figures)")


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The parts of a PNG: behind eight bytes that say what it is, each has its length, kind, data and checksum."""
    at = 8
    while at < len(png):
        length = int.from_bytes(png[at : at + 4])
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += 12 + length


def _panel(ax: Axes) -> dict[str, Any]:
    return {
        "title": ax.get_title("left"),
        "axes": [_axis(ax.xaxis), _axis(ax.yaxis)],
        "lines": [[*map(_numbers, line.get_data())] for line in ax.lines if len(line.get_xdata())],
        "patches": [_corners(patch) for patch in ax.patches],
        "collections": [_numbers(path.vertices.ravel()) for each in ax.collections for path in each.get_paths()],
        "texts": [text.get_text() for text in ax.texts],
    }


def _axis(axis: Axis) -> list[Any]:
    return [axis.get_label_text(), axis.get_scale(), *_numbers(axis.get_view_interval())]


def _corners(patch: Patch) -> list[float | None]:
    """The lower left and the upper right one."""
    corners = patch.get_path().transformed(patch.get_patch_transform()).vertices
    return _numbers([*np.min(corners, axis=0), *np.max(corners, axis=0)])


def _numbers(values: Iterable[Any]) -> list[float | None]:
    """Six digits of each; None for what is no number."""
    return [float(f"{float(value):.{_DIGITS}g}") if math.isfinite(value) else None for value in values]
