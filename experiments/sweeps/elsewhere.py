"""What must hold before another machine makes runs? The same code, and the configuration files that the sweep names.

Files that a script made for one call (objects it gave, links to files it named) travel within the sweep's description:
the call, and their folder with it, may have ended when a job begins.
"""

import platform
import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from tempfile import gettempdir
from uuid import uuid4

from edgesim.errors import RunError
from edgesim.scratch import MADE, holding, remove_abandoned
from experiments.sweeps.run_table import code_hash
from experiments.sweeps.workers import Batch, Outcome, SweepSpec, run_batch


@lru_cache(maxsize=1)
def at_hand(spec: SweepSpec) -> tuple[SweepSpec, Path | None]:
    """The sweep as it can be made here, and the place of the files made for it. Raises RunError if it cannot."""
    if (code := code_hash()) != spec.code:
        raise RunError(
            f"{platform.node()} has another edgesim than the machine that began the sweep: its code is {code}, not "
            f"{spec.code} (install the same there; on Ray, launcher.working_dir=FOLDER sends it)"
        )
    folders = {folder: folder for folder in spec.sweep.folders}
    mine = Path(gettempdir(), f"{MADE}{uuid4().hex}") if spec.made is not None else None
    if spec.made is not None:
        folders[spec.made.path] = str(mine)
    for folder in folders.values():
        if folder != str(mine) and not Path(folder).is_dir():
            raise RunError(f"{platform.node()} has no folder {folder} of configuration files (copy it there)")
    return replace(spec, sweep=replace(spec.sweep, folders=tuple(folders.values())), made=None), mine


def run_elsewhere(spec: SweepSpec, batch: Batch) -> Sequence[Outcome]:
    """All runs of a batch, in a process that may be of another machine."""
    ours, mine = at_hand(spec)
    if spec.made is None or mine is None:
        return run_batch(ours, batch)
    remove_abandoned(mine.parent, MADE)
    mine.mkdir(mode=0o700)
    with holding(mine):
        try:
            spec.made.write(mine)
            return run_batch(ours, batch)
        finally:  # such a process is ended without a word: nothing of it may wait for its end
            shutil.rmtree(mine, ignore_errors=True)
