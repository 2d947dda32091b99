"""What does one part of a layer cost? FLOPs and bytes as polynomials in samples and tokens, and what it is split by."""

from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

from edgesim.since_3_11 import StrEnum
from edgesim.units import MOST

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

    def __post_init__(self) -> None:
        for name in ("fixed", "per_sample", "per_token", "per_token_squared", "per_key"):
            if not -MOST <= (value := getattr(self, name)) <= MOST:
                raise ValueError(f"cost: {name} must be a number of at most {MOST:g} FLOP or bytes, got {value}")

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
    without that layer holds a copy of them. Where they are ``tied_exchanged``, stages may train them apart: strategies
    add their gradients up.

    ``statistics_bytes`` are running means and variances of batches: nobody trains them, but they move with the block.

    ``gradient_bytes`` is what the backward pass sends back over the boundary behind the block; None where it is as much
    as ``output_bytes``, nothing where nothing before the boundary is trained.

    Each token looks at the last ``window_tokens`` before it, where attention has such a window, so that no more K and V
    need be kept; 0 is no window. Passes over a whole sequence compute the full square of tokens all the same.

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
    statistics_bytes: int = 0
    tied_exchanged: bool = False
    gradient_bytes: Cost | None = None
    unsplit: Unsplit = Unsplit()
    window_tokens: int = 0
    parts: tuple["Block", ...] = ()

    @property
    def divisible(self) -> bool:
        """Whether ranks can divide its heads or columns."""
        return self.split_by in (SplitBy.HEADS, SplitBy.COLUMNS)

    def keys_within(self, tokens: int) -> int:
        """Return how many of these tokens the last one looks at."""
        return min(tokens, self.window_tokens) if self.window_tokens else tokens


@lru_cache(maxsize=4096)  # planners weigh the memory of the same few shares again and again
def divided(block: Block, share: float) -> Block:
    """Return the block at a share of its heads or columns: ``unsplit + share (whole - unsplit)`` for each cost.

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
