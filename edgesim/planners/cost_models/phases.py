"""What is computed and sent between one exchange and the next, where ranks divide blocks? Phases, and no seconds.

A phase is what all ranks compute until they must hear of each other, and the exchange that it ends with.
"""

from dataclasses import dataclass

from edgesim.model import SplitBy


@dataclass(frozen=True, slots=True, kw_only=True)
class Computation:
    """What every rank computes for its share.

    Attributes:
        block: the block's name in the profile; the first one's name where several blocks are equal.
        by: which share its seconds depend on; NOTHING: all ranks do all of it.
        tokens: how many; None: the rank's own, or one tile of an overlapped phase.
        keys: how many tokens attention looks at; None: as many.
    """

    block: str
    op: str
    by: SplitBy
    tokens: int | None
    keys: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RingRounds:
    """Rounds of a ring of n ranks, each of n - 1 steps: one to gather or scatter, two to reduce for all.

    A step moves ``fixed_bytes + shared_bytes / n + token_bytes · tokens of the largest tile``.
    """

    rounds: int = 1
    fixed_bytes: float = 0.0
    shared_bytes: float = 0.0
    token_bytes: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockPhase:
    """Computations, and then an exchange; or, with overlap, both at once.

    With overlap ``entering`` is a product over each tile as it is gathered, ``leaving`` one over each tile before it
    is scattered, and ``works`` is what lies between.
    """

    works: tuple[Computation, ...]
    exchange: RingRounds | None = None
    entering: Computation | None = None
    leaving: Computation | None = None
