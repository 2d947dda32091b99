"""How does a sweep come to its end? Many runs from one command, on many cores or machines, into one table.

    python -m experiments.run -m strategy=data,pipeline "network.rate=20 Mbit/s,100 Mbit/s" sweep.name=mine
    python -m experiments.run -m experiment=parallelisms launcher=on_cores launcher.workers=2

Rows go to results/sweeps/<name>/; the same command goes on where a killed one ended. Without a name, the table's folder
says what varied, and a hash keeps two commands apart. A run is known by what its result depends on: a table holds it
once, and it is made again when the library's code has changed.
"""

import argparse
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
from omegaconf import DictConfig
from rich.console import Console
from rich.markup import escape

from experiments.analysis.tidy import RunStatus
from experiments.commands import ending_in_words
from experiments.configuration.command_line import USERS, check_complete, hydra_choice, sentence
from experiments.configuration.constructors import build
from experiments.configuration.result_folders import refuse_unwritable
from experiments.progress import ProgressReport
from experiments.sweeps.grid import Sweep, composer_of, parse
from experiments.sweeps.launchers import Launcher
from experiments.sweeps.made_folder import MadeFolder
from experiments.sweeps.run_table import RunTable, code_hash
from experiments.sweeps.workers import Batch, SweepSpec

_BATCHES, _LEAST, _MOST = 200, 8, 500  # batches of a sweep; runs of a batch
_REASONS = 5  # failures told on the screen; the table holds all


@dataclass(frozen=True, kw_only=True)
class SweepEnd:
    """What a sweep has to show when its command ends; of a Slurm array that is nothing yet.

    Attributes:
        table: which may hold runs of other sweeps of that name, too.
        code: that made the runs.
        failed: by the key of each run of this sweep, whether it failed, now or before.
        before: keys of the runs that were finished before it began.
    """

    table: RunTable
    code: str
    failed: Mapping[str, bool]
    before: frozenset[str]

    @property
    def failures(self) -> int:
        """How many of its runs failed."""
        return sum(self.failed.values())

    def rows(self, columns: Collection[str] | None = None) -> pd.DataFrame:
        """The rows of its own runs; all columns, or these."""
        rows = self.table.rows(None if columns is None else {*columns, "key"})
        return rows[rows["key"].isin(self.failed)].reset_index(drop=True) if len(rows) else rows


def hydra_sweeps(arguments: Sequence[str]) -> bool:
    """Whether Hydra's own sweeper or launcher was asked for: Optuna's, or the plain one that runs in turn."""
    _, overrides, folders = sweep_arguments(arguments)
    if any(override.lstrip("+~").startswith(("hydra/", "hydra.")) for override in overrides):
        return True
    chosen = [each for each in overrides if each.startswith("experiment=") and "," not in each]
    try:
        return bool(chosen) and hydra_choice("hydra/sweeper", *chosen, folders=folders) != "basic"
    except USERS:
        return False  # the sweep will say what is wrong


def sweep_command(arguments: Sequence[str], *, show: Callable[[SweepEnd], None] | None = None) -> int:
    """The sweep of a command line; its exit code: 1 if a run failed, 2 for a mistake in the command.

    ``show`` is handed what came out, in the end.
    """
    help_wanted, overrides, folders = sweep_arguments(arguments)
    if help_wanted:
        print(__doc__)
        return 0
    try:
        with ending_in_words("; the same command goes on from here"):
            end = sweep(parse(overrides, folders))
            if show is not None:
                show(end)
    except USERS as error:
        print(f"error: {sentence(error)}", file=sys.stderr)
        return 2
    return 1 if end.failures else 0


