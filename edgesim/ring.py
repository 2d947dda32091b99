"""What does a ring of ranks pass on in an all-reduce, all-gather or reduce-scatter? Steps, bytes and seconds.

In every step each rank passes the n-th part of the tensor to the next: n - 1 steps gather all parts, or add them up;
an all-reduce does both (Patarasuk & Yuan, JPDC 2009).
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Amount = TypeVar("Amount", float, NDArray[np.float64])


def ring_steps(ranks: int, *, all_reduce: bool = True) -> int:
    """Count the messages that each rank sends: 2(n-1) in an all-reduce, else n-1.

    >>> ring_steps(4), ring_steps(4, all_reduce=False), ring_steps(1)
    (6, 3, 0)
    """
    return (2 if all_reduce else 1) * (ranks - 1)


def ring_traffic(ranks: int) -> float:
    """Return how many times the tensor's bytes each rank sends in an all-reduce: 2(n-1)/n.

    >>> ring_traffic(4), ring_traffic(1)
    (1.5, 0.0)
    """
    return ring_steps(ranks) / ranks


def all_reduce_s(nbytes: Amount, ranks: int, seconds_per_byte: float, latency_s: float) -> Amount:
    """Return the seconds of an all-reduce, given what its slowest hop takes per byte and per message.

    >>> all_reduce_s(8.0, 4, 0.5, 0.25)
    7.5
    """
    return ring_steps(ranks) * (nbytes / ranks * seconds_per_byte + latency_s)
