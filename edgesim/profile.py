"""How long does a block take on a device? One table of seconds, estimated or measured or both, with its origin.

A point says: this block (or its part, or a whole layer), on this device, for this op, with so many samples and tokens
that look at so many keys, and this share of its heads or columns, takes so many seconds. Between what it knows of each
of these the table is linear; outside it refuses. But an estimate, which is a formula, answers whatever it is asked.
"""

import hashlib
import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from edgesim.cluster import Device, Origin
from edgesim.errors import ProfileError
from edgesim.model import Block, Layer, Model, divided

FORWARD, BACKWARD, UPDATE = "F", "B", "UPDATE"
Line = tuple[list[float], list[float]]  # counts or shares, rising, and the seconds of each
Grid = dict[float, dict[float, dict[float, Line]]]  # by share, tokens and keys: seconds over samples
Known = TypeVar("Known")
# Bytes an update moves per byte of parameters: read parameter and gradient, write parameter (plain SGD).
_UPDATE_TOUCHES = 3
# FLOP per FP32 parameter of an SGD step: one multiply and one add.
_UPDATE_FLOP_PER_PARAMETER = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One entry; ``samples`` is 0 for updates, ``share`` lies in (0, 1].

    ``block`` is ``layer``, ``layer/block`` or ``layer/block.part``; ``keys`` is 0 where the tokens look at themselves.
    """

    block: str
    device: str
    op: str
    samples: int
    tokens: int
    share: float
    seconds: float
    keys: int = 0

    def __post_init__(self) -> None:
        if not self.seconds >= 0:
            raise ValueError(f"profile: {self.block} on {self.device}: seconds must be >= 0, got {self.seconds}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Estimates:
    """The formula behind an estimated profile, for what its table leaves out; answers are remembered."""

    model: Model
    devices: Mapping[str, Device]
    _answers: dict[tuple[object, ...], float] = field(default_factory=dict, repr=False)
    _shares: dict[tuple[str, float], Block] = field(default_factory=dict, repr=False)

    def block_s(
        self, device: str, block: str, op: str, samples: int, tokens: int, share: float, keys: int | None
    ) -> float:
        """Seconds by :func:`estimated_s`. Raises ProfileError for a block, or a share of it, that the model lacks."""
        asked = (device, block, op, samples, tokens, share, keys)
        if asked not in self._answers:
            try:
                if (block, share) not in self._shares:
                    self._shares[block, share] = divided(self.model.block(block), share)
                part = self._shares[block, share]
                self._answers[asked] = estimated_s(self.devices[device], part, op, samples, tokens, keys=keys)
            except ValueError as error:
                raise ProfileError(f"no estimate of {block} on {device}: {error}") from None
        return self._answers[asked]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Seconds per block, device, op, samples, tokens, keys and share, and where they come from.

    ``estimates`` answer for the devices that were estimated; they are no part of the file, and of the hash.
    """

    model: str
    origin: Origin
    source: str
    points: tuple[Point, ...]
    estimates: Estimates | None = field(default=None, compare=False, repr=False)

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
    def _tables(self) -> dict[tuple[str, str, str], Grid]:
        """Of each device, block and op: seconds over samples, for every share, token count and key count."""
        lines: dict[tuple[Any, ...], dict[float, float]] = defaultdict(dict)
        for p in self.points:
            lines[p.device, p.block, p.op, p.share, p.tokens, p.keys or p.tokens][p.samples] = p.seconds
        tables: dict[tuple[str, str, str], Grid] = {}
        for device, block, op, share, tokens, keys in sorted(lines):
            by_tokens = tables.setdefault((device, block, op), {}).setdefault(share, {})
            by_tokens.setdefault(tokens, {})[keys] = _line(lines[device, block, op, share, tokens, keys])
        return tables

    def block_s(
        self,
        *,
        device: str,
        block: str,
        op: str,
        samples: int,
        tokens: int,
        share: float = 1.0,
        keys: int | None = None,
    ) -> float:
        """Seconds of one named block or part, whose tokens look at ``keys``: at themselves unless told.

        From the table, else from the estimates behind it. Raises ProfileError where neither knows.
        """
        try:
            return self._from_table((device, block, op), samples, tokens, share, keys)
        except ProfileError:
            if self.estimates is None or device not in self.estimates.devices:
                raise
        return self.estimates.block_s(device, block, op, samples, tokens, share, keys)

    def _from_table(
        self, which: tuple[str, str, str], samples: int, tokens: int, share: float, keys: int | None
    ) -> float:
        device, block, op = which
        if which not in self._tables:
            raise ProfileError(self._missing(device, block, op))
        of = f"{op} of {block!r} on {device}"

        def on_line(line: Line, _: float) -> float:
            return self._on_line(line, samples, (op, block, device))

        def with_tokens(by_keys: dict[float, Line], count: float) -> float:
            refusal = "was made for {} keys of " + f"{count:g} tokens, asked for {keys} in {of} (profile more keys)"
            return self._within(by_keys, count if keys is None else keys, on_line, refusal)

        def with_share(by_tokens: dict[float, dict[float, Line]], _: float) -> float:
            refusal = "was made for {} tokens, " + f"asked for {tokens} (profile more token counts)"
            return self._within(by_tokens, tokens, with_tokens, refusal)

        refusal = f"has no {of} with share {share:g} " + "(it has {}; profile more shares)"
        return self._within(self._tables[which], share, with_share, refusal)

    def _within(
        self, known: Mapping[float, Known], asked: float, answer: Callable[[Known, float], float], refusal: str
    ) -> float:
        """The answer at a known count or share, or on the straight way between its neighbours'."""
        if asked in known:
            return answer(known[asked], asked)
        counts = list(known)
        i = bisect_left(counts, asked)
        if i in (0, len(counts)):
            raise ProfileError(f"profile of {self.model} " + refusal.format(counts))
        ends = counts[i - 1 : i + 1]
        return _between((ends, [answer(known[end], end) for end in ends]), asked)

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
        if 1.0 in self._tables.get((device, layer.name, op), {}):
            return self.block_s(device=device, block=layer.name, op=op, samples=samples, tokens=tokens)
        return sum(
            self.block_s(device=device, block=f"{layer.name}/{block.name}", op=op, samples=samples, tokens=tokens)
            for block in layer.blocks
        )

    def layers_s(self, *, device: str, layers: Iterable[Layer], op: str, samples: int, tokens: int) -> float:
        """Seconds of consecutive layers."""
        return sum(self.layer_s(device=device, layer=layer, op=op, samples=samples, tokens=tokens) for layer in layers)

    def _missing(self, device: str, block: str, op: str) -> str:
        devices = sorted({p.device for p in self.points})
        if device not in devices:
            return f"profile of {self.model} knows no device {device!r} (it has: {', '.join(devices)})"
        return f"profile of {self.model} has no {op} of {block!r} on {device} (profile it, or estimate the device)"

    def to_json(self) -> str:
        """Canonical text: one point per line, in order; ``keys`` only where they are not the tokens themselves."""
        head = {"model": self.model, "origin": self.origin, "source": self.source}
        names = [each.name for each in fields(Point)]
        rows = ({name: getattr(p, name) for name in names if name != "keys" or p.keys} for p in self.points)
        points = ",\n  ".join(map(json.dumps, rows))
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


