"""What does one rank have of every block and of the sequence, and how many bytes of it travel? Facts, no tasks."""

from collections.abc import Iterator
from dataclasses import dataclass

from edgesim.apportion import ranges
from edgesim.memory import kv_bytes
from edgesim.model import CROSS_ATTENTION, Block, BlockKind, Layer, Model
from edgesim.plan import Plan, Stage
from edgesim.strategies.program import Span
from edgesim.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class RankView:
    """A rank of the one stage of a plan.

    Attributes:
        units: whether ranks divide heads and columns; tokens are divided where the stage says so.
        overlap: whether products run beside the exchanges that they feed or are fed by.
        now: the tokens of a generating pass; (0, 0) in all others, which are of the whole sequence.
    """

    plan: Plan
    model: Model
    workload: Workload
    rank: int
    units: bool
    overlap: bool
    now: Span = (0, 0)

    @property
    def stage(self) -> Stage:
        """What is divided how."""
        return self.plan.stages[0]

    @property
    def me(self) -> int:
        """The rank's position in the stage."""
        return self.stage.ranks.index(self.rank)

    @property
    def n(self) -> int:
        """How many ranks divide the blocks."""
        return len(self.stage.ranks)

    @property
    def samples(self) -> int:
        """Of a micro-batch: every rank computes all of them."""
        return self.plan.micro_batch_samples

    @property
    def tiles(self) -> tuple[Span, ...]:
        """[position] whose tokens are which; empty where tokens are not divided."""
        return ranges(self.stage.tokens)

    def blocks(self) -> Iterator[tuple[int, Layer, Block]]:
        """Layer, number and block, in order; of a head the product onto the vocabulary apart from what leads to it."""
        for i, layer in enumerate(self.model.layers):
            for block in layer.blocks:
                if block.kind is BlockKind.HEAD and block.parts:
                    yield from ((i, layer, part) for part in block.parts)
                else:
                    yield i, layer, block

    def whole(self, layer: Layer) -> bool:
        """Whether the rank holds the whole sequence in this layer: also in decoders that read an encoder's output."""
        return not self.stage.tokens or self.now != (0, 0) or self.model.decodes(layer)

    def span(self, layer: Layer) -> Span:
        """The tokens that the rank holds in this layer; (0, 0) where it is all of them."""
        return self.now if self.whole(layer) else self.tiles[self.me]

    @property
    def asked(self) -> Span:
        """The tokens whose logits are wanted: all, or only what predicts the next token."""
        if self.now != (0, 0) or not self.workload.new_tokens:
            return self.now
        return (self.workload.tokens - 1, self.workload.tokens)

    def unit_range(self, block: Block) -> Span:
        """The rank's heads or columns; (0, 0) where it has all of them."""
        return self.stage.unit_range(block, self.rank) if self.units else (0, 0)

    def entering_head(self) -> Block:
        """The block whose output the vocabulary's product reads."""
        *_, before, _ = (block for _, _, block in self.blocks())
        return before

    def nbytes(self, block: Block, tokens: int | None = None) -> int:
        """Bytes of a block's own output: for so many tokens, or for all of this pass."""
        if tokens is None:
            tokens = self.now[1] - self.now[0] or self.workload.tokens
        last = block.parts[-1] if block.parts else block  # of attention and MLP, what the exiting product gives
        return round(last.output_bytes(self.samples, tokens))

    def tile_bytes(self, block: Block) -> list[int]:
        """[position] of each rank's tokens, the bytes of what a block puts out."""
        return [self.nbytes(block, stop - start) for start, stop in self.tiles]

    def kv_bytes(self, block: Block) -> list[int]:
        """[position] bytes of K and V of each rank's tokens."""
        return [round(kv_bytes(block, samples=self.samples, tokens=stop - start)) for start, stop in self.tiles]

    def entering_bytes(self, block: Block) -> int:
        """Of what enters an attention or MLP; of cross-attention also the encoder's output."""
        encoded = self.nbytes(self.model.layers[0].blocks[-1]) if block.name == CROSS_ATTENTION else 0
        return self.nbytes(block) + encoded

    @property
    def alone(self) -> int:
        """Who goes on where weights are not divided: the rank with the most tokens, which is the fastest."""
        return self.stage.tokens.index(max(self.stage.tokens))
