"""How do the numbers that a part reads, writes and keeps become the costs of a block?"""

from dataclasses import dataclass, fields, replace

from edgesim.apportion import refuse_remainder
from edgesim.model import Block, BlockKind, Cost, SplitBy, Unsplit
from edgesim.units import BYTES_PER_FLOAT32

TOKENS = Cost(per_token=1.0)
"""As many tokens as the workload says."""
KEYS = Cost(per_key=1.0)
"""As many keys as these tokens look at: their own number, unless a rank computes fewer than it sees."""
EMBEDDING = "embedding"
"""The layer that tied parameters are counted in."""
NOTHING = Cost()
DROPPED = 2.25
"""What dropout moves per number: it is read and written, and a byte of its mask is written."""

RMS_MOVED, RMS_MOVED_BACK = 7, 23
"""Numbers that an RMS norm written in Python reads and writes per number, forward and backward."""


def always(tokens: int) -> Cost:
    """Return a length that no workload changes."""
    return Cost(per_sample=tokens)


def pairs(queries: Cost, keys: Cost) -> Cost:
    """Return how many scores a head has for so many queries and keys: the product of two lengths."""
    return Cost(
        per_sample=queries.per_sample * keys.per_sample,
        per_token=queries.per_sample * keys.per_token + queries.per_token * keys.per_sample,
        per_key=queries.per_sample * keys.per_key,
        per_token_squared=queries.per_token * (keys.per_token + keys.per_key),
    )


def floats(numbers: Cost) -> Cost:
    """Return the bytes of so many FP32 numbers."""
    return numbers * BYTES_PER_FLOAT32


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerWidths:
    """How wide the tensors of a transformer's layers are.

    Attributes:
        hidden: numbers per token between blocks.
        heads: heads of attention.
        head_size: numbers per head.
        columns: numbers per token within an MLP.
        groups: heads of K and V, each of which serves heads / groups heads of Q; None: as many as heads.
    """

    hidden: int
    heads: int
    head_size: int
    columns: int
    groups: int | None = None

    @classmethod
    def of(
        cls,
        name: str,
        *,
        hidden: int,
        heads: int,
        columns: int,
        groups: int | None = None,
        head_size: int | None = None,
    ) -> "TransformerWidths":
        """Return widths with heads of this size; without one, heads that share the hidden size.

        Raises ValueError, naming the model, if these do not divide it, or if the groups do not divide the heads.
        """
        if head_size is None:
            refuse_remainder(name, divided=("hidden", hidden), by=("heads", heads))
            head_size = hidden // heads
        if groups is not None:
            refuse_remainder(name, divided=("heads", heads), by=("groups", groups))
        return cls(hidden=hidden, heads=heads, head_size=head_size, columns=columns, groups=groups)


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """What ranks can divide a block by, and into how many heads or columns; tokens need no number."""

    by: SplitBy
    units: int = 0


BY_TOKENS = Split(by=SplitBy.TOKENS)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartCosts:
    """What a part of a transformer computes, reads, writes and keeps; its bytes and gradients follow.

    Attributes:
        parameters: how many weights.
        tied: how many more it shares with the layer ``embedding``, where they are counted.
        output: numbers that it puts out.
        stash: bytes kept for the backward pass; of these ``weight_stash`` for the gradients of weights only.
        weights: FLOP of products with weights: the gradient of either side costs as much as the product.
        scores: FLOP of products of activations with one another, alike.
        moved: numbers that the forward pass reads and writes beside weights; ``moved_back`` the backward pass.
        lookup: whether it reads none of its table, and writes all of the table's gradient.
    """

    parameters: int = 0
    tied: int = 0
    output: Cost = NOTHING
    stash: Cost = NOTHING
    weight_stash: Cost = NOTHING
    weights: Cost = NOTHING
    scores: Cost = NOTHING
    moved: Cost = NOTHING
    moved_back: Cost = NOTHING
    lookup: bool = False

    @property
    def forward_bytes(self) -> Cost:
        """Bytes that the forward pass touches."""
        return floats(self.moved if self.lookup else self.moved + self._held)

    @property
    def backward_bytes(self) -> Cost:
        """Bytes that the backward pass touches."""
        return floats(self.moved_back + self._held * (1 if self.lookup else 2))

    @property
    def _held(self) -> Cost:
        return Cost(fixed=self.parameters + self.tied)

    def unsplit(self) -> Unsplit:
        """Return these costs as those that every rank has in full."""
        return Unsplit(
            forward_flop=self.weights,
            backward_flop=self.weights * 2,
            forward_bytes=self.forward_bytes,
            backward_bytes=self.backward_bytes,
            parameter_bytes=self.parameters * BYTES_PER_FLOAT32,
            output_bytes=floats(self.output),
            stash_bytes=self.stash,
            weight_flop=self.weights,
            weight_stash_bytes=self.weight_stash,
        )


_ALL_SPLIT = PartCosts()


def block(name: str, kind: BlockKind, split: Split, costs: PartCosts, alike: PartCosts = _ALL_SPLIT) -> Block:
    """Return the block that has these costs; every rank has those in ``alike`` in full, whatever its share."""
    forward = costs.weights + costs.scores
    return Block(
        name=name,
        kind=kind,
        forward_flop=forward,
        backward_flop=forward * 2,
        forward_bytes=costs.forward_bytes,
        backward_bytes=costs.backward_bytes,
        parameter_bytes=costs.parameters * BYTES_PER_FLOAT32,
        output_bytes=floats(costs.output),
        stash_bytes=costs.stash,
        split_by=split.by,
        splits=split.units,
        weight_flop=costs.weights,
        weight_stash_bytes=costs.weight_stash,
        score_flop=costs.scores,
        tied_bytes=costs.tied * BYTES_PER_FLOAT32,
        tied_to=EMBEDDING if costs.tied else "",
        unsplit=alike.unsplit(),
    )


def everything(part: Block) -> Unsplit:
    """Return all costs of a part that is not split, except its output, which stays within its block."""
    names = {field.name: getattr(part, field.name) for field in fields(Unsplit)}
    return Unsplit(**names | {"output_bytes": NOTHING})


def joined(name: str, *parts: Block) -> Block:
    """Return the block that these parts form in this order; its output is that of the last one."""
    first, *others = parts
    sums = {cost: getattr(first, cost) for cost in _SUMMED}
    for part in others:
        sums = {cost: sums[cost] + getattr(part, cost) for cost in _SUMMED}
    inner = [replace(part.unsplit, output_bytes=NOTHING) for part in parts[:-1]]
    last = parts[-1]
    return replace(
        first, **sums, name=name, output_bytes=last.output_bytes, unsplit=sum(inner, last.unsplit), parts=parts
    )


_SUMMED = (
    "forward_flop",
    "backward_flop",
    "forward_bytes",
    "backward_bytes",
    "parameter_bytes",
    "stash_bytes",
    "weight_flop",
    "score_flop",
    "weight_stash_bytes",
)
