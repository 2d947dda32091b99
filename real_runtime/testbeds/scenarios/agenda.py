"""Who does something at a second to come? A thread that has a list of what is to be done, and when."""

import threading
import time
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from edgesim.errors import RunError

Act = Callable[[], object]


class Agenda:
    """Acts, each at its second of the monotonic clock, one after the other. An act may put down others."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._coming: list[tuple[float, int, Act]] = []
        self._numbers = count()  # of two acts at one second, the first comes first
        self._is_over = False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="agenda")
        self._thread.start()

    def at(self, at_s: float, act: Act) -> None:
        """Put down what is to be done at a second; at once where that has passed."""
        with self._changed:
            heappush(self._coming, (at_s, next(self._numbers), act))
            self._changed.notify()

    def clear(self) -> None:
        """Let nothing be done that has not been done yet."""
        with self._changed:
            self._coming.clear()

    def close(self) -> None:
        """Do nothing more. Raises RunError where something could not be done."""
        with self._changed:
            self._coming.clear()
            self._is_over = True
            self._changed.notify()
        self._thread.join()
        if self._failure is not None:
            raise RunError(f"the scenario could not be played: {self._failure}") from self._failure

    def _run(self) -> None:
        while (act := self._next()) is not None:
            try:
                act()
            except Exception as failure:  # told by whoever waits for the end
                self._failure = self._failure or failure

    def _next(self) -> Act | None:
        """What is due, as soon as it is; None when nothing more will be."""
        with self._changed:
            while not self._is_over:
                wait_s = self._coming[0][0] - time.monotonic() if self._coming else None
                if wait_s is not None and wait_s <= 0:
                    return heappop(self._coming)[2]
                self._changed.wait(wait_s)
        return None
