"""What has a host answered, and is it still there? Whoever waits for an answer hears also of the host's end."""

import threading
import time
from collections.abc import Callable

from edgesim.errors import RunError
from real_runtime.ssh.frames import Frame

_LOOK_S = 0.1
_LASTING = ("facts", "ready")  # answers that stay true
WORDS = ("has", "refused", "facts", "ready", "failed", "started", "not_started", "meter", "no_meter")


class Answers:
    """A host's answers, each by its word. ``named`` and ``way_out`` are for what is told when none comes."""

    def __init__(self, named: str, way_out: str) -> None:
        self._named, self._way_out = named, way_out
        self._frames: dict[str, Frame] = {}
        self._changed = threading.Condition()
        self.lost = ""  # why the host is, once it is

    def hear(self, frame: Frame) -> None:
        """Keep an answer; also wakes those who wait for something else that the frame has brought."""
        with self._changed:
            for word in WORDS:
                if word in frame:
                    self._frames[word] = frame
            self._changed.notify_all()

    def forget(self) -> None:
        """Forget what answers one question only: another is asked now."""
        with self._changed:
            self._frames = {word: frame for word, frame in self._frames.items() if word in _LASTING}

    def lose(self, why: str) -> bool:
        """Hear that the host is lost; whether that is new."""
        with self._changed:
            is_new, self.lost = not self.lost, self.lost or f"{self._named}: {why}"
            self._changed.notify_all()
        return is_new

    def of(self, *words: str, within_s: float, otherwise: str) -> Frame:
        """The answer with one of these words, as soon as it is there.

        Raises RunError for one that refuses, where the host is lost, and, with what is said ``otherwise``, where none
        comes in time.
        """
        among = (*words, "refused")
        self.until(lambda: any(word in self._frames for word in among), within_s=within_s, otherwise=otherwise)
        if "refused" in self._frames:
            raise RunError(f"{self._named}: {self._frames['refused']['refused']}")
        return next(self._frames[word] for word in words if word in self._frames)

    def until(self, happens: Callable[[], bool], *, within_s: float, otherwise: str) -> None:
        """Return when something has happened. Raises RunError as :meth:`of` does."""
        until_s = time.monotonic() + within_s
        with self._changed:
            while not happens():
                if self.lost:
                    raise RunError(self.lost)
                if (left_s := until_s - time.monotonic()) <= 0:
                    raise RunError(f"{self._named}: {otherwise} within {within_s:.0f} s (try {self._way_out})")
                self._changed.wait(min(left_s, _LOOK_S))
