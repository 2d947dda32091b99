"""Where does the work run? Devices, what they draw, and the network that joins them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import product
from math import inf, isfinite, log

from edgesim.units import show, si


class Origin(StrEnum):
    """What a number is. Every number of a device, a network or a profile carries one of these."""

    MEASURED = "measured"  # by this suite
    PUBLISHED = "published"  # by others who measured it
    DATASHEET = "datasheet"  # by the maker
    DERIVED = "derived"  # computed from numbers of the three kinds above
    ESTIMATED = "estimated"  # a profile from FLOPs, bytes and a device's description
    ASSUMED = "assumed"  # nobody knows
    MIXED = "mixed"  # a profile whose devices differ in their origin; its source says how


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerModel:
    """What a device draws: watts of the whole board in each state, and joules of its messages.

    States add above idle: a device that computes while it transmits draws
    ``idle_w + (compute_w - idle_w) + (transmit_w - idle_w)``. Other power modes of a board are other devices.

    Attributes:
        idle_w, compute_w, transmit_w, receive_w: watts; a NIC or radio counts by its time on the air.
        transmit_j_per_byte, transmit_j_per_message, receive_j_per_byte, receive_j_per_message: what bytes and messages
            cost beside that; 0 says that air time tells all. An old linear model of 802.11 cards is 1.9 uJ/B + 420 uJ
            per packet sent, 0.42 uJ/B + 330 uJ received, 0.8 W idle: transmit_w and receive_w are idle_w there, and the
            packets of a long message go into its bytes (420 uJ per 1448 B are 0.29 uJ/B).
        battery_j: what a charge holds; None on mains.
        source: where the numbers come from.
    """

    idle_w: float
    compute_w: float
    transmit_w: float
    receive_w: float
    source: str
    transmit_j_per_byte: float = 0.0
    transmit_j_per_message: float = 0.0
    receive_j_per_byte: float = 0.0
    receive_j_per_message: float = 0.0
    battery_j: float | None = None

    def __post_init__(self) -> None:
        for state in ("compute_w", "transmit_w", "receive_w"):
            watts = getattr(self, state)
            if not 0 <= self.idle_w <= watts < inf:
                raise ValueError(f"power model: need 0 <= idle_w <= {state}, got idle_w={self.idle_w}, {state}={watts}")
        for way, per in product(("transmit", "receive"), ("byte", "message")):
            if not 0 <= getattr(self, f"{way}_j_per_{per}") < inf:
                joules = getattr(self, f"{way}_j_per_{per}")
                raise ValueError(f"power model: {way}_j_per_{per} must be finite and >= 0, got {joules}")
        if self.battery_j is not None and not 0 < self.battery_j < inf:
            raise ValueError(f"power model: battery_j must be positive, got {self.battery_j} (leave it out on mains)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """What the mains emit per kWh delivered: grams of CO2, as ``source`` counts them."""

    g_per_kwh: float
    source: str

    def __post_init__(self) -> None:
        if not 0 <= self.g_per_kwh < inf:
            raise ValueError(f"grid: g_per_kwh must be finite and >= 0, got {self.g_per_kwh}")

    def grams(self, energy_j: float) -> float:
        """Of so much energy."""
        return energy_j / si("1 kWh") * self.g_per_kwh


@dataclass(frozen=True, slots=True, kw_only=True)
class EfficiencyCurve:
    """Which fraction of ``flop_per_s`` a block reaches, by its work: linear in log(FLOP) between points.

    ``kind`` is a block kind (attention, conv ...) or "any". Outside its points the curve is flat.
    """

    kind: str
    work_flop: tuple[float, ...]
    fraction: tuple[float, ...]
    source: str

    def __post_init__(self) -> None:
        if len(self.work_flop) != len(self.fraction) or not self.work_flop:
            raise ValueError(f"efficiency curve {self.kind}: needs one fraction per work_flop, and at least one")
        if any(a >= b for a, b in zip(self.work_flop, self.work_flop[1:], strict=False)) or self.work_flop[0] <= 0:
            raise ValueError(f"efficiency curve {self.kind}: work_flop must be positive and rise, got {self.work_flop}")
        if not all(0 < f <= 1 for f in self.fraction):
            raise ValueError(f"efficiency curve {self.kind}: fractions must lie in (0, 1], got {self.fraction}")

    def at(self, flop: float) -> float:
        """The fraction at a work size in FLOP."""
        if flop <= self.work_flop[0]:
            return self.fraction[0]
        for i in range(1, len(self.work_flop)):
            if flop <= self.work_flop[i]:
                low, high = log(self.work_flop[i - 1]), log(self.work_flop[i])
                part = (log(flop) - low) / (high - low)
                return self.fraction[i - 1] + part * (self.fraction[i] - self.fraction[i - 1])
        return self.fraction[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What one device can do for an application.

    Attributes:
        flop_per_s: the peak in FP32; ``efficiency`` says how much of it work of a kind and size gets.
        installed_bytes, memory_bytes: what is soldered on, and what of it an application can use.
        memory_bytes_per_s, disk_bytes_per_s: the peak rate of memory, and what the disk sustains.
        power: what the whole board draws. Another power mode is another device.
        origin, source: where ``flop_per_s`` comes from; every other number says it in the device's file.
        context_bytes: what PyTorch, and CUDA on a GPU, take of ``memory_bytes`` before any model. It depends
            on the device, not on what it is asked. 0 says that ``memory_bytes`` is what the framework leaves.
    """

    name: str
    flop_per_s: float
    installed_bytes: float
    memory_bytes: float
    memory_bytes_per_s: float
    disk_bytes_per_s: float
    power: PowerModel
    origin: Origin
    source: str
    efficiency: tuple[EfficiencyCurve, ...] = ()
    context_bytes: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.context_bytes < inf:
            raise ValueError(f"device {self.name}: context_bytes must be finite and >= 0, got {self.context_bytes}")
        for value in ("flop_per_s", "installed_bytes", "memory_bytes", "memory_bytes_per_s", "disk_bytes_per_s"):
            if not getattr(self, value) > 0:
                raise ValueError(f"device {self.name}: {value} must be positive, got {getattr(self, value)}")
        if self.memory_bytes > self.installed_bytes:
            raise ValueError(
                f"device {self.name}: memory_bytes is what of installed_bytes can be used, got "
                f"{show(self.memory_bytes, 'B')} of {show(self.installed_bytes, 'B')} (raise installed_bytes too)"
            )

    def __str__(self) -> str:
        return f"{self.name} ({show(self.flop_per_s, 'FLOP/s')}, {show(self.memory_bytes, 'B')}, {self.origin})"

    def budget_bytes(self, head_room: float) -> float:
        """The usable memory that is left where a share ``head_room`` of it is kept free."""
        return self.memory_bytes * (1 - head_room)

    def efficiency_at(self, block_kind: str, flop: float) -> float:
        """The fraction of ``flop_per_s`` that a block of this kind and work reaches; 1 where no curve was given."""
        for wanted in (block_kind, "any"):
            for curve in self.efficiency:
                if curve.kind == wanted:
                    return curve.at(flop)
        return 1.0


