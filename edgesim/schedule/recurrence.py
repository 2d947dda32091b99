"""When can everything happen, given what waits for what? Every moment is the later of two earlier ones, and some more.

So a whole schedule is one loop of three numbers a step, in which nothing is looked up, counted or decided.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from struct import pack

import numpy as np
import numpy.typing as npt

from edgesim.schedule.columns import starts_of
from edgesim.schedule.kind_table import Numbers


@dataclass(frozen=True, eq=False, kw_only=True)
class Recurrence:
    """Steps of which each gives the next moment; moment 0 is the beginning.

    A node that waits for more than two has steps before its own that only wait. What lands after it was sent has one
    step more.

    Attributes:
        first: [step] the one moment that it waits for.
        second: [step] the other, or the same again.
        takes: [step] whose seconds pass: the number of the node for it to compute or to send; further behind by the
            number of nodes for its landing; twice that number where none pass.
        begun: [node] the step whose two moments it waits for.
        lands: [node] whether its landing has a step of its own.
    """

    first: Numbers
    second: Numbers
    takes: Numbers
    begun: Numbers
    lands: npt.NDArray[np.bool_]

    @cached_property
    def waits(self) -> tuple[list[int], list[int]]:
        """The first and second moments as a loop reads them."""
        return self.first.tolist(), self.second.tolist()

    def moments(self, seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return [moment] when it is, given what everything takes, numbered as in ``takes``."""
        at_s = [0.0]
        for first, second, lasts_s in zip(*self.waits, seconds[self.takes].tolist(), strict=True):
            one_s, other_s = at_s[first], at_s[second]
            at_s.append((one_s if one_s > other_s else other_s) + lasts_s)
        return np.frombuffer(pack(f"{len(at_s)}d", *at_s))  # four times as fast as numpy reads a list

    @cached_property
    def starts(self) -> tuple[Numbers, Numbers]:
        """[node] The two moments of which the later is its start."""
        return self.first[self.begun], self.second[self.begun]

    @cached_property
    def sent(self) -> Numbers:
        """[node] The moment when it has computed or sent."""
        return self.begun + 1

    @cached_property
    def ended(self) -> Numbers:
        """[node] The moment when all of it is where it was sent to."""
        return self.sent + self.lands


def recurrence_of(
    order: Sequence[int], lands: npt.NDArray[np.bool_], unlocked: Numbers, unlock_starts: Numbers
) -> Recurrence:
    """Return the steps of nodes in an order in which each stands behind those that it waits for.

    ``unlocked`` and ``unlock_starts`` are those of a graph: what waits for each node's end, and for that of its send.

    Three computations end at the moments 1, 2 and 3; the message that waits for all of them has been sent at 5:

    >>> lands, unlocked, unlock_starts = [0, 0, 0, 1], [3, 3, 3], [0, 1, 1, 2, 2, 3, 3, 3, 3]
    >>> steps = recurrence_of([0, 1, 2, 3], *map(np.array, (lands, unlocked, unlock_starts)))
    >>> list(zip(*steps.waits))
    [(0, 0), (0, 0), (0, 0), (1, 2), (4, 3), (5, 5)]
    >>> steps.sent, steps.ended
    (array([1, 2, 3, 5]), array([1, 2, 3, 6]))
    """
    count = len(lands)
    waits = np.bincount(unlocked, minlength=count)
    waiting = np.maximum(waits - 1, 1)  # steps until it starts, its own with them
    ordered = np.asarray(order, dtype=np.int64)
    begins = np.empty(count, dtype=np.int64)
    total = starts_of((waiting + lands)[ordered])
    begins[ordered] = total[:-1]
    begun = begins + waiting - 1
    # A step waits for the moment before it, but where a node's steps begin.
    first = np.arange(total[-1])
    second = first.copy()
    first[begins] = second[begins] = 0
    by_node = np.argsort(unlocked, kind="stable")
    moments = np.stack([begun + 1 + lands, begun + 1], axis=1).ravel()
    moments = np.repeat(moments, np.diff(unlock_starts))[by_node]
    node = unlocked[by_node]
    place = np.arange(len(node)) - starts_of(waits)[node]
    is_first = place == 0
    first[begins[node[is_first]]] = second[begins[node[is_first]]] = moments[is_first]
    second[begins[node[~is_first]] + place[~is_first] - 1] = moments[~is_first]
    takes = np.full(total[-1], 2 * count)
    takes[begun] = np.arange(count)
    landing = np.flatnonzero(lands)
    takes[begun[landing] + 1] = count + landing
    return Recurrence(first=first, second=second, takes=takes, begun=begun, lands=lands)
