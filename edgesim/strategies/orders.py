"""In which order does a stage compute its micro-batches? Shared by all strategies with micro-batches."""

from collections.abc import Iterator

from edgesim.schedule import Op


def one_forward_one_backward(*, micro_batches: int, in_flight: int) -> Iterator[tuple[Op, int]]:
    """Yield ``in_flight`` forwards to warm up, then backwards and forwards in turn, and backwards to cool down.

    With ``in_flight = micro_batches`` this is GPipe (all forwards, then all backwards); with P - p the 1F1B of
    PipeDream-Flush; with 2(P - p) - 1 Asteroid's.

    >>> [f"{op}{m}" for op, m in one_forward_one_backward(micro_batches=3, in_flight=2)]
    ['F0', 'F1', 'B0', 'F2', 'B1', 'B2']
    """
    for m in range(min(in_flight, micro_batches)):
        yield Op.F, m
    for m in range(micro_batches):
        yield Op.B, m
        if m + in_flight < micro_batches:
            yield Op.F, m + in_flight
