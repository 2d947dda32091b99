"""Who holds consecutive layers, and how do its ranks share the work? Samples, or heads, columns and tokens."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgesim.apportion import at_least_one, ranges
from edgesim.errors import PlanError
from edgesim.memory import WHOLE, Share
from edgesim.model import Block, SplitBy
from edgesim.plan.depth import Depth, in_flight


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Consecutive layers held together by one or more ranks.

    What ranks divide are the samples of a micro-batch; or, where ``heads``, ``columns`` or ``tokens`` are given, the
    blocks: then all compute the same samples. Tensor parallelism gives heads and columns, sequence parallelism tokens,
    their hybrid all three.

    Attributes:
        layers: half-open range of layer indices.
        ranks: who holds them, in order of their samples.
        samples: [rank] samples of every micro-batch that each rank computes.
        in_flight: micro-batches forwarded before the first backward (the depth K_p).
        heads: [rank] of attention; where heads share K and V, the groups that do.
        columns: [rank] of the MLP's inner matrix; the head's vocabulary is divided in proportion.
        tokens: [rank] of the sequence.
        modes: [rank] the name of the power mode it runs in, which is a device; "" for its own. None: all in their own.
        recompute: whether a micro-batch in flight keeps nothing but its input, and is computed forward a second time
            before it goes back (GPipe, Huang et al., 2019).
    """

    layers: tuple[int, int]
    ranks: tuple[int, ...]
    samples: tuple[int, ...]
    in_flight: int
    heads: tuple[int, ...] = ()
    columns: tuple[int, ...] = ()
    tokens: tuple[int, ...] = ()
    modes: tuple[str, ...] = ()
    recompute: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.layers[0] < self.layers[1]:
            raise PlanError(f"stage of ranks {self.ranks}: layers must be a non-empty range, got {self.layers}")
        if not self.ranks or len(set(self.ranks)) != len(self.ranks):
            raise PlanError(f"stage {self.layers}: needs distinct ranks, got {self.ranks}")
        if len(self.samples) != len(self.ranks) or min(self.samples) < 1:
            raise PlanError(
                f"stage {self.layers}: needs at least one sample for each of the ranks {self.ranks}, "
                f"got {self.samples} (leave a rank out instead of giving it nothing)"
            )
        for name in ("heads", "columns", "tokens"):
            if (shares := getattr(self, name)) and (len(shares) != len(self.ranks) or min(shares) < 1):
                raise PlanError(
                    f"stage {self.layers}: needs at least one of the {name} for each of the ranks {self.ranks}, "
                    f"got {shares} (leave a rank out instead of giving it nothing)"
                )
        if self.modes and len(self.modes) != len(self.ranks):
            raise PlanError(f"stage {self.layers}: needs a mode for each of the ranks {self.ranks}, got {self.modes}")
        if bool(self.heads) != bool(self.columns):
            raise PlanError(f"stage {self.layers}: heads and columns are divided together, or neither")
        if self.in_flight < 1:
            raise PlanError(f"stage {self.layers}: in_flight must be at least 1, got {self.in_flight}")
        if self.recompute and self.divides_blocks:
            raise PlanError(
                f"stage {self.layers}: only ranks that divide samples recompute activations, these divide blocks "
                "(leave recompute out)"
            )

    def with_at_most(self, micro_batches: int) -> "Stage":
        """Return the stage as it is where there are no more micro-batches than these."""
        return replace(self, in_flight=micro_batches) if micro_batches < self.in_flight else self

    @property
    def divides_blocks(self) -> bool:
        """Whether ranks divide blocks; else they divide samples."""
        return bool(self.heads or self.tokens)

    @property
    def sample_ranges(self) -> tuple[tuple[int, int], ...]:
        """[rank] The half-open range of a micro-batch's samples that each rank computes."""
        if self.divides_blocks:
            return tuple((0, samples) for samples in self.samples)
        return ranges(self.samples)

    def sample_range(self, rank: int) -> tuple[int, int]:
        """Return the half-open range of a micro-batch's samples that the rank computes."""
        return self.sample_ranges[self.ranks.index(rank)]

    def overlaps(self, other: "Stage") -> Iterator[tuple[int, int, tuple[int, int]]]:
        """Yield the pairs of a rank of this stage and one of the other that hold the same samples, and which."""
        theirs, begin = list(zip(other.ranks, other.sample_ranges, strict=True)), 0
        for rank, (start, stop) in zip(self.ranks, self.sample_ranges, strict=True):
            while begin < len(theirs) and theirs[begin][1][1] <= start:
                begin += 1  # neither this rank nor those behind it share anything with that one
            for i in range(begin, len(theirs)):
                peer, (first, last) = theirs[i]
                if first >= stop:
                    break
                yield rank, peer, (max(start, first), min(stop, last))

    def token_range(self, rank: int) -> tuple[int, int]:
        """Return the half-open range of the sequence that is the rank's own; (0, 0) where tokens are not divided."""
        return ranges(self.tokens)[self.ranks.index(rank)] if self.tokens else (0, 0)

    def share(self, rank: int) -> Share:
        """Return the rank's shares of heads and columns, and how many tokens are its own."""
        if not self.divides_blocks:
            return WHOLE
        i = self.ranks.index(rank)
        heads, columns = ((of[i] / sum(of) if of else 1.0) for of in (self.heads, self.columns))
        return Share(heads=heads, columns=columns, tokens=self.tokens[i] if self.tokens else None)

    def unit_ranges(self, block: Block) -> tuple[tuple[int, int], ...]:
        """Return [rank] the half-open range of the block's heads or columns that it has; (0, 0) for all of them.

        A vocabulary is divided as ``columns`` are, in whole columns by largest remainders, and nobody goes without.
        """
        if not self.heads or not block.divisible:
            return ((0, 0),) * len(self.ranks)
        shares = self.heads if block.split_by is SplitBy.HEADS else self.columns
        return ranges(at_least_one(block.splits, shares))

    def share_text(self, rank: int) -> str:
        """Write a rank's share: ``5`` samples; or ``4h 512c 95t``, its heads, columns and tokens."""
        i = self.ranks.index(rank)
        if not self.divides_blocks:
            return str(self.samples[i])
        parts = ((self.heads, "h"), (self.columns, "c"), (self.tokens, "t"))
        return " ".join(f"{shares[i]}{letter}" for shares, letter in parts if shares)

    def __str__(self) -> str:
        modes = [f"@{mode}" if mode else "" for mode in self.modes] or [""] * len(self.ranks)
        ranks = (f"r{rank}:{self.share_text(rank)}{mode}" for rank, mode in zip(self.ranks, modes, strict=True))
        how = f"K={self.in_flight}{', recomputed' if self.recompute else ''}"
        return f"layers {self.layers[0]}-{self.layers[1] - 1} on {' '.join(ranks)} {how}"

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Stage":
        """Read a stage of a plan's JSON, whose tuples are lists."""
        fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in data.items()}
        return cls(**fields)


def make_stages(
    *,
    cuts: Sequence[int],
    groups: Sequence[Sequence[int]],
    samples: Sequence[Sequence[int]],
    depth: Depth,
    micro_batches: int,
) -> tuple[Stage, ...]:
    """Make stages from layer boundaries (``cuts`` has one entry more than ``groups``), ranks and samples."""
    return tuple(
        Stage(
            layers=(cuts[p], cuts[p + 1]),
            ranks=tuple(groups[p]),
            samples=tuple(samples[p]),
            in_flight=in_flight(depth, stage=p, stages=len(groups), micro_batches=micro_batches),
        )
        for p in range(len(groups))
    )
