"""How near is the simulator, workload by workload and kind of task by kind? From tables that validations have written.

    make fidelity                      # calibrates and plays all workloads, and then this: under half an hour
    python -m experiments.fidelity

Reads results/validation/fidelity/*.csv, which ``experiments.validate experiment=fidelity_<workload>`` writes, and
writes beside them: fidelity.md (the tables shown) and parity.pdf and .png (a panel per workload).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from edgesim.errors import text_of
from experiments.analysis.fidelity import FIDELITY, FidelityRow, from_csv, summary
from experiments.analysis.task_kinds import LEAST_PART, kind_errors
from experiments.configuration.command_line import run_command
from experiments.configuration.result_folders import write_text
from experiments.figures.parity import tables_figure
from experiments.figures.style import save

Tables = Mapping[str, Sequence[FidelityRow]]


def fidelity(cfg: DictConfig) -> None:
    """Show and write what all workloads' tables say together."""
    folder = Path(cfg.results) / "validation" / FIDELITY
    tables = read_tables(folder)
    said = f"{workloads_markdown(tables)}\n{kinds_markdown(tables)}"
    write_text(folder / "fidelity.md", said)
    Console().print(said, highlight=False, soft_wrap=True)
    print(f"Parity plot: {save(tables_figure(tables), folder / 'parity')}")


def read_tables(folder: Path) -> dict[str, list[FidelityRow]]:
    """Every workload's table in which a plan was played. Raises ValueError if there is none."""
    paths = sorted(folder.glob("*.csv"))
    tables = {path.stem: from_csv(text_of(path, "table"), source=str(path)) for path in paths}
    tables = {name: rows for name, rows in tables.items() if summary(rows)["plans"]}
    if not tables:
        raise ValueError(f"{folder} holds no table with a played plan (say make fidelity)")
    return tables


def workloads_markdown(tables: Tables) -> str:
    """A line per workload, and one for all plans together."""
    lines = ["| workload | plans | median error | worst | disturbed | failed |", "|---|---|---|---|---|---|"]
    together = [row for rows in tables.values() for row in rows]
    for name, rows in (*tables.items(), ("all", together)):
        found = summary(rows)
        errors = " | ".join(f"{found[key]:.1%}" for key in ("median_abs_error", "worst_abs_error"))
        lines.append(
            f"| {name} | {found['plans']} | {errors} | {len(found.get('disturbed', ()))} | {len(found['failed'])} |"
        )
    return "\n".join(lines) + "\n"


def kinds_markdown(tables: Tables) -> str:
    """A line per kind of task."""
    lines = [
        f"Kinds of tasks, in plans where they take {LEAST_PART:.0%} of the time or more:\n",
        "| kind | plans | median error | median \\|error\\| | worst |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {each.kind} | {each.plans} | {each.error:+.1%} | {each.abs_error:.1%} | {each.worst:+.1%} |"
        for each in kind_errors(tables.values())
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Do what the command line says."""
    run_command(fidelity, about=__doc__)


if __name__ == "__main__":
    main()
