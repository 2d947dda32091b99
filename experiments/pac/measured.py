"""What does fine-tuning take on this machine, by technique, and what does the library predict of its memory?

    python -m experiments.pac.measured                 # T5-base and BART-large: results/pac_measured/
    python -m experiments.pac.measured --models t5_base --techniques full parallel_adapters cached

Every model and technique is played by the runtime in a process of its own: random weights, one device, one stage of all
layers, one micro-batch. Writes table.csv, summary.json and made.json, row by row; rows of other models stay. Wants a
machine that does nothing else: full fine-tuning of BART-large needs 8 GB, and perhaps a minute for an iteration on two
cores.
"""

import argparse
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pandas import DataFrame, read_csv
from rich.console import Console

from edgesim.errors import reading
from edgesim.finetuning import cached
from edgesim.memory import Memory, RankLoad, held_bytes
from edgesim.model import Model
from edgesim.scratch import scratch_folder
from edgesim.workload import Workload
from experiments.commands import command_parser
from experiments.configuration.command_line import composed, told
from experiments.configuration.provenance import command, made, record
from experiments.configuration.result_folders import json_text, refuse_unwritable, write_text
from experiments.configuration.setup import read_setup
from experiments.published.__main__ import to_csv
from real_runtime.measuring.one_case import Case, Measured, measure

FOLDER = "pac_measured"
MODELS = ("t5_base", "bart_large")
FULL, FILLS, CACHED = "full", "parallel_adapters", "cached"
TECHNIQUES = (FULL, "houlsby", "lora", FILLS, CACHED)


def predicted(model: Model, workload: Workload) -> Memory:
    """The memory of one device that holds all layers and computes a whole batch at once."""
    load = RankLoad(
        layers=(0, len(model.layers)),
        samples=workload.batch_samples,
        in_flight=1,
        micro_batches=1,
        replicas=1,
        context_bytes=0,
    )
    return held_bytes(model, workload, load)


def cases(options: argparse.Namespace, folder: Path) -> Iterator[tuple[str, str, Case]]:
    """Model by model and technique by technique; who learns from a cache comes behind who fills it."""
    for name in options.models:
        (of_model := folder / name).mkdir()
        for technique in sorted(options.techniques, key=TECHNIQUES.index):
            setup = read_setup(composed(*_words(options, name, technique)))
            yield (
                name,
                technique,
                Case(
                    model=cached(setup.model) if technique == CACHED else setup.model,
                    workload=setup.workload,
                    folder=of_model,
                    threads=options.threads,
                    iterations=options.iterations,
                    pairs=options.pairs,
                ),
            )


def _words(options: argparse.Namespace, name: str, technique: str) -> Sequence[str]:
    return (
        f"model={name}",
        f"finetuning={FILLS if technique == CACHED else technique}",
        "workload=glue",
        f"workload.batch_samples={options.samples}",
        f"workload.micro_batch_samples={options.samples}",
        f"workload.tokens={options.tokens}",
        f"workload.optimiser={options.optimiser}",
        f"workload.learning_rate={options.learning_rate}",
        *options.override,
    )


def row_of(name: str, technique: str, case: Case, found: Measured | str) -> dict[str, Any]:
    """A row of the table: what was measured beside what is predicted, or why nothing was."""
    expected = predicted(case.model, case.workload)
    row = {
        "model": name,
        "technique": technique,
        "samples": case.workload.batch_samples,
        "tokens": case.workload.tokens,
        "optimiser": str(case.workload.optimiser),
        "threads": case.threads,
        "iterations": case.iterations,
        "reason": found if isinstance(found, str) else "",
        "predicted_peak_bytes": expected.total_bytes,
        "predicted_resting_bytes": expected.static_bytes,
    }
    if isinstance(found, str):
        return row
    return row | {
        **asdict(found),
        "seconds_per_sample": found.iteration_s / case.workload.batch_samples,
        "peak_error": expected.total_bytes / found.live_peak_bytes - 1,
        "resting_error": expected.static_bytes / found.resting_bytes - 1,
        "resident_error": expected.total_bytes / found.resident_peak_bytes - 1,  # allocators and libraries take more
    }


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """By model, the numbers that the targets of this study are about; what was not measured is not there."""
    return {
        name: _of_model([row for row in rows if row["model"] == name]) for name in {row["model"]: 0 for row in rows}
    }


