"""Where do files lie that nobody needs once a process has ended, however it ended?

A folder is held by a lock that the kernel frees with its holder's death. Who makes the next one removes those of dead
holders first, so that ``kill -9`` leaves nothing for long.
"""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path

_PREFIX = "edgesim-scratch-"
# What else of ours lies in the system's place: of sweeps on other machines, and of a Ray of our own.
MADE, RAY = "edgesim-made-", "edgesim-ray-"
_SETTLES_S = 60.0  # between the making of a folder and its lock; on a machine that is busy or was suspended


@contextmanager
def scratch_folder(*, within: Path | None = None, prefix: str = _PREFIX) -> Iterator[Path]:
    """A folder of our own, which vanishes with what is in it, in the system's place for such things or ``within``.

    What dead processes left there under the same prefix vanishes first, and in the system's place under all of ours.
    """
    place = Path(tempfile.gettempdir()) if within is None else within
    for ours in (_PREFIX, MADE, RAY) if within is None else (prefix,):
        remove_abandoned(place, ours)
    with (
        tempfile.TemporaryDirectory(prefix=prefix, dir=place, ignore_cleanup_errors=True) as name,
        holding(Path(name)) as folder,
    ):
        yield folder


@contextmanager
def holding(folder: Path) -> Iterator[Path]:
    """While a folder is used: it is not that of a dead process."""
    holder = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        yield folder
    finally:
        os.close(holder)


def remove_abandoned(place: Path, prefix: str) -> None:
    """Remove the folders with this prefix whose holders are dead; those of other users are left alone."""
    for folder in place.glob(f"{escape(prefix)}*"):
        try:
            if time.time() - folder.stat().st_mtime < _SETTLES_S:
                continue
            holder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:  # another's, or gone already
            continue
        try:
            fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:  # its holder lives
            pass
        finally:
            os.close(holder)
