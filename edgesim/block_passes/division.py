"""What do ranks divide of a model's blocks, and what does each hold of the sequence between them?

Between blocks a rank holds the sequence *whole*, or only the *tokens* that are its own. Blocks take one of these forms:

    units     attention, MLP and the head's vocabulary, of which each rank computes its heads or columns:
              whole: an all-reduce behind each; own tokens: an all-gather before and a reduce-scatter behind
    keys      attention over own tokens only: K and V of all tokens are gathered within it
    held      blocks that each rank computes for what it holds

                  between blocks    attention    MLP, vocabulary   else
    tensor        whole             units        units             held
    sequence      own tokens        keys         held              held
    hybrid_model  own tokens        units        units             held

A decoder that reads an encoder's output runs with the sequence whole: its own tokens are few.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from edgesim.memory import kv_bytes
from edgesim.model import CROSS_ATTENTION, Block, BlockKind, Cost, Layer, Model
from edgesim.since_3_11 import StrEnum
from edgesim.workload import Workload

Span = tuple[int, int]
"""A half-open range; (0, 0) where it is everything."""

DIVIDED = (BlockKind.ATTENTION, BlockKind.MLP)
"""Kinds of blocks of which ranks compute their heads or columns."""


class Form(StrEnum):
    """How ranks compute a block together."""

    HELD = "held"
    KEYS = "keys"
    REDUCED = "reduced"
    SCATTERED = "scattered"
    VOCABULARY = "vocabulary"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A block, its layer, and the layer's index in the model."""

    index: int
    layer: Layer
    block: Block

    @property
    def name(self) -> str:
        """The block's name in schedules and profiles: ``layer/block``."""
        return f"{self.layer.name}/{self.block.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockDivision:
    """What ranks divide in one pass over all blocks, whoever they are and whatever their shares.

    Attributes:
        samples: samples of a micro-batch; every rank computes all of them.
        units: whether ranks divide heads and columns.
        tokens: whether ranks divide the tokens of the sequence.
        overlap: whether products run beside the exchanges that they feed or are fed by.
        now: the tokens of a generating pass; (0, 0) in all others, which are of the whole sequence.
    """

    model: Model
    workload: Workload
    samples: int
    units: bool
    tokens: bool
    overlap: bool
    now: Span = (0, 0)

    @property
    def overlaps(self) -> bool:
        """Whether products and exchanges overlap in this workload: in inference only, between divided tokens."""
        return self.overlap and self.units and self.tokens and not self.workload.trains

    def places(self) -> Iterator[Place]:
        """Yield all blocks in order; a head that has parts is yielded part by part."""
        for index, layer in enumerate(self.model.layers):
            for block in layer.blocks:
                for part in block.parts if block.kind is BlockKind.HEAD and block.parts else (block,):
                    yield Place(index=index, layer=layer, block=part)

    def form(self, place: Place) -> Form:
        """Return how ranks compute the block together."""
        block, whole = place.block, self.whole(place.layer)
        if block.kind is BlockKind.ATTENTION and not self.units and not whole:
            return Form.KEYS
        if block.kind in DIVIDED and self.units:
            return Form.REDUCED if whole else Form.SCATTERED
        if block.kind is BlockKind.HEAD and self.divides(block):
            return Form.VOCABULARY
        return Form.HELD

    def divides(self, block: Block) -> bool:
        """Whether each rank computes its own heads or columns of the block."""
        return self.units and block.divisible

    def whole(self, layer: Layer) -> bool:
        """Whether ranks hold the whole sequence in this layer: also in decoders that read an encoder's output."""
        return not self.tokens or self.now != (0, 0) or self.model.decodes(layer)

    @property
    def asked(self) -> Span:
        """The tokens whose logits are wanted: all, or only the one that predicts the next token."""
        if self.now != (0, 0) or not self.workload.new_tokens:
            return self.now
        return (self.workload.tokens - 1, self.workload.tokens)

    def keys_so_far(self, block: Block) -> int | None:
        """Return how many tokens an attention looks at in a generating pass; None for other blocks and passes."""
        return block.keys_within(self.now[1]) or None if block.kind is BlockKind.ATTENTION else None

    def length(self, span: Span) -> int:
        """Return how many tokens a span has; (0, 0) stands for all tokens of the workload."""
        return span[1] - span[0] or self.workload.tokens

    @property
    def entering_head(self) -> Block:
        """The block whose output the vocabulary's product reads."""
        *_, before, _ = self.places()
        return before.block

    def entering_bytes(self, block: Block) -> Cost:
        """Return the bytes that enter an attention or MLP; into cross-attention the encoder's output enters as well."""
        own = leaving_bytes(block)
        return own + leaving_bytes(self.model.layers[0].blocks[-1]) if block.name == CROSS_ATTENTION else own

    @property
    def shared_gradient_bytes(self) -> int:
        """Bytes of trained weights that all ranks hold and each used for its own tokens only."""
        return sum(
            place.block.unsplit.parameter_bytes if self.divides(place.block) else place.block.parameter_bytes
            for place in self.places()
            if place.block.trainable and not self.whole(place.layer)
        )

    def generating(self) -> list["BlockDivision"]:
        """Return the passes that follow the prompt's, of one token each."""
        first = self.workload.tokens
        return [replace(self, now=(first + m - 1, first + m)) for m in range(1, self.workload.new_tokens)]


def divided_text(*, units: bool, tokens: bool) -> str:
    """Name what ranks divide, for messages."""
    return " and ".join((["heads and columns"] if units else []) + (["tokens"] if tokens else []))


def leaving_bytes(block: Block) -> Cost:
    """Return the bytes of a block's own output; of an attention or MLP, those of its exiting product."""
    return block.parts[-1].output_bytes if block.parts else block.output_bytes


def keys_and_values_bytes(block: Block) -> Cost:
    """Return the bytes of an attention's K and V. Raises ValueError for an attention without parts."""
    none, one = (kv_bytes(block, samples=1, tokens=tokens) for tokens in (0, 1))
    return Cost(per_sample=none, per_token=one - none)
