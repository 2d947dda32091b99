"""How does a rank say that it is there? By a datagram each period, which overtakes all other packets."""

import contextlib
import socket
import threading
import time
from typing import Any

from real_runtime.control.heartbeats.datagram import Beat, written

_LOW_DELAY = 0x10  # the type of service that an emulated line lets pass first


class Heart:
    """A rank's heart. It begins to beat when it is told how, and changes when it is told anew."""

    def __init__(self) -> None:
        self._order: dict[str, Any] = {}
        self._is_cut_off, self._over = False, threading.Event()
        self._thread: threading.Thread | None = None

    def beat(self, order: dict[str, Any]) -> None:
        """Beat as ordered from now on (:meth:`Heartbeats.order`); returns at once."""
        self._order = order
        if self._thread is None:
            self._over.clear()
            self._thread = threading.Thread(target=self._beat_on, daemon=True, name="heart")
            self._thread.start()

    def cut_off(self, *, is_cut_off: bool) -> None:
        """Let no heartbeat out, or let them out again: of a host whose link exists in our mind only."""
        self._is_cut_off = is_cut_off

    def stop(self) -> None:
        """Beat no more, until told anew."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _beat_on(self) -> None:
        due_s = time.monotonic()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            line.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _LOW_DELAY)
            while not self._over.is_set():
                order = self._order
                # By the clock: it rises even from one process of a rank to the next.
                beat = Beat(rank=order["rank"], generation=order["generation"], number=time.monotonic_ns())
                if not self._is_cut_off:
                    with contextlib.suppress(OSError):  # where the link is down, none is heard: that is what it is for
                        line.sendto(written(beat, bytes.fromhex(order["token"])), (order["host"], order["port"]))
                due_s = max(due_s + order["period_s"], time.monotonic())  # what was missed is not made up for
                self._over.wait(max(0.0, due_s - time.monotonic()))
