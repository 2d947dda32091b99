"""What does a worker of a sweep do? It makes the runs of a batch that are not finished yet, and writes each down."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from edgesim.whole_files import room_for
from experiments.analysis.tidy import RunStatus
from experiments.configuration.places import import_from_here_last
from experiments.sweeps.grid import Overrides, Sweep, composer_of
from experiments.sweeps.made_folder import MadeFolder
from experiments.sweeps.row_lines import Row
from experiments.sweeps.rows import Runner
from experiments.sweeps.run_table import RunTable

Batch = tuple[Overrides, ...]


@dataclass(frozen=True)
class SweepSpec:
    """What all batches of a sweep have in common.

    ``shared_files``: whether workers see the table's folder; if not, they hand their rows to the driver. ``made``: the
    files of one of the sweep's folders, which is gone when the call that made it is over. ``call`` tells this sweep
    from another of the same words: between them configuration files may be edited, and the table removed.
    """

    sweep: Sweep
    folder: str
    study: str
    code: str
    shared_files: bool = True
    made: MadeFolder | None = None
    call: str = field(default_factory=lambda: uuid4().hex)


class Outcome(NamedTuple):
    """A run that is finished, now or before; ``row`` where the driver must write it down."""

    key: str
    failed: bool
    row: Row | None = None


class SweepWorker:
    """One process's part; what runs share is built once."""

    def __init__(self, spec: SweepSpec) -> None:
        self.spec = spec
        self.table = RunTable(Path(spec.folder))
        self.finished = self.table.finished(spec.code) if spec.shared_files else {}
        self.runner = Runner(composer_of(spec.sweep, spec.call), spec.study, spec.code)
        self.writer = self.table.writer() if spec.shared_files else None

    def run(self, overrides: Overrides) -> Outcome:
        """The run, unless it is finished: one that failed before has failed still."""
        key, config, problem = self.runner.key(overrides)
        if key in self.finished:
            return Outcome(key, failed=self.finished[key] != RunStatus.DONE)
        with self.mark(overrides):
            row = self.runner.row(overrides, key, config, problem)
        if self.writer is not None:
            self.writer.add([row])
        self.finished[key] = row["status"]
        return Outcome(key, failed=row["status"] != RunStatus.DONE, row=None if self.writer else row)

    def mark(self, overrides: Overrides) -> "Mark":
        """Tell, for as long as the run lasts, who is at it: if this process dies, the driver knows at what."""
        return Mark(Path(self.spec.folder) / "now" / f"{os.getpid()}", overrides if self.writer else None)


class Mark:
    """A file that exists while a run is being made."""

    def __init__(self, path: Path, overrides: Overrides | None) -> None:
        self.path, self.overrides = path, overrides

    def __enter__(self) -> None:
        if self.overrides is not None:
            with room_for(self.path):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self.path.write_text("\n".join(self.overrides))

    def __exit__(self, *error: object) -> None:
        if self.overrides is not None:
            self.path.unlink(missing_ok=True)


@lru_cache(maxsize=1)
def _worker(spec: SweepSpec) -> SweepWorker:
    return SweepWorker(spec)


def run_batch(spec: SweepSpec, batch: Batch) -> Sequence[Outcome]:
    """All runs of a batch; the process keeps what they share for its next batch."""
    import_from_here_last()  # other machines' workers know nothing of the path of the process that sends them work
    worker = _worker(spec)
    return [worker.run(overrides) for overrides in batch]


def bury(spec: SweepSpec, overrides: Overrides, reason: str) -> Outcome:
    """Record a run that cannot be made as failed."""
    worker = _worker(spec)
    key, config, _ = worker.runner.key(overrides)
    row = worker.runner.failed(overrides, key, config, reason)
    if worker.writer is not None:
        worker.writer.add([row])
    return Outcome(key, failed=True, row=None if worker.writer else row)
