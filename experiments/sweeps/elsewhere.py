"""What must hold before another machine makes runs? The same code, and the configuration files that the sweep names.

Files that a script made for one call (objects it gave, links to files it named) travel within the sweep's description:
the call, and their folder with it, may have ended when a job begins.
"""

import platform
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

from edgesim.errors import RunError
from experiments.sweeps.run_table import code_hash
from experiments.sweeps.workers import Batch, Outcome, SweepSpec, run_batch

_FOLDERS: list["TemporaryDirectory[str]"] = []  # gone with the process


@lru_cache(maxsize=1)
def at_hand(spec: SweepSpec) -> SweepSpec:
    """The sweep as it can be made here. Raises RunError if it cannot."""
    if (code := code_hash()) != spec.code:
        raise RunError(
            f"{platform.node()} has another edgesim than the machine that began the sweep: its code is {code}, not "
            f"{spec.code} (install the same there; on Ray, launcher.working_dir=FOLDER sends it)"
        )
    folders = {folder: folder for folder in spec.sweep.folders}
    if spec.made is not None and spec.made.path in folders:
        _FOLDERS.append(TemporaryDirectory(prefix="edgesim-", ignore_cleanup_errors=True))
        spec.made.write(Path(_FOLDERS[-1].name))
        folders[spec.made.path] = _FOLDERS[-1].name
    for folder in folders.values():
        if not Path(folder).is_dir():
            raise RunError(f"{platform.node()} has no folder {folder} of configuration files (copy it there)")
    return replace(spec, sweep=replace(spec.sweep, folders=tuple(folders.values())), made=None)


def run_elsewhere(spec: SweepSpec, batch: Batch) -> Sequence[Outcome]:
    """All runs of a batch, in a process that may be of another machine."""
    return run_batch(at_hand(spec), batch)
