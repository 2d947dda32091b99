"""What is one rank's share of divided blocks: which heads, columns and tokens, and which tiles go around?"""

from dataclasses import dataclass

from edgesim.apportion import ranges
from edgesim.block_passes.division import BlockDivision, Span
from edgesim.block_passes.steps import ComputeStep, ExchangeStep
from edgesim.model import Block, SplitBy
from edgesim.plan import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class RankShare:
    """One rank of a plan with a single stage, and what it computes of the divided blocks."""

    stage: Stage
    rank: int
    division: BlockDivision

    @property
    def me(self) -> int:
        """The rank's position in the stage."""
        return self.stage.ranks.index(self.rank)

    @property
    def n(self) -> int:
        """How many ranks divide the blocks."""
        return len(self.stage.ranks)

    @property
    def tiles(self) -> tuple[Span, ...]:
        """[position] The range of tokens that each rank owns; empty where tokens are not divided."""
        return ranges(self.stage.tokens)

    def units(self, block: Block, by: SplitBy) -> Span:
        """Return the rank's range of heads or columns; (0, 0) where it computes all of them."""
        return self.stage.unit_range(block, self.rank) if by in (SplitBy.HEADS, SplitBy.COLUMNS) else (0, 0)

    def tokens(self, step: ComputeStep) -> Span:
        """Return the range of tokens that the rank computes in a step; (0, 0) where it computes all of them."""
        return self.tiles[self.me] if step.by is SplitBy.TOKENS and step.tokens == (0, 0) else step.tokens

    def tile_bytes(self, step: ExchangeStep) -> list[int]:
        """Return the bytes of each rank's tile, by position."""
        samples = self.division.samples
        return [round(step.nbytes(samples, stop - start)) for start, stop in self.tiles]

    def whole_bytes(self, step: ExchangeStep) -> int:
        """Return the bytes that a message takes which is not a tile but carries the step's tokens."""
        return round(step.nbytes(self.division.samples, self.division.length(step.tokens)))

    @property
    def last(self) -> int:
        """The position of the rank that has the sequence's last token."""
        return self.n - 1

    @property
    def alone(self) -> int:
        """Who generates where weights are not divided: the position with the most tokens, which is the fastest."""
        return self.stage.tokens.index(max(self.stage.tokens))
