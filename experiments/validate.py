"""Validate the simulator: many plans in both players, and how far apart they are.

    python -m experiments.validate testbed=netns
    python -m experiments.validate testbed=loopback "validation.rates=[{rate: 100 Mbit/s, iterations: 3}]"

The plans stand in conf/experiment/validation.yaml, and those of the workloads of ``make fidelity`` in fidelity_*.yaml.
For each rate the testbed is calibrated once and stays open for all plans; the first iteration of each plan warms up and
is not counted. Writes to results/validation/: <testbed>_<rate>.csv (a row per plan and kind of task),
parity_<testbed>.pdf and .png, and summary.json; a validation with a name writes to results/validation/fidelity/. And to
results/profiles/: the calibration, and <testbed>_<rate>.residuals.json, by which predictions with it get intervals.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from hydra.utils import get_method
from omegaconf import DictConfig
from rich.console import Console

import edgesim.strategies
from edgesim.errors import EdgesimError, RunError
from edgesim.intervals import Residual, Residuals, kind_of
from edgesim.plan import Depth, Plan, make_stages
from edgesim.profile import Profile
from edgesim.strategies import Strategy
from edgesim.trace import Trace
from experiments.analysis.fidelity import FIDELITY, ITERATION, FidelityRow, rows, summary, to_csv
from experiments.calibrate import calibrate, leave_one_out, progress_bar, testbed_name
from experiments.configuration.command_line import run_command
from experiments.configuration.constructors import build, build_function
from experiments.configuration.network_file import save_network
from experiments.configuration.provenance import command, made, record
from experiments.configuration.result_folders import entries_of, json_text, write_text
from experiments.configuration.setup import Setup, read_setup, refuse_to_execute
from experiments.configuration.suggestions import suggestion
from experiments.execution.assignments import execute, make_assignment
from experiments.figures.parity import parity_figure
from experiments.figures.style import save
from experiments.intervals.validated import beside
from experiments.tables.fidelity import fidelity_table
from real_runtime.assignment import Assignment
from real_runtime.execution import Execution
from real_runtime.testbeds.opening import open_testbed
from real_runtime.testbeds.repeating import disturbance
from real_runtime.testbeds.testbed import Testbed


def validate(cfg: DictConfig) -> None:
    """Every plan at every rate; files are written rate by rate."""
    console = Console()
    setup = read_setup(cfg)
    refuse_to_execute(setup)
    plans_of(cfg, setup)  # refuses a bad plan before anything is measured
    named = cfg.validation.name
    folder = Path(cfg.results) / "validation" / (FIDELITY if named else "")
    kinds, residuals = [], list[Residual]()
    for rate in cfg.validation.rates:
        cfg.network.rate = rate.rate
        name, table, figures = validate_rate(cfg, rate.iterations, residuals)
        write_text(folder / f"{name}.csv", to_csv(table))
        merge_summary(folder / "summary.json", name, figures)
        word = f"experiment=fidelity_{name}" if named else f"testbed={name.partition('_')[0]}"
        record(folder, [f"{name}.csv", "summary.json"], made(command("experiments.validate", [word])))
        console.print(fidelity_table(name, table, figures))
        kinds.append(name.partition("_")[0])
    for kind in () if named else dict.fromkeys(kinds):
        print(f"Parity plot: {save(parity_figure(folder, kind), folder / f'parity_{kind}')}")


def validate_rate(
    cfg: DictConfig, iterations: int, residuals: list[Residual]
) -> tuple[str, list[FidelityRow], dict[str, Any]]:
    """Name of the testbed and rate, a table of all plans, and its summary; ``residuals`` get those of its plans.

    All that they hold then is kept beside the profile: plans of other rates say as much of a new one.
    """
    nominal, spec = read_setup(cfg), build(cfg.testbed)
    with ExitStack() as open_now, progress_bar() as progress:
        testbed = open_now.enter_context(open_testbed(spec, nominal.cluster, build(cfg.data)))
        name = cfg.validation.name or testbed_name(testbed, nominal.cluster)
        progress.console.print(testbed.description, soft_wrap=True)
        profile, network = calibrate(testbed, nominal, cfg.calibration, progress)
        setup = nominal.calibrated(profile if profile.points else nominal.profile, network)
        stem = f"{cfg.results}/profiles/{'fidelity_' if cfg.validation.name else ''}{name}"
        if profile.points:
            profile.save(Path(f"{stem}.profile.json"))
        save_network(Path(f"{stem}.network.json"), network)
        table: list[FidelityRow] = []
        entries = plans_of(cfg, setup)
        task = progress.add_task(name, total=len(entries))
        for label, (strategy_name, plan) in entries.items():
            progress.update(task, description=f"{name}: {label}")
            try:
                schedule = strategy_named(strategy_name)(plan, setup.model, setup.workload)
                assignment = make_assignment(cfg, setup, schedule, iterations)
                simulated, execution = play_both(setup, testbed, assignment, rehearsals=cfg.rehearsals)
                if said := disturbance(execution):
                    progress.console.print(f"[yellow]{label}: {said}[/yellow]", soft_wrap=True)
                residuals.append(
                    Residual.of(
                        kind=kind_of(setup.workload),
                        setting=name,
                        plan=label,
                        simulated_s=simulated.makespan_s,
                        measured_s=[trace.makespan_s for trace in execution.traces],
                        disturbed=max(execution.disturbed, default=None),
                    )
                )
                table += rows(
                    strategy=strategy_name,
                    plan=label,
                    simulated=simulated,
                    measured=execution.traces,
                    disturbed=max(execution.disturbed, default=None),
                )
            except EdgesimError as error:
                table.append(FidelityRow(strategy=strategy_name, plan=label, kind=ITERATION, reason=str(error)))
                if isinstance(error, RunError):  # the testbed may be broken: the next plan gets a fresh one
                    open_now.close()
                    testbed = open_now.enter_context(open_testbed(spec, nominal.cluster, build(cfg.data)))
            progress.advance(task)
        progress.update(task, description=name)
        if profile.points:
            keep_residuals(Path(f"{stem}.profile.json"), testbed, profile, residuals)
            if out := sum(bool(each.disturbed) for each in residuals):
                said = (
                    f"{out} of {len(residuals)} executed plans were disturbed by other load: they calibrate no interval"
                )
                progress.console.print(f"[yellow]{said}[/yellow]", soft_wrap=True)
    facts = {"date": date.today().isoformat(), "profile_hash": profile.hash, "leave_one_out": leave_one_out(profile)}
    return name, table, summary(table) | facts | {"testbed": testbed.description}


def keep_residuals(path: Path, testbed: Testbed, profile: Profile, residuals: Sequence[Residual]) -> None:
    """Write beside a profile what executed plans say of its predictions."""
    settings = ", ".join(dict.fromkeys(each.setting for each in residuals))
    source = f"experiments.validate, {len(residuals)} plans of {settings}"
    known = Residuals(testbed=testbed.name, source=source, profile_hash=profile.hash, residuals=tuple(residuals))
    known.save(beside(path))


def play_both(setup: Setup, testbed: Testbed, assignment: Assignment, *, rehearsals: int) -> tuple[Trace, Execution]:
    """The assignment's schedule simulated, and executed; the first executed iteration is dropped."""
    rehearsed = testbed.rehearse(assignment, repeats=rehearsals) if rehearsals else None
    setup = setup if rehearsed is None else replace(setup, profile=rehearsed)
    return setup.simulate(assignment.schedule), execute(testbed, assignment, rehearsed, scenario=setup.scenario)


