"""What is one rank's share of divided blocks: which heads, columns and tokens, and which tiles go around?"""

from edgesim.apportion import ranges
from edgesim.block_passes.division import BlockDivision, Span
from edgesim.block_passes.steps import ComputeStep, ExchangeStep
from edgesim.model import Block, Cost, SplitBy
from edgesim.plan import Stage
from edgesim.schedule import Peers


class StageShares:
    """What all ranks of a plan with a single stage have of its divided blocks, found when it is first asked for."""

    def __init__(self, stage: Stage, division: BlockDivision) -> None:
        self.stage, self.division = stage, division
        self.ring = Peers(stage.ranks)
        self.tiles = ranges(stage.tokens)  # [position] the tokens that each rank owns; empty where none are divided
        self._units: dict[tuple[SplitBy, int], tuple[Span, ...]] = {}
        self._bytes: dict[Cost, list[int]] = {}

    def units(self, block: Block) -> tuple[Span, ...]:
        """Return [position] the range of the block's heads or columns that each rank has; (0, 0) for all of them."""
        alike = block.split_by, block.splits
        if alike not in self._units:
            self._units[alike] = self.stage.unit_ranges(block)
        return self._units[alike]

    def tile_bytes(self, step: ExchangeStep) -> list[int]:
        """Return [position] the bytes of each rank's tile."""
        if step.nbytes not in self._bytes:
            samples = self.division.samples
            self._bytes[step.nbytes] = [round(step.nbytes(samples, stop - start)) for start, stop in self.tiles]
        return self._bytes[step.nbytes]

    def whole_bytes(self, step: ExchangeStep) -> int:
        """Return the bytes that a message takes which is not a tile but carries the step's tokens."""
        return round(step.nbytes(self.division.samples, self.division.length(step.tokens)))


class RankShare:
    """One rank of the stage, and what it computes of the divided blocks.

    Attributes:
        me: the rank's position in the stage.
        n: how many ranks divide the blocks.
        last: the position of the rank that has the sequence's last token.
    """

    def __init__(self, stage: StageShares, rank: int) -> None:
        self.stage, self.rank = stage, rank
        self.me, self.n = stage.stage.ranks.index(rank), len(stage.stage.ranks)
        self.last = self.n - 1

    def units(self, block: Block, by: SplitBy) -> Span:
        """Return the rank's range of heads or columns; (0, 0) where it computes all of them."""
        return self.stage.units(block)[self.me] if by in (SplitBy.HEADS, SplitBy.COLUMNS) else (0, 0)

    def tokens(self, step: ComputeStep) -> Span:
        """Return the range of tokens that the rank computes in a step; (0, 0) where it computes all of them."""
        return self.stage.tiles[self.me] if step.by is SplitBy.TOKENS and step.tokens == (0, 0) else step.tokens

    @property
    def alone(self) -> int:
        """Who generates where weights are not divided: the position with the most tokens, which is the fastest."""
        tokens = self.stage.stage.tokens
        return tokens.index(max(tokens))
