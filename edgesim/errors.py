"""What can go wrong, by kind: every error names the thing, the value and the way out.

    EdgesimError
    ├── PlanError        a plan contradicts its model, its cluster or itself
    │   └── OutOfMemoryError     a device would hold more than it has memory for
    ├── ScheduleError    a schedule cannot be played (deadlock, unknown need, unequal bytes)
    ├── ProfileError     a profile has no answer for what was asked
    ├── InfeasibleError  a planner found that no plan exists, and says why
    │   └── NothingFitsError     for want of memory: an OutOfMemoryError as well
    └── RunError         a real run ended early: rank, task and cause

Constructors of nouns raise ``ValueError``; ``assert`` is for our own mistakes only.
"""


class EdgesimError(Exception):
    """Base of all errors that a user of the suite can mend."""


class PlanError(EdgesimError):
    """A plan contradicts its model, its cluster or itself."""


class OutOfMemoryError(PlanError):
    """A device would hold more than it has memory for."""

    def __str__(self) -> str:
        """The message, and before it what it is about."""
        return f"out of memory: {super().__str__()}"


class ScheduleError(EdgesimError):
    """A schedule cannot be played."""


class ProfileError(EdgesimError):
    """A profile has no answer for what was asked."""


class InfeasibleError(EdgesimError):
    """No plan exists; the message says which device or row forbids it."""


class NothingFitsError(InfeasibleError, OutOfMemoryError):
    """No plan exists for want of memory; the message says which device lacks how much."""


class RunError(EdgesimError):
    """A real run ended early; the message names rank, task and cause."""
