"""What differs between two runs, or two tables? Side by side, the largest effect on what matters first.

    python -m experiments.compare results/runs/default results/runs/strategy=data
    python -m experiments.compare old/table.csv results/bandwidth/table.csv --tolerance 0.01
    python -m experiments.compare results/a/table.csv results/b/table.csv --ignore study

A run is a folder that experiments.run wrote: its configuration, plan, schedule and metrics are compared (of several
measured iterations the median). The rows of tables (.parquet or .csv) are matched by all columns that are no result.
What is on one side only stands first; then times, energy, memory and throughput; then what explains them. In each of
these, an absolute change counts over the largest amount of its column in either table (of a run: over its own amount):
of two iterations that take 60 s and 1 ms, a second more of the first stands above a millisecond more of the second.

Exit code: 0 equal, 1 different, 2 a mistake. Versions are shown, but are no difference of their own.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pandas import DataFrame
from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments.analysis.differences import Difference, differences, strangers
from experiments.analysis.tidy import RESULTS, Value, read_table
from experiments.commands import as_typed, command_parser
from experiments.configuration.command_line import USERS
from experiments.configuration.suggestions import suggestion
from experiments.explain.faster_run import faster_run
from experiments.tables.runs import VALUE, VERSIONS, read_run

ORDER = "Order: on one side only; times, energy, memory, throughput; the rest. Each by absolute effect, not per cent."


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print, and return the exit code."""
    parser = _parser()
    args = parser.parse_args(arguments)
    try:
        if args.top < 1:
            raise ValueError(f"--top is {args.top}, and must show at least one line (--top 20)")
        first, second = read(args.a, args.b)
        parts = compare(first, second, args)
        said = faster_run(args.a, args.b) if args.a.is_dir() else ""
    except USERS as mistake:
        parser.error(as_typed(" ".join(str(mistake).split())))
    console = Console(highlight=False)
    console.print(Text(f"A: {args.a}\nB: {args.b}", overflow="fold"))
    if any(parts.values()):
        console.print(Text(ORDER))
    for part, entries in parts.items():
        console.print(differences_table(entries, title=part, top=args.top) if entries else Text(f"{part}: equal"))
    if said:
        console.print(Text(as_typed(said)))
    for column in () if args.a.is_dir() else strangers(first["table"], second["table"], ignore=args.ignore):
        console.print(
            Text(f"No row of A is in B: no {column} is the same (--ignore {column} matches them without it).")
        )
    return int(any(entries for part, entries in parts.items() if part != VERSIONS))


def _parser() -> argparse.ArgumentParser:
    """The command line; a mistake in it is one sentence, so the usage stands in ``--help`` only."""
    parser = command_parser("experiments.compare", __doc__, usage=argparse.SUPPRESS)
    parser.add_argument("a", metavar="A", type=Path, help="a run's folder, or a table")
    parser.add_argument("b", metavar="B", type=Path, help="another of the same kind")
    parser.add_argument("--top", type=int, default=20, help="lines to show of each part (default: 20)")
    parser.add_argument("--tolerance", type=float, default=0.0, help="share by which numbers may differ (default: 0)")
    parser.add_argument("--ignore", action="append", default=[], metavar="COLUMN", help="leave a table's column out")
    return parser


def read(a: Path, b: Path) -> tuple[Mapping[str, DataFrame], Mapping[str, DataFrame]]:
    """Both sides, part by part. Raises ValueError for what is no run and no table, or not of one kind."""
    for path in (a, b):
        if not path.exists():
            runs = [str(entry) for entry in Path("results/runs").glob("*")] if path.parent == Path() else []
            near = [entry.name for entry in path.parent.glob("*")]
            raise ValueError(
                f"no such run or table: {path}{suggestion(path.name, near + runs) if near or runs else ''}"
            )
    if a.is_dir() != b.is_dir():
        folder, file = (a, b) if a.is_dir() else (b, a)
        raise ValueError(f"{folder} is a folder and {file} is not (compare two runs, or two tables)")
    if not a.is_dir():
        return {"table": read_table(a)}, {"table": read_table(b)}
    first, second = read_run(a), read_run(b)
    return _with_names_of(first, second), _with_names_of(second, first)


def _with_names_of(run: Mapping[str, DataFrame], other: Mapping[str, DataFrame]) -> dict[str, DataFrame]:
    """A run with an empty value for what only the other one has, so that the other's value is seen."""
    return {part: table.merge(other[part][["name"]], how="outer") for part, table in run.items()}


def compare(
    first: Mapping[str, DataFrame], second: Mapping[str, DataFrame], args: argparse.Namespace
) -> dict[str, list[Difference]]:
    """What differs, part by part."""
    if args.ignore and args.a.is_dir():
        raise ValueError(f"--ignore {args.ignore[0]} leaves out a column of a table, and {args.a} is a run (drop it)")
    results, names = {VALUE} if args.a.is_dir() else RESULTS, (str(args.a), str(args.b))
    return {
        part: differences(
            table, second[part], tolerance=args.tolerance, ignore=args.ignore, results=results, names=names
        )
        for part, table in first.items()
    }


def differences_table(entries: Sequence[Difference], *, title: str, top: int) -> Table:
    """A line per difference, with its absolute and its relative change; texts have neither."""
    hidden = len(entries) - top
    table = Table(
        title=f"{title}: {len(entries)} {'differs' if len(entries) == 1 else 'differ'}",
        caption=f"and {hidden} more (--top {len(entries)} shows all)" if hidden > 0 else None,
        title_justify="left",
        caption_justify="left",
    )
    what = any(entry.column != VALUE for entry in entries)  # of a run, a line is a value by its name
    for head in ("which", *(["what"] if what else []), "A", "B", "change"):
        table.add_column(head, justify="left" if head in ("which", "what") else "right", overflow="fold")
    for entry in entries[:top]:
        column = [entry.column] if what else []
        table.add_row(*map(Text, (entry.row, *column, *_sides(entry), _change(entry))))
    return table


def _sides(entry: Difference) -> tuple[str, str]:
    """Six digits, or all where six do not tell the sides apart."""
    before, after = (f"{side:.6g}" if isinstance(side, float) else _text(side) for side in (entry.before, entry.after))
    return (before, after) if before != after else (_text(entry.before), _text(entry.after))


def _text(side: Value) -> str:
    return "" if side is None else str(side)


def _change(entry: Difference) -> str:
    if entry.numbers is not None and entry.relative is not None:
        before, after = entry.numbers
        return f"{after - before:+.3g} ({100 * entry.relative:+.3g} %)"
    return "only B" if entry.before is None else "only A" if entry.after is None else ""


if __name__ == "__main__":
    sys.exit(main())
