"""How is a whole number shared out in proportion? Largest remainders: samples, heads, columns, tokens."""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import floor


def largest_remainder(total: int, weights: Sequence[float]) -> tuple[int, ...]:
    """Share a total in proportion to weights, in whole numbers; the largest remainders get what is left over.

    >>> largest_remainder(7, [1, 1, 1]), largest_remainder(10, [6, 3, 1.5])
    ((3, 2, 2), (6, 3, 1))
    """
    exact = [total * weight / sum(weights) for weight in weights]
    shares = [floor(share) for share in exact]
    by_remainder = sorted(range(len(shares)), key=lambda i: (shares[i] - exact[i], i))
    for i in by_remainder[: total - sum(shares)]:
        shares[i] += 1
    return tuple(shares)


def even_shares(total: int, parts: int) -> tuple[int, ...]:
    """Share a total as equally as whole numbers can; where they cannot be equal, the first ones are larger by one.

    >>> even_shares(7, 3), even_shares(1, 2)
    ((3, 2, 2), (1, 0))
    """
    least, larger = divmod(total, parts)
    return (least + 1,) * larger + (least,) * (parts - larger)


def at_least_one(total: int, weights: Sequence[float]) -> tuple[int, ...]:
    """Share as :func:`largest_remainder` does, but with at least one for everybody, taken from the largest share.

    Raises ValueError if there is too little for everybody.

    >>> at_least_one(12, [100, 1, 1])
    (10, 1, 1)
    """
    if total < len(weights):
        raise ValueError(f"{total} cannot be shared by {len(weights)} with at least one each (leave some out)")
    shares = list(largest_remainder(total, weights))
    while 0 in shares:
        shares[shares.index(max(shares))] -= 1
        shares[shares.index(0)] += 1
    return tuple(shares)


def refuse_remainder(owner: str, *, divided: tuple[str, int], by: tuple[str, int]) -> None:
    """Raise ValueError, with numbers to try, unless the first named number is a multiple of the second.

    >>> refuse_remainder("workload", divided=("batch_samples", 7), by=("micro_batch_samples", 2))
    Traceback (most recent call last):
    ValueError: workload: batch_samples=7 is not a multiple of micro_batch_samples=2 (try 6 or 8)
    """
    (name, number), (divisor_name, divisor) = divided, by
    if number % divisor:
        below = number - number % divisor
        nearest = " or ".join(str(multiple) for multiple in (below, below + divisor) if multiple)
        raise ValueError(f"{owner}: {name}={number} is not a multiple of {divisor_name}={divisor} (try {nearest})")


def ranges(shares: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Return the half-open ranges that consecutive shares cover.

    >>> ranges((3, 2))
    ((0, 3), (3, 5))
    """
    return tuple(pairwise(accumulate(shares, initial=0)))
