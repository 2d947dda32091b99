"""What do a residual add and the norm after it cost?"""

from edgesim.model import Block, BlockKind, Cost
from edgesim.zoo.parts.costs import BY_TOKENS, DROPPED, NOTHING, TOKENS, PartCosts, block, floats


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


def rms_norm(name: str, *, hidden: int, length: Cost = TOKENS, dropout: bool = False) -> Block:
    """Return a residual add and RMS norm, in Python. It saves its input, a root per token, and the quotient."""
    costs = PartCosts(
        parameters=hidden,
        output=length * hidden,
        stash=floats(length * (2 * hidden + 1)) + (length * hidden if dropout else NOTHING),
        weight_stash=floats(length * hidden),
        moved=length * ((10 + DROPPED * dropout) * hidden),
        moved_back=length * ((26 + DROPPED * dropout) * hidden),
    )
    return block(name, BlockKind.CONNECTIVE, BY_TOKENS, costs)