def estimated_s(
    device: Device, block: Block, op: str, samples: int, tokens: int, *, share: float = 1.0, keys: int | None = None
) -> float:
    """Seconds of a block, or of a share of its heads or columns: its arithmetic, and then what it moves.

    ``FLOP / (efficiency(FLOP) flop_per_s) + bytes / memory_bytes_per_s``

    The tokens look at ``keys``, at themselves unless told. Raises ValueError for a share of what is not split.

    A single kernel takes the longer of the two (Williams et al., CACM 2009). A block is several, one after the other:
    products bound by arithmetic; norms, activations and copies by memory.
    """
    block = block if share == 1 else divided(block, share)  # what is remembered is found by a long hash
    if op == UPDATE:
        trainable = block.parameter_bytes if block.trainable else 0
        flop, touched = _UPDATE_FLOP_PER_PARAMETER * trainable / 4, float(_UPDATE_TOUCHES * trainable)
    elif op == FORWARD:
        flop, touched = block.forward_flop(samples, tokens, keys), block.forward_bytes(samples, tokens, keys)
    else:
        flop, touched = block.backward_flop(samples, tokens, keys), block.backward_bytes(samples, tokens, keys)
    return flop / (device.flop_per_s * device.efficiency_at(block.kind, flop)) + touched / device.memory_bytes_per_s


