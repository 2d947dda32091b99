"""Does anything say ``measured`` of energy that no meter read? Columns, texts of figures, sentences of code."""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from builders import chain, homogeneous, linear_profile, pipeline_plan, play, workload
from matplotlib.text import Text
from rich.console import Console
from rich.table import Table
from table_builders import made

from edgesim.job import Activity, JobSpan, JobTrace, measure_job
from edgesim.metrics import measure
from experiments.analysis.tidy import METRICS, PROVENANCE, read_table
from experiments.collect import tidy
from experiments.figures.catalogue import load_figure
from experiments.figures.panels import figure_of
from experiments.jobs.table import job_table
from experiments.sweeps.rows import FIGURES, METERED, OPTIONAL_FIGURES, STATE_FIGURES, real_column
from experiments.tables.metrics import metrics_table

ROOT = Path(__file__).parent.parent
MEASURED = re.compile(r"\bmeasured\b", re.IGNORECASE)
ENERGY = re.compile(r"energy|joule|\bwatts?\b|\d J\b|carbon|battery|_j\b|_js\b", re.IGNORECASE)
# How a text may speak of both: it says whose times are measured, that no meter read, or that one did.
FINE = re.compile(
    r"measured times|simulated or a? ?measured|measured trace|measured only|meters?\b|sensor|evidence|computed|"
    r"(not|never|nobody|neither is|only what was) (called )?measured",
    re.IGNORECASE,
)


def wrong(texts: Sequence[str]) -> list[str]:
    """Those that call energy measured, and do not say what of it is."""
    return [text for text in texts if MEASURED.search(text) and ENERGY.search(text) and not FINE.search(text)]


def test_the_test_finds_what_it_is_for() -> None:
    assert wrong(["measured energy", "3 J measured", "joules, as measured", "measured.energy_j"])
    assert not wrong(["energy from measured times", "measured seconds", "nobody measured a joule"])


# --- columns ----------------------------------------------------------------------------------------------------------


def test_no_column_of_a_sweep_calls_measured_what_is_computed_from_watts() -> None:
    names = (*FIGURES, *OPTIONAL_FIGURES, *STATE_FIGURES, "energy_source", "carbon_source", "disturbed")
    columns = [real_column(name) for name in names]
    assert wrong(columns) == []
    assert real_column("makespan_s") == "measured.makespan_s"
    assert real_column("energy_j") == "from_measured_times.energy_j"
    assert not any(MEASURED.search(name) for name in METERED)


def test_no_column_of_a_tidy_table_calls_energy_measured() -> None:
    assert wrong(sorted(METRICS | PROVENANCE)) == []


@pytest.mark.parametrize("path", sorted((ROOT / "results").glob("*/table.csv")), ids=lambda path: path.parent.name)
def test_kept_tables_say_of_every_executed_run_that_its_joules_are_from_measured_times(path: Path) -> None:
    table = read_table(path)
    assert wrong([str(column) for column in table.columns]) == []
    if "player" in table and "energy_j" in table:
        real = table[(table["player"] == "measured") & table["energy_j"].notna()]
        assert set(real["energy_from"] if len(real) else ()) <= {"measured times"}


def runs(**more: object) -> pd.DataFrame:
    """A sweep's row of an executed run."""
    row = made() | {"key": "k", "overrides": "[]", "finished": "now", "energy_source": "assumed"}
    return pd.DataFrame([row | {"measured.makespan_s": 3.0} | more])


def test_joules_of_older_sweeps_are_read_whatever_their_column_was_called() -> None:
    old, new = runs(**{"measured.energy_j": 40.0}), runs(**{"from_measured_times.energy_j": 41.0})
    for table, joules in ((old, 40.0), (new, 41.0), (pd.concat([old, new]), 40.0)):
        real = tidy(table).query("player == 'measured'")
        assert real["energy_j"].iloc[0] == joules
        assert set(real["energy_from"]) == {"measured times"}


def test_what_meters_read_has_columns_of_its_own_with_what_kind_it_is() -> None:
    read = {"energy_per_sample_j": 2.5, "coverage": 0.99, "evidence": "measured", "covers": "module"}
    table = tidy(runs(**{f"metered.{name}": value for name, value in read.items()}))
    real, simulated = (table[table["player"] == player].iloc[0] for player in ("measured", "simulated"))
    assert {name: real[f"metered_{name}"] for name in METERED} == read
    assert simulated[[f"metered_{name}" for name in METERED]].isna().all()
    assert "metered_coverage" not in tidy(runs())


# --- tables and figures -----------------------------------------------------------------------------------------------


def lines(table: Table) -> list[str]:
    """A table as it is printed: heads together, then every row with the heads above its cells."""
    heads = [str(column.header) for column in table.columns]
    cells = list(zip(*([str(cell) for cell in column.cells] for column in table.columns), strict=True))
    rows = [f"{row[0]} {head}" for row in cells for head in heads[1:]]
    console = Console(width=200)
    with console.capture() as said:
        console.print(table.caption or "")
    return [*heads, str(table.title), *rows, *said.get().splitlines()]


def test_a_run_s_table_says_what_its_joules_are_computed_from() -> None:
    model, cluster = chain(2), homogeneous(2)
    trace = play(pipeline_plan(model, micro_batches=2), model, cluster, linear_profile(model, cluster))
    metrics = measure(trace, cluster=cluster, model=model, workload=workload(micro_batches=2))
    both = [metrics, replace(metrics, player="measured")]
    assert wrong(lines(metrics_table(both))) == []


def test_a_job_s_table_calls_its_joules_computed() -> None:
    model, cluster = chain(2), homogeneous(2)
    trace = play(pipeline_plan(model, micro_batches=2), model, cluster, linear_profile(model, cluster))
    span = JobSpan(activity=Activity.TRAINING, start_s=0.0, end_s=trace.makespan_s, trace=trace)
    jobs = [
        JobTrace(player=player, spans=(span,), resumptions=(), batch_samples=2) for player in ("simulated", "measured")
    ]
    metrics = [measure_job(job, cluster=cluster, model=model, workload=workload(micro_batches=2)) for job in jobs]
    table = job_table(metrics)
    names = [str(cell) for cell in table.columns[0].cells]
    assert "computed energy" in names
    assert "energy" not in names


@pytest.mark.parametrize("name", ["time_energy"])
def test_a_figure_of_joules_says_from_whose_times_they_are(name: str) -> None:
    rows = [made(player=player, energy_from=f"{player} times") for player in ("simulated", "measured")]
    figure = figure_of(load_figure(name), pd.DataFrame(rows))
    texts = [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)]
    assert any("from measured times" in text for text in texts)
    assert wrong(texts) == []
    assert "measured" not in texts


# --- sentences --------------------------------------------------------------------------------------------------------


def sentences(path: Path) -> Iterator[str]:
    """All texts of a module: those that are shown, and those that say what it does, sentence by sentence."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            parts = (part.value for part in node.values if isinstance(part, ast.Constant))
            yield "".join(part for part in parts if isinstance(part, str))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.split(r"(?<=[.;:])\s", node.value)


SHOWN = sorted(
    path
    for folder in ("tables", "figures", "jobs", "api", "analysis", "energy_study", "metering", "execution", "explain")
    for path in (ROOT / "experiments" / folder).rglob("*.py")
)


def test_no_text_that_is_shown_calls_energy_measured_that_no_meter_read() -> None:
    found = {str(path.relative_to(ROOT)): bad for path in SHOWN if (bad := wrong(list(sentences(path))))}
    assert found == {}
