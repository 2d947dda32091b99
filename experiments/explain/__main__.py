"""Why does B take longer than A? Or, of one run alone: what bounds it, and what would be the next best investment?

    python -m experiments.explain results/runs/default results/runs/strategy=data
    python -m experiments.explain results/runs/default/simulated.jsonl results/runs/default/measured.jsonl
    python -m experiments.explain results/runs/default

A and B are folders that experiments.run wrote, or traces in them. Of a folder the measured iteration of median length
is taken; the simulated one, where one of the two was not executed. What makes the difference adds up to it exactly:
each input that differs (a device's speed, a link's rate, the plan ...) is switched in the simulator, and its share is
the mean over all orders of switching; traces of one schedule whose inputs do not tell them apart are played again with
the seconds of one or the other. The terms say where the seconds of both are, and add up to both makespans.

Exit code: 0, or 2 for a mistake.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from experiments.commands import as_typed, command_parser
from experiments.configuration.command_line import USERS, sentence
from experiments.explain.bounds import bounds_of
from experiments.explain.explanation import explain_sides
from experiments.explain.reading import MEASURED, SIMULATED, players_of, read_side
from experiments.explain.tables import tables_of
from experiments.explain.verdicts import bound, verdict


def main(arguments: Sequence[str] | None = None) -> int:
    """Explain, print, and return the exit code."""
    parser = _parser()
    args = parser.parse_args(arguments)
    console = Console(highlight=False)
    try:
        if args.top < 1:
            raise ValueError(f"--top is {args.top}, and must show at least one line (--top 20)")
        explain_one(args, console) if args.b is None else explain_two(args, console)
    except USERS as mistake:
        parser.error(as_typed(sentence(mistake)))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("experiments.explain", __doc__, usage=argparse.SUPPRESS)
    parser.add_argument("a", metavar="A", type=Path, help="a run's folder, or a trace in it")
    parser.add_argument("b", metavar="B", type=Path, nargs="?", help="another; left out, A is explained alone")
    parser.add_argument("--figure", metavar="FILE", type=Path, help="draw it, as a .png, .pdf or .svg")
    parser.add_argument("--top", type=int, default=20, help="lines to show of each table (default: 20)")
    parser.add_argument(
        "--no-replanning", action="store_true", help="of one run, do not ask its planner what more memory would change"
    )
    return parser


def explain_two(args: argparse.Namespace, console: Console) -> None:
    """The verdict, what makes the difference, and where the seconds of both are."""
    both = set.intersection(*(players_of(path) for path in (args.a, args.b)))
    folders = args.a.is_dir() and args.b.is_dir()
    player = (MEASURED if MEASURED in both else SIMULATED) if folders else ""
    explanation = explain_sides(*(read_side(path, player=player) for path in (args.a, args.b)))
    console.print(Text(verdict(explanation)))
    for table in tables_of(explanation, top=args.top):
        console.print(table)
    if args.figure is not None:
        from experiments.explain.waterfall import differences_figure  # Matplotlib takes its time to load
        from experiments.figures.style import written

        written(differences_figure(explanation), args.figure)
        console.print(Text(f"The figure is in {args.figure}"))


def explain_one(args: argparse.Namespace, console: Console) -> None:
    """The verdict, the terms, the critical path, who is slower than the others, and what would save time."""
    bounds = bounds_of(read_side(args.a), replans=not args.no_replanning)
    console.print(Text(bound(bounds)))
    for table in tables_of(bounds, top=args.top):
        console.print(table)
    if bounds.side.unknown:
        console.print(Text(f"What was simulated is not known: {bounds.side.unknown}"))
    if args.figure is not None:
        from experiments.explain.waterfall import terms_figure
        from experiments.figures.style import written

        written(terms_figure(bounds), args.figure)
        console.print(Text(f"The figure is in {args.figure}"))


if __name__ == "__main__":
    sys.exit(main())
