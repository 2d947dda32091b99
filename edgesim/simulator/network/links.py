"""When does each message's last byte leave NICs and links that are shared fairly? One event for who shares none."""

from collections.abc import Callable
from math import inf

import simpy

from edgesim.simulator.clock import after, at_the_end_of_this_instant
from edgesim.simulator.network.fabric import Fabric, Route
from edgesim.simulator.network.fair_shares import Changed, FairShares
from edgesim.simulator.network.flow import Flow
from edgesim.simulator.network.token_buckets import TokenBuckets


class Transfer(Flow):
    """Bytes on their way. ``due_s`` is when the last one leaves; ``timer_s`` when its timer looks whether it has."""

    __slots__ = ("due_s", "name", "remaining_bytes", "route", "since_s", "timer_s")

    def __init__(self, name: int, route: Route, nbytes: float, now_s: float) -> None:
        self.hops, self.rate, self.bottleneck = route.all, 0.0, -1  # as a flow's; thousands are made
        self.name, self.route, self.remaining_bytes, self.since_s = name, route, nbytes, now_s
        self.due_s = self.timer_s = inf


class SharedLinks(Fabric):
    """NICs or links that flows share, each with a token bucket if the network has them."""

    def __init__(self, env: simpy.Environment, burst_bytes: float, flown: Callable[[int], None]) -> None:
        super().__init__(env, flown)
        self.shares: FairShares[Transfer] = FairShares()
        self.buckets = TokenBuckets(burst_bytes) if burst_bytes else None
        self._asking: list[Transfer] = []  # for credit of token buckets
        self._settling = False

    def send(self, route: Route, nbytes: float, name: int) -> bool:
        if not route.data or nbytes <= 0:
            return False
        transfer = Transfer(name, route, nbytes, self.env.now)
        if self.buckets is not None:
            self._asking.append(transfer)
            self._settle_soon()
        else:
            self._begin(transfer)
        return True

    def _begin(self, transfer: Transfer) -> None:
        """Let bytes flow, as soon as their rate is settled."""
        if self.shares.begin(transfer):
            self._time(transfer)
        else:
            self._apply(self.shares.share(transfer))

    def _leave(self, transfer: Transfer) -> None:
        """Let others have what it used."""
        if freed := self.shares.end(transfer):
            self._apply(self.shares.gain(freed))

    def _apply(self, changed: Changed[Transfer]) -> None:
        """Count what has flowed at the old rates, and look when transfers end at the new ones."""
        now_s = self.env.now
        for transfer, rate in changed:
            moved_bytes = rate * (now_s - transfer.since_s)
            transfer.remaining_bytes = max(0.0, transfer.remaining_bytes - moved_bytes)
            transfer.since_s = now_s
            self._time(transfer)
        if self.shares.unsettled:
            self._settle_soon()

    def _time(self, transfer: Transfer) -> None:
        """Find when it ends at its present rate; a timer that comes too early looks again."""
        seconds = transfer.remaining_bytes / transfer.rate
        transfer.due_s = due_s = self.env.now + seconds
        if due_s < transfer.timer_s:
            transfer.timer_s = due_s
            after(self.env, seconds, self._look, transfer)

    def _look(self, transfer: Transfer) -> None:
        now_s = self.env.now
        if now_s != transfer.timer_s:
            return  # another timer has taken the place of this one
        if transfer.due_s <= now_s:
            self._end(transfer)
        elif transfer.due_s < inf:
            transfer.timer_s = now_s + (transfer.due_s - now_s)
            after(self.env, transfer.due_s - now_s, self._look, transfer)
        else:
            transfer.timer_s = inf

    def _end(self, transfer: Transfer) -> None:
        transfer.timer_s = -inf
        self._leave(transfer)
        if self.buckets is not None:
            self.buckets.end(transfer.route.data, self.env.now)
        self.flown(transfer.name)

    def _settle_soon(self) -> None:
        """Rates are found once for all that begins and ends at this instant, where they are not known at once."""
        if not self._settling:
            self._settling = True
            at_the_end_of_this_instant(self.env, self._settle)

    def _settle(self) -> None:
        at_once = self._with_credit()
        self._settling = False
        self._apply(self.shares.settle())
        for transfer in at_once:
            self.flown(transfer.name)

    def _with_credit(self) -> list[Transfer]:
        """Ask the token buckets; return messages that have left at once, and let the others begin with what is left."""
        if not self._asking:
            return []
        assert self.buckets is not None
        asking, self._asking = self._asking, []
        taken = self._credit(asking)
        at_once = []
        for transfer, nbytes in zip(asking, taken, strict=True):
            transfer.remaining_bytes -= nbytes
            transfer.since_s = self.env.now
            if transfer.remaining_bytes > 0:
                self.buckets.begin(transfer.route.data)
                self._begin(transfer)
            else:
                at_once.append(transfer)
        return at_once

    def _credit(self, asking: list[Transfer]) -> list[float]:
        assert self.buckets is not None
        return self.buckets.take([(each.route.data, each.remaining_bytes) for each in asking], self.env.now)
