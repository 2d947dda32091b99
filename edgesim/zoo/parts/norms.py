"""What do a residual add and the norm after it cost?"""

from edgesim.model import Block, BlockKind, Cost
from edgesim.zoo.parts.costs import (
    BY_TOKENS,
    DROPPED,
    NOTHING,
    RMS_MOVED,
    RMS_MOVED_BACK,
    TOKENS,
    PartCosts,
    block,
    floats,
)


def layer_norm(name: str, *, hidden: int, length: Cost = TOKENS) -> Block:
    """Return a residual add and layer norm. It saves its input, and mean and deviation per token."""
    costs = PartCosts(
        parameters=2 * hidden,
        output=length * hidden,
        stash=floats(length * (hidden + 2)),
        moved=length * (5 * hidden),
        moved_back=length * (6 * hidden),
    )
    return block(name, BlockKind.CONNECTIVE, BY_TOKENS, costs)


def rms_norm(name: str, *, hidden: int, length: Cost = TOKENS, dropout: bool = False, residual: bool = True) -> Block:
    """Return an RMS norm, in Python, behind a residual add unless told.

    It saves its input and a root per token, and, for the weight, the quotient.
    """
    costs = PartCosts(
        parameters=hidden,
        output=length * hidden,
        stash=floats(length * (2 * hidden + 1)) + (length * hidden if dropout else NOTHING),
        weight_stash=floats(length * hidden),
        moved=length * ((RMS_MOVED + 3 * residual + DROPPED * dropout) * hidden),
        moved_back=length * ((RMS_MOVED_BACK + 3 * residual + DROPPED * dropout) * hidden),
    )
    return block(name, BlockKind.CONNECTIVE, BY_TOKENS, costs)
