"""What did a host's own meter read? Readings as its agent sends them, checked, bounded, and told on the driver's clock.

A host is believed what a meter may say and no more: known words, finite numbers, no more readings than its period
allows, and none from the future. Each message is put on our clock by what is known of the host's when it comes.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from edgesim.errors import MeterError, RunError
from edgesim.metered import Covers, Evidence, MeterFacts, PowerLog, Quantity
from real_runtime.meters.by_name import as_told, name_of
from real_runtime.meters.meter import LiveMeter
from real_runtime.ssh.answers import Answers
from real_runtime.ssh.clock import HostClock
from real_runtime.ssh.frames import Frame, FrameError, object_of, shown, whole_number

MOST_READINGS = 4096
"""In one message."""
MOST_NOTES, NOTE_LETTERS = 50, 500
METERING = ("reads", "readings", "metered")
"""Words of an agent's messages that :meth:`FarMeter.hear` understands."""
_WITHIN_S, _FUTURE_S = 15.0, 1.0
_OFTEN, _MORE = 2.0, 50  # how many times as many readings as periods have passed are believed, and so many more
_LARGEST, _LONGEST_S = 1e12, 3600.0  # of readings in W or J and of seconds of a clock; of periods
_UNSURE_PERIODS = 0.1  # of a clock's uncertainty, from which on it is told


class Line(Protocol):
    """The way to the host of a meter."""

    clock: HostClock
    answers: Answers
    named: str

    def tell(self, frame: Frame) -> None:
        """Send a message to the agent; returns at once."""


@dataclass(slots=True, kw_only=True)
class Arrived:
    """Readings of a host's meter as they come, on our clock.

    Attributes:
        is_whole: whether the host has said that there are no more.
        out_of_order: how many readings were no later than others.
        uncertain_s: how well the host's clock was known, at worst.
    """

    facts: MeterFacts
    clock: HostClock
    ranks: tuple[int, ...] = (0,)
    began_s: float = field(default_factory=time.monotonic)
    at_s: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    is_whole: bool = False
    out_of_order: int = 0
    uncertain_s: float = 0.0
    _counted_j: float = 0.0

    def hear(self, frame: Frame) -> None:
        """Take some readings. Raises FrameError for what no meter reads."""
        times, values = _list_of(frame, "at_s", MOST_READINGS), _list_of(frame, "values", MOST_READINGS)
        now_s, clock = time.monotonic(), self.clock.fit
        if len(times) != len(values):
            raise FrameError(f"{len(times)} times of {len(values)} readings")
        if len(self.at_s) + len(times) > _OFTEN * (now_s - self.began_s) / self.facts.period_s + _MORE:
            raise FrameError(f"more readings than a period of {self.facts.period_s:g} s allows")
        self.uncertain_s = max(self.uncertain_s, clock.uncertainty_s)
        for there_s, value in zip(times, values, strict=True):
            if not _is_number(there_s, -_LARGEST, _LARGEST):
                raise FrameError(f"a reading at no second of a clock: {shown(there_s)}")
            if value is not None and not _is_number(value, 0.0, _LARGEST):
                raise FrameError(f"a meter reads {shown(value)}")
            if value is not None and self.facts.quantity is Quantity.ENERGY:
                if value < self._counted_j:
                    raise FrameError(f"a counter of energy that falls to {shown(value)}")
                self._counted_j = value
            here_s = clock.here_s(float(there_s))
            if here_s > now_s + _FUTURE_S + clock.uncertainty_s:
                raise FrameError(f"a reading that is taken in {here_s - now_s:.3g} s")
            if self.at_s and here_s <= self.at_s[-1]:
                self.out_of_order += 1
                continue
            self.at_s.append(here_s)
            self.values.append(float("nan") if value is None else float(value))

    def hear_end(self, frame: Frame) -> None:
        """Learn that there are no more, and what went wrong. Raises FrameError."""
        self.notes = tuple(str(note)[:NOTE_LETTERS] for note in _list_of(frame, "notes", MOST_NOTES))
        self.is_whole = True

    def log(self) -> PowerLog:
        """Return what has come."""
        notes = list(self.notes)
        if not self.is_whole:
            notes.append("its host did not send the last readings")
        if self.out_of_order:
            notes.append(f"{self.out_of_order} readings were no later than others on our clock, and are left out")
        if self.uncertain_s > _UNSURE_PERIODS * self.facts.period_s:
            notes.append(f"its host's clock is known to {self.uncertain_s * 1e3:.3g} ms only")
        count = min(len(self.at_s), len(self.values))  # of a host that is late they still come
        return PowerLog(
            facts=self.facts,
            ranks=self.ranks,
            at_s=np.array(self.at_s[:count], dtype=np.float64),
            value=np.array(self.values[:count], dtype=np.float64),
            notes=tuple(notes),
        )


