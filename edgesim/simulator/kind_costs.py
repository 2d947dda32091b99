"""What does a task of some kind take on one cluster? Found once, however many schedules of it are simulated."""

from math import inf
from typing import NamedTuple

from edgesim.cluster import Cluster
from edgesim.errors import ScheduleError
from edgesim.model import Model
from edgesim.profile import Profile
from edgesim.ring import ring_steps
from edgesim.schedule import Op
from edgesim.schedule.kind import Kind
from edgesim.simulator.network.fabric import Route, Routes
from edgesim.units import MOST
from edgesim.work import work_of

_MOST_KINDS = 2**16  # that are kept; of divided blocks nearly every task is of a kind of its own
_MOST_CLUSTERS = 8


class Wire(NamedTuple):
    """How a node's bytes travel: along a route, then for a latency, after which what waits for them begins.

    Hosts hand them over before they are sent, and when they have arrived: the latency holds both.
    ``alone_s`` is what they take on a route that they share with none; infinitely long where a link is out.
    """

    route: Route
    nbytes: float
    latency_s: float
    alone_s: float

    @classmethod
    def of(cls, route: Route, nbytes: float, latency_s: float) -> "Wire":
        """Return the wire with what its bytes take alone."""
        if not route.data or nbytes <= 0:
            return cls(route, nbytes, latency_s, 0.0)
        slowest = max(seconds_per_byte for _, seconds_per_byte in route.all)
        return cls(route, nbytes, latency_s, nbytes / (1 / slowest) if slowest < inf else inf)


class KindCosts:
    """Seconds of computations and ways of bytes, by a profile, on a cluster whose links these routes use."""

    def __init__(self, cluster: Cluster, model: Model, profile: Profile, tokens: int, routes: Routes) -> None:
        self.cluster, self.model, self.profile, self.tokens, self.routes = cluster, model, profile, tokens, routes
        self._seconds: dict[tuple[object, ...], float] = {}
        self._wires: dict[tuple[object, ...], Wire] = {}

    def seconds(self, kind: Kind) -> float:
        """Return what a computation takes. Raises ProfileError where the profile does not know."""
        op, rank, _, layers, block, _, samples, tokens, units, *_ = kind
        asked = op, rank, layers, block, samples, tokens, units
        if (seconds := self._seconds.get(asked)) is None:
            seconds = self._computed_s(kind)
            refuse_beyond(seconds, "seconds", kind)
            if len(self._seconds) >= _MOST_KINDS:
                self._seconds.clear()
            self._seconds[asked] = seconds
        return seconds

    def _computed_s(self, kind: Kind) -> float:
        device = self.cluster.devices[kind.rank].name
        if kind.block:
            work = work_of(kind, self.model, self.tokens)
            return self.profile.block_s(device=device, block=work.block, op=work.op, portion=work.portion)
        samples = 0 if kind.op is Op.UPDATE else kind.samples[1] - kind.samples[0]
        layers = self.model.layers[slice(*kind.layers)]
        op = Op.F if kind.op is Op.RECOMPUTE else kind.op  # the same pass, a second time
        return self.profile.layers_s(device=device, layers=layers, op=op, samples=samples, tokens=self.tokens)

    def wire(self, kind: Kind) -> Wire:
        """Return the way of a message, or of a ring collective."""
        asked = kind.op, kind.rank, kind.peers, kind.nbytes
        if (wire := self._wires.get(asked)) is None:
            wire = self._wire(kind)
            refuse_beyond(wire.latency_s, "seconds of latency", kind)
            if len(self._wires) >= _MOST_KINDS:
                self._wires.clear()
                self.routes.clear()
            self._wires[asked] = wire
        return wire

    def _wire(self, kind: Kind) -> Wire:
        """Ring all-reduce of S bytes on n ranks: 2(n-1) steps of S/n; all-gather and reduce-scatter: n-1 steps.

        (Patarasuk & Yuan, JPDC 2009.)
        """
        network = self.routes.network
        if kind.op is Op.SEND:
            pair = kind.rank, kind.peers[0]
            return Wire.of(self.routes.route((pair,)), kind.nbytes, network.message_delay_s(*pair))
        if len(kind.peers) == 1:
            return Wire.of(self.routes.route(()), 0.0, 0.0)  # who is alone passes nothing on
        ring = tuple(zip(kind.peers, (*kind.peers[1:], kind.peers[0]), strict=True))
        steps = ring_steps(len(ring), all_reduce=kind.op is Op.ALL_REDUCE)
        latency_s = steps * network.step_delay_s(ring) + 2 * network.hand_over_s
        return Wire.of(self.routes.route(ring), steps * kind.nbytes / len(ring), latency_s)

    def is_of(self, cluster: Cluster, model: Model, profile: Profile, tokens: int) -> bool:
        """Return whether they are of these very nouns; equal ones would have to be compared number by number."""
        same = self.cluster is cluster and self.model is model and self.profile is profile
        return same and self.tokens == tokens


def refuse_beyond(amount: float, what: str, kind: Kind) -> None:
    """Raise ScheduleError for bytes, seconds or latencies that are too many to be added up."""
    if not amount <= MOST:
        raise ScheduleError(f"{''.join(kind.name_around)} takes more than {MOST:g} {what}, which no clock can count")


_recent: tuple[KindCosts, ...] = ()


def kept_costs(cluster: Cluster, model: Model, profile: Profile, tokens: int) -> KindCosts:
    """Return the costs of a cluster on which nothing happens; the last few are kept, since studies simulate thousands.

    They rest on nouns that never change, so that a simulation takes the same with and without them.
    """
    global _recent
    for known in _recent:
        if known.is_of(cluster, model, profile, tokens):
            return known
    costs = KindCosts(cluster, model, profile, tokens, Routes(cluster.network))
    _recent = (costs, *_recent[: _MOST_CLUSTERS - 1])
    return costs
