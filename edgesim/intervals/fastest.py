"""How likely is a plan the fastest of several, and is one of two faster at all? From how executed plans were off.

A plan takes s exp(r), where s is simulated and r deviates from what its setting's plans have in common. Deviations are
drawn from those of executed plans, independently for each plan: so probabilities are sums over these, in closed form.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from math import exp, log, sqrt

from edgesim.intervals.conformal import LEVEL, bounds

Deviations = Sequence[Sequence[float]]  # [setting][plan]


def chances_of_fastest(simulated_s: Sequence[float], deviations: Deviations) -> list[float]:
    """Return each plan's probability of being the fastest; of plans that tie for it one is, with equal probabilities.

    ``deviations`` are those of executed plans from the mean of their setting, by setting and plan. They are about that
    mean less than plans are about what they should be, by sqrt(1 - 1/n) of n plans, which is made good here.

    Raises ValueError without a deviation, or for seconds that are not above 0.

    >>> chances_of_fastest([1.0, 1.0], [[-0.1, 0.0, 0.1]])
    [0.5, 0.5]
    >>> chances_of_fastest([1.0, 2.0], [[-0.1, 0.0, 0.1]])
    [1.0, 0.0]
    """
    if not any(len(setting) > 1 for setting in deviations):
        raise ValueError("how plans of one setting differ is not known: no two were executed (validate more plans)")
    if not all(seconds > 0 for seconds in simulated_s):
        raise ValueError(f"seconds of plans must be above 0, got {list(simulated_s)}")
    several = [setting for setting in deviations if len(setting) > 1]
    ordered = sorted(each * sqrt(len(setting) / (len(setting) - 1)) for setting in several for each in setting)
    logs = [log(seconds) for seconds in simulated_s]
    # Whoever is slower than the first even at its best and the first's worst is never the fastest, nor in the way.
    latest = min(logs) + ordered[-1] - ordered[0] + _SAME
    near = [plan for plan, seconds in enumerate(logs) if seconds <= latest]
    chances = [0.0] * len(logs)
    for place, plan in enumerate(near):
        chances[plan] = _chance(place, [logs[each] for each in near], ordered)
    return chances


def _chance(plan: int, logs: Sequence[float], ordered: Sequence[float]) -> float:
    """The mean over this plan's deviations of the probability that all others take longer."""
    n, total = len(ordered), 0.0
    for own in ordered:
        # [ties] the probability that so many others take as long, and the rest longer.
        ties = [1.0]
        for other, seconds in enumerate(logs):
            if other == plan:
                continue
            least = logs[plan] + own - seconds
            start, end = bisect_left(ordered, least - _SAME), bisect_right(ordered, least + _SAME)
            longer, same = (n - end) / n, (end - start) / n
            ties = [
                (ties[k] * longer if k < len(ties) else 0.0) + (ties[k - 1] * same if k else 0.0)
                for k in range(len(ties) + 1)
            ]
        total += sum(chance / (k + 1) for k, chance in enumerate(ties))
    return total / n


def difference(first_s: float, second_s: float, deviations: Deviations, level: float = LEVEL) -> tuple[float, float]:
    """Return between which factors the second plan's seconds lie, as multiples of the first's.

    From how all pairs of plans of a setting were apart, measured beside simulated, by setting and plan. Pairs share
    plans, so that the level holds only about. Raises ValueError for too few pairs.
    """
    apart = [
        one - other
        for setting in deviations
        for i, one in enumerate(setting)
        for j, other in enumerate(setting)
        if i != j
    ]
    low, high = bounds(apart, level)
    return second_s / first_s * exp(low), second_s / first_s * exp(high)


def is_within_error(first_s: float, second_s: float, deviations: Deviations, level: float = LEVEL) -> bool:
    """Return whether neither of two plans can be called the faster: their factor's interval holds 1."""
    low, high = difference(first_s, second_s, deviations, level)
    return low <= 1 <= high


_SAME = 1e-12  # of two logarithms: nearer is the same
