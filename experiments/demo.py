"""The demonstration: three unequal emulated devices train BERT-small together, in three ways, simulated and for real.

    python -m experiments.demo                       # or: make demo; about two minutes on two cores
    python -m experiments.demo testbed=loopback network.rate="20 Mbit/s"

Calibrates the testbed, plans data parallelism, a pipeline and a hybrid pipeline (of each the best plan that the
simulator finds), plays all in both players, prints one table and writes results/demo/: table.md, gantt.pdf and .png,
trace.perfetto.json, report.html (a page for a browser), and a folder per plan.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import Progress

from edgesim.perfetto import save_perfetto
from edgesim.plan import Depth, Plan
from edgesim.planners.baselines.exhaustive import exhaustive
from edgesim.schedule import Schedule
from edgesim.strategies import Strategy
from edgesim.trace import Trace
from experiments.analysis.placements import in_words
from experiments.calibrate import calibrate, describe, leave_one_out, progress_bar
from experiments.commands import as_typed
from experiments.configuration.command_line import run_command
from experiments.configuration.constructors import build
from experiments.configuration.network_file import save_network
from experiments.configuration.result_folders import json_text, versions, whole_folder
from experiments.configuration.setup import Setup, read_setup, refuse_to_execute
from experiments.execution.assignments import execute, make_assignment
from experiments.explain.worlds import Side, World
from experiments.figures.one_run.gantt import gantt_figure
from experiments.figures.style import save
from experiments.report.run_page import PAGE, ShownRun, page_of_ways
from experiments.tables.comparison import ComparisonRow, comparison_markdown, comparison_table
from experiments.validate import strategy_named
from real_runtime.execution import Execution
from real_runtime.other_load.foreign_load import told
from real_runtime.testbeds.opening import open_testbed
from real_runtime.testbeds.repeating import disturbance
from real_runtime.testbeds.testbed import Testbed


@dataclass(frozen=True, kw_only=True)
class Contest:
    """One way to share the model: its plan, and what both players made of it."""

    name: str
    world: World
    schedule: Schedule
    simulated: Trace
    execution: Execution

    @property
    def plan(self) -> Plan:
        """Where everything lives."""
        return self.world.plan

    @property
    def measured(self) -> tuple[Trace, ...]:
        """The iterations that count."""
        return self.execution.traces

    @property
    def typical(self) -> Trace:
        """The measured iteration of median length (the faster of two)."""
        return sorted(self.measured, key=lambda trace: trace.makespan_s)[(len(self.measured) - 1) // 2]


def demo(cfg: DictConfig) -> None:
    """Calibrate, plan, simulate, execute, compare, draw."""
    nominal = read_setup(cfg)
    refuse_to_execute(nominal)
    print(f"{nominal.model}\n{nominal.cluster}\nopening the testbed ...")
    with open_testbed(build(cfg.testbed), nominal.cluster, build(cfg.data)) as testbed, progress_bar() as progress:
        progress.console.print(f"testbed: {testbed.description}", soft_wrap=True, highlight=False)
        setup = nominal.calibrated(*calibrate(testbed, nominal, cfg.calibration, progress))
        contests = compete(cfg, setup, testbed, progress)
    print(f"calibration: leave-one-out error {leave_one_out(setup.profile)}; {describe(setup.cluster.network)}")
    table = [row(contest, setup) for contest in contests]
    folder = Path(cfg.results) / "demo"
    write(folder, cfg, setup, contests, table)
    watts = setup.measure(contests[0].simulated).energy_source
    Console().print(comparison_table(table, watts=watts))
    page = as_typed("python -m experiments.run --help")
    print(
        f"Look next at {folder / PAGE} in a browser: a timeline to zoom into, simulated above measured, and why each\n"
        f"takes its time; at {folder / 'gantt.png'}; and make a run of your own: {page}."
    )


def compete(cfg: DictConfig, setup: Setup, testbed: Testbed, progress: Progress) -> list[Contest]:
    """Each way's best plan in the simulator, then on the testbed; one iteration warms up and is not counted."""
    contests = []
    task = progress.add_task("playing", total=len(cfg.demo))
    for name, way in cfg.demo.items():
        progress.update(task, description=f"playing {name}")
        strategy = strategy_named(way.strategy)
        groups: Any = OmegaConf.to_container(way.groups) if OmegaConf.is_config(way.groups) else way.groups
        best = partial(best_plan, strategy=strategy, groups=groups, depth=Depth(way.depth))
        plan = best(setup)
        schedule = strategy(plan, setup.model, setup.workload)
        assignment = make_assignment(cfg, setup, schedule, cfg.iterations)
        execution = execute(testbed, assignment, scenario=setup.scenario)
        if said := disturbance(execution):
            progress.console.print(f"[yellow]{name}: {said}[/yellow]", soft_wrap=True)
        simulated = setup.simulate(schedule)
        world = World(setup=setup, plan=plan, strategy=strategy, replan=best)
        contests.append(
            Contest(name=str(name), world=world, schedule=schedule, simulated=simulated, execution=execution)
        )
        progress.advance(task)
    progress.update(task, description="played")
    return contests