def sweep_arguments(arguments: Sequence[str]) -> tuple[bool, list[str], list[str]]:
    """Whether help is wanted, the overrides, and folders of further configuration files."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("-m", "--multirun", action="store_true")
    parser.add_argument("-cd", "--config-dir", action="append", default=[])
    known, overrides = parser.parse_known_args(arguments)
    return known.help, overrides, known.config_dir


def sweep(wanted: Sweep, *, made: Path | None = None) -> SweepEnd:
    """Make all runs that are not finished, and say how many there are and what failed.

    ``made`` is the one of its folders of configuration files that is gone when the call is over.
    """
    call = uuid4().hex
    cfg = checked(wanted, call)
    name = str(cfg.sweep.name or (cfg.get("study") or {}).get("name") or wanted.name)
    if cfg.sweep.shrink:
        wanted = wanted.shrunk()
    refuse_unwritable(Path(cfg.results))
    table = RunTable(Path(cfg.results) / "sweeps" / name)
    launcher: Launcher = build(cfg.launcher)
    code = code_hash()
    before = table.finished(code)
    spec = SweepSpec(
        sweep=wanted,
        folder=str(table.folder),
        study=name,
        code=code,
        shared_files=launcher.shared_files,
        made=MadeFolder.of(made) if made and str(made) in wanted.folders else None,
        call=call,
    )
    failed = _drive(spec, launcher, batches_of(wanted, cfg.sweep.batch), before, table)
    end = SweepEnd(table=table, code=code, failed=failed, before=frozenset(before))
    _tell(end, table.merge(), Console(stderr=True))
    return end


def checked(wanted: Sweep, call: str) -> DictConfig:
    """The first run's configuration. Raises for any choice that does not compose: no sweep begins with a typo."""
    composer = composer_of(wanted, call)
    first = tuple(choices[0] for choices in wanted.dimensions)
    for i, choices in enumerate(wanted.dimensions):
        for choice in choices:
            _refuse_to_save(
                composer(tuple(override for chosen in (*first[:i], choice, *first[i + 1 :]) for override in chosen))
            )
    overrides = [override for choice in first for override in choice]
    cfg = composer.base(tuple(overrides))
    check_complete(cfg)
    return cfg


def _refuse_to_save(config: Mapping[str, Any]) -> None:
    if (folder := config["save_weights"]) is not None:
        raise ValueError(f"save_weights={folder} is for the weights of one run (leave it out of a sweep)")


def batches_of(wanted: Sweep, size: int | None) -> list[Batch]:
    """Runs in turn, so many at a time; few where they are few, that all workers have some to the end."""
    if size is None:
        size = min(max(len(wanted.runs) // _BATCHES, _LEAST), _MOST)
    return [wanted.runs[i : i + size] for i in range(0, len(wanted.runs), size)]


def _drive(
    spec: SweepSpec, launcher: Launcher, batches: Sequence[Batch], before: Mapping[str, str], table: RunTable
) -> dict[str, bool]:
    """Launch all batches, show how far they are, write what workers could not; by key, whether a run failed."""
    writer = None if spec.shared_files else table.writer()
    failed: dict[str, bool] = {}
    ended = 0
    begin_s = time.monotonic()
    bar = ProgressReport(console=Console(stderr=True))
    with bar:
        task = bar.add_task(spec.study, total=len(spec.sweep.runs), said="")
        for outcomes in launcher.launch(spec, batches):
            rows = [outcome.row for outcome in outcomes if outcome.row is not None and outcome.key not in before]
            if writer is not None and rows:
                writer.add(rows)
            # What the table says of a run holds, also where a worker that could not see it made the run again.
            failed |= {key: before[key] != RunStatus.DONE if key in before else now for key, now, _ in outcomes}
            ended = min(ended + len(outcomes), len(spec.sweep.runs))  # a run that killed its process comes back twice
            rate = len(failed.keys() - before.keys()) / (time.monotonic() - begin_s)
            lost = sum(failed.values())
            bar.update(
                task,
                completed=ended,
                said=f"{rate:.{0 if rate >= 10 else 2}f} runs/s" + (f", {lost} failed" if lost else ""),
            )
    return failed


def _tell(end: SweepEnd, rows: int, console: Console) -> None:
    """How many runs there are and, on stderr, why some of this sweep's failed."""
    old = sum(end.failed[key] for key in end.before & end.failed.keys())
    again = f", {old} of them before (the same code does not make them again)" if old else ""
    print(
        f"{rows} runs in {end.table.parquet}"
        + (f", {end.failures} of this sweep failed{again}" if end.failures else "")
    )
    if end.failures:
        mine = end.rows(("status", "reason"))
        reasons = mine.loc[mine["status"] != RunStatus.DONE, "reason"].value_counts()
        for reason, count in reasons.head(_REASONS).items():
            console.print(f"[yellow]{count} failed:[/yellow] {escape(str(reason))}", soft_wrap=True, highlight=False)
