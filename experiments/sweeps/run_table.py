"""Which runs are finished, and what came out? A table that many processes fill and none can break.

A folder holds ``runs.parquet``, a row per run, and ``rows/*.jsonl``, what came in since. A process appends lines to a
file of its own while it holds the file's lock; who merges takes only files that nobody holds. So a killed process loses
at most the run it was at, and a run counted twice is one row: the key decides.
"""

import fcntl
import json
import os
import sys
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import edgesim

Row = dict[str, Any]
FORMAT = b"1"  # of the columns; a table of another format is not read
_FORMAT_KEY = b"edgesim_run_table"


def code_hash() -> str:
    """What computed a result: a hash of the library's source. Runs of other code are made again."""
    root = Path(edgesim.__file__).parent
    files = sorted(path for path in root.rglob("*") if path.suffix in (".py", ".json"))
    parts = [path.relative_to(root).as_posix().encode() + path.read_bytes() for path in files]
    return sha256(b"".join(sha256(part).digest() for part in parts)).hexdigest()[:16]


class RunTable:
    """The runs of one sweep."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.parquet, self.lines = folder, folder / "runs.parquet", folder / "rows"

    def rows(self) -> pd.DataFrame:
        """All runs, a row per key, the latest where it ran again. Raises ValueError for a table of another format."""
        parts = [self._merged(), pd.DataFrame([row for file in self._files() for row in read_lines(file)])]
        filled = [part for part in parts if not part.empty]
        return one_per_key(pd.concat(filled, ignore_index=True)) if filled else pd.DataFrame()

    def finished(self, code: str) -> dict[str, str]:
        """How each run ended that this code has made, by key: its status, also of those that failed."""
        rows = self.rows()
        mine = rows[rows["code"] == code] if len(rows) else pd.DataFrame(columns=["key", "status"])
        return dict(zip(mine["key"], mine["status"], strict=True))

    def merge(self) -> int:
        """Move all lines that nobody is writing into the Parquet file; return its number of rows."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / ".lock"), ExitStack() as held:
            files = [file for file in self._files() if held.enter_context(locked(file, wait=False))]
            parts = [self._merged(), *(pd.DataFrame(list(read_lines(file))) for file in files)]
            filled = [part for part in parts if not part.empty]
            rows = one_per_key(pd.concat(filled, ignore_index=True)) if filled else pd.DataFrame()
            if files and len(rows):
                self._save(rows)
            for file in files:
                file.unlink()
            return len(rows)

    def _merged(self) -> pd.DataFrame:
        if not self.parquet.exists():
            return pd.DataFrame()
        try:
            written = (pq.read_schema(self.parquet).metadata or {}).get(_FORMAT_KEY)
        except (pa.ArrowException, OSError) as error:
            return self._broken(error)
        if written != FORMAT:
            version = "no version of edgesim" if written is None else f"format {written.decode()}"
            raise ValueError(
                f"{self.parquet} is a table of {version}, this is format {FORMAT.decode()} "
                "(choose another sweep.name, or move the folder away)"
            )
        try:
            return pq.read_table(self.parquet).to_pandas()
        except (pa.ArrowException, OSError) as error:
            return self._broken(error)

    def _broken(self, error: Exception) -> pd.DataFrame:
        """No rows; the file is kept under another name, so that nothing writes over what may be saved of it."""
        aside = self.parquet.with_suffix(".broken")
        self.parquet.replace(aside)
        reason = str(error).splitlines()[0]
        _tell(f"{self.parquet} cannot be read: {reason} (kept as {aside.name}; its runs are made again)")
        return pd.DataFrame()

    def _save(self, rows: pd.DataFrame) -> None:
        table = pa.Table.from_pandas(rows, preserve_index=False)
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), _FORMAT_KEY: FORMAT})
        part = self.parquet.with_suffix(".part")
        pq.write_table(table, part)
        part.replace(self.parquet)

    def _files(self) -> list[Path]:
        return sorted(self.lines.glob("*.jsonl"))


class RowWriter:
    """A process's own file of rows."""

    def __init__(self, table: RunTable) -> None:
        table.lines.mkdir(parents=True, exist_ok=True)
        self.path = table.lines / f"{uuid.uuid4().hex}.jsonl"

    def add(self, rows: Iterable[Row]) -> None:
        """Append rows; they are on the disk when this returns."""
        with locked(self.path), self.path.open("a") as file:
            file.write("".join(json.dumps(row, default=str) + "\n" for row in rows))
            file.flush()
            os.fsync(file.fileno())


def one_per_key(rows: pd.DataFrame) -> pd.DataFrame:
    """The latest row of each key, in the order of keys: two merges of the same rows give the same table."""
    rows = rows.sort_values(["key", "finished"], kind="stable").drop_duplicates("key", keep="last")
    return rows.reset_index(drop=True)


def read_lines(file: Path) -> Iterator[Row]:
    """The rows of a file; a last line that was not finished is none, and any other that cannot be read is told of."""
    for number, line in enumerate(file.read_text(errors="replace").splitlines(keepends=True), start=1):
        if line.endswith("\n"):
            try:
                row = json.loads(line)
                if not {"key", "finished"} <= row.keys():
                    raise ValueError("no row of a sweep")
            except (ValueError, AttributeError, RecursionError) as error:
                _tell(f"{file}, line {number} cannot be read: {error} (its run is made again)")
            else:
                yield row


def _tell(problem: str) -> None:
    print(f"warning: {problem}", file=sys.stderr)


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
