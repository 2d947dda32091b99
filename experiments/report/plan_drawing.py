"""Where does everything live? A plan drawn over its devices: a row each, its layers in a bar, its memory beside it."""

from html import escape

from edgesim.units import mbit_per_s, show
from experiments.explain.inputs import rates_of
from experiments.explain.worlds import World
from experiments.figures.style import BLUE, COLOURS, GREY, PAPER

_LEFT, _BAR, _MEMORY, _ROW = 210, 480, 170, 44


def plan_svg(world: World) -> str:
    """The drawing, as SVG within the page."""
    setup, plan = world.setup, world.plan
    held = plan.memory(setup.model, setup.cluster, setup.workload)
    layers, rows = len(setup.model.layers), []
    for rank, device in enumerate(setup.cluster.devices):
        y = 20 + rank * _ROW
        rate = show_rate(min(rates_of(setup.cluster.network, rank), default=float("inf")))
        rows.append(_text(0, y + 13, f"{rank} {device.name}", bold=True))
        rows.append(_text(0, y + 27, f"{show(device.flop_per_s, 'FLOP/s')}, {rate}"))
        rows.append(_rect(_LEFT, y, _BAR, 28, PAPER, ""))
        for number, stage in enumerate(plan.stages):
            if rank in stage.ranks:
                first, last = stage.layers
                x, width = _LEFT + _BAR * first / layers, _BAR * (last - first) / layers
                held_here = f"layers {first}–{last - 1}" if last - first > 1 else f"layer {first}"
                how = f"{stage.share_text(rank)}, K={stage.in_flight}"
                rows.append(_rect(x, y, width, 28, COLOURS[number % len(COLOURS)], f"{held_here}, {how}"))
                rows.append(_text(x + 4, y + 12, held_here, colour="#fff"))
                rows.append(_text(x + 4, y + 24, how, colour="#fff"))
        if rank in held:
            total, usable = held[rank].total_bytes, device.budget_bytes(setup.head_room)
            share = min(total / usable, 1.0) if usable else 1.0
            x = _LEFT + _BAR + 20
            rows.append(_rect(x, y, _MEMORY, 12, PAPER, ""))
            rows.append(_rect(x, y, _MEMORY * share, 12, BLUE, f"{show(total, 'B')} of {show(usable, 'B')}"))
            rows.append(_text(x, y + 26, f"{show(total, 'B')} of {show(usable, 'B')}"))
        else:
            rows.append(_text(_LEFT + 6, y + 18, "without work", colour=GREY))
    width, height = _LEFT + _BAR + _MEMORY + 40, 24 + _ROW * len(setup.cluster.devices)
    heads = _text(_LEFT, 12, f"{layers} layers of {setup.model.name}") + _text(_LEFT + _BAR + 20, 12, "memory, at most")
    return (
        f'<svg class=plan xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role=img '
        f'aria-label="{escape(str(plan))}" font-family="system-ui, sans-serif" font-size="11">'
        f"{heads}{''.join(rows)}</svg>"
    )


def show_rate(bytes_per_s: float) -> str:
    """A line rate as networks are described."""
    return "no limit" if bytes_per_s == float("inf") else f"{mbit_per_s(bytes_per_s):.4g} Mbit/s"


def _text(x: float, y: float, text: str, *, bold: bool = False, colour: str = "#222") -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}"{weight}>{escape(text)}</text>'


def _rect(x: float, y: float, width: float, height: float, colour: str, says: str) -> str:
    title = f"<title>{escape(says)}</title>" if says else ""
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}"'
    return f'<rect {place} fill="{colour}" stroke="#fff">{title}</rect>'
