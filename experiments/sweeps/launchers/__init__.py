"""Where do the runs of a sweep go? One file per place: batches in, outcomes out as they come, in any order."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from experiments.sweeps.workers import Batch, Outcome, SweepSpec


class Launcher(Protocol):
    """What a file of this folder offers, and a file of conf/launcher configures."""

    shared_files: bool  # whether its workers see the driver's files

    def launch(self, spec: SweepSpec, batches: Sequence[Batch]) -> Iterator[Sequence[Outcome]]: ...


__all__ = ["Launcher"]
