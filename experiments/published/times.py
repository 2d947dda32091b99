"""How long does a sample take on a Jetson Nano? Figure 8a of PAC's paper, fitted to T5-Base alone."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from edgesim.cluster import Device, EfficiencyCurve
from edgesim.profile import BACKWARD, FORWARD, Portion, estimated_s
from experiments.configuration.command_line import composed
from experiments.configuration.constructors import build
from experiments.published.claims import (
    FILLS_CACHE,
    PAC,
    SAMPLES,
    TOKENS,
    WITH_CACHE,
    Claim,
    model,
    numbers,
    technique_constants,
)
from experiments.published.constants import Constant, ConstantOrigin, Row

ITEM = "Fig. 8a"
ITEMS = (ITEM,)
_FITTED_TO = "T5-Base"
CURVE = Constant(
    name="efficiency of a Jetson Nano",
    origin=ConstantOrigin.FITTED,
    rows=frozenset(
        Row(PAC, ITEM, _FITTED_TO, method, "total per sample")
        for method in ("Full", "Adapters", "LoRA", FILLS_CACHE, WITH_CACHE)
    ),
)
# Where the curve bends: about the smallest and the largest block's FLOP of these models at 16 x 128 tokens.
_KNOTS_FLOP = (3e8, 3e10)
_RELATIVE = 0.02  # errors beyond 2 % count less than by their square: one odd row must not bend the curve


def claims() -> Iterator[Claim]:
    """Seconds per sample, forward and in total."""
    nano = fitted_nano()
    for row, (value, unit) in numbers(item=ITEM).items():
        yield Claim(
            row=row,
            unit=unit,
            published=value,
            predicted=seconds(nano, row.model, row.method, row.metric),
            constants=(CURVE, *technique_constants(row.method)),
        )


def fitted_nano() -> Device:
    """The Jetson Nano with an efficiency curve of two points, fitted to T5-Base's seconds in total."""
    nano: Device = build(composed("cluster=nanos", "cluster.count=1").cluster).devices[0]
    rows = [(row, value) for row, (value, _) in numbers(item=ITEM).items() if row in CURVE.rows]

    def errors(fractions: NDArray[np.float64]) -> list[float]:
        device = with_curve(nano, fractions)
        return [seconds(device, row.model, row.method, row.metric) / value - 1 for row, value in rows]

    fit = least_squares(errors, np.full(len(_KNOTS_FLOP), 0.5), bounds=(0.01, 1.0), loss="soft_l1", f_scale=_RELATIVE)
    return with_curve(nano, fit.x)


def with_curve(device: Device, fractions: NDArray[np.float64]) -> Device:
    """The device with these fractions of its peak at the knots."""
    curve = EfficiencyCurve(
        kind="any",
        work_flop=_KNOTS_FLOP,
        fraction=tuple(float(x) for x in fractions),
        source=f"fitted to {len(fractions)} knots on {PAC}, {ITEM}, {_FITTED_TO}, total per sample",
    )
    return replace(device, efficiency=(curve,))


def seconds(device: Device, title: str, method: str, metric: str) -> float:
    """The seconds of one sample of sixteen: the sum over all blocks, as over the stages of a pipeline."""
    ops = (FORWARD,) if metric == "forward per sample" else (FORWARD, BACKWARD)
    blocks = [block for layer in model(title, method).layers for block in layer.blocks]
    return sum(estimated_s(device, block, op, Portion(SAMPLES, TOKENS)) for block in blocks for op in ops) / SAMPLES
