"""How does a sweep come to its end? Many runs from one command, on many cores or machines, into one table.

    python -m experiments.run -m strategy=data,pipeline "network.rate=20 Mbit/s,100 Mbit/s" sweep.name=mine
    python -m experiments.run -m experiment=parallelisms launcher=on_cores launcher.workers=2

Rows go to results/sweeps/<name>/; the same command goes on where a killed one ended. A run is known by what its result
depends on: it is made once, whatever sweep it was in, and again when the library's code has changed.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from experiments.analysis.tidy import RunStatus
from experiments.configuration.command_line import USERS, check_complete, composed, hydra_choice, sentence
from experiments.configuration.constructors import build
from experiments.configuration.result_folders import refuse_unwritable
from experiments.progress import ProgressReport
from experiments.sweeps.grid import Composer, Sweep, parse
from experiments.sweeps.launchers import Launcher
from experiments.sweeps.run_table import RowWriter, RunTable, code_hash
from experiments.sweeps.workers import Batch, SweepSpec

_REASONS = 5  # failures told on the screen; the table holds all


def hydra_sweeps(arguments: Sequence[str]) -> bool:
    """Whether Hydra's own sweeper or launcher was asked for: Optuna's, or the plain one that runs in turn."""
    _, overrides, folders = _arguments(arguments)
    if any(override.lstrip("+~").startswith(("hydra/", "hydra.")) for override in overrides):
        return True
    chosen = [each for each in overrides if each.startswith("experiment=") and "," not in each]
    try:
        return bool(chosen) and hydra_choice("hydra/sweeper", *chosen, folders=folders) != "basic"
    except USERS:
        return False  # the sweep will say what is wrong


def sweep_command(arguments: Sequence[str]) -> int:
    """The sweep of a command line; its exit code: 1 if a run failed, 2 for a mistake in the command."""
    help_wanted, overrides, folders = _arguments(arguments)
    if help_wanted:
        print(__doc__)
        return 0
    try:
        return sweep(parse(overrides, folders))
    except USERS as error:
        print(f"error: {sentence(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130


def _arguments(arguments: Sequence[str]) -> tuple[bool, list[str], list[str]]:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("-m", "--multirun", action="store_true")
    parser.add_argument("-cd", "--config-dir", action="append", default=[])
    known, overrides = parser.parse_known_args(arguments)
    return known.help, overrides, known.config_dir


def sweep(wanted: Sweep) -> int:
    """Make all runs that are not finished; 1 if any of them failed, else 0."""
    cfg = checked(wanted)
    if cfg.sweep.shrink:
        wanted = wanted.shrunk()
    refuse_unwritable(Path(cfg.results))
    table = RunTable(folder_of(cfg))
    launcher: Launcher = build(cfg.launcher)
    code = code_hash()
    before = table.finished(code)
    spec = SweepSpec(
        sweep=wanted, folder=str(table.folder), study=name_of(cfg), code=code, shared_files=launcher.shared_files
    )
    failed = _drive(spec, launcher, batches_of(wanted, cfg.sweep.batch), before, table)
    rows = table.merge()
    print(f"{rows} runs in {table.parquet}" + (f", {failed} of this sweep failed" if failed else ""))
    _tell_failures(table, code, Console(stderr=True))
    return 1 if failed else 0


def checked(wanted: Sweep) -> DictConfig:
    """The first run's configuration. Raises for any choice that does not compose: no sweep begins with a typo."""
    composer = Composer(wanted)
    first = tuple(choices[0] for choices in wanted.dimensions)
    for i, choices in enumerate(wanted.dimensions):
        for choice in choices:
            composer(tuple(override for chosen in (*first[:i], choice, *first[i + 1 :]) for override in chosen))
    overrides = [override for choice in first for override in choice]
    cfg = composed(*wanted.fixed, *overrides, folders=wanted.folders)
    check_complete(cfg)
    return cfg


def name_of(cfg: DictConfig) -> str:
    """The sweep's own name, or its study's."""
    study = cfg.get("study") or {}
    return str(cfg.sweep.name or study.get("name") or "unnamed")


def folder_of(cfg: DictConfig) -> Path:
    """Where the sweep's table is."""
    return Path(cfg.results) / "sweeps" / name_of(cfg)


def batches_of(wanted: Sweep, size: int) -> list[Batch]:
    """Runs in turn, so many at a time."""
    if size < 1:
        raise ValueError(f"sweep.batch must be at least 1, got {size}")
    return [wanted.runs[i : i + size] for i in range(0, len(wanted.runs), size)]


def _drive(spec: SweepSpec, launcher: Launcher, batches: Sequence[Batch], before: set[str], table: RunTable) -> int:
    """Launch all batches, show how far they are, write what workers could not; the number of failures."""
    writer = None if spec.shared_files else RowWriter(table)
    made = failed = 0
    begin_s = time.monotonic()
    bar = ProgressReport(console=Console(stderr=True))
    with bar:
        task = bar.add_task(spec.study, total=len(spec.sweep.runs), said="")
        for outcomes in launcher.launch(spec, batches):
            rows = [outcome.row for outcome in outcomes if outcome.row is not None and outcome.key not in before]
            if writer is not None and rows:
                writer.add(rows)
            made += sum(outcome.key not in before for outcome in outcomes)
            failed += sum(outcome.failed for outcome in outcomes)
            rate = made / (time.monotonic() - begin_s)
            bar.update(
                task, advance=len(outcomes), said=f"{rate:.0f} runs/s" + (f", {failed} failed" if failed else "")
            )
    return failed


def _tell_failures(table: RunTable, code: str, console: Console) -> None:
    rows = table.rows()
    if rows.empty:
        return
    lost = rows[(rows["code"] == code) & (rows["status"] != RunStatus.DONE)]
    for reason, count in lost["reason"].value_counts().head(_REASONS).items():
        console.print(f"[yellow]{count} failed:[/yellow] {reason}", soft_wrap=True, highlight=False)
