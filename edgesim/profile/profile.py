"""How long does a block take on a device? One table of seconds, and what lies between its points."""

import hashlib
import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from edgesim.cluster import Origin
from edgesim.errors import ProfileError, reading, text_of
from edgesim.model import Layer
from edgesim.profile.estimates import Estimates
from edgesim.profile.lines import Line, between, leave_one_out_error, line_through
from edgesim.profile.point import CALL, Point, Portion
from edgesim.whole_files import write_text

Which = tuple[str, str, str]  # device, block and op
Table = dict[float, dict[float, dict[float, Line]]]  # by share, tokens and keys: seconds over samples
Known = TypeVar("Known")


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
        error = leave_one_out_error(self.points) if self.origin is Origin.MEASURED else None
        return self.source if error is None else f"{self.source}, leave-one-out error {error:.1%}"

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the content; predictions carry it."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @cached_property
    def _tables(self) -> dict[Which, Table]:
        """Seconds over samples for every share, token count and key count."""
        lines: dict[tuple[Any, ...], dict[float, float]] = defaultdict(dict)
        for p in self.points:
            lines[p.device, p.block, p.op, p.share, p.tokens, p.keys or p.tokens][p.samples] = p.seconds
        tables: dict[Which, Table] = {}
        for device, block, op, share, tokens, keys in sorted(lines):
            by_tokens = tables.setdefault((device, block, op), {}).setdefault(share, {})
            by_tokens.setdefault(tokens, {})[keys] = line_through(lines[device, block, op, share, tokens, keys])
        return tables

    def block_s(self, *, device: str, block: str, op: str, portion: Portion) -> float:
        """Return the seconds of a portion of one named block or part.

        From the table, else from the estimates behind it. Raises ProfileError where neither knows.
        """
        try:
            return self._from_table((device, block, op), portion)
        except ProfileError:
            if self.estimates is None or device not in self.estimates.devices:
                raise
        return self.estimates.block_s(device, block, op, portion)

    def _from_table(self, which: Which, portion: Portion) -> float:
        if (table := self._tables.get(which)) is None:
            raise ProfileError(self._missing(*which))
        samples, tokens, share, keys = portion
        # What is known is asked for a million times, and what lies between needs more words.
        line = table.get(share, {}).get(tokens, {}).get(tokens if keys is None else keys)
        return self._between_lines(table, which, portion) if line is None else self._on_line(line, samples, which)

    def _between_lines(self, table: Table, which: Which, portion: Portion) -> float:
        device, block, op = which
        samples, tokens, share, keys = portion
        of = f"{op} of {block!r} on {device}"

        def on_line(line: Line, _: float) -> float:
            return self._on_line(line, samples, which)

        def with_tokens(by_keys: dict[float, Line], count: float) -> float:
            refusal = "was made for {} keys of " + f"{count:g} tokens, asked for {keys} in {of} (profile more keys)"
            return self._within(by_keys, count if keys is None else keys, on_line, refusal)

        def with_share(by_tokens: dict[float, dict[float, Line]], _: float) -> float:
            refusal = "was made for {} tokens, " + f"asked for {tokens} (profile more token counts)"
            return self._within(by_tokens, tokens, with_tokens, refusal)

        refusal = f"has no {of} with share {share:g} " + "(it has {}; profile more shares)"
        return self._within(table, share, with_share, refusal)

    def _within(
        self, known: Mapping[float, Known], asked: float, ask: Callable[[Known, float], float], refusal: str
    ) -> float:
        """Ask at a known count or share, or interpolate between its neighbours."""
        if asked in known:
            return ask(known[asked], asked)
        counts = list(known)
        i = bisect_left(counts, asked)
        if i in (0, len(counts)):
            raise ProfileError(f"profile of {self.model} " + refusal.format(counts))
        ends = counts[i - 1 : i + 1]
        return between((ends, [ask(known[end], end) for end in ends]), asked)

    def _on_line(self, line: Line, samples: int, which: Which) -> float:
        first, last = line[0][0], line[0][-1]
        if not first <= samples <= last:
            device, block, op = which
            raise ProfileError(
                f"profile of {self.model}: {op} of {block} on {device} is known for {first}..{last} samples, "
                f"asked for {samples} (profile more sample counts)"
            )
        return between(line, samples)

    def layer_s(self, *, device: str, layer: Layer, op: str, samples: int, tokens: int) -> float:
        """Return the seconds of a whole layer: of its own point where there is one, else the sum over its blocks."""
        if 1.0 in self._tables.get((device, layer.name, op), {}):
            return self.block_s(device=device, block=layer.name, op=op, portion=Portion(samples, tokens))
        portion = Portion(samples, tokens)
        return sum(
            self.block_s(device=device, block=f"{layer.name}/{block.name}", op=op, portion=portion)
            for block in layer.blocks
        )

    def layers_s(self, *, device: str, layers: Iterable[Layer], op: str, samples: int, tokens: int) -> float:
        """Return the seconds of consecutive layers that are computed at once."""
        seconds = (self.layer_s(device=device, layer=layer, op=op, samples=samples, tokens=tokens) for layer in layers)
        return sum(seconds, self.call_s(device=device, op=op, samples=samples, tokens=tokens))

    def call_s(self, *, device: str, op: str, samples: int, tokens: int) -> float:
        """Return what computing layers takes beside the layers; 0 where nobody measured it."""
        if (device, CALL, op) not in self._tables:
            return 0.0
        return self.block_s(device=device, block=CALL, op=op, portion=Portion(samples, tokens))

    def repeats(self, *, device: str, op: str) -> tuple[float, ...]:
        """Return what single repeats of an operation took over what the profile says; none where they were not kept."""
        return self._repeats.get((device, op), ())

    @cached_property
    def _repeats(self) -> dict[tuple[str, str], tuple[float, ...]]:
        found: dict[tuple[str, str], list[float]] = defaultdict(list)
        for p in self.points:
            if p.repeats:
                found[p.device, p.op] += p.repeats
        return {which: tuple(sorted(ratios)) for which, ratios in found.items()}

    def _missing(self, device: str, block: str, op: str) -> str:
        devices = sorted({p.device for p in self.points})
        if device not in devices:
            return f"profile of {self.model} has no device {device!r} (it has: {', '.join(devices)})"
        return f"profile of {self.model} has no {op} of {block!r} on {device} (profile it, or estimate the device)"

    def to_json(self) -> str:
        """Write canonical text: one point per line, in order; ``keys`` only where they differ from the tokens.

        And ``repeats`` only where they were kept.
        """
        head = {"model": self.model, "origin": self.origin, "source": self.source}
        names = [each.name for each in fields(Point)]
        rows = (
            {name: getattr(p, name) for name in names if name not in ("keys", "repeats") or getattr(p, name)}
            for p in self.points
        )
        points = ",\n  ".join(map(json.dumps, rows))
        return f'{json.dumps(head)[:-1]}, "points": [\n  {points}\n]}}\n'

    @classmethod
    def from_json(cls, text: str, *, source: str = "the text") -> "Profile":
        """Read what :meth:`to_json` wrote. Raises ProfileError, naming the source, for anything else."""
        with reading(source, "profile", written_by="experiments.calibrate", error=ProfileError):
            data = json.loads(text)
            points = tuple(Point(**point) for point in data["points"])
            return cls(model=data["model"], origin=Origin(data["origin"]), source=data["source"], points=points)

    def save(self, path: Path) -> None:
        """Write the profile; the file appears whole or not at all."""
        write_text(path, self.to_json())

    @classmethod
    def load(cls, path: Path) -> "Profile":
        """Read a profile file."""
        return cls.from_json(text_of(path, "profile"), source=str(path))
