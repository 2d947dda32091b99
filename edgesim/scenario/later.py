"""What is left of a scenario from some second on? The same events, told from there."""

from collections.abc import Iterator
from dataclasses import replace
from math import inf

from edgesim.recording import Recording
from edgesim.scenario.outage import Outage
from edgesim.scenario.slowdown import Slowdown
from edgesim.scenario.walk import Walk


def later_recording(recording: Recording, at_s: float) -> Recording:
    """Return the recording as it goes on from a second of its own: a table that repeats is turned round."""
    repeat_s = recording.repeat_s
    offset_s = at_s % repeat_s if repeat_s < inf else at_s
    rows = list(enumerate(recording.at_s))
    now = max(row for row, from_s in rows if from_s <= offset_s)
    turned = [(0.0, now), *((from_s - offset_s, row) for row, from_s in rows[now + 1 :])]
    if repeat_s < inf:
        again = ((from_s + (repeat_s - offset_s), row) for row, from_s in rows[: now + 1])
        turned += [(from_s, row) for from_s, row in again if from_s < repeat_s]
    # Rounding may put two rows on one second; the later one counts.
    steps = dict(turned)
    columns = tuple(
        replace(column, values=tuple(column.values[row] for row in steps.values())) for column in recording.columns
    )
    return replace(recording, at_s=tuple(steps), columns=columns)


def later_walk(walk: Walk, at_s: float) -> Walk:
    """Return the walk that has been going on for so much longer."""
    return replace(walk, since_s=walk.since_s + at_s)


def later_span(event: Slowdown | Outage, at_s: float) -> Iterator[Slowdown | Outage]:
    """Yield what is left of an event that has a beginning and an end, if anything is."""
    if event.end_s > at_s:
        yield replace(event, start_s=max(0.0, event.start_s - at_s), end_s=event.end_s - at_s)
