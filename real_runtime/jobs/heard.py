"""When was each rank of a job heard last? Its heart beats over the network that its messages pass."""

import time
from collections.abc import Callable, Collection

from real_runtime.control.heartbeats.heartbeats import Ear
from real_runtime.control.rank_process import Message

_BLINK_S = 0.05  # between two looks


class NetworkHeartbeats:
    """Heartbeats of a testbed's ranks; ``tell`` gives one a word, and ``ear`` hears them."""

    def __init__(self, ear: Ear, tell: Callable[[int, Message], object], ranks: Collection[int]) -> None:
        self._ear, self._tell, self._ranks = ear, tell, tuple(ranks)
        self._looked_s = time.monotonic()
        self._since_s: dict[int, float] = {}
        for rank in ranks:
            self.greet(rank)

    def greet(self, rank: int) -> None:
        """Let a rank's heart beat, whose process is new."""
        self._since_s[rank] = time.monotonic()
        self._tell(rank, self._ear.order(rank, generation=0))

    def look(self) -> None:
        """Note that somebody looks: the time in which nobody did is no silence, of anybody."""
        now_s = time.monotonic()
        unseen_s, self._looked_s = now_s - self._looked_s - _BLINK_S, now_s
        if unseen_s > 0:
            self._since_s = {rank: min(now_s, self.last_heard_s(rank) + unseen_s) for rank in self._ranks}

    def last_heard_s(self, rank: int) -> float:
        """When the rank's last heartbeat came, on the monotonic clock; or when it was first expected."""
        return max(self._since_s[rank], self._ear.last_heard_s(rank))

    def close(self) -> None:
        """Let all hearts be still, and hear them no more."""
        for rank in self._ranks:
            self._tell(rank, {"do": "still_heart"})
        self._ear.close()
