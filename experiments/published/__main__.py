"""What do we predict for numbers that others published? Published, predicted, error, and whether a row was fitted.

    python -m experiments.published                 # the tables, results/published/costs.csv and grouping.csv
    python -m experiments.published --item "Fig. 3"

Predictions use the models of conf/model, the fine-tuning techniques and the devices. A fitted row was used for one of
the constants that the files of this package name.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from experiments.configuration.command_line import ROOT, USERS, sentence, suggestion
from experiments.configuration.result_folders import write_text
from experiments.published import detransformer, flops, memory, times
from experiments.published.claims import Claim
from experiments.published.grouping import Grouping, groupings

COLUMNS = ["source", "item", "model", "method", "metric", "published", "predicted", "error", "role", "unit", "note"]


def all_claims() -> list[Claim]:
    """Every published number that we have a prediction for."""
    return [claim for part in (flops, memory, times, detransformer) for claim in part.claims()]


def to_csv(claims: Sequence[Claim]) -> str:
    """A row per claim; errors as shares."""
    rows = [asdict(claim) | {"role": str(claim.role), "error": claim.error} for claim in claims]
    return str(pd.DataFrame(rows)[COLUMNS].to_csv(index=False, lineterminator="\n", float_format="%.6g"))


def table(claims: Sequence[Claim]) -> Table:
    """For people."""
    shown = Table(title="published numbers", title_justify="left")
    for head in ("item", "model", "method", "metric", "published", "predicted", "error", "role"):
        shown.add_column(head, justify="right" if head in ("published", "predicted", "error") else "left")
    for claim in claims:
        shown.add_row(
            claim.item,
            claim.model,
            claim.method,
            f"{claim.metric} ({claim.unit})",
            f"{claim.published:.4g}",
            f"{claim.predicted:.4g}",
            f"{claim.error:+.1%}",
            str(claim.role),
        )
    return shown


def grouping_csv(found: Sequence[Grouping]) -> str:
    """A row per grouping, without seconds, which differ from run to run."""
    rows = [{name: value for name, value in asdict(each).items() if name != "planning_s"} for each in found]
    return str(pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))


def grouping_table(found: Sequence[Grouping]) -> Table:
    """For people."""
    shown = Table(title="devices per stage, PAC's planner", title_justify="left")
    for head in ("model", "Nanos", "published", "planned", "planning s"):
        shown.add_column(head, justify="right")
    for each in found:
        shown.add_row(each.model, str(each.nanos), each.published, each.planned, f"{each.planning_s:.2f}")
    return shown


def main(words: Sequence[str] | None = None) -> int:
    """Print and keep; 2 for a mistake."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.published",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--item", help="show one item only, such as 'Table 1'; nothing is written")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "published" / "costs.csv")
    parser.add_argument("--groupings", type=Path, default=ROOT / "results" / "published" / "grouping.csv")
    asked = parser.parse_args(words)
    try:
        claims = all_claims()
        items = dict.fromkeys(claim.item for claim in claims)
        if asked.item is not None and asked.item not in items:
            raise ValueError(f"no predictions for {asked.item!r}{suggestion(asked.item, items)}")
        Console().print(table([claim for claim in claims if asked.item in (None, claim.item)]))
        if asked.item is None:
            write_text(asked.out, to_csv(claims))
            print(f"{len(claims)} rows in {asked.out}")
            found = list(groupings())
            Console().print(grouping_table(found))
            write_text(asked.groupings, grouping_csv(found))
    except USERS as error:
        print(f"error: {sentence(error)}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