class FarMeter:
    """The meter of a host, as it is asked from here; ``host`` is how sources name it."""

    def __init__(self, line: Line, host: str) -> None:
        self._line, self._host, self._number = line, host, 0
        self._arrived: Arrived | None = None

    def tried(self, meter: LiveMeter) -> MeterFacts:
        """Return what is known of a meter that was read once there. Raises MeterError with the way out, RunError."""
        return self._facts(self._asked({"do": "try_meter"}, meter))

    @contextmanager
    def sampling(self, meter: LiveMeter, ranks: Sequence[int]) -> Iterator[Arrived]:
        """Read a meter there until it is left. Raises MeterError where it cannot be read, RunError without its host."""
        self._number, self._arrived = self._number + 1, None
        self._asked({"do": "read_meter", "read_meter": self._number}, meter)
        arrived = self._begun()
        arrived.ranks = tuple(ranks)
        try:
            yield arrived
        finally:
            self._line.tell({"do": "stop_meter"})
            says = "its agent does not send what its meter read"
            with contextlib.suppress(RunError):  # what the run came to matters more: the log says so
                self._line.answers.until(lambda: arrived.is_whole, within_s=_WITHIN_S, otherwise=says)

    def hear(self, frame: Frame) -> None:
        """Hear of a reading that was asked for. Raises FrameError for any other."""
        word = next(word for word in METERING if word in frame)
        number = whole_number(frame, word)
        if number < self._number:  # of a reading for which nobody waits any more
            return
        if number > self._number or (word == "reads") != (self._arrived is None):
            raise FrameError(f"{word} {shown(frame[word])}, which nobody asked for")
        if self._arrived is None:
            self._arrived = Arrived(facts=self._facts(frame), clock=self._line.clock)
        elif word == "readings":
            self._arrived.hear(frame)
        else:
            self._arrived.hear_end(frame)

    def _begun(self) -> Arrived:
        """What the answer brought. Raises RunError for an answer to something else."""
        if self._arrived is None:
            raise RunError(f"{self._line.named}: its agent reads another meter than was asked for")
        return self._arrived

    def _asked(self, frame: Frame, meter: LiveMeter) -> Frame:
        name = name_of(meter)
        self._line.answers.forget()
        self._line.tell(frame | {"meter": as_told(meter)})
        says = f"its agent does not say whether meter {name} can be read"
        answer = self._line.answers.of("meter", "no_meter", within_s=_WITHIN_S, otherwise=says)
        if "no_meter" in answer:
            why = str(answer["no_meter"])[:NOTE_LETTERS]
            raise MeterError(f"{self._line.named}: meter {name} cannot be read: {why}")
        return answer

    def _facts(self, frame: Frame) -> MeterFacts:
        found = facts_of(object_of(frame, "meter"))
        return replace(found, source=f"{found.source} on host {self._host}")


def facts_of(told: Frame) -> MeterFacts:
    """Return what a host says of its meter. Raises FrameError for what cannot be."""
    source, numbers = told.get("source"), [told.get(name) for name in ("period_s", "resolution", "averages_s")]
    if not isinstance(source, str) or not source.isprintable() or len(source) > NOTE_LETTERS:
        raise FrameError(f"no source of a meter: {shown(source)}")
    period_s, resolution, averages_s = (_number_of(number) for number in numbers)
    try:
        return MeterFacts(
            source=source,
            covers=Covers(str(told.get("covers"))),
            evidence=Evidence(str(told.get("evidence"))),
            quantity=Quantity(str(told.get("quantity"))),
            period_s=period_s,
            resolution=resolution,
            averages_s=averages_s,
        )
    except ValueError as error:
        raise FrameError(f"no meter: {str(error)[:NOTE_LETTERS]}") from None


def _number_of(value: Any) -> float:
    if not _is_number(value, 0.0, _LONGEST_S):
        raise FrameError(f"no number of a meter: {shown(value)}")
    return float(value)


def _list_of(frame: Frame, key: str, most: int) -> list[Any]:
    value = frame.get(key)
    if not isinstance(value, list) or len(value) > most:
        raise FrameError(f"{key} is no list of at most {most}: {shown(value)}")
    return value


def _is_number(value: object, least: float, most: float) -> bool:
    """Whether it is a number between two; a NaN is between none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
