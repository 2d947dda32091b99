"""Which text does a folder hold? Its sources and pages, one after the other, up to a limit."""

import os
import sysconfig
from pathlib import Path

_MOST_BYTES = 4_000_000


def text_of_folder(folder: str | None) -> bytes:
    """The folder's text in the order of its paths, or that of Python's own sources; without installed packages.

    Raises ValueError where there is none.
    """
    text = bytearray()
    place = Path(folder or sysconfig.get_paths()["stdlib"])
    for parent, folders, names in os.walk(place):
        folders[:] = sorted(name for name in folders if name != "site-packages")
        for name in sorted(names):
            if name.endswith((".py", ".txt", ".md")):
                text += (Path(parent) / name).read_bytes()
        if len(text) >= _MOST_BYTES:
            break
    if not text:
        raise ValueError(f"text folder {place}: holds no *.py, *.txt or *.md files")
    return bytes(text[:_MOST_BYTES])
