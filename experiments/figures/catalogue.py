"""Which figures can be drawn from what lies in a results folder? Those of its studies, its validations and its runs.

STUDY/table.csv            the figures that conf/experiment/*.yaml names under ``study.figures``
validation/TESTBED_*.csv   a parity plot per testbed
fidelity/table.csv         plans that were drawn, in both players, by part
testbed/table.csv          the same over SSH, on hosts of a lab
published/costs.csv        DeTransformer's curves
planner_bench/table.csv    regrets and planning times of all planners
planner_bench/regret.csv   their measured regrets
asteroid/timeline.csv      how training goes on after a loss, by policy
asteroid/goodput.csv       what is left of it where losses are many
pac_learning/table.csv     how well techniques of fine-tuning learn, epoch by epoch
pac_studies/*.csv          hours, throughput and epochs of PAC beside published ones; when a cache is worth its disk
energy_*/table.csv         joules of ways to share, by state, over bandwidth and over mini-batches
energy/fronts.csv          plans for energy beside the fastest one with its clocks turned down
energy/watts.csv           which watt decides the order of two ways to share
simulator_speed/growth.csv     what the steps of a simulation cost over tasks
simulator_speed/iteration.csv  how long an iteration takes, of who plays it
RUN/schedule.txt           a run's folder, kept: its Gantt chart, and its memory and power over time
"""

import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import cast

import pandas as pd
from matplotlib.figure import Figure
from pandas import DataFrame

from experiments.analysis.tidy import Value, read_table, records
from experiments.configuration.places import CONF
from experiments.configuration.studies import Study, studies, table_path
from experiments.configuration.suggestions import suggestion
from experiments.figures.detransformer import curves
from experiments.figures.energy import (
    energy_by_state,
    energy_fronts,
    energy_over_bandwidth,
    energy_over_batches,
    executed_by_state,
    order_over_watts,
)
from experiments.figures.jobs import goodput_over_losses, recovery_by_policy
from experiments.figures.one_run.gantt import gantt_figure, load
from experiments.figures.pac import (
    cache_worth,
    hours_by_system,
    hours_over_epochs,
    learning_curves,
    throughput_over_nanos,
)
from experiments.figures.panels import Drawing, figure_of
from experiments.figures.parity import COLUMNS as COLUMNS_OF_PLANS
from experiments.figures.parity import parity_figure, parts_figure
from experiments.figures.planners import COLUMNS
from experiments.figures.simulator import cost_over_size, iteration_speed
from experiments.planner_regret.rows import NEEDS_BY_PLANNER
from experiments.planner_regret.summary import REGRET

HERE = Path(__file__).parent
# What a measured run and a simulated one must have in common to be drawn as one method's.
SAME = ["cluster", "model", "method", "devices", "bandwidth_bit_per_s", "batch_samples", "placement", "profile_hash"]