class Topology(StrEnum):
    """How ranks share the network."""

    SWITCHED = "switched"  # a full-duplex NIC per rank, a switch that never blocks
    RADIO = "radio"  # one channel: every byte of every flow takes air time
    PAIRS = "pairs"  # an independent link per ordered pair


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What joins the devices.

    Attributes:
        topology: who shares what.
        bytes_per_s: [rank][peer] line rate. Switched: row 0 holds each rank's transmit rate, row 1 its receive rate.
            Radio and pairs: the rate from rank to peer (the diagonal is not read).
        latency_s: [rank][peer] seconds that a message needs beside its bytes.
        goodput: application bytes per byte of line rate (0.956 for TCP over Ethernet: 1448/1514).
        burst_bytes: what an idle, shaped link lets through at once (token bucket); 0 on a real wire.
        acknowledgement: bytes that flow back per byte sent (TCP's acknowledgements: 66 for every 2 x 1448, 0.023); they
            take from traffic the other way, where directions are apart. A radio's goodput already holds them.
        origin, source: where the numbers come from.

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
    ranks: int = field(init=False)

    def __post_init__(self) -> None:
        ranks = len(self.latency_s)
        object.__setattr__(self, "ranks", ranks)
        switched = self.topology is Topology.SWITCHED
        rows = 2 if switched else ranks
        if len(self.bytes_per_s) != rows or any(len(row) != ranks for row in (*self.bytes_per_s, *self.latency_s)):
            raise ValueError(f"network: {self.topology} needs {rows} x {ranks} rates and {ranks} x {ranks} latencies")
        for i, row in enumerate(self.bytes_per_s):
            for j, rate in enumerate(row):
                if (switched or i != j) and not rate > 0:
                    raise ValueError(
                        f"network: bandwidth must be positive, got {rate:g} B/s for rank {j if switched else i}"
                    )
        if not all(isfinite(s) and s >= 0 for row in self.latency_s for s in row):
            raise ValueError(f"network: latencies must be finite and >= 0, got {self.latency_s}")
        if not 0 < self.goodput <= 1:
            raise ValueError(f"network: goodput must lie in (0, 1], got {self.goodput}")
        if not 0 <= self.burst_bytes < inf:
            raise ValueError(f"network: burst_bytes must be finite and >= 0, got {self.burst_bytes}")
        if not 0 <= self.acknowledgement < 1:
            raise ValueError(f"network: acknowledgement must lie in [0, 1), got {self.acknowledgement}")
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
    ) -> "Network":
        """Full-duplex NICs on a switch; a NIC receives as fast as it transmits unless told otherwise."""
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
        """One shared channel; ``bytes_per_s[i][j]`` is the rate of station i towards j when it has the air alone."""
        return cls(
            topology=Topology.RADIO,
            bytes_per_s=_rows(bytes_per_s),
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
        """An independent link for every ordered pair of ranks."""
        return cls(
            topology=Topology.PAIRS,
            bytes_per_s=_rows(bytes_per_s),
            latency_s=_square(latency_s, len(bytes_per_s)),
            goodput=goodput,
            origin=Origin(origin),
            source=source,
            acknowledgement=acknowledgement,
        )

    def hops(self, source: int, destination: int) -> Iterator[tuple[str, float]]:
        """The shared resources that a byte from source to destination uses: (name, resource seconds per byte)."""
        if self.topology is Topology.SWITCHED:
            yield f"transmit {source}", 1 / (self.bytes_per_s[0][source] * self.goodput)
            yield f"receive {destination}", 1 / (self.bytes_per_s[1][destination] * self.goodput)
        else:
            name = "air" if self.topology is Topology.RADIO else f"link {source}>{destination}"
            yield name, 1 / (self.bytes_per_s[source][destination] * self.goodput)

    @property
    def slowest_bytes_per_s(self) -> float:
        """Line rate of the slowest NIC or link; infinite for one rank without a NIC."""
        switched = self.topology is Topology.SWITCHED
        rates = [rate for i, row in enumerate(self.bytes_per_s) for j, rate in enumerate(row) if switched or i != j]
        return min(rates, default=inf)

    def goodput_bytes_per_s(self, source: int, destination: int) -> float:
        """What one flow alone reaches from source to destination."""
        slowest = max(seconds_per_byte for _, seconds_per_byte in self.hops(source, destination))
        return 1 / slowest if slowest > 0 else inf


def _rows(matrix: Sequence[Sequence[float]]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(value) for value in row) for row in matrix)


def _square(latency_s: float | Sequence[Sequence[float]], ranks: int) -> tuple[tuple[float, ...], ...]:
    if isinstance(latency_s, int | float):
        return ((float(latency_s),) * ranks,) * ranks
    return _rows(latency_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Devices in rank order, and the network that joins them."""

    name: str
    devices: tuple[Device, ...]
    network: Network

    def __post_init__(self) -> None:
        object.__setattr__(self, "devices", tuple(self.devices))
        if len(self.devices) != self.network.ranks:
            raise ValueError(
                f"cluster {self.name}: {len(self.devices)} devices but a network for {self.network.ranks} ranks"
            )

    def __str__(self) -> str:
        return f"{self.name}: " + ", ".join(f"{rank}={device}" for rank, device in enumerate(self.devices))
