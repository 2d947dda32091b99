"""What of a long bench is done already? Rows on the disk as they come, so that the same command goes on after a kill.

A row counts again if planner, case, time limit, configuration files and the library's code are what they were. When all
is written the journal goes: the next bench is a new one.
"""

import json
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from experiments.configuration.places import CONF
from experiments.planner_bench.attempt import Attempt, Row
from experiments.sweeps.row_lines import RowWriter
from experiments.sweeps.run_table import RunTable, code_hash

_OWN = ("key", "finished")  # columns that a table of the bench has no use for


class Journal:
    """The rows of an unfinished bench, in a folder of its own: the end of one bench forgets no other."""

    def __init__(self, folder: Path, attempts: Sequence[Attempt], *, limit_s: float) -> None:
        folders = {folder for attempt in attempts for folder in attempt.competitor.folders}
        self.made_by = [code_hash(), _conf_hash([CONF, *map(Path, sorted(folders))]), limit_s]
        self.folder = folder / _hash([self._key(attempt) for attempt in attempts])
        kept = RunTable(self.folder).rows()
        self.rows: dict[str, Row] = {row["key"]: _plain(row) for row in kept.to_dict("records")}
        self._writer: RowWriter | None = None

    def row(self, attempt: Attempt) -> Row | None:
        """What came of it before; None if it is still to be made."""
        return self.rows.get(self._key(attempt))

    def add(self, attempt: Attempt, row: Row) -> None:
        """Write a row down; it is on the disk when this returns."""
        self._writer = self._writer or RunTable(self.folder).writer()
        now = datetime.now(UTC).isoformat()
        self._writer.add([row | {"key": self._key(attempt), "finished": now}])

    def end(self) -> None:
        """Forget all."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _key(self, attempt: Attempt) -> str:
        what = [attempt.names, attempt.case.overrides, attempt.competitor.overrides, self.made_by]
        return _hash(what)


def _hash(what: object) -> str:
    return sha256(json.dumps(what).encode()).hexdigest()[:32]


def _plain(row: dict[str, Any]) -> Row:
    return {str(name): value for name, value in row.items() if name not in _OWN}


def _conf_hash(folders: Sequence[Path]) -> str:
    files = [path for folder in folders for path in sorted(folder.rglob("*.yaml"))]
    return sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
