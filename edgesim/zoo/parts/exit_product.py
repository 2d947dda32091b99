"""What does the matrix cost that leads from a block's inner width back to the hidden size?"""

from dataclasses import dataclass

from edgesim.model import Block, BlockKind, Cost
from edgesim.zoo.parts.costs import DROPPED, PartCosts, Split, block, floats


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitProduct:
    """The last matrix of an attention or an MLP.

    Attributes:
        inner: numbers per token that enter, of which each rank has its heads' or columns'.
        kept: numbers that are saved for the gradients of its weights only.
    """

    inner: int
    hidden: int
    length: Cost
    biases: bool
    dropout: bool
    kept: Cost

    def block(self, name: str, kind: BlockKind, split: Split) -> Block:
        """Return the product as a part, which saves ``kept`` and a dropout's mask; each rank writes a full output."""
        mask = self.length * (self.hidden * self.dropout)
        dropped = self.length * (DROPPED * self.hidden * self.dropout)
        read, written = self.length * self.inner, self.length * self.hidden
        costs = PartCosts(
            parameters=(self.inner + self.biases) * self.hidden,
            output=written,
            stash=floats(self.kept) + mask,
            weight_stash=floats(self.kept),
            weights=self.length * (2 * self.inner * self.hidden),
            moved=written + read + dropped,
            moved_back=(written + read) * 2 + written * self.biases + dropped,
        )
        alike = PartCosts(
            parameters=self.hidden * self.biases,
            output=written,
            stash=mask,
            moved=written + dropped,
            moved_back=written * (2 + self.biases) + dropped,
        )
        return block(name, kind, split, costs, alike)
