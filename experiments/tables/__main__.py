"""Which method is best where? A study's tidy table as a table for a paper.

    python -m experiments.tables results/bandwidth/table.csv
    python -m experiments.tables results/bandwidth/table.parquet --value energy_j --format latex > energy.tex

Rows are models, clusters and bandwidths, columns are methods; the best of a row is bold, a failed run has its reason as
a footnote. The LaTeX needs the package booktabs.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.analysis.tidy import read_table
from experiments.configuration.suggestions import suggestion
from experiments.tables.methods import NEEDED, VALUES, methods_table, quantity_of
from experiments.tables.paper import FORMATS


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table; a mistake ends in one sentence and exit code 2, so the usage stands in ``--help`` only."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.tables",
        usage=argparse.SUPPRESS,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("table", type=Path, help="a tidy table, .parquet or .csv")
    parser.add_argument("--value", default="samples_per_s", help=f"one of {', '.join(VALUES)} (default: samples_per_s)")
    parser.add_argument("--format", default="markdown", help=f"one of {', '.join(FORMATS)} (default: markdown)")
    args = parser.parse_args(arguments)
    try:
        if args.format not in FORMATS:
            raise ValueError(f"unknown format {args.format!r}{suggestion(args.format, FORMATS)}")
        quantity_of(args.value)
        table = methods_table(read_table(args.table, needs=(*NEEDED, args.value)), value=args.value)
    except (ValueError, OSError) as mistake:
        parser.error(" ".join(str(mistake).split()))
    sys.stdout.write(FORMATS[args.format](table))


if __name__ == "__main__":
    main()