def best_plan(setup: Setup, *, strategy: Strategy, groups: Any, depth: Depth) -> Plan:
    """The best plan of these groups that the simulator finds."""
    return exhaustive(setup.problem, groups=groups, depth=depth, evaluate=partial(setup.seconds, strategy=strategy))


def shown(contest: Contest) -> ShownRun:
    """What a page shows of it: the simulated iteration, and a typical measured one."""
    traces = (contest.simulated, contest.typical)
    return ShownRun(
        name=contest.name,
        sides=tuple(Side(name=trace.player, trace=trace, world=contest.world) for trace in traces),
        disturbed=told(contest.execution.disturbed, "iterations"),
    )


def row(contest: Contest, setup: Setup) -> ComparisonRow:
    """The contest's figures; seconds are the median of the measured iterations."""
    metrics = [setup.measure(trace) for trace in contest.measured]
    each_s = [m.makespan_s for m in metrics]
    measured_s = median(each_s)
    return ComparisonRow(
        strategy=contest.name,
        plan=in_words(contest.plan, [device.name for device in setup.cluster.devices]),
        simulated_s=contest.simulated.makespan_s,
        measured_s=measured_s,
        samples_per_s=setup.workload.batch_samples / measured_s,
        energy_j=median(m.energy_j for m in metrics),
        peak_bytes=max(metrics[-1].peak_bytes),
        disturbance=told(contest.execution.disturbed, "iterations"),
        range_s=(min(each_s), max(each_s)) if len(each_s) > 1 else None,
    )


def named(trace: Trace, name: str) -> Trace:
    """Tell the contests apart where their traces stand in one file."""
    return replace(trace, player=f"{name}, {trace.player},")


def write(
    target: Path, cfg: DictConfig, setup: Setup, contests: Sequence[Contest], table: Sequence[ComparisonRow]
) -> None:
    """Everything, whole or not at all."""
    with whole_folder(target) as folder:
        (folder / "config.yaml").write_text(OmegaConf.to_yaml(cfg, resolve=True))
        (folder / "versions.json").write_text(json_text(versions() | {"seed": cfg.seed}))
        (folder / "table.md").write_text(comparison_markdown(table))
        setup.profile.save(folder / "profile.json")
        save_network(folder / "network.json", setup.cluster.network)
        for contest in contests:
            place = folder / contest.name
            place.mkdir()
            (place / "plan.json").write_text(contest.plan.to_json())
            (place / "schedule.txt").write_text(contest.schedule.to_text())
            (place / "simulated.jsonl").write_text(contest.simulated.to_lines())
            (place / "measured.jsonl").write_text(contest.typical.to_lines())
            metrics = {trace.player: setup.measure(trace).to_dict() for trace in (contest.simulated, contest.typical)}
            disturbed = {"disturbed": contest.execution.disturbed} if contest.execution.disturbed else {}
            (place / "metrics.json").write_text(json_text(metrics | disturbed))
        save_perfetto(
            folder / "trace.perfetto.json", [named(t, c.name) for c in contests for t in (c.simulated, c.typical)]
        )
        config, made_with = ((folder / name).read_text() for name in ("config.yaml", "versions.json"))
        ways, typed = [shown(contest) for contest in contests], as_typed("python -m experiments.demo")
        (folder / PAGE).write_text(page_of_ways("demo", ways, config, made_with, typed))
        names = [device.name for device in setup.cluster.devices]
        panels = [(f"{c.name}:  {in_words(c.plan, names)}", (c.simulated, c.typical)) for c in contests]
        save(gantt_figure(panels, ranks=names), folder / "gantt")


def main() -> None:
    """Do what the command line says."""
    run_command(demo, about=__doc__, experiment="demo")


if __name__ == "__main__":
    main()
