"""Which messages gather tiles from all ranks, or add partial sums up for their owners? Rings and stars.

Ranks are positions 0..n-1 in a stage, and every rank owns one tile. A ring pays n - 1 latencies and loads all links
alike; a star pays two, and its hub, position 0, carries everything. Both ends of a connection read the same list of
hops, so their messages have the same order.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from edgesim.since_3_11 import StrEnum


class CollectiveAlgorithm(StrEnum):
    """How a collective moves its messages: around a ring, or through a hub."""

    RING = "ring"
    STAR = "star"


class Hop(NamedTuple):
    """A message that carries a tile, or a partial sum of one, from one position to another."""

    tile: int
    source: int
    destination: int


def gather(ranks: int, algorithm: CollectiveAlgorithm, at: int | None = None) -> Iterator[Hop]:
    """Yield the hops of an all-gather, which brings every tile to every position; or only those to or from ``at``.

    Ring: in step i position d passes on tile d - i (Galaxy, arXiv 2405.17245: what entering products wait for).

    >>> [tuple(hop) for hop in gather(2, CollectiveAlgorithm.STAR)]
    [(1, 1, 0), (0, 0, 1)]
    """
    if algorithm is CollectiveAlgorithm.RING:
        senders = _senders(ranks, at)
        for step in range(ranks - 1):
            for d in senders:
                yield Hop((d - step) % ranks, d, (d + 1) % ranks)
        return
    around = _around_hub(ranks, at)
    for tile in around:
        yield Hop(tile, tile, 0)
    for tile in range(ranks):
        for d in around:
            if d != tile:
                yield Hop(tile, 0, d)


def scatter(ranks: int, algorithm: CollectiveAlgorithm, at: int | None = None) -> Iterator[Hop]:
    """Yield the hops of a reduce-scatter: partial sums travel to the tile's owner and grow at each position on the way.

    Or only those to or from ``at``.

    Ring: in step i position d passes on the sum for owner d - 1 - i (Galaxy: what exiting products feed).

    >>> [tuple(hop) for hop in scatter(2, CollectiveAlgorithm.STAR)]
    [(0, 1, 0), (1, 0, 1)]
    """
    if algorithm is CollectiveAlgorithm.RING:
        senders = _senders(ranks, at)
        for step in range(ranks - 1):
            for d in senders:
                yield Hop((d - 1 - step) % ranks, d, (d + 1) % ranks)
        return
    around = _around_hub(ranks, at)
    for tile in range(ranks):
        for d in around:
            if d != tile:
                yield Hop(tile, d, 0)
    for tile in around:
        yield Hop(tile, 0, tile)


def _senders(ranks: int, at: int | None) -> Sequence[int]:
    """Who sends in a step of the ring; to or from one position: itself, and the one before it."""
    return range(ranks) if at is None else sorted({(at - 1) % ranks, at})


def _around_hub(ranks: int, at: int | None) -> Sequence[int]:
    """Who exchanges anything with the hub; of one position that is not the hub, only itself."""
    return (at,) if at else range(1, ranks)
