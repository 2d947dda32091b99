"""What can go wrong, by kind: every error names the thing, the value and the way out.

    EdgesimError
    ├── PlanError        a plan contradicts its model, its cluster or itself
    │   └── OutOfMemoryError     a device would hold more than it has memory for
    ├── ScheduleError    a schedule cannot be played (deadlock, unknown need, unequal bytes)
    ├── ProfileError     a profile has no answer for what was asked
    ├── InfeasibleError  a planner found that no plan exists, and says why
    │   └── NothingFitsError     for want of memory: an OutOfMemoryError as well
    ├── MeterError       a meter cannot be read: which, why, and how to get there
    └── RunError         a real run ended early: rank, task and cause

Constructors of nouns raise ``ValueError``; ``assert`` is for our own mistakes only.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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


class MeterError(EdgesimError):
    """A meter cannot be read; the message names it, and says what to do."""


class RunError(EdgesimError):
    """A real run ended early; the message names rank, task and cause."""


def text_of(path: str | Path, what: str) -> str:
    """Return the text of a file that should be a ``what``. Raises ValueError, naming file and line, for others."""
    raw = Path(path).read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path} is no {what}: line {line} is not UTF-8 (take another file, or save it anew)"
        ) from error


@contextmanager
def reading(source: str, what: str, *, written_by: str, error: type[Exception] = ValueError) -> Iterator[None]:
    """While a file is read: whatever it holds that is no such thing raises ``error``, naming the file and its line.

    Args:
        source: the file, or what else the text is.
        what: it should be: "a profile".
        written_by: who writes such files.
        error: which is raised.
    """
    end = f"; files of this kind are written by {written_by}"
    try:
        yield
    except json.JSONDecodeError as torn:
        raise error(f"{source} is no {what}: line {torn.lineno}, column {torn.colno}: {torn.msg}{end}") from torn
    except KeyError as missing:
        raise error(f"{source} is no {what}: it has no field {missing}{end}") from missing
    except (TypeError, AttributeError, IndexError, UnicodeDecodeError, RecursionError, OverflowError) as other:
        reason = re.sub(r"\w+\.__init__\(\) ", "", str(other))
        raise error(f"{source} is no {what}: {reason}{end}") from other
    except (EdgesimError, ValueError) as contradiction:
        if str(contradiction).startswith(source):
            raise
        raise error(f"{source} holds no {what} that can be: {contradiction}") from contradiction