def estimate(model: Model, devices: Sequence[Device], *, samples: Sequence[int], tokens: int) -> Profile:
    """A profile from FLOPs, bytes and the device's description: a table for every sample count given.

    For other tokens and samples, keys, shares and parts, the formula behind it answers.
    """
    points: list[Point] = []
    by_name = {device.name: device for device in devices}
    for device in by_name.values():
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
    return Profile(
        model=model.name,
        origin=Origin.ESTIMATED,
        source=f"FLOPs and bytes on {', '.join(sorted(by_name))}",
        points=tuple(points),
        estimates=Estimates(model=model, devices=by_name),
    )


def mix(profiles: Mapping[str, Profile]) -> Profile:
    """Each device's points from the profile that is named for it; the origin is ``mixed`` where origins differ.

    The only way to put measured and estimated seconds into one profile; each estimated device keeps the formula behind
    its points. Raises ProfileError if the profiles are of different models, or if one does not know its device.
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
        model=models.pop(),
        origin=origins.pop() if len(origins) == 1 else Origin.MIXED,
        source="; ".join(f"{source} for {', '.join(devices)}" for source, devices in sources.items()),
        points=tuple(points),
        estimates=_joined_estimates(profiles),
    )


def _joined_estimates(profiles: Mapping[str, Profile]) -> Estimates | None:
    known = {name: profile.estimates for name, profile in profiles.items() if profile.estimates is not None}
    devices = {name: behind.devices[name] for name, behind in known.items() if name in behind.devices}
    return Estimates(model=next(iter(known.values())).model, devices=devices) if devices else None


def leave_one_out_error(profile: Profile) -> float | None:
    """Median relative error of predicting each inner grid point from its neighbours; None without inner points.

    Neighbours in samples, tokens, keys or share, where all the rest is the same.
    """
    errors = [
        abs(_between((counts[:i] + counts[i + 1 :], seconds[:i] + seconds[i + 1 :]), counts[i]) / seconds[i] - 1)
        for counts, seconds in _all_ways(profile.points)
        for i in range(1, len(counts) - 1)
        if seconds[i] > 0
    ]
    return sorted(errors)[len(errors) // 2] if errors else None


def _all_ways(points: Iterable[Point]) -> Iterator[Line]:
    """The grid's lines over samples, over tokens, over keys and over shares."""
    names = [item.name for item in fields(Point) if item.name != "seconds"]
    for over in ("samples", "tokens", "keys", "share"):
        lines: dict[tuple[Any, ...], dict[float, float]] = defaultdict(dict)
        for p in points:
            at = p.keys or p.tokens if over == "keys" else getattr(p, over)
            lines[tuple(getattr(p, name) for name in names if name != over)][at] = p.seconds
        yield from map(_line, lines.values())


def _between(line: Line, count: float) -> float:
    """Seconds of a count within the line: its own point's, or on the straight way between its neighbours'."""
    counts, seconds = line
    i = bisect_left(counts, count)
    if counts[i] == count:
        return seconds[i]
    part = (count - counts[i - 1]) / (counts[i] - counts[i - 1])
    return seconds[i - 1] + part * (seconds[i] - seconds[i - 1])


def _line(grid: Mapping[float, float]) -> Line:
    counts = sorted(grid)
    return counts, [grid[count] for count in counts]


def profile_from_rows(model: str, source: str, rows: Iterable[dict[str, Any]]) -> Profile:
    """A measured profile from rows of points."""
    return Profile(model=model, origin=Origin.MEASURED, source=source, points=tuple(Point(**row) for row in rows))
