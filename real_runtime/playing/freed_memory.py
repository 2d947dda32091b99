"""Does memory that a computation frees stay with its process? It should: taken anew, every page of it costs a fault.

The C library gives large blocks, and what is free at the end of its heap, back to the kernel as soon as they are
freed, unless what else was taken happens to be in the way; the kernel then clears each page that is touched anew. Half
the seconds of an Adam step were these faults in one run and none in the next. Kept, a process holds its peak of memory,
which a device must have in any case.
"""

import ctypes
import gc
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_LARGEST_BYTES = 2**30  # blocks beyond it go back: above any gradient of the models here
_OLDER_LARGEST_BYTES = 32 * 2**20  # all that older versions of the library allow


def release_freed_memory() -> None:
    """Give back to the kernel what is free now: what comes next needs less, or other blocks."""
    gc.collect()
    with suppress(AttributeError, OSError):  # another C library, whose habits are its own
        ctypes.CDLL(None).malloc_trim(0)


def keep_freed_memory() -> bool:
    """Keep from now on what is freed, here and in processes forked from this one; return whether the C library can."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library, whose habits are its own
        return False
    large = any(mallopt(_MMAP_THRESHOLD, size) for size in (_LARGEST_BYTES, _OLDER_LARGEST_BYTES))
    return bool(mallopt(_TRIM_THRESHOLD, 2**31 - 1)) and large
