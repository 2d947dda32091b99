"""How does an agent watch its host's load? By its kernel's clocks, and only while the driver measures something.

Ours are the agent, what it started, and the session of SSH that brought it; all else is another's.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from real_runtime.other_load.foreign_load import LoadWatch, load_is_known
from real_runtime.ssh.frames import Frame, whole_number

EVERY_S = 0.2
"""Between two samples: asking the clocks of a board's two hundred processes takes it a millisecond."""


class LoadTeller:
    """Tells samples of the load while it is asked to; ``ours`` are the numbers of what the agent has started."""

    def __init__(self, say: Callable[[Frame], object], ours: Callable[[], Sequence[int]]) -> None:
        self._say, self._ours = say, ours
        self._over = threading.Event()  # ends the watch that goes on

    @property
    def acts(self) -> dict[str, Callable[[Frame], object]]:
        """What the driver may ask for, by its word."""
        return {"watch_load": self.begin, "leave_load": lambda frame: self.end()}

    def begin(self, frame: Frame) -> None:
        """Watch from now on, under a new number; an earlier watch ends. Raises FrameError."""
        number = whole_number(frame, "watch_load")
        self.end()
        self._over = threading.Event()
        if not load_is_known():
            self._say({"load": number, "cores": 0})
            return
        watch = LoadWatch({*self._ours(), *ancestors()})
        threading.Thread(target=self._tell, args=(watch, number, self._over), daemon=True).start()

    def end(self) -> None:
        """Watch no more."""
        self._over.set()

    def _tell(self, watch: LoadWatch, number: int, over: threading.Event) -> None:
        while True:
            watch.own |= set(self._ours())  # ranks of a job are started anew
            watch.sample()
            last = watch.samples.pop()
            self._say({"load": number, "cores": watch.cores, "at_s": last.at_s, "foreign_s": last.foreign_s})
            if over.wait(EVERY_S):
                return


def ancestors(pid: int | None = None) -> Iterator[int]:
    """A process and those that started it, up to the first one of all, which started everybody; else ours."""
    pid = os.getpid() if pid is None else pid
    while pid > 1:
        yield pid
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended since, or is not shown
            return
        pid = int(fields[1])
