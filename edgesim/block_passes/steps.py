"""What is a step of a pass over divided blocks? A computation, an exchange, or both side by side."""

from dataclasses import dataclass

from edgesim.block_passes.division import Place, Span
from edgesim.model import Cost, SplitBy
from edgesim.schedule import Op, Payload
from edgesim.since_3_11 import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeStep:
    """All ranks compute a block, or a part of one, each for its share.

    Attributes:
        part: which part of the block; "" for all of it.
        by: what a rank computes of it: its HEADS or COLUMNS, its own TOKENS, or, by NOTHING, the same as all others.
        tokens: of which tokens; (0, 0): of all, or of the own ones by TOKENS.
        keys: how many tokens an attention looks at; None: as many as it computes.
        last_only: only the rank with the sequence's last token computes.
    """

    op: Op
    place: Place
    by: SplitBy
    part: str = ""
    tokens: Span = (0, 0)
    keys: int | None = None
    last_only: bool = False

    @property
    def name(self) -> str:
        """The block, or the part of one, in schedules and profiles."""
        return _with_part(self.place, self.part)


class Exchange(StrEnum):
    """Which messages go to which ranks.

    GATHER: every rank's tile to all. SCATTER: partial sums of every tile to the rank that owns it. ALL_REDUCE: the sum
    over all ranks to all. FROM_LAST: what the rank with the last token has, to all. TELL: a message of every rank to
    all. HAND_OVER: a message of the rank with the last token to the one that generates alone.
    """

    GATHER = "gather"
    SCATTER = "scatter"
    ALL_REDUCE = "all_reduce"
    FROM_LAST = "from_last"
    TELL = "tell"
    HAND_OVER = "hand_over"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeStep:
    """Ranks exchange what they have computed; what is computed next waits for it.

    Attributes:
        part: the part of the block whose messages these are; "" for the block's own.
        nbytes: bytes by samples and tokens: of a rank's tile, or of ``tokens``.
        tokens: of which tokens every message is, where it is not a tile; (0, 0) for all of them.
        ahead: whether receives are posted as early as if the exchange stood before the block.
    """

    exchange: Exchange
    payload: Payload
    place: Place
    nbytes: Cost
    part: str = ""
    tokens: Span = (0, 0)
    ahead: bool = False

    @property
    def name(self) -> str:
        """The block, or the part of one, in schedules."""
        return _with_part(self.place, self.part)


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlapStep:
    """Products run beside the exchanges, tile by tile (Galaxy, arXiv 2405.17245, tile-based overlap).

    Attributes:
        gather: brings the tiles to the entering product.
        entering: a product over each tile as it comes.
        between: what is computed of all tiles.
        leaving: a product over each tile before its partial sums are scattered; None where nothing is.
        scatter: takes the leaving product's tiles away.
    """

    gather: ExchangeStep
    entering: ComputeStep
    between: tuple[ComputeStep, ...] = ()
    leaving: ComputeStep | None = None
    scatter: ExchangeStep | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SumGradientsStep:
    """An all-reduce of so many bytes of gradients, of weights that each rank used for its own tokens."""

    nbytes: int


Step = ComputeStep | ExchangeStep | OverlapStep | SumGradientsStep


def _with_part(place: Place, part: str) -> str:
    return f"{place.name}.{part}" if part else place.name
