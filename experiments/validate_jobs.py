"""Validate jobs: losses, leaves and joins under every policy of recovery in both players, and how far apart they are.

    python -m experiments.validate_jobs
    python -m experiments.validate_jobs job_validation.only=[lightweight]

The cases and policies stand in conf/experiment/job_validation.yaml. The testbed is calibrated once, and what its hosts
need for a job is measured; then each case is simulated and executed under each policy. Writes jobs.csv (a row per job
and phase), summary.json and made.json to results/jobs/, job by job.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from edgesim.errors import EdgesimError, RunError
from edgesim.job import HostCosts, Job, JobTrace, Phase, Recover, Safety, measure_job
from edgesim.plan import Depth
from edgesim.recovery.training_setup import TrainingSetup
from edgesim.scenario import Scenario
from edgesim.scratch import scratch_folder
from edgesim.simulator import simulate_job
from experiments.analysis.job_fidelity import GOODPUT, PAUSE, TOTAL, JobRow, rows, summary, to_csv
from experiments.calibrate import calibrate, progress_bar
from experiments.configuration.command_line import run_command
from experiments.configuration.constructors import build, build_function
from experiments.configuration.provenance import command, made, record
from experiments.configuration.result_folders import json_text, write_text
from experiments.configuration.setup import Setup, read_setup, refuse_to_execute
from experiments.execution.assignments import make_assignment
from experiments.jobs.playing import told
from experiments.validate import make_plan, strategy_named
from real_runtime.assignment import Assignment
from real_runtime.jobs.execute_job import execute_job
from real_runtime.jobs.measured_costs import measure_host_costs
from real_runtime.testbeds.opening import open_testbed
from real_runtime.testbeds.testbed import Testbed


def validate_jobs(cfg: DictConfig) -> None:
    """Every case under every policy; files are written job by job."""
    console, folder = Console(), Path(cfg.results) / "jobs"
    nominal, settings = read_setup(cfg), cfg.job_validation
    refuse_to_execute(nominal)
    pairs, only = list(_pairs(settings)), list(settings.only)
    if not pairs:
        raise ValueError(f"job_validation.only={only} names no policy and no case (leave it empty for all)")
    words = [f"job_validation.only=[{', '.join(only)}]"] if only else []
    with ExitStack() as open_now, progress_bar() as progress:
        testbed = open_now.enter_context(open_testbed(build(cfg.testbed), nominal.cluster, build(cfg.data)))
        progress.console.print(testbed.description, soft_wrap=True)
        profile, network = calibrate(testbed, nominal, cfg.calibration, progress)
        setup = nominal.calibrated(profile, network)
        first = _prepared(settings, setup).phase(make_plan(pairs[0][1].plan, setup), iterations=settings.iterations)
        costs = measure_host_costs(testbed, first, make_assignment(cfg, setup, first.schedule, settings.iterations))
        progress.console.print(told(costs), soft_wrap=True)
        table: list[JobRow] = []
        task = progress.add_task("jobs", total=len(pairs))
        for policy, case in pairs:
            progress.update(task, description=f"{case.name}, {policy}")
            try:
                found = _both(cfg, setup, testbed, costs, case, policy)
            except EdgesimError as error:
                found = [JobRow(case=case.name, policy=policy, what=TOTAL, reason=str(error))]
                if isinstance(error, RunError):  # the testbed may be broken: the next job gets a fresh one
                    open_now.close()
                    testbed = open_now.enter_context(open_testbed(build(cfg.testbed), nominal.cluster, build(cfg.data)))
            table += found
            figures = summary(table) | {"testbed": testbed.description, "hosts": asdict(costs)}
            write_text(folder / "jobs.csv", to_csv(table))  # as they come: nothing is lost with a later one
            write_text(folder / "summary.json", json_text(figures))
            record(folder, ["jobs.csv", "summary.json"], made(command("experiments.validate_jobs", words)))
            progress.advance(task)
    console.print(_printed(table, figures))


def _pairs(settings: Any) -> Iterator[tuple[str, Any]]:
    only = list(settings.only)
    for case in settings.cases:
        for policy in case.policies:
            if not only or policy in only or case.name in only:
                yield policy, case


def _prepared(settings: Any, setup: Setup) -> TrainingSetup:
    strategy = strategy_named(settings.strategy)
    return TrainingSetup(
        problem=setup.problem,
        strategy=lambda plan: strategy(plan, setup.model, setup.workload),
        depth=Depth(settings.depth),
        replicate=settings.replicate_every is not None,
    )


def _both(cfg: DictConfig, setup: Setup, testbed: Testbed, costs: HostCosts, case: Any, policy: str) -> list[JobRow]:
    settings = cfg.job_validation
    prepared = _prepared(settings, setup)
    phase: Phase = prepared.phase(make_plan(case.plan, setup), iterations=settings.iterations)
    recover: Recover = build_function(settings.policies, policy, "setup")(prepared)
    safety = Safety(
        replicate_every=settings.replicate_every,
        checkpoint_every=settings.checkpoint_every,
        own_disks=settings.own_disks,
    )
    members = tuple(case.get("members") or range(len(setup.cluster.devices)))
    job = Job(phases=(phase,), members=members, safety=safety, recover=recover)
    scenario = replace(setup.scenario, events=tuple(build(event) for event in case.events))
    nouns: Mapping[str, Any] = {"cluster": setup.cluster, "model": setup.model, "workload": setup.workload}
    simulated = simulate_job(job, **nouns, profile=setup.profile, host_costs=costs, scenario=scenario)
    assignment = make_assignment(cfg, setup, phase.schedule, settings.iterations)
    measured = _executed(testbed, job, assignment, scenario)
    pairs = [(trace, measure_job(trace, **nouns)) for trace in (simulated, measured)]
    return rows(case=case.name, policy=policy, simulated=pairs[0], measured=pairs[1])


def _executed(testbed: Testbed, job: Job, assignment: Assignment, scenario: Scenario) -> JobTrace:
    with scratch_folder() as folder:
        return execute_job(testbed, job, assignment, scenario=scenario, checkpoints=folder)


def _printed(table: list[JobRow], figures: Mapping[str, Any]) -> Table:
    """Totals, goodput and pauses for people; all phases stand in the CSV."""
    said = "\n".join(
        f"{what}: median |error| {each['median_abs_error']:.1%}, worst {each['worst_abs_error']:.1%} ({each['rows']})"
        for what, each in figures.items()
        if isinstance(each, dict) and "rows" in each
    )
    failed = [f"{row.case}, {row.policy}: {row.reason}" for row in table if row.reason]
    out = Table(title="jobs", caption="\n".join([said, *failed]), title_justify="left", caption_justify="left")
    for head in ("case", "policy", ""):
        out.add_column(head)
    for head in ("simulated", "measured", "error"):
        out.add_column(head, justify="right")
    for row in table:
        if row.what in (TOTAL, PAUSE, GOODPUT) and row.simulated is not None and row.measured is not None:
            unit = "1/s" if row.what == GOODPUT else "s"
            numbers = [f"{value:.3g} {unit}" for value in (row.simulated, row.measured)]
            error = "" if row.error is None else f"{row.error:+.1%}"
            out.add_row(row.case, row.policy, f"{row.what} {row.change or ''}".strip(), *numbers, error)
    return out


def main() -> None:
    """Do what the command line says."""
    run_command(validate_jobs, about=__doc__, experiment="job_validation")


if __name__ == "__main__":
    main()
