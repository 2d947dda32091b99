"""How much of a difference does each of several causes make? The mean over the orders in which they are switched.

What a cause adds depends on which others were switched before it: a faster device saves nothing while a link is what
all wait for. Its share is the mean over all orders (L. S. Shapley, A Value for n-Person Games, 1953); the shares add up
to the whole difference, in every order and so in the mean.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import factorial

import numpy as np

MOST_EXACT = 8
"""Causes of which all orders are counted; of more, orders are drawn."""
_DRAWN = 32  # orders, each with its reverse
_SEED = 1953

State = frozenset[int]
Value = Callable[[State], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """What each cause adds: [cause] in the mean, and in the orders in which it is least and most; in seconds.

    ``exact`` says whether all orders were counted.
    """

    seconds: tuple[float, ...]
    least_s: tuple[float, ...]
    most_s: tuple[float, ...]
    exact: bool


def attribute(causes: int, value: Value) -> Attribution:
    """CauseShare the difference between no cause and all of them.

    ``value`` gives the seconds where the causes with these numbers are switched; each state is asked for once.

    >>> attribute(2, lambda state: {0: 1.0, 1: 3.0, 2: 9.0}[len(state)]).seconds
    (4.0, 4.0)
    """
    known: dict[State, float] = {}

    def seconds(state: State) -> float:
        if state not in known:
            known[state] = value(state)
        return known[state]

    exact = causes <= MOST_EXACT
    steps = _every_step(causes, seconds) if exact else _drawn_steps(causes, seconds)
    mean_s, least_s, most_s = np.zeros(causes), np.full(causes, np.inf), np.full(causes, -np.inf)
    for cause, weight, added_s in steps:
        mean_s[cause] += weight * added_s
        least_s[cause] = min(least_s[cause], added_s)
        most_s[cause] = max(most_s[cause], added_s)
    return Attribution(
        seconds=tuple(mean_s.tolist()), least_s=tuple(least_s.tolist()), most_s=tuple(most_s.tolist()), exact=exact
    )


Steps = Iterator[tuple[int, float, float]]  # a cause, the share of orders in which it is switched so, what that adds


def _every_step(causes: int, seconds: Value) -> Steps:
    for cause in range(causes):
        others = [other for other in range(causes) if other != cause]
        for size in range(causes):
            weight = factorial(size) * factorial(causes - size - 1) / factorial(causes)
            for before in map(frozenset, combinations(others, size)):
                yield cause, weight, seconds(before | {cause}) - seconds(before)


def _drawn_steps(causes: int, seconds: Value) -> Steps:
    """The same of drawn orders, each beside its reverse, which keeps what comes first from always being first."""
    random = np.random.default_rng(_SEED)
    for _ in range(_DRAWN):
        order = random.permutation(causes).tolist()
        for each in (order, order[::-1]):
            yield from _in_order(each, seconds)


def _in_order(order: Sequence[int], seconds: Value) -> Steps:
    states = [frozenset(order[:size]) for size in range(len(order) + 1)]
    for cause, (before, after) in zip(order, pairwise(states), strict=True):
        yield cause, 1 / (2 * _DRAWN), seconds(after) - seconds(before)
