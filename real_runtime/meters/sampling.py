"""How is a meter read while a run lasts? In a thread of its own, by the clock of the traces (``time.monotonic``).

A reading that fails is missing, and the log says since when and why; the thread goes on trying.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from edgesim.errors import MeterError
from edgesim.metered import MeterFacts, PowerLog
from real_runtime.meters.meter import LiveMeter, Reader

_END_S = 5.0  # that a thread may take to end: a reading that hangs must not hold a run


@dataclass(slots=True, kw_only=True)
class Sampled:
    """Readings as they come."""

    facts: MeterFacts
    ranks: tuple[int, ...]
    began_s: float = field(default_factory=time.monotonic)
    at_s: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    failures: dict[str, tuple[float, int]] = field(default_factory=dict)  # by message: since when, and how often

    def take(self, reader: Reader, *, waits: bool, is_over: Callable[[], bool] = lambda: False) -> bool:
        """Read once, and return whether there was a reading; what fails once all ``is_over`` is not missing.

        Where to read is to wait, a reading is of the moment at which the waiting ends.
        """
        before_s, message = time.monotonic(), ""
        try:
            value = reader.read()
        except (MeterError, OSError) as error:
            value, message = float("nan"), str(error)
        after_s = time.monotonic()
        if message and is_over():
            return False
        if message:
            since_s, often = self.failures.get(message, (before_s - self.began_s, 0))
            self.failures[message] = since_s, often + 1
        at_s = after_s if waits else (before_s + after_s) / 2
        if not self.at_s or at_s > self.at_s[-1]:
            self.at_s.append(at_s)
            self.values.append(value)
        return not message

    def log(self) -> PowerLog:
        """Return what was read so far."""
        notes = tuple(
            f"{often} reading{'s' * (often > 1)} missing, the first after {since_s:.3g} s: {message}"
            for message, (since_s, often) in self.failures.items()
        )
        return PowerLog(
            facts=self.facts,
            ranks=self.ranks,
            at_s=np.array(self.at_s, dtype=np.float64),
            value=np.array(self.values, dtype=np.float64),
            notes=notes,
        )


@contextmanager
def sampling(meter: LiveMeter, ranks: Sequence[int], processes: Sequence[int] = ()) -> Iterator[Sampled]:
    """Read a meter until it is left: at once, then every period, and once more at the end.

    Raises MeterError where it cannot be read at all.
    """
    sampled = Sampled(facts=meter.facts, ranks=tuple(ranks))
    reader, over = meter.open(processes), threading.Event()
    thread = threading.Thread(target=_keep_sampling, args=(meter, reader, sampled, over), daemon=True)
    try:
        if not meter.paces_itself:
            sampled.take(reader, waits=False)
        thread.start()
        yield sampled
    finally:
        over.set()
        thread.join(_END_S)
        if not meter.paces_itself and not thread.is_alive():
            sampled.take(reader, waits=False)
        reader.close()


def _keep_sampling(meter: LiveMeter, reader: Reader, sampled: Sampled, over: threading.Event) -> None:
    period_s, waits = sampled.facts.period_s, meter.paces_itself
    due_s = time.monotonic() + (0.0 if waits else period_s)
    while not over.wait(max(0.0, due_s - time.monotonic())):
        came = sampled.take(reader, waits=waits, is_over=over.is_set)
        now_s = time.monotonic()
        due_s = (now_s if came else now_s + period_s) if waits else max(due_s + period_s, now_s)
