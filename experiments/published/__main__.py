"""What do we predict for numbers that others published? Published, predicted, error, and the row's role.

    python -m experiments.published                 # the tables: costs, errors and grouping.csv in results/published/
    python -m experiments.published --item "Fig. 3"

Predictions use the models of conf/model, the fine-tuning techniques and the devices. A constant that a paper does not
state came from published rows: a row is fitted if such a constant came from it, dependent if one came from another row
of the same experiment, and predicted otherwise.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

from pandas import DataFrame
from rich.console import Console
from rich.table import Table

from experiments.commands import command_parser
from experiments.configuration.command_line import told
from experiments.configuration.provenance import command, made, record
from experiments.configuration.result_folders import refuse_unwritable, write_text
from experiments.configuration.suggestions import suggestion
from experiments.published import detransformer, flops, grouping, memory, times
from experiments.published.claims import Claim
from experiments.published.grouping import Grouping, groupings

COLUMNS = [
    *("source", "item", "model", "method", "metric"),
    *("published", "predicted", "error", "role", "unit", "constants", "note"),
]


_PARTS = (flops, memory, times, grouping, detransformer)


def all_claims() -> list[Claim]:
    """Every published number that we have a prediction for."""
    return [claim for part in _PARTS for claim in part.claims()]


def claims_of(item: str) -> list[Claim]:
    """Those of one item, without predicting any other. Raises ValueError at once for an item that has none."""
    items = [each for part in _PARTS for each in part.ITEMS]
    if item not in items:
        raise ValueError(f"no predictions for {item!r}{suggestion(item, items)}")
    return [claim for part in _PARTS if item in part.ITEMS for claim in part.claims() if claim.row.item == item]


def claims_frame(claims: Sequence[Claim]) -> DataFrame:
    """A row per claim; errors as shares of the published value."""
    return DataFrame(
        [
            {
                **claim.row._asdict(),
                "metric": claim.metric,
                "published": claim.published,
                "predicted": claim.predicted,
                "error": claim.error,
                "role": str(claim.role),
                "unit": claim.unit,
                "constants": "; ".join(constant.name for constant in claim.constants),
                "note": claim.note,
            }
            for claim in claims
        ],
        columns=COLUMNS,
    )


def errors_frame(claims: Sequence[Claim]) -> DataFrame:
    """How far predictions are off, by item, player and role: no fitted row counts as a predicted one."""
    groups: dict[tuple[str, str, str, str], list[float]] = {}
    for claim in claims:
        key = (claim.row.source, claim.row.item, f"{claim.row.method}, {claim.player or 'law'}", str(claim.role))
        by_method = claim.row.source == detransformer.SOURCE
        groups.setdefault(key if by_method else (*key[:2], "", key[3]), []).append(claim.error)
    return DataFrame(
        [
            {
                "source": source,
                "item": item,
                "method": method,
                "role": role,
                "rows": len(errors),
                "median_abs_error": median(map(abs, errors)),
                "lowest_error": min(errors),
                "highest_error": max(errors),
            }
            for (source, item, method, role), errors in groups.items()
        ]
    )


def to_csv(frame: DataFrame) -> str:
    """Six digits, which is what another machine agrees to."""
    return str(frame.to_csv(index=False, lineterminator="\n", float_format="%.6g"))


def claims_table(claims: Sequence[Claim]) -> Table:
    """The claims on a screen."""
    shown = Table(title="published numbers", title_justify="left")
    for head in ("item", "model", "method", "metric", "published", "predicted", "error", "role"):
        shown.add_column(head, justify="right" if head in ("published", "predicted", "error") else "left")
    for claim in claims:
        shown.add_row(
            claim.row.item,
            claim.row.model,
            claim.row.method,
            f"{claim.metric} ({claim.unit})",
            f"{claim.published:.4g}",
            f"{claim.predicted:.4g}",
            f"{claim.error:+.1%}",
            str(claim.role),
        )
    return shown


def errors_table(claims: Sequence[Claim]) -> Table:
    """Errors by item and role on a screen."""
    shown = Table(title="errors by item and role", title_justify="left")
    for head in ("item", "method", "role", "rows", "median", "lowest", "highest"):
        shown.add_column(head, justify="left" if head in ("item", "method", "role") else "right")
    for row in errors_frame(claims).itertuples():
        shown.add_row(
            f"{row.source.split(' (')[0]}, {row.item}",
            row.method,
            row.role,
            str(row.rows),
            f"{row.median_abs_error:.1%}",
            f"{row.lowest_error:+.1%}",
            f"{row.highest_error:+.1%}",
        )
    return shown


def groupings_frame(planned: Sequence[Grouping]) -> DataFrame:
    """A row per grouping, without seconds, which differ from run to run."""
    return DataFrame(
        [{name: value for name, value in asdict(each).items() if name != "planning_s"} for each in planned]
    )


def groupings_table(planned: Sequence[Grouping]) -> Table:
    """The groupings on a screen."""
    shown = Table(title="devices per stage, PAC's planner", title_justify="left")
    for head in ("model", "Nanos", "published", "planned", "layers", "GiB of weights", "planning s"):
        shown.add_column(head, justify="right")
    for each in planned:
        shown.add_row(
            each.model,
            str(each.nanos),
            each.published,
            each.planned,
            each.planned_layers,
            each.planned_weights_gib,
            f"{each.planning_s:.2f}",
        )
    return shown


def main(arguments: Sequence[str] | None = None) -> int:
    """Print and keep; 2 for a mistake."""
    parser = command_parser("experiments.published", __doc__)
    parser.add_argument("--item", help="show one item only, such as 'Table 1'; nothing is written")
    parser.add_argument(
        "--out", type=Path, default=Path("results/published"), help="folder of the tables (default: results/published)"
    )
    options = parser.parse_args(arguments)
    return told(lambda: _compare(options))


def _compare(options: argparse.Namespace) -> int:
    if options.item is None:
        refuse_unwritable(options.out)
    claims = all_claims() if options.item is None else claims_of(options.item)
    console = Console()
    console.print(claims_table(claims))
    console.print(errors_table(claims))
    if options.item is None:
        planned = list(groupings())
        console.print(groupings_table(planned))
        for name, frame in (
            ("costs", claims_frame(claims)),
            ("errors", errors_frame(claims)),
            ("grouping", groupings_frame(planned)),
        ):
            write_text(options.out / f"{name}.csv", to_csv(frame))
            record(options.out, [f"{name}.csv"], made(command("experiments.published")))
        console.print(f"{len(claims)} claims and {len(planned)} groupings in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
