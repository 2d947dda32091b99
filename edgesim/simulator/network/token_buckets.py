"""How many bytes does an idle, shaped link let through at once? A token bucket for every resource that has one."""

from collections import defaultdict
from collections.abc import Hashable, Sequence

from edgesim.simulator.network.fair_shares import max_min_rates
from edgesim.simulator.network.flow import Hops
from edgesim.units import LEAST

_WHOLE = 1 - 1e-12


class TokenBuckets:
    """The credit of every resource in bytes. A bucket fills at line rate while nobody sends through its resource."""

    def __init__(self, burst_bytes: float) -> None:
        self.burst_bytes = burst_bytes
        self.credit_bytes: defaultdict[int, float] = defaultdict(lambda: burst_bytes)  # all are full in the beginning
        self.idle_since_s: defaultdict[int, float] = defaultdict(float)
        self.senders: defaultdict[int, int] = defaultdict(int)  # whose bytes, not just acknowledgements, use a resource

    def begin(self, data: Hops) -> None:
        """Let a flow send through its resources."""
        for resource, _ in data:
            self.senders[resource] += 1

    def end(self, data: Hops, now_s: float) -> None:
        """Let a flow have sent its last byte."""
        for resource, _ in data:
            self.senders[resource] -= 1
            self.idle_since_s[resource] = now_s  # read only if no sender is left

    def fill(self, data: Hops, now_s: float) -> None:
        """Add the credit of the time in which nobody sent."""
        for resource, seconds_per_byte in data:
            if not self.senders[resource]:
                filled = self.credit_bytes[resource] + (now_s - self.idle_since_s[resource]) / seconds_per_byte
                self.credit_bytes[resource] = min(self.burst_bytes, filled)
                self.idle_since_s[resource] = now_s

    def take(self, asked: Sequence[tuple[Hops, float]], now_s: float) -> list[float]:
        """Let messages that begin together have their bytes at once, as far as the credit goes; return how many.

        They share each bucket's credit evenly (max-min fair, each up to its own bytes), so that nothing depends on
        which of them is called first.
        """
        for data, _ in asked:
            self.fill(data, now_s)
        # A byte takes a part of its message, and of the credit of every hop.
        takes: dict[int, list[tuple[Hashable, float]]] = {}
        for i, (data, nbytes) in enumerate(asked):
            credits = [(resource, self.credit_bytes[resource]) for resource, _ in data]
            if nbytes > 0 and all(credit >= LEAST for _, credit in credits):
                takes[i] = [(("message", i), 1 / nbytes), *((resource, 1 / credit) for resource, credit in credits)]
        taken = [0.0] * len(asked)
        for i, rate in max_min_rates(takes).items():
            data, nbytes = asked[i]
            # A message that fits leaves as a whole: rounding must not keep a part of a byte back.
            taken[i] = nbytes if rate >= nbytes * _WHOLE else rate
            for resource, _ in data:
                self.credit_bytes[resource] = max(0.0, self.credit_bytes[resource] - taken[i])
        return taken
