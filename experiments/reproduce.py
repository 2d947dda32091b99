"""Do the kept numbers still come out? Every simulated study runs again and is compared with its kept table.

    python -m experiments.reproduce                    # or: make reproduce; all studies that have a kept table
    python -m experiments.reproduce parallelisms --keep  # take the new numbers as the kept ones

Exit code 1 if a number moved. A kept table says which commit made it (made.json), so ``--keep`` needs a tree without
changes outside results/. Studies that execute on a testbed are measurements: they are named and left alone.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from edgesim.scratch import scratch_folder
from experiments.analysis.differences import differences, read_table
from experiments.collect import collect, to_csv
from experiments.commands import as_typed, command_parser
from experiments.compare import differences_table
from experiments.configuration.command_line import composed, told
from experiments.configuration.places import KEPT
from experiments.configuration.provenance import command, made, record, refuse_a_dirty_tree
from experiments.configuration.result_folders import refuse_unwritable, write_text
from experiments.configuration.studies import studies, table_path
from experiments.configuration.suggestions import suggestion
from experiments.sweeps.grid import parse
from experiments.sweeps.sweep import sweep

_SHOWN = 20
TOLERANCE = 1e-9  # what another machine's mathematics library may differ by


def reproduce(experiment: str, name: str, results: Path, *, keep: bool, console: Console) -> bool:
    """Whether the study's numbers are still the kept ones."""
    if composed(f"experiment={experiment}").execute:
        by = as_typed(f"python -m experiments.run -m experiment={experiment}")
        console.print(f"{name}: measured on a testbed, left alone (run it: {by})")
        return True
    kept = table_path(results, name)
    if not kept.exists() and not keep:
        console.print(as_typed(f"{name}: no kept table (make one: python -m experiments.reproduce {name} --keep)"))
        return False
    with scratch_folder() as folder:
        sweep(parse([f"experiment={experiment}", f"results={folder}"]))
        now = folder / "table.csv"
        write_text(now, to_csv(collect(name, folder)))
        same = not kept.exists() or _same(kept, now, name, console, columns_may_differ=keep)
        if keep:
            write_text(kept, now.read_text())
            record(kept.parent, [kept.name], made(command("experiments.reproduce", [name, "--keep"])))
            console.print(f"{name}: kept in {kept}")
    return same or keep


def _same(kept: Path, now: Path, name: str, console: Console, *, columns_may_differ: bool) -> bool:
    """Whether nothing moved, and on the screen what did. Raises ValueError if rows cannot be matched."""
    try:
        moved = differences(read_table(kept), read_table(now), tolerance=TOLERANCE)
    except ValueError as error:
        if not columns_may_differ:
            raise
        console.print(f"{name}: not comparable with what was kept: {error}")
        return False
    if moved:
        console.print(differences_table(moved, title=f"{name}: kept (A), now (B)", top=_SHOWN))
    console.print(f"{name}: {len(moved)} numbers moved" if moved else f"{name}: nothing moved")
    return not moved


def main(arguments: Sequence[str] | None = None) -> int:
    """All studies, or those named."""
    parser = command_parser("experiments.reproduce", __doc__)
    parser.add_argument("studies", nargs="*", help="names (default: all)")
    parser.add_argument("--results", type=Path, default=KEPT, help="folder of the kept tables")
    parser.add_argument("--keep", action="store_true", help="keep the new numbers")
    asked = parser.parse_args(arguments)
    return told(lambda: _reproduce(asked))


def _reproduce(asked: argparse.Namespace) -> int:
    known = {study.name: study.experiment for study in studies()}
    for name in asked.studies:
        if name not in known:
            raise ValueError(f"unknown study {name!r}{suggestion(name, known)}")
    if asked.keep:
        refuse_unwritable(asked.results)
        refuse_a_dirty_tree()
    console = Console()
    same = [
        reproduce(known[name], name, asked.results, keep=asked.keep, console=console) for name in asked.studies or known
    ]
    return 0 if all(same) else 1


if __name__ == "__main__":
    sys.exit(main())
