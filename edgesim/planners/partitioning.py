"""How are layers cut and samples moved? Even cuts, straggler moves, and cuts that are exactly best."""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import accumulate
from math import inf
from operator import add

from edgesim.apportion import even_shares


def even_cuts(layers: int, stages: int) -> tuple[int, ...]:
    """Return the boundaries of stages of equal length, the longer ones first: ``even_cuts(5, 2)`` is ``(0, 3, 5)``."""
    return (0, *accumulate(even_shares(layers, stages)))


def most(upper: int, fits: Callable[[int], bool]) -> int:
    """Return the largest number from 1 to ``upper`` that fits, where fewer fit if more do; 0 if none does.

    >>> most(10, lambda n: n * n <= 50)
    7
    """
    low, high = 0, upper
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def move_from_stragglers(
    shares: Sequence[int], seconds: Callable[[int, int], float], limits: Sequence[float] | None = None
) -> tuple[int, ...]:
    """Move samples off the slowest, one at a time, while its time falls; ``seconds(i, share)``.

    No share falls to 0, or rises beyond its limit.
    """
    moved, limits = list(shares), limits or [inf] * len(shares)
    while True:
        now_s = [seconds(i, share) for i, share in enumerate(moved)]
        slowest = now_s.index(max(now_s))
        others = [i for i in range(len(moved)) if i != slowest and moved[i] < limits[i]]
        if moved[slowest] == 1 or not others:
            return tuple(moved)
        taker = min(others, key=lambda i: seconds(i, moved[i] + 1))
        if seconds(taker, moved[taker] + 1) >= now_s[slowest]:
            return tuple(moved)
        moved[slowest] -= 1
        moved[taker] += 1


def fastest_cuts(
    layers: int,
    stages: int,
    seconds: Callable[[int, int, int], float],
    fits: Callable[[int, int, int], bool] = lambda p, start, stop: True,
) -> tuple[int, ...]:
    """Return the boundaries that minimise the slowest stage exactly; ``seconds(p, start, stop)`` are of stage p.

    Ties go to the earlier cut. Every stage must fit, which is asked only of stages that would be taken; () where that
    cannot be.

        best(p, a) = min over b of max(seconds(p, a, b), best(p + 1, b)),   best(P - 1, a) = seconds(P - 1, a, L)

    >>> fastest_cuts(4, 2, lambda p, start, stop: (stop - start) * (1, 3)[p])
    (0, 3, 4)
    >>> fastest_cuts(4, 2, lambda p, start, stop: (stop - start) * (1, 3)[p], lambda p, start, stop: stop - start < 3)
    (0, 2, 4)
    """

    return _best_cuts(layers, stages, seconds, fits, max)


def cheapest_cuts(
    layers: int,
    stages: int,
    cost: Callable[[int, int, int], float],
    fits: Callable[[int, int, int], bool] = lambda p, start, stop: True,
) -> tuple[int, ...]:
    """Return the boundaries whose stages cost least together; ``cost(p, start, stop)`` is that of stage p.

    Ties go to the earlier cut. Every stage must fit; () where that cannot be.

        best(p, a) = min over b of cost(p, a, b) + best(p + 1, b)

    >>> cheapest_cuts(4, 2, lambda p, start, stop: abs(start - 3) * p)
    (0, 3, 4)
    """

    return _best_cuts(layers, stages, cost, fits, add)


def _best_cuts(
    layers: int,
    stages: int,
    cost: Callable[[int, int, int], float],
    fits: Callable[[int, int, int], bool],
    together: Callable[[float, float], float],
) -> tuple[int, ...]:
    """The boundaries of least cost, where ``together`` says what a stage and all behind it cost; () if none fits."""

    @cache
    def best(p: int, start: int) -> tuple[float, int]:
        """What the stages from p on cost, and where stage p stops."""
        if p == stages - 1:
            return (cost(p, start, layers), layers) if fits(p, start, layers) else (inf, -1)
        least, cut = inf, -1
        for stop in range(start + 1, layers - (stages - 1 - p) + 1):
            here = together(cost(p, start, stop), best(p + 1, stop)[0])
            if here < least and fits(p, start, stop):
                least, cut = here, stop
        return least, cut

    if best(0, 0)[0] == inf:
        return ()
    cuts = [0]
    for p in range(stages):
        cuts.append(best(p, cuts[-1])[1])
    return tuple(cuts)
