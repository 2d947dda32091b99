"""When does each message's last byte leave a radio channel that all share? Everyone gets the same bytes per second.

So one clock serves all: of the bytes that each flow has moved since the channel was last idle. A flow ends when the
clock has gone its bytes further; that others begin or end changes the clock's pace, and nothing about the flow. So an
event costs the logarithm of the number of flows, and not their number.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from math import inf

import simpy

from edgesim.simulator.clock import after
from edgesim.simulator.network.fabric import Fabric, Route

_ROUNDING = 1e-15
_RECKONINGS = 256  # by adding and taking away; then the air's load is summed up anew, and the clock set back
_FAR = 1e-4  # so much less load, or so few bytes beside the clock's, would drown in the rounding of what was before


class Air(Fabric):
    """One channel, on which a byte of every flow takes some air time of its own."""

    def __init__(self, env: simpy.Environment, flown: Callable[[int], None]) -> None:
        super().__init__(env, flown)
        self.flows: list[tuple[float, int, float]] = []  # (clock at its end, name, seconds per byte), a heap
        self.clock_bytes = 0.0
        self.since_s = 0.0
        self.load = 0.0  # seconds of air that a byte of every flow takes
        self.timer_s = inf
        self._reckonings = 0
        self._most = 0.0  # load since all was last reckoned anew

    def send(self, route: Route, nbytes: float, name: int) -> bool:
        if not route.data or nbytes <= 0:
            return False
        ((_, seconds_per_byte),) = route.data
        self._turn_clock()
        if nbytes < self.clock_bytes * _FAR:
            self._reckon_anew()
        heappush(self.flows, (self.clock_bytes + nbytes, name, seconds_per_byte))
        self._add(seconds_per_byte)
        self._time()
        return True

    def _turn_clock(self) -> None:
        now_s = self.env.now
        if self.flows:
            self.clock_bytes += (now_s - self.since_s) / self.load
        self.since_s = now_s

    def _add(self, seconds_per_byte: float) -> None:
        """Let a flow's load join or leave that of the flows; now and then all is reckoned anew, against rounding."""
        self._reckonings += 1
        self.load += seconds_per_byte
        self._most = max(self._most, self.load)
        if self._reckonings % _RECKONINGS == 0 or self.load < self._most * _FAR or not self.flows:
            self._reckon_anew()

    def _reckon_anew(self) -> None:
        self.flows = [(end_bytes - self.clock_bytes, name, seconds) for end_bytes, name, seconds in self.flows]
        self.clock_bytes, self.load = 0.0, sum(seconds for *_, seconds in self.flows)
        self._most = self.load

    def _time(self) -> None:
        """Look when the next flow ends; where others begin meanwhile, look again."""
        seconds = max(0.0, (self.flows[0][0] - self.clock_bytes) * self.load)
        if self.env.now + seconds < self.timer_s:
            self.timer_s = self.env.now + seconds
            after(self.env, seconds, self._look, self.timer_s)

    def _is_due(self, end_bytes: float) -> bool:
        """Whether the clock is there, as far as sums of seconds and of bytes can tell."""
        left_bytes = end_bytes - self.clock_bytes
        return left_bytes <= end_bytes * _ROUNDING or left_bytes * self.load <= self.env.now * _ROUNDING

    def _look(self, timer_s: float) -> None:
        if timer_s != self.timer_s:
            return  # an earlier one has taken its place
        self.timer_s = inf
        self._turn_clock()
        ended = []
        while self.flows and self._is_due(self.flows[0][0]):
            ended.append(heappop(self.flows))
        if ended:
            self.clock_bytes = max(self.clock_bytes, ended[-1][0])
            self._add(-sum(seconds_per_byte for *_, seconds_per_byte in ended))
        if self.flows:
            self._time()
        for _, name, _ in ended:
            self.flown(name)
