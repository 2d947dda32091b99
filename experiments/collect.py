"""Which figures came out of a sweep? Its runs as a tidy table: a row per run and player, SI units, sorted.

    python -m experiments.collect parallelisms    # results/sweeps/parallelisms -> results/parallelisms/table.csv
    python -m experiments.collect parallelisms --results results --out elsewhere.csv

Columns: what was run (study, cluster, model, strategy, planner, method, devices, bandwidth_bit_per_s, batch_samples,
and whatever else the sweep varied), the player, what came out, and the profile behind it. What changes with every run
of the same command (dates, versions) stays in the sweep's Parquet file.

Joules of an executed run are computed from its measured times and the watts of ``energy_source``: ``energy_from`` says
so. What meters read stands in columns of its own, ``metered_energy_per_sample_j`` with its evidence (measured,
estimated or synthetic), what it covers and how much of the run was seen. Nobody measures bytes held: the peak memory of
an executed run would be computed from the plan, as the simulated run's is, and stands in the simulated row only.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.analysis.tidy import IDENTITY, telling, with_numbers
from experiments.commands import command_parser
from experiments.configuration.command_line import told
from experiments.configuration.provenance import Tree, command, made, record
from experiments.configuration.result_folders import refuse_unwritable, write_text
from experiments.configuration.studies import table_path
from experiments.configuration.suggestions import suggestion
from experiments.sweeps.rows import (
    FIGURES,
    INTERVAL_FROM,
    INTERVAL_KIND,
    INTERVAL_PLANS,
    METERED,
    OPTIONAL_FIGURES,
    STATE_FIGURES,
    real_column,
)
from experiments.sweeps.run_table import RunTable

WHICH = tuple(name for name in IDENTITY if name not in {"plan", "kind", "player"})
OUTCOME = ("iterations", *FIGURES, "makespan_low_s", "makespan_high_s")
OPTIONAL = (
    *OPTIONAL_FIGURES,
    "carbon_source",
    INTERVAL_PLANS,
    INTERVAL_KIND,
    INTERVAL_FROM,
)  # columns only where a run has them
PROVENANCE = ("placement", "profile_hash", "profile_origin", "energy_source", "status", "reason")
PROVENANCE_OF_BOTH = tuple(
    name for each in PROVENANCE for name in ((each, "energy_from") if each == "energy_source" else (each,))
)
COMPUTED_ONCE = "peak_bytes"
PURPOSE = "config.workload.purpose"
MORE = "config.study.columns"  # further figures that a study's table shows, as its file names them
# What is read of a sweep's table, which has every value of every configuration.
NEEDED = frozenset(
    {
        *("key", "overrides", "finished", "git_commit", "git_dirty", PURPOSE, MORE),
        *(*WHICH, *OUTCOME, *OPTIONAL, *STATE_FIGURES, *PROVENANCE, "disturbed"),
        *(f"measured.{name}" for name in (*OUTCOME, *OPTIONAL, *STATE_FIGURES, "disturbed", "energy_source")),
        *(real_column(name) for name in (*OUTCOME, *OPTIONAL, *STATE_FIGURES)),
        *(f"metered.{name}" for name in METERED),
    }
)
_OF_EACH_RUN = ("key", "overrides", "finished")  # long texts, which no other run has
# Overrides that these columns usually tell.
_TOLD = {
    "study",
    "cluster",
    "cluster.count",
    "model",
    "workload",
    "data",
    "strategy",
    "planner",
    "method",
    "profile",
    "network.rate",
    "network.calibrated",
    "disks",
}


def tidy(runs: pd.DataFrame) -> pd.DataFrame:
    """The tidy table of a sweep's runs; an executed run has a second row, of player ``measured``."""
    missing = [name for name in (*WHICH, *OUTCOME, *PROVENANCE) if name not in runs]
    runs = runs.assign(**dict.fromkeys(missing))
    varied = _varied(runs)
    runs = runs.drop(columns=[name for name in _OF_EACH_RUN if name in runs]).assign(**varied)
    outcome = (*OUTCOME, *(name for name in OPTIONAL if name in runs and runs[name].notna().any()), *_asked(runs))
    simulated = runs.assign(player="simulated", iterations=1)
    rows = [simulated]
    if "measured.makespan_s" in runs and runs["measured.makespan_s"].notna().any():
        real = runs[runs["measured.makespan_s"].notna()]
        measured = {name: _real(real, name) for name in outcome[1:]} | {COMPUTED_ONCE: None}
        rows.append(real.assign(player="measured", **measured))
        if real.get("measured.disturbed", pd.Series(dtype=float)).notna().any():
            outcome = (*outcome, "disturbed")
            rows = [simulated.assign(disturbed=None), rows[1].assign(disturbed=real["measured.disturbed"])]
        if real.get("metered.evidence", pd.Series(dtype=object)).notna().any():
            names = {name: f"metered_{name}" for name in METERED}
            outcome = (*outcome, *names.values())
            metered = {column: real[f"metered.{name}"] for name, column in names.items()}
            rows = [rows[0].assign(**dict.fromkeys(metered)), rows[1].assign(**metered)]
        rows = [part.assign(energy_from=part["player"] + " times") for part in rows]
    columns = [*WHICH, *varied, "player", *outcome, *(PROVENANCE if len(rows) == 1 else PROVENANCE_OF_BOTH)]
    table = pd.concat([part[columns] for part in rows], ignore_index=True)
    return table.sort_values([*WHICH, *varied, "player"], kind="stable").reset_index(drop=True)


