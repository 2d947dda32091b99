"""How long does a block take on a device? One table of seconds, estimated or measured, with its origin.

A point says: this block (or whole layer), on this device, for this op, with so many samples and tokens and this share
of its heads or columns, takes so many seconds. Between measured samples the table is linear; outside them it refuses.
"""

import hashlib
import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from edgesim.cluster import Device, Origin
from edgesim.errors import ProfileError
from edgesim.model import Block, Layer, Model

FORWARD, BACKWARD, UPDATE = "F", "B", "UPDATE"
# Bytes an update moves per byte of parameters: read parameter and gradient, write parameter (plain SGD).
_UPDATE_TOUCHES = 3
# FLOP per FP32 parameter of an SGD step: one multiply and one add.
_UPDATE_FLOP_PER_PARAMETER = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One entry; ``block`` is ``layer`` or ``layer/block``; ``samples`` is 0 for updates, ``share`` lies in (0, 1]."""

    block: str
    device: str
    op: str
    samples: int
    tokens: int
    share: float
    seconds: float

    def __post_init__(self) -> None:
        if not self.seconds >= 0:
            raise ValueError(f"profile: {self.block} on {self.device}: seconds must be >= 0, got {self.seconds}")


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Seconds per block, device, op, samples, tokens and share, and where they come from."""

    model: str
    origin: Origin
    source: str
    points: tuple[Point, ...]

    def __str__(self) -> str:
        return f"profile of {self.model} ({self.origin}: {self.source}), {len(self.points)} points, {self.hash[:12]}"

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the content; predictions carry it."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @cached_property
    def _tables(self) -> dict[tuple[str, str, str, int, float], tuple[list[int], list[float]]]:
        grids: dict[tuple[str, str, str, int, float], dict[int, float]] = defaultdict(dict)
        for p in self.points:
            grids[p.device, p.block, p.op, p.tokens, p.share][p.samples] = p.seconds
        return {key: (sorted(grid), [grid[s] for s in sorted(grid)]) for key, grid in grids.items()}

    def block_s(self, *, device: str, block: str, op: str, samples: int, tokens: int, share: float = 1.0) -> float:
        """Seconds of one named block. Raises ProfileError outside the table."""
        table = self._tables.get((device, block, op, tokens, share))
        if table is None:
            raise ProfileError(self._missing(device, block, op, tokens, share))
        grid, seconds = table
        i = bisect_left(grid, samples)
        if i < len(grid) and grid[i] == samples:
            return seconds[i]
        if i == 0 or i == len(grid):
            raise ProfileError(
                f"profile of {self.model}: {op} of {block} on {device} is known for {grid[0]}..{grid[-1]} samples, "
                f"asked for {samples} (profile more sample counts)"
            )
        part = (samples - grid[i - 1]) / (grid[i] - grid[i - 1])
        return seconds[i - 1] + part * (seconds[i] - seconds[i - 1])

    def layer_s(self, *, device: str, layer: Layer, op: str, samples: int, tokens: int) -> float:
        """Seconds of a whole layer: its own point where there is one, else the sum over its blocks."""
        if (device, layer.name, op, tokens, 1.0) in self._tables:
            return self.block_s(device=device, block=layer.name, op=op, samples=samples, tokens=tokens)
        return sum(
            self.block_s(device=device, block=f"{layer.name}/{block.name}", op=op, samples=samples, tokens=tokens)
            for block in layer.blocks
        )

    def layers_s(self, *, device: str, layers: Iterable[Layer], op: str, samples: int, tokens: int) -> float:
        """Seconds of consecutive layers."""
        return sum(self.layer_s(device=device, layer=layer, op=op, samples=samples, tokens=tokens) for layer in layers)

    def _missing(self, device: str, block: str, op: str, tokens: int, share: float) -> str:
        devices = sorted({p.device for p in self.points})
        tokens_known = sorted({p.tokens for p in self.points})
        if device not in devices:
            return f"profile of {self.model} knows no device {device!r} (it has: {', '.join(devices)})"
        if tokens not in tokens_known:
            return f"profile of {self.model} was made for {tokens_known} tokens, asked for {tokens}"
        return f"profile of {self.model} has no {op} of {block!r} on {device} with share {share:g}"

    def to_json(self) -> str:
        """Canonical text: one point per line, in order."""
        head = {"model": self.model, "origin": self.origin, "source": self.source}
        points = ",\n  ".join(json.dumps(asdict(point)) for point in self.points)
        return f'{json.dumps(head)[:-1]}, "points": [\n  {points}\n]}}\n'

    @classmethod
    def from_json(cls, text: str) -> "Profile":
        """Read what :meth:`to_json` wrote."""
        data = json.loads(text)
        points = tuple(Point(**point) for point in data["points"])
        return cls(model=data["model"], origin=Origin(data["origin"]), source=data["source"], points=points)

    def save(self, path: Path) -> None:
        """Write the profile; the file appears whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(path.suffix + ".part")
        part.write_text(self.to_json())
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Profile":
        """Read a profile file."""
        return cls.from_json(Path(path).read_text())


def roofline_s(device: Device, block: Block, op: str, samples: int, tokens: int) -> float:
    """Seconds of a block: the slower of arithmetic and memory (Williams et al., CACM 2009).

    ``max(FLOP / (efficiency(FLOP) flop_per_s), bytes / memory_bytes_per_s)``
    """
    if op == UPDATE:
        trainable = block.parameter_bytes if block.trainable else 0
        flop, touched = _UPDATE_FLOP_PER_PARAMETER * trainable / 4, float(_UPDATE_TOUCHES * trainable)
    elif op == FORWARD:
        flop, touched = block.forward_flop(samples, tokens), block.forward_bytes(samples, tokens)
    else:
        flop, touched = block.backward_flop(samples, tokens), block.backward_bytes(samples, tokens)
    return max(flop / (device.flop_per_s * device.efficiency_at(block.kind, flop)), touched / device.memory_bytes_per_s)


def estimate(model: Model, devices: Sequence[Device], *, samples: Sequence[int], tokens: int) -> Profile:
    """A profile from FLOPs, bytes and the device's description, for every sample count given."""
    points: list[Point] = []
    for device in {device.name: device for device in devices}.values():
        for layer in model.layers:
            for block in layer.blocks:
                name = f"{layer.name}/{block.name}"
                for op, counts in ((FORWARD, samples), (BACKWARD, samples), (UPDATE, (0,))):
                    for count in counts:
                        seconds = roofline_s(device, block, op, count, tokens)
                        points.append(
                            Point(
                                block=name,
                                device=device.name,
                                op=op,
                                samples=count,
                                tokens=tokens,
                                share=1.0,
                                seconds=seconds,
                            )
                        )
    names = ", ".join(sorted({device.name for device in devices}))
    return Profile(model=model.name, origin=Origin.ESTIMATED, source=f"roofline on {names}", points=tuple(points))


def leave_one_out_error(profile: Profile) -> float | None:
    """Median relative error of predicting each inner grid point from its neighbours; None without inner points."""
    errors: list[float] = []
    for grid, seconds in profile._tables.values():
        for i in range(1, len(grid) - 1):
            part = (grid[i] - grid[i - 1]) / (grid[i + 1] - grid[i - 1])
            guess = seconds[i - 1] + part * (seconds[i + 1] - seconds[i - 1])
            if seconds[i] > 0:
                errors.append(abs(guess / seconds[i] - 1))
    return sorted(errors)[len(errors) // 2] if errors else None


def profile_from_rows(model: str, source: str, rows: Iterable[dict[str, Any]]) -> Profile:
    """A measured profile from rows of points."""
    return Profile(model=model, origin=Origin.MEASURED, source=source, points=tuple(Point(**row) for row in rows))
