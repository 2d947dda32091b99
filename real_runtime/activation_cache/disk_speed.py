"""How fast is the disk under a folder? A file is written and read once, as large as it should be, and is gone again."""

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from edgesim.whole_files import room_for
from real_runtime.pacing import Disk

_CHUNK = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskTiming:
    """Seconds to write so many bytes until they are on the disk, and to read them again.

    ``is_cold`` says whether the system had let go of them before they were read; else they came from memory.
    """

    nbytes: int
    write_s: float
    read_s: float
    is_cold: bool


def time_disk(folder: str | Path, nbytes: int, disk: Disk) -> DiskTiming:
    """Write and read a file there, no faster than an emulated ``disk``. Raises ValueError where there is no room."""
    chunk = os.urandom(min(_CHUNK, nbytes))  # no file system makes less of it
    with room_for(Path(folder)), tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        descriptor = file.fileno()

        def write() -> int:
            for start in range(0, nbytes, len(chunk)):
                file.write(chunk[: nbytes - start])
            os.fsync(descriptor)
            return nbytes

        def read() -> int:
            buffer = bytearray(len(chunk))
            file.seek(0)
            while file.readinto(buffer):
                pass
            return nbytes

        begin_s = time.monotonic()
        disk.run(write, reads=False)
        written_s = time.monotonic()
        is_cold = _let_go(descriptor)
        reading_s = time.monotonic()
        disk.run(read, reads=True)
        end_s = time.monotonic()
    return DiskTiming(nbytes=nbytes, write_s=written_s - begin_s, read_s=end_s - reading_s, is_cold=is_cold)


def _let_go(descriptor: int) -> bool:
    """Ask the system to forget a file's pages; whether it has, so that reading asks the disk."""
    if not hasattr(os, "posix_fadvise"):
        return False
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    try:
        os.preadv(descriptor, [bytearray(1)], 0, os.RWF_NOWAIT)
    except BlockingIOError:
        return True  # it would have to wait for the disk
    except OSError:
        pass  # this file system cannot tell
    return False
