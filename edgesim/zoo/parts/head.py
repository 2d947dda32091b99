"""What does a language model's head cost? A matrix onto the vocabulary, and cross-entropy."""

from dataclasses import dataclass

from edgesim.model import Block, BlockKind, Cost, SplitBy
from edgesim.zoo.parts.costs import TOKENS, PartCosts, Split, block, floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """How many tokens a model tells apart, and whether the matrix onto them is the embedding's and has biases.

    ``capped`` logits are divided, pass a tanh, which keeps its output, and are multiplied.
    """

    size: int
    tied: bool
    biases: bool = False
    capped: bool = False


def language_head(vocabulary: Vocabulary, *, hidden: int, length: Cost = TOKENS, name: str = "head") -> Block:
    """Return a matrix onto the vocabulary and cross-entropy. They save the input and the log-probabilities."""
    size, biases, matrix = vocabulary.size, vocabulary.biases, hidden * vocabulary.size
    capped = vocabulary.capped
    entered = floats(length * hidden)
    costs = PartCosts(
        parameters=(0 if vocabulary.tied else matrix) + size * biases,
        tied=matrix if vocabulary.tied else 0,
        output=length * size,
        stash=floats(length * (hidden + (1 + capped) * size)),
        weight_stash=entered,
        weights=length * (2 * matrix),
        # Cross-entropy makes log-probabilities of the logits, and backward a gradient of both.
        moved=length * (hidden + (3 + 6 * capped) * size),
        moved_back=length * (2 * hidden + (7 + biases + 7 * capped) * size),
    )
    alike = PartCosts(stash=entered, weight_stash=entered, moved=length * hidden, moved_back=length * (2 * hidden))
    return block(name, BlockKind.HEAD, Split(by=SplitBy.COLUMNS, units=size), costs, alike)
