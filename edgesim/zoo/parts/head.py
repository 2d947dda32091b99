"""What does a language model's head cost? A matrix onto the vocabulary, and cross-entropy."""

from dataclasses import dataclass

from edgesim.model import Block, BlockKind, Cost, SplitBy
from edgesim.zoo.parts.costs import TOKENS, PartCosts, Split, block, floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """How many tokens a model tells apart, and whether the matrix onto them is the embedding's and has biases."""

    size: int
    tied: bool
    biases: bool = False


def language_head(vocabulary: Vocabulary, *, hidden: int, length: Cost = TOKENS, name: str = "head") -> Block:
    """Return a matrix onto the vocabulary and cross-entropy. They save the input and the log-probabilities."""
    size, biases, matrix = vocabulary.size, vocabulary.biases, hidden * vocabulary.size
    entered = floats(length * hidden)
    costs = PartCosts(
        parameters=(0 if vocabulary.tied else matrix) + size * biases,
        tied=matrix if vocabulary.tied else 0,
        output=length * size,
        stash=floats(length * (hidden + size)),
        weight_stash=entered,
        weights=length * (2 * matrix),
        # Cross-entropy makes log-probabilities of the logits, and backward a gradient of both.
        moved=length * (hidden + 3 * size),
        moved_back=length * (2 * hidden + (7 + biases) * size),
    )
    alike = PartCosts(stash=entered, weight_stash=entered, moved=length * hidden, moved_back=length * (2 * hidden))
    return block(name, BlockKind.HEAD, Split(by=SplitBy.COLUMNS, units=size), costs, alike)
