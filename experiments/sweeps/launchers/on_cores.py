"""How does a sweep use all cores of this machine? Joblib's processes; one that dies is replaced, and its run named.

When a process is killed, Joblib gives up on all of them. What they had finished is in the table, so the rest starts
anew. A run that was under way at three deaths is recorded as failed: it may be what kills its process.
"""

import multiprocessing
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import BrokenProcessPool

from edgesim.errors import RunError
from edgesim.front_door import claim
from experiments.sweeps.grid import Overrides
from experiments.sweeps.workers import Batch, Outcome, SweepSpec, bury, run_batch

_DEATHS = 3
_NO_RUN: Overrides = ()
_PARENT_S = 0.5  # how often a worker looks whether its parent lives


@dataclass(frozen=True, kw_only=True)
class OnCores:
    """``workers`` processes; -1 for one per core."""

    workers: int = -1
    shared_files: bool = True

    def launch(self, spec: SweepSpec, batches: Sequence[Batch]) -> Iterator[Sequence[Outcome]]:
        """All batches, again and again until each has come back."""
        left = dict(enumerate(batches))
        deaths: Counter[Overrides] = Counter()
        while left:
            try:
                parallel = Parallel(
                    n_jobs=self.workers, return_as="generator_unordered", batch_size=1, initializer=claim
                )
                for number, outcomes in parallel([delayed(_numbered)(spec, n, batch) for n, batch in left.items()]):
                    del left[number]
                    yield outcomes
            except BrokenProcessPool as error:
                suspects = marked(spec) or [_NO_RUN]
                deaths.update(suspects)
                if deaths[_NO_RUN] >= _DEATHS:
                    raise RunError(f"the workers of the sweep died {_DEATHS} times before they began a run") from error
                yield [
                    bury(spec, overrides, f"its process died {_DEATHS} times (killed, or out of memory)")
                    for overrides in suspects
                    if deaths[overrides] == _DEATHS
                ]


def marked(spec: SweepSpec) -> list[Overrides]:
    """The runs that were being made when the processes died; their marks are removed."""
    files = list((Path(spec.folder) / "now").glob("*"))
    found = [tuple(file.read_text().split("\n")) for file in files]
    for file in files:
        file.unlink(missing_ok=True)
    return found


def _numbered(spec: SweepSpec, number: int, batch: Batch) -> tuple[int, Sequence[Outcome]]:
    _end_with_parent()
    return number, run_batch(spec, batch)


@cache
def _end_with_parent() -> None:
    """Let this worker end soon after the process that started it: Joblib's own would wait minutes for more work."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_S)
        os._exit(1)  # rows are whole lines; a torn last one is dropped when they are read

    if multiprocessing.parent_process() is not None:
        threading.Thread(target=watch, daemon=True).start()