def plans_of(cfg: DictConfig, setup: Setup) -> dict[str, tuple[str, Plan]]:
    """The configured plans by name, each with its strategy, checked."""
    plans = {entry.name: (entry.strategy, make_plan(entry, setup)) for entry in cfg.validation.plans}
    if len(plans) < len(cfg.validation.plans):
        raise ValueError("validation.plans: two plans have the same name (rename one)")
    for strategy_name, plan in plans.values():
        strategy_named(strategy_name)
        plan.check(setup.model, setup.cluster, setup.workload, head_room=setup.head_room)
    return plans


def make_plan(entry: Mapping[str, Any], setup: Setup) -> Plan:
    """A plan from cuts, groups, samples and depth; or a planner's, where one is named."""
    if "planner" in entry:
        planned: Plan = build_function(entry, "planner", "problem")(setup.problem)
        return planned
    micro_batches = setup.workload.micro_batches
    stages = make_stages(
        cuts=entry["cuts"],
        groups=entry["groups"],
        samples=entry["samples"],
        depth=Depth(entry["depth"]),
        micro_batches=micro_batches,
    )
    return Plan(
        model=setup.model.name,
        stages=stages,
        micro_batches=micro_batches,
        micro_batch_samples=setup.workload.micro_batch_samples,
        planner="by hand",
        profile_hash=setup.profile.hash,
    )


def strategy_named(name: str) -> Strategy:
    """``edgesim/strategies/<name>.py``, its function of the same name."""
    known = [
        path.stem
        for path in Path(edgesim.strategies.__path__[0]).glob("*.py")
        if path.stem not in ("__init__", "orders")
    ]
    if name not in known:
        raise ValueError(f"unknown strategy {name!r}{suggestion(name, known)}")
    return get_method(f"edgesim.strategies.{name}.{name}")


def merge_summary(path: Path, name: str, figures: Mapping[str, Any]) -> None:
    """Replace one testbed's entry, keep the others."""
    old = entries_of(path, "summary of validations", written_by="experiments.validate")
    write_text(path, json_text(dict(sorted((old | {name: figures}).items()))))


def main() -> None:
    """Do what the command line says."""
    run_command(validate, about=__doc__, experiment="validation")


if __name__ == "__main__":
    main()
