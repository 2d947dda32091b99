"""How do results reach the disk? Whole or not at all, and only where there is a place for them."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import FileIO
from math import isfinite
from pathlib import Path
from typing import Any

from edgesim.scratch import scratch_folder

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A temporary folder beside ``target`` that takes its place if all goes well, and vanishes if not.

    Raises ValueError where the disk takes no more.
    """
    with room_for(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(within=target.parent, prefix=f".{target.name[:40]}.") as part:
            yield part
            part.chmod(0o755)
            if target.exists():
                shutil.rmtree(target)
            part.rename(target)


def write_text(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all. Raises ValueError where the disk takes no more."""
    part = path.with_name(f".{path.name}.part")
    with room_for(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_text(text)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def append_lines(path: Path, lines: Iterable[str]) -> None:
    """Add whole lines to a file, which are on the disk when this returns; a line that does not fit is not begun.

    Raises ValueError where the disk takes no more; what it has taken stays.
    """
    with room_for(path), path.open("ab", buffering=0) as file:
        for line in lines:
            append(file, line.encode())
        os.fsync(file.fileno())


def append(file: FileIO, line: bytes) -> None:
    """Add a line to an open file, or nothing: what was cut off is removed."""
    whole = file.tell()
    try:
        while line:
            line = line[file.write(line) :]
    except OSError:
        os.ftruncate(file.fileno(), whole)
        raise


def json_text(data: Any) -> str:
    """The data as JSON that every reader takes: what is infinite or no number is null."""
    return json.dumps(_nulled(data), indent=2, allow_nan=False) + "\n"


def _nulled(data: Any) -> Any:
    if isinstance(data, float) and not isfinite(data):
        return None
    if isinstance(data, Mapping):
        return {name: _nulled(value) for name, value in data.items()}
    return [_nulled(each) for each in data] if isinstance(data, list | tuple) else data


@contextmanager
def room_for(target: Path) -> Iterator[None]:
    """While a result is written: the system's word for a full disk names no file, so the result's place is told."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise ValueError(
            f"{target} cannot be written: {error.strerror} (make room, or choose another folder)"
        ) from error


def refuse_unwritable(folder: Path) -> None:
    """Raise ValueError if results cannot be written there; nothing is left behind.

    It is asked before anything is planned or executed, so that no result is lost for want of a place.
    """
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise ValueError(f"{folder} cannot be written to: {error.strerror} (choose another folder)") from error
