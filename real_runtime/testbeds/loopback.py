"""How are hosts emulated everywhere? As plain processes on the loopback interface; ranks pace their own messages."""

import socket
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from real_runtime.control.heartbeats.heartbeats import Heartbeats
from real_runtime.testbeds.socket_elsewhere import datagram_socket


@dataclass(frozen=True, slots=True)
class LoopbackHosts:
    """No isolation: a rank is a process."""

    paces: bool = True
    are_here: bool = True
    uncertainties_s: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()

    def watched(self, ranks: Collection[int]) -> None:
        """It is this machine's load."""

    def interface_of(self, rank: int) -> str:
        """All use this machine's own."""
        return "lo0" if sys.platform == "darwin" else "lo"

    def namespaces(self, rank: int) -> tuple[str, ...]:
        """None: all are on this machine's own network."""
        return ()

    def ear(self, period_s: float) -> Heartbeats:
        """Hears heartbeats that travel the emulated network."""
        return Heartbeats(self.listener(), period_s)

    def listener(self) -> socket.socket:
        """A UDP socket of this machine's own network."""
        return datagram_socket("127.0.0.1")


@contextmanager
def hosts() -> Iterator[LoopbackHosts]:
    """Nothing to set up, nothing to remove."""
    yield LoopbackHosts()
