"""Measure whether the simulator chooses well: every plan that planners propose, executed, in many settings.

    python -m experiments.planner_regret
    python -m experiments.planner_regret results=/tmp/try "planner_regret.rates=[100 Mbit/s]"
    python -m experiments.figures planner_bench            # measured regrets, with the bench's figures

Rates and workloads stand in conf/experiment/planner_regret.yaml; each rate with each workload is a setting. A rate's
testbed is calibrated once and stays open; what is proposed, simulated and executed rests on that calibration. A plan
that fails is a row with its reason. Files are written when a rate is done: its settings replace those of a table that
is there, others stay.

Writes to RESULTS/planner_bench/: measured.csv (a row per setting and plan), regret.csv (a row per setting and planner)
and ``measured_regret`` in summary.json. Calibrations: RESULTS/profiles/planner_regret_<testbed>_<rate>.*.json.
"""

from pathlib import Path
from time import perf_counter
from typing import Any

from omegaconf import DictConfig
from pandas import DataFrame
from rich.console import Console
from rich.progress import Progress

from edgesim.strategies import Strategy
from experiments.analysis.tidy import read_table
from experiments.calibrate import calibrate, progress_bar, testbed_name
from experiments.collect import to_csv
from experiments.commands import as_typed
from experiments.configuration.command_line import run_command
from experiments.configuration.constructors import build
from experiments.configuration.network_file import save_network
from experiments.configuration.planners import contending_planners
from experiments.configuration.provenance import command, made, record
from experiments.configuration.result_folders import write_text
from experiments.configuration.setup import Setup, read_setup
from experiments.planner_regret.contenders import Contender, contenders
from experiments.planner_regret.report import setting_table, standings_table, verdict
from experiments.planner_regret.rows import NEEDS, SETTING, by_planner, rows, table, updated
from experiments.planner_regret.settings import check, configurations, expected_s, setting
from experiments.planner_regret.summary import MEASURED, REGRET, measured_regret, merge
from experiments.planner_regret.trials import FreshTestbeds, rounds, trials

_PAGE = 140  # columns of the tables where there is no terminal


def planner_regret(cfg: DictConfig) -> None:
    """All rates, one after the other; how long that will take is said before."""
    check(cfg)
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PAGE)
    settings = len(cfg.planner_regret.rates) * len(cfg.planner_regret.workloads)
    console.print(f"settings: {settings}; about {expected_s(cfg) / 60:.0f} minutes where nothing else runs")
    folder = Path(cfg.results) / "planner_bench"
    began_s, rates = perf_counter(), list(cfg.planner_regret.rates)
    for done, rate in enumerate(rates, 1):
        measured = measured_at(cfg, rate)
        for _, plans in measured.groupby(list(SETTING)):
            console.print(setting_table(plans))
        figures = keep(folder, measured)
        left_s = (perf_counter() - began_s) / done * (len(rates) - done)
        console.print(f"rates measured: {done} of {len(rates)}; about {left_s / 60:.0f} minutes left")
    console.print(standings_table(figures))
    console.print(verdict(figures))
    console.print(as_typed(f"All in {folder} (figure: python -m experiments.figures planner_bench)"))


def measured_at(cfg: DictConfig, rate: str) -> DataFrame:
    """The table of one rate; its calibration is kept."""
    own = configurations(cfg, rate)
    nominal = read_setup(own[0])
    with FreshTestbeds(build(cfg.testbed), nominal.cluster, build(cfg.data)) as testbeds, progress_bar() as progress:
        name = testbed_name(testbeds.testbed, nominal.cluster)
        progress.console.print(testbeds.testbed.description, soft_wrap=True)
        profile, network = calibrate(testbeds.testbed, nominal, cfg.calibration, progress)
        entries: list[dict[str, Any]] = []
        for each in own:
            setup = read_setup(each)
            which = setting(testbeds.testbed.name, setup)
            entries += played(each, which, setup.calibrated(profile, network), testbeds, progress)
    stem = f"{cfg.results}/profiles/planner_regret_{name}"
    profile.save(Path(f"{stem}.profile.json"))
    save_network(Path(f"{stem}.network.json"), network)
    return table(entries)


def played(
    cfg: DictConfig, which: dict[str, Any], setup: Setup, testbeds: FreshTestbeds, progress: Progress
) -> list[dict[str, Any]]:
    """The rows of one setting: planned, simulated and executed with what was calibrated."""
    name = f"{which['batch_samples']} samples by {which['micro_batch_samples']}"
    task = progress.add_task(f"{name}: planning", total=None)
    strategy: Strategy = build(cfg.strategy)
    contending = contenders(setup, strategy, contending_planners(cfg), keep=cfg.planner_regret.keep)
    progress.update(task, total=sum(map(len, rounds(contending, cfg.planner_regret))))

    def tell(contender: Contender) -> None:
        progress.update(task, description=f"{name}: {contender.planners[0]}")

    tried = trials(contending, testbeds, setup, strategy, cfg, tell=tell, advance=lambda: progress.advance(task))
    progress.update(task, description=name)
    return rows(which, setup, contending, tried)


def keep(folder: Path, measured: DataFrame) -> dict[str, Any]:
    """Write what was measured beside what is there; the study so far, in numbers."""
    path = folder / MEASURED
    whole = updated(read_table(path, needs=NEEDS), measured) if path.exists() else measured
    figures = measured_regret(whole)
    write_text(path, to_csv(whole))
    write_text(folder / REGRET, to_csv(by_planner(whole)))
    merge(folder / "summary.json", figures)
    record(folder, [MEASURED, REGRET], made(command("experiments.planner_regret")), in_part=True)
    return figures


def main() -> None:
    """Do what the command line says."""
    run_command(planner_regret, about=__doc__, experiment="planner_regret")


if __name__ == "__main__":
    main()
