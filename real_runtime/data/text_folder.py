"""Which text does a folder hold? Its sources and pages, one after the other, up to a limit.

What was read is kept for the next assignment, as long as the same files lie there unchanged.
"""

import os
import sysconfig
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

_MOST_BYTES, _KEPT = 4_000_000, 4
File = tuple[str, int, int]  # its path, its bytes, and when they were written, in nanoseconds


def text_of_folder(folder: str | None) -> bytes:
    """The folder's text in the order of its paths, or that of Python's own sources; without installed packages.

    Raises ValueError where there is none.
    """
    place = Path(folder or sysconfig.get_paths()["stdlib"])
    if text := _read(tuple(_files(place))):
        return text
    raise ValueError(f"text folder {place}: holds no *.py, *.txt or *.md files")


def _files(place: Path) -> Iterator[File]:
    """The files that hold the text; those of a folder in which the limit is reached are its last."""
    found_bytes = 0
    for parent, folders, names in os.walk(place.absolute()):
        folders[:] = sorted(name for name in folders if name != "site-packages")
        for name in sorted(names):
            if name.endswith((".py", ".txt", ".md")):
                path = os.path.join(parent, name)
                status = os.stat(path)
                found_bytes += status.st_size
                yield path, status.st_size, status.st_mtime_ns
        if found_bytes >= _MOST_BYTES:
            break


@lru_cache(maxsize=_KEPT)
def _read(files: tuple[File, ...]) -> bytes:
    return b"".join(Path(path).read_bytes() for path, _, _ in files)[:_MOST_BYTES]
