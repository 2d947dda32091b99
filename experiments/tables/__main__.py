"""Which method is best where? A sweep's or a study's runs as a table for a paper, or its best runs in order.

    python -m experiments.tables my_sweep                          # by its name in results/, or any folder or file:
    python -m experiments.tables results/sweeps/my_sweep --best 20
    python -m experiments.tables results/bandwidth/table.csv --value energy_j --format latex > energy.tex

Rows are models, clusters and bandwidths, columns are methods; the best of a row is bold, a failed run has its reason as
a footnote. Of runs that differ in their seeds alone it shows the mean and its 95 % t interval. With --best a row is a
run, the best first. The LaTeX needs the package booktabs.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.analysis.tidy import require_columns
from experiments.commands import command_parser
from experiments.configuration.suggestions import suggestion
from experiments.tables.methods import NEEDED, VALUES, methods_table, quantity_of
from experiments.tables.paper import FORMATS
from experiments.tables.ranking import RANKING_FORMATS, ranking
from experiments.tables.sources import Source, source


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table; a mistake ends in one sentence and exit code 2, so the usage stands in ``--help`` only."""
    parser = command_parser("experiments.tables", __doc__, usage=argparse.SUPPRESS)
    parser.add_argument("table", help="the name of a sweep or study, a folder, or a file (.parquet or .csv)")
    parser.add_argument("--value", help=f"one of {', '.join(VALUES)} (default: latency of requests, else makespan_s)")
    parser.add_argument("--format", default="markdown", help=f"one of {', '.join(FORMATS)} (default: markdown)")
    parser.add_argument(
        "--best", type=int, metavar="N", help="the best N runs in order, instead of a column per method"
    )
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the names (default: results)")
    args = parser.parse_args(arguments)
    try:
        if args.format not in FORMATS:
            raise ValueError(f"unknown format {args.format!r}{suggestion(args.format, FORMATS)}")
        if args.value is not None:
            quantity_of(args.value)
        text = "\n".join(printed(source(args.table, args.results), args.value, args.format, args.best))
    except (ValueError, OSError) as mistake:
        parser.error(" ".join(str(mistake).split()))
    sys.stdout.write(text)


def printed(runs: Source, value: str | None, form: str, best: int | None) -> list[str]:
    """The tables as text: one, or where some runs train and some answer and no value is chosen, two."""
    parts = runs.parts if value is None else {value: runs.whole}
    for name, table in parts.items():
        require_columns(table, (*NEEDED, name), source=str(runs.path))
    if best is not None:
        return [RANKING_FORMATS[form](ranking(table, value=name, top=best)) for name, table in parts.items()]
    return [FORMATS[form](methods_table(table, value=name)) for name, table in parts.items()]


if __name__ == "__main__":
    main()
