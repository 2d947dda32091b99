"""Which ranks are connected, in which generation, and which of them know the job? Processes that ended come anew."""

import time
from collections.abc import Callable, Collection

from real_runtime.control.board import State
from real_runtime.control.rank_process import Message
from real_runtime.testbeds.connecting import dilation, joins, renew
from real_runtime.testbeds.testbed import Testbed

_END_S = 5.0
_GIVE_UP_S, _LOOK_S = 10.0, 0.01  # until ranks have given up what was ended: a computation under way is not cut


class Members:
    """The ranks of a testbed as members of a job; ``greet`` tells a new process what others know.

    Attributes:
        connected: who is, in the testbed's generation.
        known: who knows the job, and holds what it is believed to hold.
    """

    def __init__(self, testbed: Testbed, greet: Callable[[int], object] = lambda rank: None) -> None:
        self._greet = greet
        self.testbed, self.coordinator = testbed, testbed.coordinator
        self.connected = tuple(range(len(testbed.cluster.devices)))
        self.known: set[int] = set()

    def joins(self, ranks: tuple[int, ...]) -> dict[int, Message]:
        """[rank] The command that connects these ranks, and no others, from now on."""
        self.connected = ranks
        return joins(self.testbed, ranks)

    def newcomers(self, ranks: Collection[int]) -> tuple[int, ...]:
        """Those that do not know the job, or whose layers are of no worth any more."""
        return tuple(rank for rank in ranks if rank not in self.known)

    def end(self, ranks: Collection[int]) -> None:
        """End the processes of ranks."""
        for rank in ranks:
            self.coordinator.ranks[rank].kill()
            self.coordinator.ranks[rank].exit_code(within_s=_END_S)
        self.known -= set(ranks)

    def end_stuck(self, ranks: Collection[int]) -> None:
        """End the processes of those that still wait for others, though all was ended: nothing can wake them.

        PyTorch's groups connect with whoever was to come, as long as it takes, and cannot be told to stop.
        """
        self.end([rank for rank in ranks if self._state(rank) is State.MEETS])

    def wait_until_idle(self, ranks: Collection[int]) -> None:
        """Wait until ranks that were told to end what they play have done so; end the processes of who is stuck."""
        until_s = time.monotonic() + _GIVE_UP_S
        while any(self._state(rank) is not State.IDLE for rank in ranks) and time.monotonic() < until_s:
            time.sleep(_LOOK_S)
        self.end_stuck(ranks)

    def _state(self, rank: int) -> State:
        """What its computing thread is at; a process that has ended is at nothing."""
        process = self.coordinator.ranks[rank]
        return State.IDLE if process.exit_code() is not None else process.board.main().state

    def renew_dead(self, ranks: Collection[int]) -> tuple[int, ...]:
        """Start the processes anew that have ended; return whose."""
        dead = tuple(rank for rank in ranks if self.coordinator.ranks[rank].exit_code() is not None)
        for rank in dead:
            renew(self.testbed, rank)
            self._greet(rank)
        self.known -= set(dead)
        return dead

    def dilations(self, ranks: Collection[int]) -> dict[int, Message]:
        """[rank] The command that makes a host as slow as its device."""
        return {rank: dilation(self.testbed, rank) for rank in ranks}
