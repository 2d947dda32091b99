"""What do the tables of an embedding cost, that ids are looked up in?"""

from dataclasses import dataclass

from edgesim.model import Block, BlockKind, Cost
from edgesim.zoo.parts.costs import BY_TOKENS, DROPPED, EMBEDDING, NOTHING, TOKENS, PartCosts, block, floats

_BYTES_PER_ID = 8  # int64


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingTables:
    """Tables whose rows are looked up and added.

    Attributes:
        rows: rows of all tables.
        tied_rows: rows beside these that are those of the layer ``embedding``.
        ids: ids per token that are saved; positions count where each sample has its own.
        scaled: whether what was looked up is multiplied by a number.
    """

    rows: int
    tied_rows: int = 0
    ids: int = 1
    scaled: bool = False


def embedding(
    tables: EmbeddingTables, *, hidden: int, length: Cost = TOKENS, norm: bool = False, dropout: bool = False
) -> Block:
    """Return the block that looks up rows of ``hidden`` numbers and adds them, with a layer norm after it if ``norm``.

    Saved: the ids, for the weights; the norm's input with two statistics; the dropout's mask.
    """
    ids, scaled = tables.ids, 2 * tables.scaled
    saved_ids = length * (ids * _BYTES_PER_ID)
    saved = floats(length * (hidden + 2)) if norm else NOTHING
    costs = PartCosts(
        parameters=tables.rows * hidden + 2 * hidden * norm,
        tied=tables.tied_rows * hidden,
        output=length * hidden,
        stash=saved_ids + saved + (length * hidden if dropout else NOTHING),
        weight_stash=saved_ids,
        moved=length * ((2 * ids + scaled + 2 * norm + DROPPED * dropout) * hidden),
        moved_back=length * ((ids + scaled + 3 * norm + DROPPED * dropout) * hidden),
        lookup=True,
    )
    return block(EMBEDDING, BlockKind.EMBEDDING, BY_TOKENS, costs)
