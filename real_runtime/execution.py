"""What did an assignment give? A measured trace and a loss per iteration, and how far other programs disturbed it."""

from collections.abc import Callable
from dataclasses import dataclass

from edgesim.metered import PowerLog
from edgesim.profile import Profile
from edgesim.trace import Trace


class HostShare(float):
    """A share of the processors of one host that is no emulated one, and whose: such hosts are disturbed one by one."""

    host: str

    def __new__(cls, share: float, host: str = "") -> "HostShare":
        """The share, and how the host is called."""
        made = super().__new__(cls, share)
        made.host = host
        return made


def host_of(share: float | None) -> str:
    """The host that was disturbed; none where none was, and where it was this machine.

    >>> host_of(HostShare(0.2, host="host pi-a (192.168.1.11)")), host_of(0.2), host_of(None)
    ('host pi-a (192.168.1.11)', '', '')
    """
    return share.host if isinstance(share, HostShare) and share else ""


def share_of(share: float, host: str) -> float:
    """The share of a host that was written down beside it, of this machine without."""
    return HostShare(share, host=host) if host else share


@dataclass(frozen=True, slots=True, kw_only=True)
class Iteration:
    """One iteration, as soon as all ranks have played it.

    Attributes:
        number: 0 for the first one, which warms up where the others count.
        disturbed: the share of this machine's processors that other programs took meanwhile, 0 where it is too little
            to count; None where nothing is known of other programs. Of hosts of their own the most disturbed one's.
        late: what computations took longer than on the device, as a share of the iteration, of the host that kept its
            pace least.
        again: whether it was played before, and disturbed; the loss is then that of the first time.
    """

    number: int
    trace: Trace
    loss: float
    disturbed: float | None
    late: float = 0.0
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
        late: [iteration] what computations took longer than on the device, as a share of the iteration, of the host
            that kept its pace least.
        power: what meters read meanwhile.
    """

    traces: tuple[Trace, ...]
    losses: tuple[float, ...]
    rehearsed: Profile | None = None
    disturbed: tuple[float, ...] = ()
    discarded: tuple[float, ...] = ()
    late: tuple[float, ...] = ()
    power: tuple[PowerLog, ...] = ()
