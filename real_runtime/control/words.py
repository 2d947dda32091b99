"""What has the coordinator said while a rank trains? Which iterations are committed, and whether to go on.

Its words come on the control channel, in a thread of their own, and so reach a rank whose other threads wait for peers
that are gone.
"""

import threading
from collections.abc import Callable


class AbortedError(Exception):
    """The coordinator has ended what the ranks of a generation play together."""


class Words:
    """The coordinator's words of commits and ends; threads wait for them here.

    ``foretold`` are the signals with which this rank is to end itself at a task of an iteration; 0: with none.
    """

    def __init__(self) -> None:
        self.foretold: dict[tuple[int, str], int] = {}
        self.when_aborted: Callable[[], object] = lambda: None  # called when a generation ends
        self._changed = threading.Condition()
        self._committed = -1  # the number of the last committed iteration
        self._last: int | None = None  # after which it is to stop
        self._aborted = -1  # the newest generation that has ended

    def begin(self, done: int) -> None:
        """Forget earlier commits: so many iterations are done."""
        with self._changed:
            self._committed, self._last = done - 1, None

    def commit(self, iteration: int, *, stop: bool) -> None:
        """Hear that all have their gradients; and whether to stop behind this iteration."""
        with self._changed:
            self._committed = iteration
            self._last = iteration if stop else None
            self._changed.notify_all()

    def abort(self, generation: int) -> None:
        """Hear that somebody is lost, and that this generation plays nothing any more."""
        with self._changed:
            self._aborted = max(self._aborted, generation)
            self._changed.notify_all()
        self.when_aborted()

    def has_committed(self, iteration: int) -> bool:
        """Whether an iteration is committed."""
        return self._committed >= iteration

    def has_ended(self, generation: int) -> bool:
        """Whether the generation plays nothing any more."""
        return self._aborted >= generation

    def stops_behind(self, iteration: int) -> bool:
        """Whether this iteration is the last one for now."""
        return self._last is not None and iteration >= self._last

    def wait_for_commit(self, iteration: int, generation: int) -> None:
        """Return when the iteration is committed. Raises AbortedError when it will not be."""
        with self._changed:
            self._changed.wait_for(lambda: self._committed >= iteration or self.has_ended(generation))
            if self._committed < iteration:
                raise AbortedError(f"iteration {iteration} is not committed: somebody is lost")

    def wait_for_abort(self, generation: int) -> None:
        """Return when the coordinator has ended the generation: who lost a peer knows before it does."""
        with self._changed:
            self._changed.wait_for(lambda: self.has_ended(generation))
