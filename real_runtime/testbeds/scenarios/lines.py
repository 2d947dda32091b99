"""How fast is every host's line now, and is its cable plugged in? What is asked for, and who makes it so."""

from collections.abc import Sequence
from typing import Protocol

from real_runtime.control.coordinator import Coordinator


class Wiring(Protocol):
    """What a kind of testbed can do to a running host's line."""

    def set(self, rank: int, bytes_per_s: float, *, is_up: bool) -> None:
        """Give it a rate, and plug its cable in or out; returns before it is done, some milliseconds earlier.

        At a rate of 0, what is sent waits in its queue; without a cable it is lost.
        """

    def close(self) -> None:
        """End whatever did so. Raises RunError where something could not be done."""


class PacedWiring:
    """Ranks that pace their own messages are told."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator

    def set(self, rank: int, bytes_per_s: float, *, is_up: bool) -> None:
        """See :class:`Wiring`."""
        command = {"do": "change_line", "bytes_per_s": bytes_per_s, "is_up": is_up}
        self._coordinator.ranks[rank].tell(command)

    def close(self) -> None:
        """Nothing to end."""


class Lines:
    """All hosts' lines, by the factor of their own rate that scenarios leave them, and by who pulled which cable."""

    def __init__(self, wiring: Wiring, bytes_per_s: Sequence[float]) -> None:
        self._wiring, self._bytes_per_s = wiring, bytes_per_s
        self._factors = [1.0] * len(bytes_per_s)
        self._cut: set[int] = set()
        self._set: dict[int, tuple[float, bool]] = {rank: (rate, True) for rank, rate in enumerate(bytes_per_s)}

    def change(self, rank: int, factor: float) -> None:
        """Leave a line a factor of its rate; with 0, what is sent waits."""
        self._factors[rank] = factor
        self._apply(rank)

    def cut(self, rank: int) -> None:
        """Pull a host's cable."""
        self._cut.add(rank)
        self._apply(rank)

    def mend(self, rank: int) -> None:
        """Plug it in again."""
        self._cut.discard(rank)
        self._apply(rank)

    def tell_again(self, rank: int) -> None:
        """Make a line as it is to be once more: whoever makes it so on loopback may be a new process."""
        bytes_per_s, is_up = self._set[rank]
        if (bytes_per_s, is_up) != (self._bytes_per_s[rank], True):
            self._wiring.set(rank, bytes_per_s, is_up=is_up)

    def restore(self) -> None:
        """Let all lines be as they are without a scenario."""
        self._factors = [1.0] * len(self._bytes_per_s)
        self._cut.clear()
        for rank in range(len(self._bytes_per_s)):
            self._apply(rank)

    def _apply(self, rank: int) -> None:
        wanted = self._bytes_per_s[rank] * self._factors[rank], rank not in self._cut
        if wanted != self._set[rank]:
            self._set[rank] = wanted
            self._wiring.set(rank, wanted[0], is_up=wanted[1])
