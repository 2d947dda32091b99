"""Which planner finds the best plan, how far are the others, and what does planning cost?

    python -m experiments.planner_bench                                # all planners on all cases
    python -m experiments.planner_bench --kept                         # the table that is kept: 44 cases
    python -m experiments.planner_bench --quick --results /tmp/try     # three small cases, in about a minute
    python -m experiments.planner_bench --only asteroid pac resnet50   # these planners, on cases of this model
    python -m experiments.figures planner_bench                        # regret profile, planning time against size

Names of --only are of planners, of environments (asteroid_a ... asteroid_d, pool-SEED-NN, pac_8, galaxy_a ... galaxy_f)
or of models; those of one sort are alternatives, sorts combine. Each attempt runs in a process of its own; a planner
that declines, finds nothing, takes too long or dies is a row with its reason.

Planners are those whose files in conf/planner declare ``bench``, and those of --config-dir FOLDER (FOLDER/planner).

Writes RESULTS/planner_bench/: table.csv (a row per case and planner), summary.md, summary.json, made.json. A run of
a part (--only, --quick) replaces its rows of a table that is there and keeps the others. These files are written at the
end, all or none; a command that was interrupted or killed goes on where it ended (RESULTS/sweeps/planner_bench/).
"""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console

from experiments.analysis.tidy import read_table
from experiments.collect import to_csv
from experiments.commands import as_typed, command_parser, ending_in_words
from experiments.configuration.command_line import USERS, sentence
from experiments.configuration.provenance import MADE, command, made, record
from experiments.configuration.result_folders import json_text, refuse_unwritable, whole_folder
from experiments.configuration.studies import table_path
from experiments.planner_bench import report
from experiments.planner_bench.attempt import Attempt, AttemptStatus, Row
from experiments.planner_bench.cases import cases
from experiments.planner_bench.competitors import competitors
from experiments.planner_bench.journal import Journal
from experiments.planner_bench.processes import attempted
from experiments.planner_bench.rows import table, updated
from experiments.planner_bench.selection import ALL, KEPT, KEPT_TIME_LIMIT_S, QUICK, CaseGroup, attempts
from experiments.planner_bench.summary import by_group, standings, summary
from experiments.planner_regret import summary as measured_study
from experiments.progress import ProgressReport

NAME = "planner_bench"
_TIME_LIMIT_S = 60.0
_PAGE = 110  # columns of the tables where there is no terminal


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, write, and say what came out; 2 for a mistake in the command, 1 if every attempt died."""
    asked = _parser().parse_args(arguments)
    if asked.time_limit is None:
        asked.time_limit = KEPT_TIME_LIMIT_S if asked.kept else _TIME_LIMIT_S
    console = Console(width=None if sys.stdout.isatty() else _PAGE)
    try:
        with ending_in_words("; the same command goes on from here"):
            _check(asked)
            everybody = competitors([folder.resolve() for folder in asked.config_dir])
            wanted = attempts(cases(asked.seed), everybody, only=asked.only, selection=_selection(asked))
            path = table_path(asked.results, NAME)
            refuse_unwritable(asked.results)
            kept = read_table(path) if (asked.only or asked.quick) and path.exists() else None
            journal = Journal(asked.results / "sweeps" / NAME, wanted, limit_s=asked.time_limit)
            found = table(_driven(wanted, journal, asked.workers, asked.time_limit))
            if len(found) and (found["status"] == AttemptStatus.DIED).all():
                journal.end()
                reason = found["reason"].iloc[0]
                print(
                    f"error: all {len(found)} attempts died, nothing is written; the first: {reason}", file=sys.stderr
                )
                return 1
            whole = found if kept is None else updated(kept, found)
            _write(path.parent, whole, asked)
            journal.end()
    except USERS as error:
        print(f"error: {sentence(error)}", file=sys.stderr)
        return 2
    for part in report.screen(standings(whole)):
        console.print(part)
    figures = as_typed(f"python -m experiments.figures {NAME}")
    console.print(f"{len(found)} attempts; all in {path.parent} (figures: {figures})")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("experiments.planner_bench", __doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="planners, environments, models")
    selections = parser.add_mutually_exclusive_group()
    selections.add_argument("--kept", action="store_true", help="the cases and planners of the table that is kept")
    selections.add_argument("--quick", action="store_true", help="three small cases only")
    parser.add_argument(
        "--config-dir",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="further configuration files: planners in FOLDER/planner",
    )
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder to write to (default: results)")
    parser.add_argument("--seed", type=int, default=0, help="of the pools (default: 0)")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="attempts at a time (default: one per core)"
    )
    parser.add_argument(
        "--time-limit",
        type=float,
        metavar="SECONDS",
        help=f"for each attempt (default: {_TIME_LIMIT_S:g}; with --kept {KEPT_TIME_LIMIT_S:g})",
    )
    return parser


def _selection(asked: argparse.Namespace) -> Sequence[CaseGroup]:
    return KEPT if asked.kept else QUICK if asked.quick else ALL


def _check(asked: argparse.Namespace) -> None:
    if asked.workers < 1:
        raise ValueError(f"--workers must be at least 1, got {asked.workers}")
    if not asked.time_limit > 0:
        raise ValueError(f"--time-limit must be positive, got {asked.time_limit:g} (seconds)")
    if asked.seed < 0:
        raise ValueError(f"--seed must not be negative, got {asked.seed}")


def _driven(wanted: Sequence[Attempt], journal: Journal, workers: int, limit_s: float) -> list[Row]:
    """The rows of all attempts, those of the journal first, and how far they are while they come."""
    rows = [row for attempt in wanted if (row := journal.row(attempt)) is not None]
    left = [attempt for attempt in wanted if journal.row(attempt) is None]
    bar = ProgressReport(console=Console(stderr=True))
    with bar:
        task = bar.add_task("planner bench", total=len(wanted), completed=len(rows), said="")
        for attempt, row in attempted(left, workers=workers, limit_s=limit_s):
            journal.add(attempt, row)
            rows.append(row)
            lost = sum(each["status"] != "done" for each in rows)
            bar.update(task, advance=1, said=f"{lost} without a plan" if lost else "")
    return rows


def _selecting(asked: argparse.Namespace) -> list[str]:
    """What selects attempts, as it was typed."""
    selection = ["--kept"] if asked.kept else ["--quick"] if asked.quick else []
    folders = [argument for folder in asked.config_dir for argument in ("--config-dir", str(folder))]
    return [*selection, *folders, *(["--only", *asked.only] if asked.only else [])]


def _write(target: Path, whole: pd.DataFrame, asked: argparse.Namespace) -> None:
    """All files at once, or none; what was measured stays."""
    measured = measured_study.kept(target)
    with whole_folder(target) as folder:
        for path in (target / name for name in (*measured_study.FILES, MADE)):
            if path.exists():
                shutil.copy(path, folder)
        (folder / "table.csv").write_text(to_csv(whole))
        (folder / "summary.md").write_text(report.page(standings(whole), by_group(whole)))
        (folder / "summary.json").write_text(json_text(summary(whole, measured_regret=measured)))
        how = {"seed": asked.seed, "workers": asked.workers, "limit_s": asked.time_limit}
        by = command("experiments.planner_bench", _selecting(asked))
        names = ["table.csv", "summary.md", "summary.json"]
        record(folder, names, made(by, settings=how), in_part=bool(asked.only or asked.quick))


if __name__ == "__main__":
    sys.exit(main())
