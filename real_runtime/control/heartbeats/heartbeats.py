"""When was each rank heard last, and who is silent? Listens beside the hosts, and believes ranks of the testbed only.

Silence does not tell why: whether a process has ended, is stopped, or is cut off is judged from other evidence
(control/evidence.py).
"""

import socket
import threading
import time
from collections.abc import Callable, Iterable
from math import inf
from select import select
from typing import Any, Protocol

from real_runtime.control.heartbeats.datagram import DATAGRAM_BYTES, Beat, new_token, read


class Ear(Protocol):
    """Who hears of ranks' hearts."""

    def order(self, rank: int, generation: int) -> dict[str, Any]:
        """The command that lets a rank's heart beat so that it is heard."""

    def last_heard_s(self, rank: int) -> float:
        """When a rank was heard last, on the monotonic clock; infinitely long ago: never."""

    def close(self) -> None:
        """Listen no more."""


class Heartbeats:
    """The coordinator's ear.

    ``listener`` is a bound UDP socket that all hosts reach; it is closed with this. ``clock`` tells seconds.
    """

    def __init__(self, listener: socket.socket, period_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._listener, self.period_s, self._token, self._clock = listener, period_s, new_token(), clock
        listener.setblocking(False)
        self._lock = threading.Lock()
        self._watched: dict[int, tuple[int, float]] = {}  # [rank] its generation, and since when it is expected
        self._heard: dict[tuple[int, int], tuple[int, float]] = {}  # [rank, generation] its last number, and when
        self._over, self._wakes = threading.Event(), socket.socketpair()
        self._thread = threading.Thread(target=self._listen, daemon=True, name="heartbeats")
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        self._over.set()
        self._wakes[1].send(b".")
        self._thread.join()
        for each in (self._listener, *self._wakes):
            each.close()

    def order(self, rank: int, generation: int) -> dict[str, Any]:
        """The command that lets a rank's heart beat; for its pipe only, since it holds the token."""
        host, port = self._listener.getsockname()
        place = {"host": host, "port": port, "token": self._token.hex(), "period_s": self.period_s}
        return {"do": "beat", "rank": rank, "generation": generation, **place}

    def watch(self, ranks: Iterable[int], generation: int) -> None:
        """Expect these ranks of a generation from now on, and no others."""
        now_s = self._clock()
        with self._lock:
            self._watched = dict.fromkeys(ranks, (generation, now_s))

    def last_heard_s(self, rank: int) -> float:
        """When a rank was heard last in its generation, on the clock; before that, since when it is expected.

        Of a rank that is not expected, when it was heard last in any generation; infinitely long ago: never.
        What has arrived is read first: if this process itself was kept from running, nobody was silent meanwhile.
        """
        self._take()
        with self._lock:
            return self._last_heard_s(rank)

    def silent(self, timeout_s: float) -> tuple[int, ...]:
        """The expected ranks that have said nothing in their generation for so long."""
        self._take()
        with self._lock:
            now_s = self._clock()
            return tuple(rank for rank in sorted(self._watched) if now_s - self._last_heard_s(rank) >= timeout_s)

    def _last_heard_s(self, rank: int) -> float:
        if rank in self._watched:
            generation, since_s = self._watched[rank]
            return max(since_s, self._heard.get((rank, generation), (0, since_s))[1])
        return max((at_s for (whose, _), (_, at_s) in self._heard.items() if whose == rank), default=-inf)

    def _listen(self) -> None:
        while not self._over.is_set():
            select([self._listener, self._wakes[0]], [], [])
            self._take()

    def _take(self) -> None:
        """Read what has arrived."""
        with self._lock:
            while True:
                try:
                    datagram = self._listener.recv(DATAGRAM_BYTES + 1)
                except OSError:  # nothing more, or closed
                    return
                if (beat := read(datagram, self._token)) is not None:
                    self._note(beat)

    def _note(self, beat: Beat) -> None:
        last, _ = self._heard.get((beat.rank, beat.generation), (-1, 0.0))
        if beat.number > last:
            self._heard[beat.rank, beat.generation] = beat.number, self._clock()
