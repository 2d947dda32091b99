"""What is a meter? Something that is read again and again while a run lasts, or whose record is there afterwards."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from edgesim.errors import MeterError
from edgesim.metered import MeterFacts, PowerLog


class Reader(Protocol):
    """A meter that has been opened."""

    def read(self) -> float:
        """Return the value now, in W or J as the meter's facts say. Raises MeterError where there is none now."""

    def close(self) -> None:
        """Let it go."""


class LiveMeter(Protocol):
    """A meter that is read while a run lasts.

    ``paces_itself`` says that its readings come when they come: to read is to wait for the next.
    """

    @property
    def paces_itself(self) -> bool:
        """Whether to read is to wait for the next reading."""

    @property
    def facts(self) -> MeterFacts:
        """What is known of it. Raises MeterError where it cannot be read, with the way out."""

    def open(self, processes: Sequence[int]) -> Reader:
        """Begin to read; of a meter of processes, those of these numbers. Raises MeterError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobClock:
    """How the time of day goes with the job's clock: how many seconds it is ahead of the monotonic clock."""

    wall_ahead_s: float

    @classmethod
    def now(cls) -> "JobClock":
        """Return how it goes on this machine now."""
        return cls(wall_ahead_s=time.time() - time.monotonic())


@runtime_checkable
class RecordedMeter(Protocol):
    """A meter whose readings were, or are, written down by something else."""

    @property
    def facts(self) -> MeterFacts:
        """What is known of it."""

    def log(self, ranks: Sequence[int], clock: JobClock) -> PowerLog:
        """Return what it read, on the job's clock. Raises MeterError, ValueError for a record that cannot be read."""


def text_of_file(path: Path) -> str:
    """Return what a small file of the system says, stripped. Raises MeterError, naming the file and the way out."""
    try:
        return path.read_text().strip()
    except PermissionError as error:
        raise MeterError(f"{path} is not readable by this user (as root: chmod a+r {path}, or run as root)") from error
    except OSError as error:
        raise MeterError(f"{path} gives no reading: {error.strerror}") from error


def number_of_file(path: Path) -> float:
    """Return the number that a small file of the system holds. Raises MeterError for anything else."""
    text = text_of_file(path)
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not number < float("inf"):  # no number, or nan
        raise MeterError(f"{path} holds no number: {text!r}")
    return number
