"""How long does a block take on a device? One table of seconds, estimated or measured or both, with its origin.

A point says: this block (or whole layer), on this device, for this op, with so many samples and tokens and this share
of its heads or columns, takes so many seconds. Between the samples and the tokens that it knows the table is linear;
outside them it refuses.
"""

import hashlib
import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from edgesim.cluster import Device, Origin
from edgesim.errors import ProfileError
from edgesim.model import Block, Layer, Model

FORWARD, BACKWARD, UPDATE = "F", "B", "UPDATE"
Line = tuple[list[int], list[float]]  # sample or token counts, rising, and the seconds of each
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
        return (
            f"profile of {self.model} ({self.origin}: {self.provenance}), {len(self.points)} points, {self.hash[:12]}"
        )

    @property
    def provenance(self) -> str:
        """The source; of a measurement also how well its points predict each other, if that can be known."""
        error = leave_one_out_error(self) if self.origin is Origin.MEASURED else None
        return self.source if error is None else f"{self.source}, leave-one-out error {error:.1%}"

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the content; predictions carry it."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @cached_property
    def _tables(self) -> dict[tuple[str, str, str, float], dict[int, Line]]:
        """Of each device, block, op and share: seconds over samples, for every token count."""
        grids: dict[tuple[str, str, str, float], dict[int, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
        for p in self.points:
            grids[p.device, p.block, p.op, p.share][p.tokens][p.samples] = p.seconds
        return {key: {tokens: _line(grids[key][tokens]) for tokens in sorted(grids[key])} for key in grids}

    def block_s(self, *, device: str, block: str, op: str, samples: int, tokens: int, share: float = 1.0) -> float:
        """Seconds of one named block. Raises ProfileError outside the table."""
        lines = self._tables.get((device, block, op, share))
        if lines is None:
            raise ProfileError(self._missing(device, block, op, share))
        if tokens in lines:
            return self._on_line(lines[tokens], samples, (op, block, device))
        known = list(lines)
        i = bisect_left(known, tokens)
        if i == 0 or i == len(known):
            raise ProfileError(
                f"profile of {self.model} was made for {known} tokens, asked for {tokens} (profile more token counts)"
            )
        ends = [self._on_line(lines[count], samples, (op, block, device)) for count in known[i - 1 : i + 1]]
        return _between((known[i - 1 : i + 1], ends), tokens)

    def _on_line(self, line: Line, samples: int, which: tuple[str, str, str]) -> float:
        first, last = line[0][0], line[0][-1]
        if not first <= samples <= last:
            op, block, device = which
            raise ProfileError(
                f"profile of {self.model}: {op} of {block} on {device} is known for {first}..{last} samples, "
                f"asked for {samples} (profile more sample counts)"
            )
        return _between(line, samples)

    def layer_s(self, *, device: str, layer: Layer, op: str, samples: int, tokens: int) -> float:
        """Seconds of a whole layer: its own point where there is one, else the sum over its blocks."""
        if (device, layer.name, op, 1.0) in self._tables:
            return self.block_s(device=device, block=layer.name, op=op, samples=samples, tokens=tokens)
        return sum(
            self.block_s(device=device, block=f"{layer.name}/{block.name}", op=op, samples=samples, tokens=tokens)
            for block in layer.blocks
        )

    def layers_s(self, *, device: str, layers: Iterable[Layer], op: str, samples: int, tokens: int) -> float:
        """Seconds of consecutive layers."""
        return sum(self.layer_s(device=device, layer=layer, op=op, samples=samples, tokens=tokens) for layer in layers)

    def _missing(self, device: str, block: str, op: str, share: float) -> str:
        devices = sorted({p.device for p in self.points})
        if device not in devices:
            return f"profile of {self.model} knows no device {device!r} (it has: {', '.join(devices)})"
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


def estimated_s(device: Device, block: Block, op: str, samples: int, tokens: int) -> float:
    """Seconds of a block: its arithmetic, and then what it moves.

    ``FLOP / (efficiency(FLOP) flop_per_s) + bytes / memory_bytes_per_s``

    A single kernel takes the longer of the two (Williams et al., CACM 2009). A block is several, one after the other:
    products bound by arithmetic; norms, activations and copies by memory.
    """
    if op == UPDATE:
        trainable = block.parameter_bytes if block.trainable else 0
        flop, touched = _UPDATE_FLOP_PER_PARAMETER * trainable / 4, float(_UPDATE_TOUCHES * trainable)
    elif op == FORWARD:
        flop, touched = block.forward_flop(samples, tokens), block.forward_bytes(samples, tokens)
    else:
        flop, touched = block.backward_flop(samples, tokens), block.backward_bytes(samples, tokens)
    return flop / (device.flop_per_s * device.efficiency_at(block.kind, flop)) + touched / device.memory_bytes_per_s


def estimate(model: Model, devices: Sequence[Device], *, samples: Sequence[int], tokens: int) -> Profile:
    """A profile from FLOPs, bytes and the device's description, for every sample count given."""
    points: list[Point] = []
    for device in {device.name: device for device in devices}.values():
        for layer in model.layers:
            for block in layer.blocks:
                name = f"{layer.name}/{block.name}"
                for op, counts in ((FORWARD, samples), (BACKWARD, samples), (UPDATE, (0,))):
                    for count in counts:
                        seconds = estimated_s(device, block, op, count, tokens)
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
    source = f"FLOPs and bytes on {names}"
    return Profile(model=model.name, origin=Origin.ESTIMATED, source=source, points=tuple(points))


def mix(profiles: Mapping[str, Profile]) -> Profile:
    """Each device's points from the profile that is named for it; the origin is ``mixed`` where origins differ.

    The only way to put measured and estimated seconds into one profile. Raises ProfileError if the profiles are of
    different models, or if one does not know its device.
    """
    models = {profile.model for profile in profiles.values()}
    if len(models) != 1:
        raise ProfileError(f"only profiles of one model can be mixed, got {', '.join(sorted(models)) or 'none'}")
    points: list[Point] = []
    sources: dict[str, list[str]] = defaultdict(list)
    for device, profile in sorted(profiles.items()):
        own = [point for point in profile.points if point.device == device]
        if not own:
            raise ProfileError(f"{profile} knows no device {device!r} (measure it, or take an estimate for it)")
        points += own
        sources[f"{profile.origin} ({profile.provenance})"].append(device)
    origins = {profile.origin for profile in profiles.values()}
    return Profile(
        model=models.pop(), origin=origins.pop() if len(origins) == 1 else Origin.MIXED,
        source="; ".join(f"{source} for {', '.join(devices)}" for source, devices in sources.items()),
        points=tuple(points),
    )  # fmt: skip


def leave_one_out_error(profile: Profile) -> float | None:
    """Median relative error of predicting each inner grid point from its neighbours; None without inner points.

    Neighbours in samples at the same tokens, and in tokens at the same samples.
    """
    errors = [
        abs(_between((counts[:i] + counts[i + 1 :], seconds[:i] + seconds[i + 1 :]), counts[i]) / seconds[i] - 1)
        for lines in profile._tables.values()
        for counts, seconds in _both_ways(lines)
        for i in range(1, len(counts) - 1)
        if seconds[i] > 0
    ]
    return sorted(errors)[len(errors) // 2] if errors else None


def _both_ways(lines: Mapping[int, Line]) -> Iterator[Line]:
    """A grid's lines over samples, then those over tokens."""
    yield from lines.values()
    over_tokens: dict[int, dict[int, float]] = defaultdict(dict)
    for tokens, (samples, seconds) in lines.items():
        for count, value in zip(samples, seconds, strict=True):
            over_tokens[count][tokens] = value
    yield from (_line(grid) for grid in over_tokens.values())


def _between(line: Line, count: int) -> float:
    """Seconds of a count within the line: its own point's, or on the straight way between its neighbours'."""
    counts, seconds = line
    i = bisect_left(counts, count)
    if counts[i] == count:
        return seconds[i]
    part = (count - counts[i - 1]) / (counts[i] - counts[i - 1])
    return seconds[i - 1] + part * (seconds[i] - seconds[i - 1])


def _line(grid: Mapping[int, float]) -> Line:
    counts = sorted(grid)
    return counts, [grid[count] for count in counts]


def profile_from_rows(model: str, source: str, rows: Iterable[dict[str, Any]]) -> Profile:
    """A measured profile from rows of points."""
    return Profile(model=model, origin=Origin.MEASURED, source=source, points=tuple(Point(**row) for row in rows))
