"""Which messages gather tiles from all ranks, or add partial sums up for their owners? Rings and stars.

Ranks are positions 0..n-1 in a stage, and every rank owns one tile. A ring pays n - 1 latencies and loads all links
alike; a star pays two, and its hub, position 0, carries everything. Both ends of a connection read the same list of
hops, so their messages have the same order.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple


class CollectiveAlgorithm(StrEnum):
    """How a collective moves its messages: around a ring, or through a hub."""

    RING = "ring"
    STAR = "star"


class Hop(NamedTuple):
    """A message that carries a tile, or a partial sum of one, from one position to another."""

    tile: int
    source: int
    destination: int


def gather(ranks: int, algorithm: CollectiveAlgorithm) -> Iterator[Hop]:
    """Yield the hops of an all-gather, which brings every tile to every position.

    Ring: in step i position d passes on tile d - i (Galaxy, arXiv 2405.17245: what entering products wait for).

    >>> [tuple(hop) for hop in gather(2, CollectiveAlgorithm.STAR)]
    [(1, 1, 0), (0, 0, 1)]
    """
    if algorithm is CollectiveAlgorithm.RING:
        for step in range(ranks - 1):
            for d in range(ranks):
                yield Hop((d - step) % ranks, d, (d + 1) % ranks)
        return
    for tile in range(1, ranks):
        yield Hop(tile, tile, 0)
    for tile in range(ranks):
        for d in range(1, ranks):
            if d != tile:
                yield Hop(tile, 0, d)


def scatter(ranks: int, algorithm: CollectiveAlgorithm) -> Iterator[Hop]:
    """Yield the hops of a reduce-scatter: partial sums travel to the tile's owner and grow at each position on the way.

    Ring: in step i position d passes on the sum for owner d - 1 - i (Galaxy: what exiting products feed).

    >>> [tuple(hop) for hop in scatter(2, CollectiveAlgorithm.STAR)]
    [(0, 1, 0), (1, 0, 1)]
    """
    if algorithm is CollectiveAlgorithm.RING:
        for step in range(ranks - 1):
            for d in range(ranks):
                yield Hop((d - 1 - step) % ranks, d, (d + 1) % ranks)
        return
    for tile in range(ranks):
        for d in range(1, ranks):
            if d != tile:
                yield Hop(tile, d, 0)
    for tile in range(1, ranks):
        yield Hop(tile, 0, tile)
