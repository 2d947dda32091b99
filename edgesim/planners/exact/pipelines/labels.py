"""What does a label know, and when is another one at least as good? Ends of pipelines, and their dominance."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import accumulate
from operator import mul

import numpy as np
from numpy.typing import NDArray

from edgesim.errors import PlanError
from edgesim.planners.exact.pipelines.candidate_links import Floats, Ints

COMPARISONS = 60  # rounds in which the cheapest labels that are left are compared with all others


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """[label] ends of pipelines; ``cost_s`` counts stages and messages between, ``message_*`` are the next one's."""

    depth: Ints
    taken: Ints  # a number for the devices of each kind
    cost_s: Floats
    tail_s: Floats
    prices_s: Floats  # of its devices
    time_prices_s: Floats  # of its devices, in the relaxation of time alone
    message_s: Floats
    returned_s: Floats
    sums: Floats
    peaks: Floats
    bound_s: Floats
    behind: Ints  # the label that the first stage was put before
    stage: Ints

    def take(self, which: Ints) -> "Labels":
        """Some of the labels."""
        return replace(self, **{field.name: getattr(self, field.name)[which] for field in fields(self)})

    def __len__(self) -> int:
        return len(self.depth)

    @classmethod
    def empty_end(cls, sums: int, peaks: int) -> "Labels":
        """The one label behind the last layer; there are so many sums and peaks."""
        zero, number = np.zeros(1), np.zeros(1, dtype=np.int64)
        return cls(
            depth=number,
            taken=number,
            cost_s=zero,
            tail_s=zero,
            prices_s=zero,
            time_prices_s=zero,
            message_s=zero,
            returned_s=zero,
            bound_s=zero,
            sums=np.zeros((1, sums)),
            peaks=np.full((1, peaks), -np.inf),
            behind=number - 1,
            stage=number - 1,
        )


def joined(parts: Sequence[Labels]) -> Labels:
    """The labels of all parts."""
    return Labels(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Labels)})


class DeviceCounts:
    """How many devices of each kind are taken, as the digits of one number.

    Raises PlanError where there are more kinds and positions than a 64-bit number can tell apart.
    """

    def __init__(self, devices: Sequence[int], positions: int) -> None:
        sizes = [1, *accumulate((n + 1 for n in devices), mul)]
        if sizes[-1] * (positions + 1) >= 2**63:
            raise PlanError(f"{len(devices)} kinds of devices are more than can be counted (leave some out)")
        self.digit = np.array(sizes[:-1], dtype=np.int64)
        self.devices = np.array(devices, dtype=np.int64)

    def number(self, replicas: Ints) -> Ints:
        """[row] the number for counts [row, kind]."""
        number: Ints = replicas @ self.digit
        return number

    def fit(self, taken: Ints, more: Ints) -> NDArray[np.bool_]:
        """[taken, more] whether there are devices enough for both."""
        fits = np.ones((len(taken), len(more)), dtype=bool)
        for digit, most in zip(self.digit, self.devices, strict=True):
            has, wants = taken // digit % (most + 1), more // digit % (most + 1)
            fits &= has[:, None] + wants[None, :] <= most
        return fits

    def take_all(self, taken: Ints, kinds: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """[taken] whether all devices of these kinds are taken."""
        complete = np.ones(len(taken), dtype=bool)
        for asked, digit, most in zip(kinds, self.digit, self.devices, strict=True):
            complete &= ~asked | (taken // digit % (most + 1) == most)
        return complete


def undominated(labels: Labels, group: Ints, *, enough: int) -> Labels:
    """The labels that fewer than ``enough`` others of their group are as good as, in all that the rest can see."""
    if len(labels) < 2:
        return labels
    order = np.lexsort((labels.cost_s, group))
    group, cost_s = group[order], labels.cost_s[order]
    seen = [labels.tail_s, labels.depth, *labels.peaks.T, *labels.sums.T]
    seen = [cost_s, *(amount[order] for amount in seen)]
    message_s, returned_s = labels.message_s[order], labels.returned_s[order]
    alive, kept = np.arange(len(labels)), list[Ints]()
    beaten = np.zeros(len(labels), dtype=np.int64)
    for _ in range(COMPARISONS):
        if not len(alive):
            break
        leads = np.concatenate([[True], group[alive][1:] != group[alive][:-1]])
        kept.append(alive[leads])
        lead = alive[leads][np.cumsum(leads) - 1]
        better = np.flatnonzero(~leads)
        for amount in seen:
            better = better[amount[lead[better]] <= amount[alive[better]]]
        one, other = lead[better], alive[better]
        more_s = np.maximum(message_s[one] - message_s[other], 0.0)
        more_s += np.maximum(returned_s[one] - returned_s[other], 0.0)
        beaten[other[cost_s[one] + more_s <= cost_s[other]]] += 1
        alive = alive[~leads & (beaten[alive] < enough)]
    kept.append(alive)
    return labels.take(order[np.sort(np.concatenate(kept))])
