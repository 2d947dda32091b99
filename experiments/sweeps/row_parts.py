"""How do rows lie in a Parquet file? A column for whatever any of them tells; files with other columns make one table.

Rows differ in what they tell: a strategy has options that another lacks, a failed run has no figures. What one file
holds as whole numbers, another may hold as fractions or not at all.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from edgesim.errors import EdgesimError
from edgesim.whole_files import room_for

FORMAT = b"1"  # of the columns; a table of another format is not read
_FORMAT_KEY = b"edgesim_run_table"
_WRITING = ".writing"


class BrokenPartError(EdgesimError):
    """A file that cannot be read: ``path``."""

    def __init__(self, path: Path, error: Exception) -> None:
        super().__init__(f"{path} cannot be read: {str(error).splitlines()[0]}")
        self.path = path


def table_of(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The rows, with a column for each name."""
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: _column([row.get(name) for row in rows]) for name in names})


def _column(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values, from_pandas=True)
    except pa.ArrowException:  # numbers and texts in one column
        return pa.array([v if v is None or isinstance(v, str) else json.dumps(v) for v in values])


def save(table: pa.Table, path: Path) -> None:
    """Write a file, whole or not at all. Raises ValueError where the disk takes no more."""
    with room_for(path), PartFile(path, table.schema) as file:
        file.write(table)


class PartFile:
    """A file in the making; it is there when it is whole."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path, self.part = path, path.with_name(path.name + _WRITING)
        self.schema = schema.with_metadata({_FORMAT_KEY: FORMAT})
        self.writer = pq.ParquetWriter(self.part, self.schema)

    def __enter__(self) -> "PartFile":
        return self

    def write(self, table: pa.Table) -> None:
        """Append rows, as one group of the file."""
        self.writer.write_table(as_schema(table, self.schema), row_group_size=max(len(table), 1))

    def __exit__(self, kind: object, *error: object) -> None:
        self.writer.close()
        if kind is None:
            self.part.replace(self.path)
        else:
            self.part.unlink(missing_ok=True)


@contextmanager
def opened(path: Path) -> Iterator[pq.ParquetFile]:
    """A file of rows, to read from. Raises BrokenPartError if that fails, ValueError if it is of another format."""
    try:
        with pq.ParquetFile(path) as file:
            _check_format(path, file.schema_arrow)
            yield file
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise BrokenPartError(path, error) from error


def _check_format(path: Path, schema: pa.Schema) -> None:
    written = (schema.metadata or {}).get(_FORMAT_KEY)
    if written != FORMAT:
        version = "no version of edgesim" if written is None else f"format {written.decode()}"
        raise ValueError(
            f"{path} is a table of {version}, this is format {FORMAT.decode()} "
            "(choose another sweep.name, or move the folder away)"
        )


def read(path: Path, columns: Collection[str] | None = None) -> pa.Table:
    """The columns of a file that it has, or all. Raises what ``opened`` raises."""
    with opened(path) as file:
        kept = None if columns is None else [name for name in file.schema_arrow.names if name in columns]
        return file.read(columns=kept)


def read_groups(path: Path) -> Iterator[pa.Table]:
    """A file's rows, a group at a time. Raises what ``opened`` raises."""
    with opened(path) as file:
        for number in range(file.num_row_groups):
            yield file.read_row_group(number)


def together(tables: Sequence[pa.Table]) -> pa.Table:
    """One table of all rows."""
    schema = schema_of(table.schema for table in tables)
    return pa.concat_tables([as_schema(table, schema) for table in tables]) if tables else pa.table({})


def schema_of(schemas: Iterable[pa.Schema]) -> pa.Schema:
    """All columns, of types that hold what each has."""
    types: dict[str, pa.DataType] = {}
    for schema in schemas:
        for field in schema:
            types[field.name] = _wider(types.get(field.name, pa.null()), field.type)
    return pa.schema(list(types.items()))


def _wider(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    if pa.types.is_null(one) or one == other:
        return other
    if pa.types.is_null(other):
        return one
    numbers = [pa.types.is_integer(each) or pa.types.is_floating(each) for each in (one, other)]
    return pa.float64() if all(numbers) else pa.string()


def as_schema(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with these columns, what it lacks empty."""
    return pa.table(
        [
            table[field.name].cast(field.type)
            if field.name in table.column_names
            else pa.nulls(len(table), type=field.type)
            for field in schema
        ],
        schema=schema,
    )
