"""What can one device do? Arithmetic, memory, disk, and how much of its peak work of a kind and size reaches."""

from dataclasses import dataclass
from math import inf, log

from edgesim.cluster.origin import Origin
from edgesim.cluster.power import PowerModel
from edgesim.units import LEAST, MOST, is_reckonable, require_number, require_numbers, show


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
        for name in ("work_flop", "fraction"):  # before they are tuples: a text would be one of its letters
            require_number(f"efficiency curve {self.kind}", name, getattr(self, name), several=True)
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.work_flop) != len(self.fraction) or not self.work_flop:
            raise ValueError(f"efficiency curve {self.kind}: needs one fraction per work_flop, and at least one")
        if any(a >= b for a, b in zip(self.work_flop, self.work_flop[1:], strict=False)) or self.work_flop[0] <= 0:
            raise ValueError(f"efficiency curve {self.kind}: work_flop must be positive and rise, got {self.work_flop}")
        if not all(LEAST <= f <= 1 for f in self.fraction):
            raise ValueError(
                f"efficiency curve {self.kind}: fractions must lie in (0, 1], got {self.fraction} (at least {LEAST:g})"
            )

    def at(self, flop: float) -> float:
        """Return the fraction that work of this many FLOP reaches."""
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
        installed_bytes: the memory that is soldered on.
        memory_bytes: what of it an application can use.
        memory_bytes_per_s: the peak rate of memory.
        disk_bytes_per_s: what the disk sustains when it reads, and when it writes unless that is said.
        power: what the whole board draws. Another power mode is another device.
        origin: what kind of number ``flop_per_s`` is.
        source: where it comes from; every other number says it in the device's file.
        context_bytes: what PyTorch, and CUDA on a GPU, take of ``memory_bytes`` before any model. It depends
            on the device, not on what it is asked. 0 says that ``memory_bytes`` is what the framework leaves.
        disk_write_bytes_per_s: what the disk sustains when it writes; None: as much as when it reads.
        disk_source: where the disk's rates come from, if they were measured apart; "": from where ``source`` says.
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
    disk_write_bytes_per_s: float | None = None
    disk_source: str = ""

    def __post_init__(self) -> None:
        require_numbers(f"device {self.name}", self)
        object.__setattr__(self, "efficiency", tuple(self.efficiency))
        if not isinstance(self.power, PowerModel):
            raise ValueError(f"device {self.name}: power must be a PowerModel, got {self.power!r}")
        if not 0 <= self.context_bytes < inf:
            raise ValueError(f"device {self.name}: context_bytes must be finite and >= 0, got {self.context_bytes}")
        writes = () if self.disk_write_bytes_per_s is None else ("disk_write_bytes_per_s",)
        rates = ("flop_per_s", "installed_bytes", "memory_bytes", "memory_bytes_per_s", "disk_bytes_per_s")
        for value in (*rates, *writes):
            if not getattr(self, value) > 0:
                raise ValueError(f"device {self.name}: {value} must be positive, got {getattr(self, value)}")
            if getattr(self, value) < inf and not is_reckonable(getattr(self, value)):
                raise ValueError(
                    f"device {self.name}: {value} must lie between {LEAST:g} and {MOST:g} (infinite: no limit), "
                    f"got {getattr(self, value)}"
                )
        if self.memory_bytes > self.installed_bytes:
            raise ValueError(
                f"device {self.name}: memory_bytes is what of installed_bytes can be used, got "
                f"{show(self.memory_bytes, 'B')} of {show(self.installed_bytes, 'B')} (raise installed_bytes too)"
            )

    def __str__(self) -> str:
        return f"{self.name} ({show(self.flop_per_s, 'FLOP/s')}, {show(self.memory_bytes, 'B')}, {self.origin})"

    @property
    def writes_bytes_per_s(self) -> float:
        """What the disk sustains when it writes."""
        return self.disk_bytes_per_s if self.disk_write_bytes_per_s is None else self.disk_write_bytes_per_s

    def budget_bytes(self, head_room: float) -> float:
        """Return the usable memory that is left where a share ``head_room`` of it is kept free."""
        return self.memory_bytes * (1 - head_room)

    def efficiency_at(self, block_kind: str, flop: float) -> float:
        """Return the fraction of ``flop_per_s`` that a block of this kind and work reaches; 1 without a curve."""
        for wanted in (block_kind, "any"):
            for curve in self.efficiency:
                if curve.kind == wanted:
                    return curve.at(flop)
        return 1.0
