"""What do a residual add and the norm after it cost?"""

from edgesim.model import Block, BlockKind, Cost
from edgesim.zoo.parts.costs import BY_TOKENS, DROPPED, NOTHING, TOKENS, PartCosts, block, floats


def layer_norm(name: str, *, hidden: int, length: Cost = TOKENS) -> Block:
    """Residual add and layer norm. Saved: its input, and mean and deviation per token."""
    costs = PartCosts(
        parameters=2 * hidden,
        output=length * hidden,
        stash=floats(length * (hidden + 2)),
        moved=length * (5 * hidden),
        moved_back=length * (6 * hidden),
    )
    return block(name, BlockKind.CONNECTIVE, BY_TOKENS, costs)


def rms_norm(name: str, *, hidden: int, length: Cost = TOKENS, dropout: bool = False) -> Block:
    """Residual add and RMS norm, in Python. Saved: its input, one root per token, and, for the weight, the quotient."""
    costs = PartCosts(
        parameters=hidden,
        output=length * hidden,
        stash=floats(length * (2 * hidden + 1)) + (length * hidden if dropout else NOTHING),
        weight_stash=floats(length * hidden),
        moved=length * ((10 + DROPPED * dropout) * hidden),
        moved_back=length * ((26 + DROPPED * dropout) * hidden),
    )
    return block(name, BlockKind.CONNECTIVE, BY_TOKENS, costs)
