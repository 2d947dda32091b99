"""What course does bandwidth take, as arrays? The times and the values of recordings and walks until some moment.

They are kept, for thousands of plans may be simulated under one scenario.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgesim.recording.recording import BandwidthChange, Recording, Unit

Floats = NDArray[np.float64]
"""Seconds, or values at them."""
MOST_CHANGES = 1_000_000  # of an event, as an array


class TooManyChangesError(Exception):
    """So many changes that those had better be played that a flow meets."""


class Course(Protocol):
    """Bandwidth that changes at the same times for all ranks that it concerns."""

    @property
    def whose(self) -> Callable[[int], str]:
        """Which ranks' courses are the same, and whom it does not concern; see :meth:`Recording.whose`."""

    def times_s(self, until_s: float) -> Floats:
        """Return when it changes, from 0 s on. Raises TooManyChangesError."""

    def values(self, rank: int, count: int) -> tuple[Unit, Floats]:
        """Return the rank's first values."""


class Recorded:
    """The course of a recording."""

    def __init__(self, recording: Recording) -> None:
        self.recording, self.whose = recording, recording.whose
        self._at_s = np.array(recording.at_s)
        self._columns: dict[int | None, Floats] = {}

    def times_s(self, until_s: float) -> Floats:
        repeat_s, rows = self.recording.repeat_s, bisect_right(self.recording.at_s, until_s)
        laps = until_s // repeat_s + 1 if repeat_s <= until_s else 1
        if not laps * rows <= MOST_CHANGES:
            raise TooManyChangesError
        if laps == 1:
            return self._at_s[:rows]
        begins_s = np.arange(laps, dtype=np.float64) * repeat_s
        times_s: Floats = (begins_s[:, np.newaxis] + self._at_s).ravel()
        return times_s

    def values(self, rank: int, count: int) -> tuple[Unit, Floats]:
        column = self.recording.column(rank)
        assert column is not None, "asked for ranks that have one"
        if column.rank not in self._columns:
            self._columns[column.rank] = np.array(column.values)
        values = self._columns[column.rank]
        return column.unit, values[:count] if count <= len(values) else np.resize(values, count)


class Drawn:
    """The course of what is drawn step by step, drawn as far as it was asked for; it began ``since_s`` ago."""

    def __init__(
        self,
        interval_s: float,
        whose: Callable[[int], str],
        changes: Callable[[int], Iterator[BandwidthChange]],
        since_s: float = 0.0,
    ) -> None:
        self.interval_s, self.since_s, self.whose, self._changes = interval_s, since_s, whose, changes
        self._values: dict[str, Floats] = {}

    def times_s(self, until_s: float) -> Floats:
        if not until_s / self.interval_s < MOST_CHANGES:
            raise TooManyChangesError
        first, last = int(self.since_s // self.interval_s), int((self.since_s + until_s) / self.interval_s)
        times_s = np.arange(first + 1, last + 1, dtype=np.float64) * self.interval_s - self.since_s
        return np.concatenate([[0.0], times_s[times_s > 0]])  # rounding may put a step that is now just behind

    def values(self, rank: int, count: int) -> tuple[Unit, Floats]:
        whose = self.whose(rank)
        if len(self._values.get(whose, ())) < count:
            self._values[whose] = np.fromiter((change.value for change in islice(self._changes(rank), count)), float)
        return Unit.FACTOR, self._values[whose][:count]