# Folders of results whose tables have a figure of their own.
_OF_FILES: Mapping[str, Mapping[str, Sequence[ModuleType]]] = {
    "simulator_speed": {"growth.csv": (cost_over_size,), "iteration.csv": (iteration_speed,)},
    "asteroid": {"timeline.csv": (recovery_by_policy,), "goodput.csv": (goodput_over_losses,)},
    "pac_studies": {
        "hours.csv": (hours_by_system,),
        "throughput.csv": (throughput_over_nanos,),
        "claims.csv": (hours_over_epochs,),
        "worth.csv": (cache_worth,),
    },
    "pac_learning": {"table.csv": (learning_curves,)},
    "energy_parallelisms": {"table.csv": (energy_by_state, energy_over_bandwidth)},
    "energy_executed": {"table.csv": (executed_by_state,)},
    "energy_batches": {"table.csv": (energy_over_batches,)},
    "energy": {"fronts.csv": (energy_fronts,), "watts.csv": (order_over_watts,)},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A figure that can be drawn, and where it belongs; ``of`` names the study, run or validation."""

    of: str
    stem: Path
    make: Callable[[], Figure]


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """Where results, configuration files and figures are; those of users come first."""

    results: Path
    conf: tuple[Path, ...] = (CONF,)
    figures: tuple[Path, ...] = (HERE,)


def requests(folders: Folders) -> Iterator[Request]:
    """Every figure that the results folder holds the table of. Raises ValueError for a figure that does not exist."""
    yield from _validations(folders.results / "validation")
    for folder in ("fidelity", "testbed"):
        yield from _drawn_plans(folders.results / folder / "table.csv")
    yield from _published(folders.results / "published" / "costs.csv")
    yield from _planner_bench(table_path(folders.results, "planner_bench"))
    yield from _measured(folders.results / "planner_bench" / REGRET)
    for folder, drawings in _OF_FILES.items():
        yield from _of_files(folders.results / folder, drawings)
    for study in studies(folders.conf):
        table = table_path(folders.results, study.name)
        for name in study.figures if table.exists() else ():
            drawing = load_figure(name, folders.figures)
            yield Request(
                of=study.name,
                stem=table.with_name(name),
                make=partial(_drawn, drawing, table, study, folders.results),
            )
    for schedule in sorted(folders.results.glob("*/schedule.txt")):
        yield from _run(schedule.parent)


def load_figure(name: str, folders: Sequence[Path] = (HERE,)) -> Drawing:
    """A figure's module by its file's name. Raises ValueError if there is none, or it does not draw."""
    known = {path.stem: path for folder in reversed(folders) for path in sorted(folder.glob("[!_]*.py"))}
    if name not in known:
        raise ValueError(f"unknown figure {name!r}{suggestion(name, figure_names(folders))}")
    module = _module(known[name])
    if not hasattr(module, "draw"):
        raise ValueError(f"{known[name]} has no function draw(rows, ax), which a figure needs")
    return cast(Drawing, module)


def figure_names(folders: Sequence[Path] = (HERE,)) -> list[str]:
    """Figures that draw a table: of ours those that say which columns they need."""
    paths = sorted(path for folder in folders for path in folder.glob("[!_]*.py"))
    return [path.stem for path in paths if path.parent != HERE or hasattr(_module(path), "NEEDS")]


def _module(path: Path) -> ModuleType:
    """The file, run anew: it need not lie in a package."""
    spec = importlib.util.spec_from_file_location(f"figure_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _drawn(drawing: Drawing, path: Path, study: Study, results: Path) -> Figure:
    beside, together = ([table_path(results, name) for name in names] for names in (study.beside, study.together))
    return figure_of(drawing, joined(path, beside, together), source=str(path))


def joined(path: Path, beside: Sequence[Path], together: Sequence[Path] = ()) -> DataFrame:
    """A study's table, with what others published, and what they measured of the same plan with the same profile.

    A measurement of another plan, or one that is to be compared with another prediction, would seem to be of the
    simulated number beside which it is drawn. Tables ``together`` are taken whole.
    """
    tables = [read_table(path)]
    for other in (*beside, *together):
        if not other.exists():
            raise ValueError(f"{path} is drawn with {other}, which is not there (run that study, then collect it)")
        more = read_table(other, needs=["player"])
        tables.append(more if other in together else _alike(more, tables[0]))
    # An empty column has no type that pandas could keep.
    return pd.concat([table.dropna(axis="columns", how="all") for table in tables], ignore_index=True).reindex(
        columns=list(dict.fromkeys(column for table in tables for column in table.columns))
    )


def _alike(other: DataFrame, own: DataFrame) -> DataFrame:
    """What another study published, and what it measured of a plan that this one simulated with the same profile."""
    simulated = {_same(row) for row in records(own[own["player"] == "simulated"])}
    kept = [
        row["player"] == "published" or (row["player"] == "measured" and _same(row) in simulated)
        for row in records(other)
    ]
    return other[kept]


def _same(row: Mapping[str, Value]) -> tuple[Value, ...]:
    return tuple(row.get(name) for name in SAME)


def _validations(folder: Path) -> Iterator[Request]:
    for testbed in sorted({path.stem.rpartition("_")[0] for path in folder.glob("*_*mbit.csv")}):
        yield Request(of="validation", stem=folder / f"parity_{testbed}", make=partial(parity_figure, folder, testbed))


def _drawn_plans(table: Path) -> Iterator[Request]:
    if table.exists():
        yield Request(of=table.parent.name, stem=table.with_name("parity"), make=partial(_of_parts, table))


def _of_parts(table: Path) -> Figure:
    return parts_figure(read_table(table, needs=COLUMNS_OF_PLANS))


def _published(table: Path) -> Iterator[Request]:
    if table.exists():
        yield Request(of="published", stem=table.with_name("detransformer"), make=partial(_curves, table))


def _curves(table: Path) -> Figure:
    return figure_of(load_figure("detransformer"), curves(table), source=str(table))


def _planner_bench(table: Path) -> Iterator[Request]:
    for name in ("regret_profile", "planning_time") if table.exists() else ():
        yield Request(of=table.parent.name, stem=table.with_name(name), make=partial(_of_columns, name, table, COLUMNS))


def _measured(table: Path) -> Iterator[Request]:
    if table.exists():
        make = partial(_of_columns, "planner_regret", table, NEEDS_BY_PLANNER)
        yield Request(of=table.parent.name, stem=table.with_name("planner_regret"), make=make)


def _of_files(folder: Path, drawings: Mapping[str, Sequence[ModuleType]]) -> Iterator[Request]:
    for file, modules in drawings.items():
        for drawing in modules if (table := folder / file).exists() else ():
            name = drawing.__name__.rpartition(".")[2]
            yield Request(of=folder.name, stem=folder / name, make=partial(_of_file, drawing, table))


def _of_file(drawing: ModuleType, table: Path) -> Figure:
    rows = read_table(table, needs=drawing.COLUMNS)
    return figure_of(cast(Drawing, drawing), rows, source=str(table))


def _of_columns(name: str, table: Path, columns: Sequence[str]) -> Figure:
    return figure_of(load_figure(name), read_table(table, needs=columns), source=str(table))


def _run(folder: Path) -> Iterator[Request]:
    yield Request(of=folder.name, stem=folder / "gantt", make=partial(_gantt, folder))
    yield Request(of=folder.name, stem=folder / "memory_and_power", make=partial(_series, folder))


def _gantt(folder: Path) -> Figure:
    devices = read_table(folder / "series.csv", needs=["device"])["device"].unique()
    return gantt_figure([(folder.name.replace("_", " "), load(folder))], ranks=list(devices))


def _series(folder: Path) -> Figure:
    path = folder / "series.csv"
    return figure_of(load_figure("memory_and_power"), read_table(path), source=str(path))
