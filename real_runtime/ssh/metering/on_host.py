"""How does an agent read its host's meter? In threads of their own, by the host's clock; readings are sent each second.

Nothing here keeps the agent from answering: to try a meter, or to start one, may take seconds.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict

from edgesim.errors import MeterError
from real_runtime.meters.by_name import told_of
from real_runtime.meters.meter import LiveMeter
from real_runtime.meters.sampling import Sampled, sampling
from real_runtime.ssh.frames import Frame, FrameError, object_of, whole_number
from real_runtime.ssh.metering.from_host import MOST_NOTES, MOST_READINGS, NOTE_LETTERS

_SEND_S = 1.0
_END_S = 2.0  # for a thread to end what it has started, before the agent ends


class MeterReader:
    """Reads at most one meter; ``say`` sends a message to the driver, ``processes`` are those of the host's ranks."""

    def __init__(self, say: Callable[[Frame], object], processes: Callable[[], Sequence[int]]) -> None:
        self._say, self._processes = say, processes
        self._over = threading.Event()  # ends the reading that goes on
        self._thread: threading.Thread | None = None

    @property
    def acts(self) -> dict[str, Callable[[Frame], object]]:
        """What the driver may ask for, by its word."""
        return {"try_meter": self.try_it, "read_meter": self.begin, "stop_meter": lambda frame: self.stop()}

    def try_it(self, frame: Frame) -> None:
        """Say what is known of a meter after one reading, or why there is none. Raises FrameError."""
        meter = _meter_of(frame)
        threading.Thread(target=self._try, args=(meter,), daemon=True).start()

    def begin(self, frame: Frame) -> None:
        """Read until :meth:`stop`. Raises FrameError while another one is read."""
        meter, number = _meter_of(frame), whole_number(frame, "read_meter")
        if self._thread is not None and self._thread.is_alive() and not self._over.is_set():
            raise FrameError("a meter is read already")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(meter, number, self._over), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let the reading end; its thread sends what is left to be sent."""
        self._over.set()

    def end(self) -> None:
        """End the reading, and whatever program it has started."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(_END_S)

    def _try(self, meter: LiveMeter) -> None:
        try:
            facts, reader = meter.facts, meter.open(self._processes() or [os.getpid()])
            try:
                reader.read()
            finally:
                reader.close()
        except (MeterError, ValueError, OSError) as error:
            self._say({"no_meter": _short(error)})
        else:
            self._say({"meter": asdict(facts)})

    def _read(self, meter: LiveMeter, number: int, over: threading.Event) -> None:
        sent = 0
        try:
            with sampling(meter, (0,), self._processes()) as sampled:
                self._say({"reads": number, "meter": asdict(sampled.facts)})
                while not over.wait(_SEND_S):
                    sent = self._send(sampled, number, sent)
        except (MeterError, ValueError, OSError) as error:
            over.set()
            self._say({"no_meter": _short(error)})
            return
        self._send(sampled, number, sent)
        self._say({"metered": number, "notes": [_short(note) for note in sampled.log().notes[:MOST_NOTES]]})

    def _send(self, sampled: Sampled, number: int, sent: int) -> int:
        """Send what was read since, and return how many readings have been sent by then."""
        until = min(len(sampled.at_s), len(sampled.values))  # it is appended to meanwhile
        for start, end in _parts(sent, until):
            values = [None if value != value else value for value in sampled.values[start:end]]
            self._say({"readings": number, "at_s": sampled.at_s[start:end], "values": values})
        return until


def _parts(start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end:
        yield start, min(end, start + MOST_READINGS)
        start += MOST_READINGS


def _meter_of(frame: Frame) -> LiveMeter:
    try:
        return told_of(object_of(frame, "meter"))
    except ValueError as error:
        raise FrameError(str(error)) from None


def _short(said: object) -> str:
    return str(said)[:NOTE_LETTERS]
