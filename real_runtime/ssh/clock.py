"""When is a moment of a host's clock, on ours? A line through the quickest of many questions for the time.

A host answers with its clock's time while its answer is under way. Half of the way there and back is the most by which
the middle of the two misses, so the quickest answers say most: of each short stretch one is kept. Through them goes a
line, offset and drift, and its uncertainty is what of the quickest way remains, and how far the kept answers lie off.
"""

import threading
from collections import deque
from dataclasses import dataclass

_STRETCH_S = 2.0
_KEPT = 60  # stretches: two minutes, in which a quartz's drift hardly changes
_DRIFT_FROM_S = 10.0  # answers over a shorter time say less of drift than what quartzes are like
_QUARTZ_DRIFT = 50e-6  # of two good ones against each other, for as long as theirs is not known
_DRIFT_AT_MOST = 200e-6  # of a quartz: a faster one is a faulty clock, or a wrong answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One question for the time: asked and heard on our clock, answered on the host's."""

    asked_s: float
    heard_s: float
    there_s: float

    @property
    def way_s(self) -> float:
        """There and back."""
        return self.heard_s - self.asked_s

    @property
    def here_s(self) -> float:
        """When it was answered, if both ways were alike."""
        return (self.asked_s + self.heard_s) / 2

    @property
    def offset_s(self) -> float:
        """The host's clock less ours."""
        return self.there_s - self.here_s


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockFit:
    """The host's clock: at ``at_s`` of its own it is ``offset_s`` ahead of ours, and gains ``drift`` each second."""

    at_s: float
    offset_s: float
    drift: float
    uncertainty_s: float

    def here_s(self, there_s: float) -> float:
        """A moment of the host's clock, on ours."""
        return there_s - self.offset_s - self.drift * (there_s - self.at_s)

    def there_s(self, here_s: float) -> float:
        """A moment of our clock, on the host's."""
        return self.at_s + (here_s + self.offset_s - self.at_s) / (1 - self.drift)


class HostClock:
    """What is known of a host's clock; it is asked by one thread, and told to others."""

    def __init__(self) -> None:
        self._kept: deque[Answer] = deque(maxlen=_KEPT)
        self._lock = threading.Lock()
        self._fit: ClockFit | None = None

    @property
    def is_known(self) -> bool:
        """Whether the host has answered at all."""
        return self._fit is not None

    @property
    def fit(self) -> ClockFit:
        """The line. Raises ValueError before the first answer."""
        if self._fit is None:
            raise ValueError("a clock that has not answered yet is not known")
        return self._fit

    def hear(self, answer: Answer) -> None:
        """Learn of an answer; of a stretch the quickest is kept."""
        with self._lock:
            if self._kept and answer.asked_s - self._kept[-1].asked_s < _STRETCH_S:
                if answer.way_s >= self._kept[-1].way_s:
                    return
                self._kept.pop()
            self._kept.append(answer)
            self._fit = fitted(list(self._kept))

    def here_s(self, there_s: float) -> float:
        """A moment of the host's clock, on ours."""
        return self.fit.here_s(there_s)

    def there_s(self, here_s: float) -> float:
        """A moment of our clock, on the host's."""
        return self.fit.there_s(here_s)


def fitted(answers: list[Answer]) -> ClockFit:
    """The line through some answers, by least squares, the quicker the weightier; with one, no drift is known."""
    quickest = min(answers, key=lambda answer: answer.way_s)
    # An answer that took twice as long may be off by twice as much; the floor is what clocks are read in.
    weights = [(max(answer.way_s, 1e-6)) ** -2 for answer in answers]
    total, at_s = sum(weights), quickest.there_s
    times = [answer.there_s - at_s for answer in answers]
    middle_s = sum(w * t for w, t in zip(weights, times, strict=True)) / total
    mean_s = sum(w * answer.offset_s for w, answer in zip(weights, answers, strict=True)) / total
    spread = sum(w * (t - middle_s) ** 2 for w, t in zip(weights, times, strict=True))
    drift = 0.0
    if max(times) - min(times) >= _DRIFT_FROM_S:
        offsets = [answer.offset_s - mean_s for answer in answers]
        drift = sum(w * (t - middle_s) * o for w, t, o in zip(weights, times, offsets, strict=True)) / spread
        drift = max(-_DRIFT_AT_MOST, min(_DRIFT_AT_MOST, drift))
    offset_s = mean_s - drift * middle_s
    off_s = [
        max(0.0, abs(answer.offset_s - offset_s - drift * t) - answer.way_s / 2)
        for answer, t in zip(answers, times, strict=True)
    ]
    unknown_s = 0.0 if drift else _QUARTZ_DRIFT * (max(times) - min(times))
    uncertainty_s = quickest.way_s / 2 + max(off_s) + unknown_s
    return ClockFit(at_s=at_s, offset_s=offset_s, drift=drift, uncertainty_s=uncertainty_s)
