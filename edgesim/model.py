"""What is computed? A chain of layers, each a few blocks whose costs are polynomials in samples and tokens.

FLOPs count a multiply-add as two, as torch's FlopCounterMode does. Bytes are FP32. Transformers are in closed form in
``edgesim.zoo``; other models are traced once into a table (:func:`from_table`).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from difflib import get_close_matches
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from edgesim.units import BYTES_PER_FLOAT32, show

CROSS_ATTENTION = "cross_attention"
"""The name of the block by which a decoder reads an encoder's output."""


class BlockKind(StrEnum):
    """What a block does; efficiency curves and splits depend on it."""

    EMBEDDING = "embedding"
    ATTENTION = "attention"
    CONNECTIVE = "connective"
    MLP = "mlp"
    CONV = "conv"
    HEAD = "head"
    SIDE = "side"


class SplitBy(StrEnum):
    """What a block can be divided by among ranks, beside samples."""

    NOTHING = "nothing"
    HEADS = "heads"
    COLUMNS = "columns"
    TOKENS = "tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """``fixed + samples (per_sample + per_token t + per_key k + per_token_squared t k)``, in FLOP or bytes.

    ``t`` tokens look at ``k`` keys: as many as tokens, unless attention sees more than it computes.
    """

    fixed: float = 0.0
    per_sample: float = 0.0
    per_token: float = 0.0
    per_token_squared: float = 0.0
    per_key: float = 0.0

    def __call__(self, samples: float, tokens: int, keys: int | None = None) -> float:
        seen = tokens if keys is None else keys
        per_token = self.per_token + seen * self.per_token_squared
        return self.fixed + samples * (self.per_sample + tokens * per_token + seen * self.per_key)

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            fixed=self.fixed + other.fixed,
            per_sample=self.per_sample + other.per_sample,
            per_token=self.per_token + other.per_token,
            per_token_squared=self.per_token_squared + other.per_token_squared,
            per_key=self.per_key + other.per_key,
        )

    def __mul__(self, factor: float) -> "Cost":
        return Cost(
            fixed=self.fixed * factor,
            per_sample=self.per_sample * factor,
            per_token=self.per_token * factor,
            per_token_squared=self.per_token_squared * factor,
            per_key=self.per_key * factor,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsplit:
    """What of a block's costs every rank has in full, whatever its share of heads or columns; names as in Block."""

    forward_flop: Cost = Cost()
    backward_flop: Cost = Cost()
    forward_bytes: Cost = Cost()
    backward_bytes: Cost = Cost()
    parameter_bytes: int = 0
    output_bytes: Cost = Cost()
    stash_bytes: Cost = Cost()
    weight_flop: Cost = Cost()
    weight_stash_bytes: Cost = Cost()

    def __add__(self, other: "Unsplit") -> "Unsplit":
        names = [field.name for field in fields(self)]
        return Unsplit(**{name: getattr(self, name) + getattr(other, name) for name in names})


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One part of a layer and all that it costs.

    ``forward_bytes`` and ``backward_bytes`` are the bytes touched in memory; ``stash_bytes`` is what the backward pass
    keeps per sample from the forward pass, the block's own input included; ``splits`` is the number of heads or
    columns. Of ``backward_flop`` and ``stash_bytes``, ``weight_flop`` and ``weight_stash_bytes`` are what only the
    gradients of the block's weights need: they fall away where these are frozen. Of ``forward_flop``, ``score_flop``
    are attention's Q Kᵀ and P V, which some published counts leave out.

    ``tied_bytes`` are parameters that the block shares with the layer ``tied_to``, where they are counted: a stage
    without that layer holds a copy of them.

    ``gradient_bytes`` is what the backward pass sends back over the boundary behind the block; None where it is as much
    as ``output_bytes``, nothing where nothing before the boundary is trained.

    ``parts`` are the matrices before and behind the inner work, and that work itself, where ranks talk in between:
    ``attention.in``, ``attention.core`` and ``attention.out``; ``mlp.in`` and ``mlp.out``; of some heads, what leads to
    the vocabulary and the product onto it. Their FLOPs, parameters, stashes and bytes touched add up to the block's.
    """

    name: str
    kind: BlockKind
    forward_flop: Cost
    backward_flop: Cost
    forward_bytes: Cost
    backward_bytes: Cost
    parameter_bytes: int
    output_bytes: Cost
    stash_bytes: Cost
    split_by: SplitBy
    splits: int
    trainable: bool = True
    weight_flop: Cost = Cost()
    score_flop: Cost = Cost()
    weight_stash_bytes: Cost = Cost()
    tied_bytes: int = 0
    tied_to: str = ""
    gradient_bytes: Cost | None = None
    unsplit: Unsplit = Unsplit()
    parts: tuple["Block", ...] = ()

    @property
    def divisible(self) -> bool:
        """Whether ranks can divide its heads or columns."""
        return self.split_by in (SplitBy.HEADS, SplitBy.COLUMNS)


@lru_cache(maxsize=4096)  # planners weigh the memory of the same few shares again and again
def divided(block: Block, share: float) -> Block:
    """The block at a share of its heads or columns: ``unsplit + share (whole - unsplit)`` for each of its costs.

    The gradient that goes back over a boundary stays whole. Raises ValueError for a share outside (0, 1], or below 1
    for a block that is split by neither.
    """
    if share == 1:
        return block
    if not block.divisible:
        raise ValueError(f"{block.name} is split by {block.split_by}, not by heads or columns: no share of {share:g}")
    if not 0 < share < 1:
        raise ValueError(f"{block.name}: a share of its {block.split_by} must lie in (0, 1], got {share:g}")

    def at_share(name: str) -> Any:
        whole, alike = getattr(block, name), getattr(block.unsplit, name)
        return alike + (whole + alike * -1) * share

    costs = {field.name: at_share(field.name) for field in fields(Unsplit)}
    return replace(
        block,
        **costs | {"parameter_bytes": round(costs["parameter_bytes"])},
        splits=round(block.splits * share),
        score_flop=block.score_flop * share,
        tied_bytes=round(block.tied_bytes * share),
        parts=tuple(divided(part, share) if part.divisible else part for part in block.parts),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """The smallest part that a stage boundary may separate: a chain of blocks."""

    name: str
    blocks: tuple[Block, ...]

    def __post_init__(self) -> None:
        if not self.blocks:
            raise ValueError(f"layer {self.name}: has no blocks")

    def forward_flop(self, samples: float, tokens: int) -> float:
        """FLOP of the forward pass."""
        return sum(block.forward_flop(samples, tokens) for block in self.blocks)

    def backward_flop(self, samples: float, tokens: int) -> float:
        """FLOP of the backward pass."""
        return sum(block.backward_flop(samples, tokens) for block in self.blocks)

    def score_flop(self, samples: float, tokens: int) -> float:
        """Of the forward pass, the FLOP of attention's products of activations with one another."""
        return sum(block.score_flop(samples, tokens) for block in self.blocks)

    def stash_bytes(self, samples: float, tokens: int) -> float:
        """Bytes kept from the forward for the backward pass."""
        return sum(block.stash_bytes(samples, tokens) for block in self.blocks)

    def output_bytes(self, samples: int, tokens: int) -> int:
        """Bytes of the boundary tensor after this layer; exact."""
        return round(self.blocks[-1].output_bytes(samples, tokens))

    @property
    def returns_gradient(self) -> bool:
        """Whether anything comes back over the boundary behind this layer; not if nothing before it is trained."""
        return self.blocks[-1].gradient_bytes != Cost()

    def gradient_bytes(self, samples: int, tokens: int) -> int:
        """Bytes of the boundary's gradient, which come back to this layer; exact."""
        last = self.blocks[-1]
        return round((last.output_bytes if last.gradient_bytes is None else last.gradient_bytes)(samples, tokens))

    @property
    def parameter_bytes(self) -> int:
        """Bytes of all parameters."""
        return sum(block.parameter_bytes for block in self.blocks)

    @property
    def trainable_bytes(self) -> int:
        """Bytes of the parameters that get gradients."""
        return sum(block.parameter_bytes for block in self.blocks if block.trainable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A chain of layers; ``architecture`` and ``hyper`` say how the runtime builds the very same thing in PyTorch."""

    name: str
    architecture: str
    hyper: Mapping[str, Any]
    layers: tuple[Layer, ...]

    def __str__(self) -> str:
        millions = self.parameter_bytes // BYTES_PER_FLOAT32 / 1e6
        return f"{self.name}: {len(self.layers)} layers, {millions:.2f} M parameters, {show(self.parameter_bytes, 'B')}"

    @property
    def parameter_bytes(self) -> int:
        """Bytes of all parameters."""
        return sum(layer.parameter_bytes for layer in self.layers)

    def decodes(self, layer: Layer) -> bool:
        """Whether the layer reads an encoder's output, or is the head behind such layers.

        Ranks that divide the tokens of an encoder hold these layers' few tokens whole.
        """
        read_by = self.layers[-2] if layer is self.layers[-1] and len(self.layers) > 1 else layer
        return any(block.name == CROSS_ATTENTION for block in read_by.blocks)

    def block(self, name: str) -> Block:
        """The block ``layer/block``, or its part ``layer/block.part``. Raises ValueError for an unknown name."""
        where, _, which = name.partition("/")
        layers = {layer.name: layer for layer in self.layers}
        if where not in layers:
            raise ValueError(f"{self.name} has no layer {where!r} for block {name!r} (it has: {', '.join(layers)})")
        found = {part.name: part for block in layers[where].blocks for part in (block, *block.parts)}
        if which not in found:
            raise ValueError(f"layer {where} of {self.name} has no block {which!r} (it has: {', '.join(found)})")
        return found[which]


def from_table(*, table: str) -> Model:
    """Read a traced layer table: one of ``edgesim/tables`` by its name, or any other by its path, which ends in .json.

    Tables are written by ``python -m real_runtime.tracing.trace_model`` from the PyTorch module itself. A table of a
    user's own module names its file relative to the table. Raises ValueError for an unknown table.
    """
    kept = files("edgesim") / "tables"
    own = Path(table).resolve() if table.endswith(".json") else None
    path, folder = (own, own.parent) if own else (kept / f"{table}.json", kept)
    if not path.is_file():
        raise ValueError(_unknown_table(table, folder.iterdir() if folder.is_dir() else (), of_a_user=bool(own)))
    data = json.loads(path.read_text())
    if own and "file" in data["hyper"]:
        data["hyper"]["file"] = str((own.parent / data["hyper"]["file"]).resolve())
    return model_from_dict(data)


def _unknown_table(table: str, entries: Iterable[Traversable], *, of_a_user: bool) -> str:
    """What is wrong, which of the folder's tables may be meant, and which there are."""
    files_known = sorted(entry.name for entry in entries if entry.name.endswith(".json"))
    known = files_known if of_a_user else [name.removesuffix(".json") for name in files_known]
    near = get_close_matches(Path(table).name, known, n=1)
    meant = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown layer table {table!r} ({meant}known: {', '.join(known) or 'none'})"


def model_from_dict(data: Mapping[str, Any]) -> Model:
    """The inverse of :func:`model_to_dict`."""
    layers = tuple(
        Layer(name=layer["name"], blocks=tuple(_read_block(b) for b in layer["blocks"])) for layer in data["layers"]
    )
    return Model(name=data["name"], architecture=data["architecture"], hyper=data["hyper"], layers=layers)


def _read_block(data: Mapping[str, Any]) -> Block:
    costs = _read_costs({key: value for key, value in data.items() if key != "unsplit"})
    unsplit = Unsplit(**_read_costs(data.get("unsplit", {})))
    parts = tuple(_read_block(part) for part in data.get("parts", ()))
    kinds = {"kind": BlockKind(data["kind"]), "split_by": SplitBy(data["split_by"])}
    return Block(**costs | kinds | {"unsplit": unsplit, "parts": parts})


def _read_costs(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: Cost(**value) if isinstance(value, Mapping) else value for key, value in data.items()}


def model_to_dict(model: Model) -> dict[str, Any]:
    """The model as plain JSON data, without ``parts``, ``unsplit`` and ``per_key`` where they are empty."""
    data: dict[str, Any] = _plain(model)
    return data


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return dict(value)
    if not is_dataclass(value):
        return value
    items = {field.name: getattr(value, field.name) for field in fields(value)}
    return {name: _plain(item) for name, item in items.items() if (name, item) not in _LEFT_OUT}


_LEFT_OUT = (("parts", ()), ("unsplit", Unsplit()), ("per_key", 0.0))


def layer_names(layers: Iterable[Layer]) -> str:
    """Names for messages: ``embedding .. head``."""
    names = [layer.name for layer in layers]
    return names[0] if len(names) == 1 else f"{names[0]} .. {names[-1]}"
