"""How does a process write rows down so that none is lost? As lines of a file of its own, on the disk at once.

Lines are easy to append and dear to read: so many of them become a part of the table, a Parquet file beside them.
"""

import fcntl
import json
import os
import sys
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from edgesim.whole_files import append, room_for
from experiments.sweeps.row_parts import save, table_of

Row = dict[str, Any]
PART_ROWS = 1000  # of a file of lines, before it becomes a part


class RowWriter:
    """A process's own file of rows."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self.count = _new(folder), 0

    def add(self, rows: Iterable[Row]) -> None:
        """Append rows; they are on the disk when this returns. Raises ValueError where it takes no more of them."""
        with room_for(self.path):
            self._append([(json.dumps(row, default=str) + "\n").encode() for row in rows])
            if self.count >= PART_ROWS:
                with locked(self.path):
                    pack(self.path)
                self.path, self.count = _new(self.path.parent), 0

    def _append(self, lines: Iterable[bytes]) -> None:
        with locked(self.path), self.path.open("ab", buffering=0) as file:
            for line in lines:
                append(file, line)  # or nothing: a row that was cut off would be told of at each reading
                self.count += 1
            os.fsync(file.fileno())


def pack(lines: Path) -> None:
    """Make parts of a file of lines, whose lock we hold; the parts are whole before the lines go."""
    left, number = read_lines(lines), 0
    while rows := list(islice(left, PART_ROWS)):
        save(table_of(rows), lines.with_name(f"{lines.stem}-{number}.parquet"))
        number += 1
    lines.unlink()


def read_lines(file: Path) -> Iterator[Row]:
    """The rows of a file; a last line that was not finished is none, and any other that cannot be read is told of."""
    with file.open(errors="replace", newline="\n") as lines:
        for number, line in enumerate(lines, start=1):
            if line.endswith("\n"):
                try:
                    row = json.loads(line)
                    if not all(isinstance(row.get(name), str) for name in ("key", "finished")):
                        raise ValueError("no row of a sweep")
                    if nested := [name for name, value in row.items() if isinstance(value, list | dict)]:
                        raise ValueError(f"{nested[0]} is neither a number nor a text")
                except (ValueError, AttributeError, RecursionError) as error:
                    print(
                        f"warning: {file}, line {number} cannot be read: {error} (its run is made again)",
                        file=sys.stderr,
                    )
                else:
                    yield row


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold a file's lock; the kernel frees it when its holder dies. False if another holds it and we do not wait."""
    while True:
        with path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            if path.exists() and os.fstat(file.fileno()).st_ino == path.stat().st_ino:
                yield True
                return
        # The file was removed while we waited: take the new one.


def _new(folder: Path) -> Path:
    return folder / f"{uuid.uuid4().hex}.jsonl"
