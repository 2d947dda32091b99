"""What did an assignment give? A measured trace and a loss per iteration, and how far other programs disturbed it."""

from collections.abc import Callable
from dataclasses import dataclass

from edgesim.metered import PowerLog
from edgesim.profile import Profile
from edgesim.trace import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Iteration:
    """One iteration, as soon as all ranks have played it.

    Attributes:
        number: 0 for the first one, which warms up where the others count.
        disturbed: the share of this machine's processors that other programs took meanwhile, 0 where it is too little
            to count; None where nothing is known of other programs.
        again: whether it was played before, and disturbed; the loss is then that of the first time.
    """

    number: int
    trace: Trace
    loss: float
    disturbed: float | None
    again: bool = False


Heard = Callable[[Iteration], object]
"""Hears of an iteration as it ends."""


def unheard(iteration: Iteration) -> None:
    """Let it go by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """What an assignment gave: a measured trace and a loss per iteration; where it was rehearsed, also its seconds.

    Attributes:
        disturbed: [iteration] the share of this machine's processors that other programs took meanwhile, 0 where it is
            too little to count; empty where nothing is known of other programs.
        discarded: the same of iterations that were disturbed, played again and not kept.
        power: what meters read meanwhile.
    """

    traces: tuple[Trace, ...]
    losses: tuple[float, ...]
    rehearsed: Profile | None = None
    disturbed: tuple[float, ...] = ()
    discarded: tuple[float, ...] = ()
    power: tuple[PowerLog, ...] = ()
