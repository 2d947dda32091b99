"""What joins the devices? Who shares which links, their rates and latencies, and what a byte occupies on its way."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite
from typing import NamedTuple

from edgesim.cluster.origin import Origin
from edgesim.since_3_11 import StrEnum
from edgesim.units import LEAST, MOST, is_reckonable, require_number, require_numbers


class Topology(StrEnum):
    """How ranks share the network."""

    SWITCHED = "switched"  # a full-duplex NIC per rank, a switch that never blocks
    RADIO = "radio"  # one channel: every byte of every flow takes air time
    PAIRS = "pairs"  # an independent link per ordered pair


class ResourceKind(StrEnum):
    """What a message, or work at a disk, occupies."""

    TRANSMIT = "transmit"  # a rank's NIC, outwards
    RECEIVE = "receive"  # a rank's NIC, inwards
    LINK = "link"  # from one rank to another
    AIR = "air"  # the channel that all share
    DISK = "disk"  # of a rank


class Resource(NamedTuple):
    """Something that can be busy: its kind, and the rank or the two ranks that it belongs to."""

    kind: ResourceKind
    ranks: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind} {'>'.join(map(str, self.ranks))}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What joins the devices.

    Attributes:
        topology: who shares what.
        bytes_per_s: line rates, ``[rank][peer]``. Switched: row 0 holds each rank's transmit rate, row 1 its receive
            rate. Radio and pairs: the rate from rank to peer (the diagonal is not read).
        latency_s: seconds that a message needs beside its bytes, ``[rank][peer]``.
        goodput: application bytes per byte of line rate (0.956 for TCP over Ethernet: 1448/1514).
        burst_bytes: what an idle, shaped link lets through at once (token bucket); 0 on a real wire.
        acknowledgement: bytes that flow back per byte sent (TCP's acknowledgements: 66 for every 2 x 1448, 0.023); they
            take from traffic the other way, where directions are apart. A radio's goodput already holds them.
        hand_over_s: what a host's threads need to hand a message or collective over, once before it is sent and once
            when it has arrived; 0: nobody measured it.
        step_s: what each step of a ring collective needs beside its bytes, of hosts that are at it already, by how many
            they are: of two, of three, and so on; the last holds for any more. None: nobody measured it, it is the
            latency of the slowest hop.
        origin: what kind of numbers these are.
        source: where they come from.

    Use :meth:`switched`, :meth:`radio` or :meth:`pairs`.
    """

    topology: Topology
    bytes_per_s: tuple[tuple[float, ...], ...]
    latency_s: tuple[tuple[float, ...], ...]
    goodput: float
    origin: Origin
    source: str
    burst_bytes: float = 0.0
    acknowledgement: float = 0.0
    hand_over_s: float = 0.0
    step_s: tuple[float, ...] | None = None
    ranks: int = field(init=False)

    def __post_init__(self) -> None:
        require_numbers("network", self)
        ranks = len(self.latency_s)
        object.__setattr__(self, "ranks", ranks)
        switched = self.topology is Topology.SWITCHED
        rows = 2 if switched else ranks
        if len(self.bytes_per_s) != rows or any(len(row) != ranks for row in (*self.bytes_per_s, *self.latency_s)):
            raise ValueError(f"network: {self.topology} needs {rows} x {ranks} rates and {ranks} x {ranks} latencies")
        for i, row in enumerate(self.bytes_per_s):
            for j, rate in enumerate(row):
                if (switched or i != j) and not (is_reckonable(rate) or rate == inf):
                    must = f"lie between {LEAST:g} and {MOST:g} B/s (infinite: no limit)" if rate > 0 else "be positive"
                    raise ValueError(
                        f"network: bandwidth must {must}, got {rate:g} B/s for rank {j if switched else i}"
                    )
        if not all(isfinite(s) and s >= 0 for row in self.latency_s for s in row):
            raise ValueError(f"network: latencies must be finite and >= 0, got {self.latency_s}")
        for name, each_s in (("hand_over_s", (self.hand_over_s,)), ("step_s", self.step_s or ())):
            if not all(isfinite(seconds) and seconds >= 0 for seconds in each_s):
                raise ValueError(f"network: {name} must be finite and >= 0, got {getattr(self, name)}")
        if self.step_s == ():
            raise ValueError("network: step_s holds no number (None: nobody measured it)")
        if not LEAST <= self.goodput <= 1:
            raise ValueError(f"network: goodput must lie in (0, 1], got {self.goodput} (at least {LEAST:g})")
        if self.burst_bytes and not is_reckonable(self.burst_bytes):
            raise ValueError(
                f"network: burst_bytes must be finite and >= 0, got {self.burst_bytes} (0, or {LEAST:g} to {MOST:g})"
            )
        if self.burst_bytes and not switched:
            raise ValueError(
                f"network: only NICs have token buckets, a {self.topology} network none (drop burst_bytes)"
            )
        if self.acknowledgement and not LEAST <= self.acknowledgement < 1:
            raise ValueError(
                f"network: acknowledgement must lie in [0, 1), got {self.acknowledgement} (0 or at least {LEAST:g})"
            )
        if self.acknowledgement and self.topology is Topology.RADIO:
            raise ValueError("network: a radio's goodput already holds its acknowledgements (set acknowledgement: 0)")

    @classmethod
    def switched(
        cls,
        *,
        transmit_bytes_per_s: Sequence[float],
        receive_bytes_per_s: Sequence[float] | None = None,
        latency_s: float | Sequence[Sequence[float]],
        goodput: float,
        origin: Origin | str,
        source: str,
        burst_bytes: float = 0.0,
        acknowledgement: float = 0.0,
        hand_over_s: float = 0.0,
        step_s: float | Sequence[float] | None = None,
    ) -> "Network":
        """Join full-duplex NICs by a switch; a NIC receives as fast as it transmits unless told otherwise."""
        for name, rates in (
            ("transmit_bytes_per_s", transmit_bytes_per_s),
            ("receive_bytes_per_s", receive_bytes_per_s),
        ):
            require_number("network", name, rates, or_none=True, several=True)
        require_number("network", "step_s", step_s, or_none=True, several=True)
        up, down = tuple(transmit_bytes_per_s), tuple(receive_bytes_per_s or transmit_bytes_per_s)
        return cls(
            topology=Topology.SWITCHED,
            bytes_per_s=(up, down),
            latency_s=_square(latency_s, len(up)),
            goodput=goodput,
            origin=Origin(origin),
            source=source,
            burst_bytes=burst_bytes,
            acknowledgement=acknowledgement,
            hand_over_s=hand_over_s,
            step_s=None if step_s is None else by_members(step_s),
        )

    @classmethod
    def radio(
        cls,
        *,
        bytes_per_s: Sequence[Sequence[float]],
        latency_s: float | Sequence[Sequence[float]],
        goodput: float,
        origin: Origin | str,
        source: str,
    ) -> "Network":
        """Share one channel; ``bytes_per_s[i][j]`` is the rate of station i towards j when it has the air alone."""
        return cls(
            topology=Topology.RADIO,
            bytes_per_s=_rows("bytes_per_s", bytes_per_s),
            latency_s=_square(latency_s, len(bytes_per_s)),
            goodput=goodput,
            origin=Origin(origin),
            source=source,
        )

    @classmethod
    def pairs(
        cls,
        *,
        bytes_per_s: Sequence[Sequence[float]],
        latency_s: float | Sequence[Sequence[float]],
        goodput: float,
        origin: Origin | str,
        source: str,
        acknowledgement: float = 0.0,
    ) -> "Network":
        """Give every ordered pair of ranks an independent link."""
        return cls(
            topology=Topology.PAIRS,
            bytes_per_s=_rows("bytes_per_s", bytes_per_s),
            latency_s=_square(latency_s, len(bytes_per_s)),
            goodput=goodput,
            origin=Origin(origin),
            source=source,
            acknowledgement=acknowledgement,
        )

    def hops(self, source: int, destination: int) -> Iterator[tuple[Resource, float]]:
        """Yield the shared resources that a byte from source to destination uses, and for how many seconds each."""
        if self.topology is Topology.SWITCHED:
            yield Resource(ResourceKind.TRANSMIT, (source,)), 1 / (self.bytes_per_s[0][source] * self.goodput)
            yield Resource(ResourceKind.RECEIVE, (destination,)), 1 / (self.bytes_per_s[1][destination] * self.goodput)
        else:
            link = Resource(ResourceKind.LINK, (source, destination))
            shared = Resource(ResourceKind.AIR) if self.topology is Topology.RADIO else link
            yield shared, 1 / (self.bytes_per_s[source][destination] * self.goodput)

    def message_delay_s(self, source: int, destination: int) -> float:
        """Return the seconds that a message needs beside its bytes, until what waits for it begins."""
        return self.latency_s[source][destination] + 2 * self.hand_over_s

    def step_delay_s(self, ring: Iterable[tuple[int, int]]) -> float:
        """Return the seconds that each step of a collective over these hops needs beside its bytes."""
        hops = tuple(ring)
        slowest_s = max((self.latency_s[a][b] for a, b in hops), default=0.0)
        return slowest_s if self.step_s is None or not hops else self.ring_step_s(len(hops))

    def ring_step_s(self, members: int) -> float:
        """Return the measured seconds of a step of a ring of so many. Raises ValueError where nobody measured them."""
        if self.step_s is None:
            raise ValueError("network: nobody measured the steps of rings (its latencies stand in: step_delay_s)")
        return self.step_s[min(members - 2, len(self.step_s) - 1)]

    @property
    def slowest_bytes_per_s(self) -> float:
        """The line rate of the slowest NIC or link; infinite for one rank without a NIC."""
        switched = self.topology is Topology.SWITCHED
        rates = [rate for i, row in enumerate(self.bytes_per_s) for j, rate in enumerate(row) if switched or i != j]
        return min(rates, default=inf)

    def goodput_bytes_per_s(self, source: int, destination: int) -> float:
        """Return the rate that one flow alone reaches from source to destination."""
        slowest = max(seconds_per_byte for _, seconds_per_byte in self.hops(source, destination))
        return 1 / slowest if slowest > 0 else inf


def by_members(step_s: float | Sequence[float]) -> tuple[float, ...]:
    """Seconds of a ring's step by its members, as a network has them; a single number holds for rings of any size.

    >>> by_members(0.002), by_members([0.002, 0.003])
    ((0.002,), (0.002, 0.003))
    """
    return (float(step_s),) if isinstance(step_s, int | float) else tuple(step_s)


def _rows(name: str, matrix: Sequence[Sequence[float]]) -> tuple[tuple[float, ...], ...]:
    require_number("network", name, matrix, several=True)
    return tuple(tuple(float(value) for value in row) for row in matrix)


def _square(latency_s: float | Sequence[Sequence[float]], ranks: int) -> tuple[tuple[float, ...], ...]:
    if isinstance(latency_s, int | float):
        return ((float(latency_s),) * ranks,) * ranks
    return _rows("latency_s", latency_s)
