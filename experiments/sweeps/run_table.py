"""Which runs are finished, and what came out? A table that many processes fill and none can break.

A folder holds ``runs.parquet``, a row per run, and in ``rows/`` what came in since: lines of each process that writes,
and Parquet files of what were many lines. A process appends to a file of its own while it holds the file's lock; who
merges takes only files that nobody holds. So a killed process loses at most the run it was at, and a run counted twice
is one row: the key decides. However many rows there are, merging holds a few thousand of them at a time, and reading
only the columns that are asked for.
"""

import sys
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa

import edgesim
from edgesim.whole_files import room_for
from experiments.sweeps.row_lines import RowWriter, locked, pack, read_lines
from experiments.sweeps.row_parts import (
    BrokenPartError,
    PartFile,
    as_schema,
    opened,
    read,
    read_groups,
    schema_of,
    table_of,
    together,
)

T = TypeVar("T")
_GROUP_ROWS = 4000  # of the Parquet file: held and written at a time
_WHICH = ("key", "finished")


def code_hash() -> str:
    """What computed a result: a hash of the library's source. Runs of other code are made again."""
    root = Path(edgesim.__file__).parent
    files = sorted(path for path in root.rglob("*") if path.suffix in (".py", ".json"))
    parts = [path.relative_to(root).as_posix().encode() + path.read_bytes() for path in files]
    return sha256(b"".join(sha256(part).digest() for part in parts)).hexdigest()[:16]


class RunTable:
    """The runs of one sweep."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.parquet, self.incoming = folder, folder / "runs.parquet", folder / "rows"

    def writer(self) -> RowWriter:
        """For one process that adds rows."""
        return RowWriter(self.incoming)

    def rows(self, columns: Collection[str] | None = None) -> pd.DataFrame:
        """All runs, a row per key in the order of keys, the latest where it ran again; all columns, or these.

        Columns that no run has are left out. Raises ValueError for a table of another format.
        """
        table = together(self._read(None if columns is None else {*columns, *_WHICH}))
        if not len(table):
            return pd.DataFrame()
        kept = [name for name in table.column_names if columns is None or name in columns]
        rows: pd.DataFrame = table.select(kept).take(pa.array(_latest(table))).to_pandas()
        return rows

    def finished(self, code: str) -> dict[str, str]:
        """How each run ended that this code has made, by key: its status, also of those that failed."""
        rows = self.rows(("key", "status", "code"))
        mine = rows[rows["code"] == code] if len(rows) else pd.DataFrame(columns=["key", "status"])
        return dict(zip(mine["key"], mine["status"], strict=True))

    def merge(self) -> int:
        """Move all rows whose files nobody is writing into the one Parquet file; return its number of rows."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / ".lock"):
            for lines in self._lines():
                with locked(lines, wait=False) as ours:
                    if ours:
                        pack(lines)
            came = sorted(self.incoming.glob("*.parquet"))
            if came:
                self._readable(lambda: _write(self.parquet, [file for file in self._parts() if file.exists()]))
            for file in came:
                file.unlink(missing_ok=True)  # it is set aside if it was broken
            return self._readable(self._count)

    def _count(self) -> int:
        if not self.parquet.exists():
            return 0
        with opened(self.parquet) as file:
            return int(file.metadata.num_rows)

    def _read(self, columns: Collection[str] | None) -> list[pa.Table]:
        """What came in first, what was merged last: rows that are moved meanwhile are met at least once."""
        while True:
            with suppress(FileNotFoundError):  # lines became a part, or parts were merged: look again
                return self._readable(
                    lambda: [
                        *[_of_lines(file, columns) for file in self._lines()],
                        *[read(file, columns) for file in self._parts()],
                    ]
                )

    def _readable(self, work: Callable[[], T]) -> T:
        """What comes of it; files that cannot be read are set aside, and nothing writes over what may be saved."""
        while True:
            try:
                return work()
            except BrokenPartError as error:
                aside = error.path.with_suffix(".broken")
                error.path.replace(aside)
                print(f"warning: {error} (kept as {aside.name}; its runs are made again)", file=sys.stderr)

    def _lines(self) -> list[Path]:
        return sorted(self.incoming.glob("*.jsonl"))

    def _parts(self) -> list[Path]:
        return [*sorted(self.incoming.glob("*.parquet")), *([self.parquet] if self.parquet.exists() else [])]


def _of_lines(file: Path, columns: Collection[str] | None) -> pa.Table:
    rows = read_lines(file)
    return table_of([row if columns is None else {name: row.get(name) for name in columns} for row in rows])


def _latest(table: pa.Table) -> np.ndarray:
    """Where the latest row of each key stands, in the order of keys."""
    order = table.select(_WHICH).to_pandas().sort_values(list(_WHICH), kind="stable")
    return order.drop_duplicates("key", keep="last").index.to_numpy()


def _write(target: Path, files: Sequence[Path]) -> None:
    """Make one file of these, a row per key, a few rows at a time."""
    index = [read(file, _WHICH) for file in files]
    kept = np.zeros(sum(map(len, index)), dtype=bool)
    kept[_latest(together(index))] = True
    with room_for(target), PartFile(target, schema_of(map(_schema, files))) as whole:
        held: list[pa.Table] = []
        begin = 0
        for rows in (rows for file in files for rows in read_groups(file)):
            held.append(as_schema(rows.filter(pa.array(kept[begin : begin + len(rows)])), whole.schema))
            begin += len(rows)
            if sum(map(len, held)) >= _GROUP_ROWS:
                whole.write(pa.concat_tables(held))
                held.clear()
        if held:
            whole.write(pa.concat_tables(held))


def _schema(file: Path) -> pa.Schema:
    with opened(file) as part:
        return part.schema_arrow