def _of_model(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    by = {row["technique"]: row for row in rows if not row["reason"]}
    found: dict[str, Any] = {
        "predicted_memory_errors": {technique: row["peak_error"] for technique, row in by.items()},
        "seconds_per_sample": {technique: row["seconds_per_sample"] for technique, row in by.items()},
        "not_measured": {row["technique"]: row["reason"] for row in rows if row["reason"]},
    }
    if FILLS in by:
        found["writing_share"] = by[FILLS]["writing_share"]
    if CACHED in by:
        found["cached_vs_uncached_max_diff"] = by[CACHED]["max_diff"]
        found["parameters_moved"] = by[CACHED]["moved"]
    if {FULL, CACHED} <= by.keys():
        for figure, column in (
            ("memory_reduction", "live_peak_bytes"),
            ("resident_memory_reduction", "resident_peak_bytes"),
            ("time_reduction", "iteration_s"),
        ):
            found[figure] = 1 - by[CACHED][column] / by[FULL][column]
    return found


def in_a_process(case: Case) -> Measured | str:
    """What a process of its own finds, or why it found nothing; a mistake there is one here."""
    context = multiprocessing.get_context("forkserver")  # a case begins with the libraries and nothing else
    context.set_forkserver_preload([measure.__module__])
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(theirs, case), daemon=True)
    process.start()
    theirs.close()
    try:
        found: Measured | Exception = ours.recv()
    except EOFError:
        process.join()
        killed = ": it was killed, as for want of memory" if process.exitcode == -signal.SIGKILL else ""
        return f"its process ended with exit code {process.exitcode}{killed}"
    finally:
        process.kill()
        process.join()
    if isinstance(found, Exception):
        raise found
    return found


def _work(told_to: Connection, case: Case) -> None:
    try:
        told_to.send(measure(case))
    except Exception as error:
        told_to.send(error)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the table and name it; 2 for a mistake."""
    parser = command_parser("experiments.pac.measured", __doc__)
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--models", nargs="+", default=list(MODELS), help="files of conf/model (default: both)")
    parser.add_argument("--techniques", nargs="+", choices=TECHNIQUES, default=list(TECHNIQUES), help="default: all")
    parser.add_argument("--samples", type=int, default=16, help="of a batch (default: 16)")
    parser.add_argument("--tokens", type=int, default=128, help="of a sample (default: 128)")
    parser.add_argument("--optimiser", default="sgd", help="sgd, as published, momentum or adam (default: sgd)")
    parser.add_argument("--learning-rate", type=float, default=0.05, help="default: 0.05")
    parser.add_argument("--iterations", type=int, default=2, help="that are timed (default: 2)")
    parser.add_argument("--pairs", type=int, default=3, help="of iterations with and without writing (default: 3)")
    parser.add_argument("--threads", type=int, default=cores, help=f"that compute (default: all cores here, {cores})")
    parser.add_argument("--override", nargs="*", default=[], help="of the configuration, as model.hidden=64")
    parser.add_argument("--scratch", type=Path, help="folder of the cache (default: the system's for temporary files)")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the table (default: results)")
    options = parser.parse_args(arguments)
    for name in ("iterations", "pairs", "threads"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(options, name)}")
    if CACHED in options.techniques and FILLS not in options.techniques:
        parser.error(f"{CACHED} learns from what {FILLS} keeps (name both)")
    given = list(sys.argv[1:] if arguments is None else arguments)
    return told(lambda: _study(options, given))


def _study(options: argparse.Namespace, given: Sequence[str]) -> int:
    folder = options.results / FOLDER
    refuse_unwritable(folder)
    rows = _of_other_models(folder / "table.csv", options.models)
    kept = len(rows)
    console = Console()
    with scratch_folder(within=options.scratch) as scratch:
        for name, technique, case in list(cases(options, scratch)):
            row = row_of(name, technique, case, in_a_process(case))
            rows.append(row)
            console.print(_said(row), soft_wrap=True)
            write_text(folder / "table.csv", to_csv(DataFrame(rows)))
            write_text(folder / "summary.json", json_text(summary(rows)))
            if len(rows) == kept + 1:
                entry = made(command("experiments.pac.measured", given), settings={"cores": os.cpu_count()})
                record(folder, ["table.csv", "summary.json"], entry, in_part=kept > 0)
    print(f"{len(rows)} rows in {folder}")
    return 0


def _of_other_models(path: Path, models: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of a table that was written before, but for those that are measured now."""
    if not path.exists():
        return []
    with reading(str(path), "table of measured techniques", written_by="python -m experiments.pac.measured"):
        table = read_csv(path, keep_default_na=False, na_values=[""], dtype={"reason": object})
        table["reason"] = table["reason"].fillna("")
        return [
            {str(name): value for name, value in row.items()}
            for row in table[~table["model"].isin(models)].to_dict("records")
        ]


def _said(row: dict[str, Any]) -> str:
    where = f"{row['model']}, {row['technique']}"
    if row["reason"]:
        return f"{where}: {row['reason']}"
    return (
        f"{where}: {row['live_peak_bytes'] / 1e6:.1f} MB of tensors (predicted {row['peak_error']:+.1%}), "
        f"{row['resident_peak_bytes'] / 1e6:.1f} MB resident, {row['seconds_per_sample']:.4g} s for a sample"
    )


if __name__ == "__main__":
    sys.exit(main())
