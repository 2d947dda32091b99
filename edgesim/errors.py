"""What can go wrong, by kind: every error names the thing, the value and the way out.

    EdgesimError
    ├── PlanError        a plan contradicts its model, its cluster or itself
    ├── ScheduleError    a schedule cannot be played (deadlock, unknown need, unequal bytes)
    ├── ProfileError     a profile has no answer for what was asked
    ├── InfeasibleError  a planner found that no plan exists, and says why
    └── RunError         a real run ended early: rank, task and cause

Constructors of nouns raise ``ValueError``; ``assert`` is for our own mistakes only.
"""


class EdgesimError(Exception):
    """Base of all errors that a user of the suite can mend."""


class PlanError(EdgesimError):
    """A plan contradicts its model, its cluster or itself."""


class ScheduleError(EdgesimError):
    """A schedule cannot be played."""


class ProfileError(EdgesimError):
    """A profile has no answer for what was asked."""


class InfeasibleError(EdgesimError):
    """No plan exists; the message says which device or row forbids it."""


class RunError(EdgesimError):
    """A real run ended early; the message names rank, task and cause."""
