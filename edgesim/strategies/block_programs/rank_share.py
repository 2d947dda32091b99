"""What is one rank's share of divided blocks: which heads, columns and tokens, and which tiles go around?"""

from edgesim.apportion import ranges
from edgesim.block_passes.division import BlockDivision, Span
from edgesim.block_passes.steps import ExchangeStep
from edgesim.model import Block, Cost, SplitBy
from edgesim.plan import Stage


class StageShares:
    """What all ranks of a plan with a single stage have of its divided blocks, found when it is first asked for."""

    def __init__(self, stage: Stage, division: BlockDivision) -> None:
        self.stage, self.division = stage, division
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
    """One rank of the stage.

    Attributes:
        me: the rank's position in the stage.
        n: how many ranks divide the blocks.
        last: the position of the rank that has the sequence's last token.
    """

    def __init__(self, stage: Stage, rank: int) -> None:
        self.stage, self.me, self.n = stage, stage.ranks.index(rank), len(stage.ranks)
        self.last = self.n - 1

    @property
    def alone(self) -> int:
        """Who generates where weights are not divided: the position with the most tokens, which is the fastest."""
        return self.stage.tokens.index(max(self.stage.tokens))
