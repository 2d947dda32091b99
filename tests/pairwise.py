"""Which few combinations hold every pair of two axes' values? They are always tried; all others by a soak."""

from collections.abc import Sequence
from itertools import combinations, product
from typing import Any

import pytest
from _pytest.mark import ParameterSet


def every_pair(*axes: Sequence[Any]) -> list[ParameterSet]:
    """All combinations of the axes' values, as parameters; those that no pair of values needs are marked as soaks."""
    chosen = _cover([len(axis) for axis in axes])
    return [
        pytest.param(
            *(axis[place] for axis, place in zip(axes, places, strict=True)),
            marks=() if places in chosen else pytest.mark.soak,
        )
        for places in product(*(range(len(axis)) for axis in axes))
    ]


def _cover(sizes: Sequence[int]) -> set[tuple[int, ...]]:
    """Combinations of places that hold all pairs: each time the first one that adds the most."""
    everything = list(product(*map(range, sizes)))
    missing = {pair for places in everything for pair in _pairs(places)}
    chosen: set[tuple[int, ...]] = set()
    while missing:
        best = max(everything, key=lambda places: len(missing & _pairs(places)))
        chosen.add(best)
        missing -= _pairs(best)
    return chosen


def _pairs(places: tuple[int, ...]) -> set[tuple[tuple[int, int], ...]]:
    return set(combinations(enumerate(places), 2))
