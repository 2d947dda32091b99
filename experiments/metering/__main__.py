"""Joules that were read: what this machine's power can be read by, and what a kept run took.

    python -m experiments.metering meters                # which meters work here, and how to get those that do not
    python -m experiments.metering joules results/runs/X # a run's joules once more, from its power logs and traces

A run reads power with execute=true and a meter: meter=NAME (conf/meter), see docs/energy.md.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from experiments.commands import command_parser
from experiments.configuration.command_line import told
from experiments.metering.here import RECORDED, meters_here
from experiments.metering.kept import kept_run
from experiments.metering.table import metered_table, states_table


def meters_table(root: Path = Path("/")) -> Table:
    """A row per meter: what it covers, whether it can be read here, and what to do."""
    table = Table(title="meters on this machine", title_justify="left")
    for name in ("meter", "covers", "can be read", "what to do"):
        table.add_column(name, overflow="fold")
    for each in meters_here(root):
        if each.facts is None:
            table.add_row(each.name, "", "no", escape(each.problem))
        else:
            says = f"{each.facts.source}: {each.facts.evidence}, every {each.facts.period_s:g} s"
            table.add_row(each.name, str(each.facts.covers), "yes", f"meter={each.name} ({escape(says)})")
    for row in RECORDED:
        table.add_row(*row)
    return table


def command(words: Sequence[str] | None = None) -> int:
    """Do what the words say; the exit code."""
    parser = command_parser("experiments.metering", __doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="meters | joules")
    commands.add_parser("meters", help="which meters work here")
    joules = commands.add_parser("joules", help="what a kept run took")
    joules.add_argument("run", type=Path, help="the run's folder")
    asked, console = parser.parse_args(words), Console()
    if asked.command == "meters":
        console.print(meters_table())
        return 0
    run = kept_run(asked.run)
    console.print(metered_table(run))
    if (by_state := states_table(run)) is not None:
        console.print(by_state)
    return 0


def main() -> None:
    """Do what the command line says."""
    sys.exit(told(command))


if __name__ == "__main__":
    main()
