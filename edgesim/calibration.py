"""How efficient is a device really? Efficiency curves fitted to measured seconds, and how well they explain them.

A measured block of w FLOP that took t seconds reached the fraction w / (t flop_per_s) of its device's peak. A curve
through the fractions of a few blocks predicts all others, so that a device measured with one model can be estimated for
the next.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from statistics import median

import numpy as np
from numpy.typing import NDArray

from edgesim.cluster import Device, EfficiencyCurve
from edgesim.errors import ProfileError
from edgesim.model import Block, Model
from edgesim.profile import FORWARD, UPDATE, Point, estimated_s

ANY = "any"
_MOST_CANDIDATES = 16  # knots to choose from; more cost time and find no better curve
_NO_LOSS = 1e-6  # relative error below which a curve with a knot less is the same curve
_ROUNDING = 1e-9  # by which a fraction of 1 may come out above 1
Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A device with fitted curves; relative ``errors`` of each used point's seconds; ``left_out`` points by reason."""

    device: Device
    used: tuple[Point, ...]
    errors: tuple[float, ...]
    left_out: Mapping[str, int]

    def __str__(self) -> str:
        curves = "\n".join(f"  {_curve_text(curve)}" for curve in self.device.efficiency)
        left = "; ".join(f"{count} points left out: {reason}" for reason, count in self.left_out.items())
        return (
            f"{self.device.name}: fitted to {len(self.used)} points, whose seconds it meets within "
            f"{median(self.errors):.1%} (median) and {max(self.errors):.1%} (worst)\n{curves}"
            + (f"\n  {left}" if left else "")
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _ReachedFraction:
    """A point as the curves see it; ``flop`` is the work at which its fraction of the peak counts."""

    point: Point
    blocks: tuple[Block, ...]
    kind: str
    flop: float
    fraction: float


def fit_efficiency(points: Sequence[Point], model: Model, device: Device, *, knots: int = 4) -> Fit:
    """Fit curves of at most ``knots`` knots: one for each kind of block that was timed alone, and one for any kind.

    The one for any rests on layers timed as a whole, or on all points where there are none. Least squares of relative
    error over the logarithm of work. Raises ProfileError where a point is faster than the device's peak, which is then
    wrong, and where no point says anything about arithmetic.
    """
    if knots < 1:
        raise ValueError(f"an efficiency curve needs at least one knot, got knots={knots}")
    reached: list[_ReachedFraction] = []
    left_out: dict[str, int] = defaultdict(int)
    for point in points:
        fraction = _reached(point, model, device)
        if isinstance(fraction, _ReachedFraction):
            reached.append(fraction)
        else:
            left_out[fraction] += 1
    if not reached:
        raise ProfileError(f"{device.name}: no point tells its efficiency ({'; '.join(left_out) or 'there is none'})")
    kinds = {each.kind for each in reached}
    curves = [_curve(kind, [each for each in reached if each.kind == kind], knots) for kind in sorted(kinds - {ANY})]
    curves.append(_curve(ANY, [each for each in reached if ANY not in kinds or each.kind == ANY], knots))
    fitted = replace(device, efficiency=tuple(curves))
    used = tuple(each.point for each in reached)
    return Fit(device=fitted, used=used, errors=prediction_errors(used, model, fitted), left_out=dict(left_out))


def prediction_errors(points: Sequence[Point], model: Model, device: Device) -> tuple[float, ...]:
    """Return how far the device's estimate is from the seconds of each point, relative to them."""
    guesses = [
        sum(estimated_s(device, block, point.op, point.portion) for block in _blocks(point, model)) for point in points
    ]
    return tuple(abs(guess / point.seconds - 1) for guess, point in zip(guesses, points, strict=True))


def held_out_error(points: Sequence[Point], model: Model, device: Device, *, knots: int = 4) -> float | None:
    """Return the median error at every second sample count under a fit to the others; None for a single count."""
    counts = sorted({point.samples for point in points if point.op != UPDATE})
    known = [point for point in points if point.samples in counts[::2]]
    asked = [point for point in points if point.samples in counts[1::2]]
    told = [point for point in asked if isinstance(_reached(point, model, device), _ReachedFraction)]
    if not told:
        return None
    return median(prediction_errors(told, model, fit_efficiency(known, model, device, knots=knots).device))


def _reached(point: Point, model: Model, device: Device) -> _ReachedFraction | str:
    """Return what the point says about arithmetic, or why it says nothing."""
    if point.op == UPDATE:
        return "steps of the optimiser"
    if point.share != 1:
        return "a share of a block"
    blocks = _blocks(point, model)
    flops = [_flop(block, point) for block in blocks]
    if not (total := sum(flops)):
        return "no FLOP, so bound by memory"
    touched = (
        (block.forward_bytes if point.op == FORWARD else block.backward_bytes)(
            point.samples, point.tokens, point.keys or None
        )
        for block in blocks
    )
    moved_s = sum(touched) / device.memory_bytes_per_s
    if point.seconds <= moved_s:
        return "as fast as memory_bytes_per_s allows, or faster"
    fraction = total / (device.flop_per_s * (point.seconds - moved_s))
    if fraction > 1 + _ROUNDING:
        raise ProfileError(
            f"{device.name}: {point.op} of {point.block} with {point.samples} samples reached {fraction:.3g} of "
            f"flop_per_s={device.flop_per_s:g}: that peak is too low (raise it)"
        )
    kinds = {str(block.kind) for block, flop in zip(blocks, flops, strict=True) if flop}
    log_flop = sum(flop * log(flop) for flop in flops if flop) / total
    return _ReachedFraction(
        point=point,
        blocks=blocks,
        kind=kinds.pop() if len(kinds) == 1 else ANY,
        flop=float(np.exp(log_flop)),
        fraction=fraction,
    )


def _flop(block: Block, point: Point) -> float:
    cost = block.forward_flop if point.op == FORWARD else block.backward_flop
    return cost(point.samples, point.tokens, point.keys or None)


def _blocks(point: Point, model: Model) -> tuple[Block, ...]:
    """The blocks that a point's ``layer`` names, or the one that is its ``layer/block`` or ``layer/block.part``."""
    name, _, wanted = point.block.partition("/")
    blocks = [
        part
        for layer in model.layers
        if layer.name == name
        for block in layer.blocks
        for part in ((block, *block.parts) if wanted else (block,))
        if wanted in ("", part.name)
    ]
    if not blocks:
        raise ProfileError(f"{model.name} has no block {point.block!r} (take a profile of this model)")
    return tuple(blocks)


def _curve(kind: str, reached: Sequence[_ReachedFraction], knots: int) -> EfficiencyCurve:
    at, fraction = _few_knots(
        np.log([each.flop for each in reached]), np.array([each.fraction for each in reached]), knots
    )
    if not np.all((fraction > 0) & (fraction <= 1 + _ROUNDING)):
        raise ProfileError(
            f"a curve of {len(at)} knots through the points of kind {kind} leaves (0, 1] (give it fewer knots)"
        )
    names = sorted({f"{each.point.op} of {each.point.block}" for each in reached})
    counts = sorted({each.point.samples for each in reached})
    return EfficiencyCurve(
        kind=kind,
        work_flop=tuple(np.exp(at).tolist()),
        fraction=tuple(np.minimum(fraction, 1).tolist()),
        source=f"fitted to {len(reached)} measured points ({', '.join(names)}; {', '.join(map(str, counts))} samples)",
    )


def _few_knots(log_flop: Numbers, fraction: Numbers, most: int) -> tuple[Numbers, Numbers]:
    """Knots and fractions of the best curve: of all works as knots, those go first that are missed least."""
    distinct = np.unique(log_flop)
    chosen = np.unique(np.linspace(0, len(distinct) - 1, min(len(distinct), _MOST_CANDIDATES)).round().astype(int))
    at = distinct[chosen]
    while len(at) > 1:
        fewer = [np.delete(at, i) for i in range(len(at))]
        losses = [_least_squares(log_flop, fraction, knots)[1] for knots in fewer]
        least = int(np.argmin(losses))
        if len(at) <= most and losses[least] > _NO_LOSS:
            break
        at = fewer[least]
    return at, _least_squares(log_flop, fraction, at)[0]


def _least_squares(log_flop: Numbers, fraction: Numbers, at: Numbers) -> tuple[Numbers, float]:
    """Fractions at the knots, and the root of the mean squared relative error that they leave."""
    weights = np.column_stack([np.interp(log_flop, at, unit) for unit in np.eye(len(at))]) / fraction[:, None]
    fractions: Numbers = np.linalg.lstsq(weights, np.ones(len(fraction)), rcond=None)[0].astype(np.float64)
    return fractions, float(np.sqrt(np.mean((weights @ fractions - 1) ** 2)))


def _curve_text(curve: EfficiencyCurve) -> str:
    knots = ", ".join(f"{f:.3f} at {w:.2g} FLOP" for w, f in zip(curve.work_flop, curve.fraction, strict=True))
    return f"{curve.kind}: {knots}; {curve.source}"
