"""What did a host do in some stretch of time? Seconds in every state, from the traces that it played.

States are named as the rows of an attribution are: ``compute F`` and so forth by operation, ``transmit``, ``receive``,
``disk``; ``busy`` is any of them. A host is also idle all the time: that it is switched on costs what it costs.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from edgesim.energy import state_s, wire_bytes
from edgesim.metered.joules import TraceOnClock
from edgesim.schedule import COLLECTIVE, COMPUTE, DISK, Kind, Op
from edgesim.trace import Floats, RankSpans

BUSY = "busy"
WIRE = {"transmit": "transmitted", "receive": "received"}
"""By state on the wire, what counts its bytes."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Amounts:
    """An amount that passes evenly in each of some intervals, which are in order and do not overlap.

    Attributes:
        start_s, end_s: [interval] on the machine's clock.
        amount: [interval] how much passes in it: its seconds, or bytes.
    """

    start_s: Floats
    end_s: Floats
    amount: Floats

    def until(self, at_s: Floats) -> Floats:
        """Return [time] how much has passed until then."""
        if not len(self.amount):
            return np.zeros(len(at_s))
        before = np.concatenate([[0.0], np.cumsum(self.amount)])
        place = np.searchsorted(self.start_s, at_s, side="right") - 1
        inside = np.maximum(place, 0)
        share = np.minimum((at_s - self.start_s[inside]) / (self.end_s - self.start_s)[inside], 1.0)
        passed: Floats = np.where(place < 0, 0.0, before[inside] + self.amount[inside] * share)
        return passed

    def between(self, start_s: Floats, end_s: Floats) -> Floats:
        """Return [window] how much passes from start to end."""
        return self.until(end_s) - self.until(start_s)


Activity = Mapping[str, Sequence[Amounts]]
"""By state, of each host what it did in it; of the bytes on the wire alike."""


def activity_of(played: Sequence[TraceOnClock], ranks: Sequence[int]) -> Activity:
    """Return what the hosts of some ranks did, from traces whose windows follow each other."""
    found: dict[str, list[Amounts]] = {}
    for rank in ranks:
        parts: dict[str, list[Amounts]] = defaultdict(list)
        for each in sorted(played, key=lambda each: each.window_s):
            for state, amounts in _of_trace(each, each.trace.of_rank(rank)).items():
                parts[state].append(amounts)
        for state, several in parts.items():
            found.setdefault(state, []).append(_joined(several))
    return found


def together(activity: Activity, state: str, start_s: Floats, end_s: Floats) -> Floats:
    """Return [window] the seconds, or bytes, of all hosts together."""
    total = np.zeros(len(start_s))
    for amounts in activity.get(state, ()):
        total = total + amounts.between(start_s, end_s)
    return total


def _of_trace(played: TraceOnClock, spans: RankSpans) -> dict[str, Amounts]:
    """What one host did in one trace."""
    found: dict[str, Amounts] = {}
    every = []
    for op in sorted(COMPUTE):
        if (such := spans.does(op)).any():
            found[f"compute {op}"] = _seconds(played, *state_s(spans.chosen(such))["compute"])
    states = state_s(spans)
    for state in WIRE:
        if state in states:
            found[state] = _seconds(played, *states[state])
    if (such := spans.does(*DISK)).any():
        found["disk"] = _seconds(played, spans.start_s[such], spans.end_s[such])
    for amounts in found.values():
        every.append((amounts.start_s, amounts.end_s))
    if every:
        found[BUSY] = _united(every)
    return found | _bytes_on_the_wire(played, spans, found)


def _seconds(played: TraceOnClock, start_s: Floats, end_s: Floats) -> Amounts:
    """Intervals of the trace that take time, on the machine's clock."""
    start_s, end_s = start_s + played.began_s, end_s + played.began_s
    lasts = end_s > start_s
    return Amounts(start_s=start_s[lasts], end_s=end_s[lasts], amount=(end_s - start_s)[lasts])


def _united(intervals: Sequence[tuple[Floats, Floats]]) -> Amounts:
    """The time of any of these intervals."""
    starts, ends = (np.concatenate(times) for times in zip(*intervals, strict=True))
    order = np.argsort(starts, kind="stable")
    starts, until = starts[order], np.maximum.accumulate(ends[order])
    first = np.flatnonzero(np.concatenate([[True], starts[1:] > until[:-1]]))
    begins, ends = starts[first], until[np.concatenate([first[1:] - 1, [len(until) - 1]])]
    return Amounts(start_s=begins, end_s=ends, amount=ends - begins)


def _bytes_on_the_wire(played: TraceOnClock, spans: RankSpans, seconds: Mapping[str, Amounts]) -> dict[str, Amounts]:
    """Bytes of each stretch on the wire, evenly over it: those of the messages that begin in it."""
    found = {}
    for state, name in WIRE.items():
        if state not in seconds:
            continue
        nbytes = spans.each(partial(_bytes, state=state), np.float64)
        on = nbytes > 0
        air, starts_s = seconds[state], spans.start_s[on] + played.began_s
        place = np.clip(np.searchsorted(air.start_s, starts_s, side="right") - 1, 0, max(len(air.amount) - 1, 0))
        amount = np.zeros(len(air.amount))
        if len(amount):
            np.add.at(amount, place, nbytes[on])
        found[name] = Amounts(start_s=air.start_s, end_s=air.end_s, amount=amount)
    return found


def _bytes(kind: Kind, *, state: str) -> float:
    if kind.op in COLLECTIVE or (state == "transmit" and kind.op is Op.SEND):
        return float(wire_bytes(kind))
    return float(kind.nbytes) if state == "receive" and kind.op is Op.RECV else 0.0


def _joined(parts: Sequence[Amounts]) -> Amounts:
    return Amounts(
        start_s=np.concatenate([part.start_s for part in parts]),
        end_s=np.concatenate([part.end_s for part in parts]),
        amount=np.concatenate([part.amount for part in parts]),
    )