def _real(runs: pd.DataFrame, name: str) -> pd.Series | None:
    """A figure of executed runs; tables of older versions called all of them measured."""
    now, then = runs.get(real_column(name)), runs.get(f"measured.{name}")
    return then if now is None else now if then is None else now.fillna(then)


def _asked(runs: pd.DataFrame) -> tuple[str, ...]:
    """The further figures for which the study asks. Raises ValueError for one that no run has."""
    texts = runs[MORE].dropna().unique() if MORE in runs else ()
    asked = dict.fromkeys(name for text in texts for name in json.loads(text))
    for name in asked:
        if name not in STATE_FIGURES:
            raise ValueError(f"study.columns: {name!r} is no further figure{suggestion(name, STATE_FIGURES)}")
    return tuple(asked)


def _varied(runs: pd.DataFrame) -> dict[str, list[str | None]]:
    """Columns for the overrides that differ between runs, unless other columns tell them apart already."""
    columns: dict[str, list[str | None]] = {}
    held: dict[str, tuple[str, str]] = {}  # the words of all runs are few, and each is held once
    for place, text in enumerate(runs["overrides"]):
        for word in json.loads(text):
            name, value = held.setdefault(word, _split(word))
            columns.setdefault(name, [None] * len(runs))[place] = value
    varied = {name: columns[name] for name in sorted(columns) if len(set(columns[name])) > 1}
    kept = [name for name in varied if name not in _TOLD]
    asked = [name for name in varied if name in _TOLD and name not in WHICH]
    more = telling(runs[list(WHICH)].assign(**varied), asked, same=[*WHICH, *kept])
    return {name: varied[name] for name in sorted([*kept, *more])}


def _split(override: str) -> tuple[str, str]:
    """Key and value."""
    key, _, value = override.partition("=")
    return key, value


def collect(name: str, results: Path) -> pd.DataFrame:
    """The tidy table of the sweep ``name``. Raises ValueError if there is none."""
    return tidy(finished_runs(name, results))


def finished_runs(name: str, results: Path) -> pd.DataFrame:
    """The rows of the sweep ``name``. Raises ValueError if there is none."""
    folder = results / "sweeps" / name
    if not folder.exists():
        known = [path.name for path in (results / "sweeps").glob("*")]
        raise ValueError(f"no sweep {name!r} in {results / 'sweeps'}{suggestion(name, known)}")
    runs = RunTable(folder).rows(NEEDED)
    if runs.empty:
        raise ValueError(f"the sweep {name!r} in {folder} has no finished run yet")
    return with_numbers(runs, source=str(folder))


def made_by_runs(runs: pd.DataFrame, name: str) -> dict[str, Any]:
    """The provenance of a table collected from these runs: the code that matters is that which made them."""
    commits = sorted(set(runs["git_commit"].dropna()))
    known = len(commits) > 0 and runs["git_commit"].notna().all()
    dirty = runs["git_dirty"].astype(bool).any()
    return made(command("experiments.collect", [name])) | {
        "commit": ", ".join(commits) or None,
        "tree": str(Tree.NOT_RECORDED if not known else Tree.DIRTY if dirty else Tree.CLEAN),
        "date": str(runs["finished"].max())[:10],
    }


def to_csv(table: pd.DataFrame) -> str:
    """As text that reads back to the last bit."""
    return str(table.to_csv(index=False, lineterminator="\n"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Collect one sweep; 2 for a mistake."""
    parser = command_parser("experiments.collect", __doc__)
    parser.add_argument("name", help="of the sweep or study")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder (default: results)")
    parser.add_argument("--out", type=Path, help="file to write (default: RESULTS/NAME/table.csv)")
    asked = parser.parse_args(arguments)
    return told(lambda: _collect(asked.name, asked.results, asked.out or table_path(asked.results, asked.name)))


def _collect(name: str, results: Path, out: Path) -> int:
    runs = finished_runs(name, results)
    table = tidy(runs)
    refuse_unwritable(out.parent)
    write_text(out, to_csv(table))
    record(out.parent, [out.name], made_by_runs(runs, name))
    print(f"{len(table)} rows in {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
