"""Validate fine-tuning from an activation cache: whole jobs in both players, and how far apart their phases are.

    python -m experiments.validate_pac

The cases stand in conf/experiment/pac_validation.yaml: plans of the first epoch, how outputs are kept, and who is lost
in which iteration, if anybody (Asteroid's lightweight replay goes on, and the cache is filled in). The testbed
is calibrated once (layers beside the backbone and without it, links, disks), and what its hosts need for a job is
measured; then each job is simulated and executed. Writes jobs.csv (a row per job and phase), summary.json and made.json
to results/pac_executed/, job by job.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console

from edgesim.cached_outputs import Storage
from edgesim.cached_training.phases import CachedTraining
from edgesim.cached_training.recovering import CachedRecovery
from edgesim.cluster import with_disks
from edgesim.errors import EdgesimError
from edgesim.job import HostCosts, Job, JobTrace, Safety
from edgesim.profile import Profile
from edgesim.recovery.lightweight import lightweight
from edgesim.scenario import Loss, Moment, Scenario
from edgesim.simulator import simulate_job
from experiments.analysis.cached_fidelity import TOTAL, PhaseRow, phase_rows, summary, to_csv
from experiments.calibrate import calibrate, progress_bar
from experiments.configuration.command_line import run_command
from experiments.configuration.constructors import build
from experiments.configuration.provenance import command, made, record
from experiments.configuration.result_folders import json_text, write_text
from experiments.configuration.setup import Setup, read_setup
from experiments.jobs.cached_execution import caching, measured_profiles
from experiments.jobs.phase_table import phase_table
from experiments.jobs.playing import told
from experiments.validate import make_plan
from real_runtime.assignment import Assignment
from real_runtime.jobs.execute_job import execute_job
from real_runtime.jobs.measured_costs import measure_host_costs
from real_runtime.testbeds.disks import measured_disks
from real_runtime.testbeds.opening import open_testbed
from real_runtime.testbeds.testbed import Testbed

FOLDER = "pac_executed"


def validate_pac(cfg: DictConfig) -> None:
    """Every case; files are written job by job."""
    console, folder = Console(), Path(cfg.results) / FOLDER
    nominal, settings = read_setup(cfg), cfg.pac_validation
    with open_testbed(build(cfg.testbed), nominal.cluster, build(cfg.data)) as testbed, progress_bar() as progress:
        progress.console.print(testbed.description, soft_wrap=True)
        profile, network = calibrate(testbed, nominal, cfg.calibration, progress)
        setup = nominal.calibrated(profile, network)
        disks = measured_disks(testbed, cfg.calibration.disk_folder)
        setup = replace(setup, cluster=with_disks(setup.cluster, disks))
        jobs = {case.name: _job(setup, settings, case) for case in settings.cases}
        profiles = measured_profiles(testbed, jobs.values(), setup.workload, repeats=cfg.calibration.repeats)
        costs: HostCosts | None = None
        table = list[PhaseRow]()
        task = progress.add_task("jobs", total=len(jobs))
        for case in settings.cases:
            progress.update(task, description=case.name)
            job = jobs[case.name]
            try:
                if costs is None:
                    costs = _host_costs(cfg, setup, testbed, job, case)
                    progress.console.print(told(costs), soft_wrap=True)
                simulated = _simulated(setup, job, case, costs, profiles)
                measured = _executed(cfg, setup, testbed, job, case)
                table += phase_rows(case.name, case.storage, simulated, measured)
            except EdgesimError as error:
                table.append(PhaseRow(case=case.name, storage=case.storage, what=TOTAL, reason=str(error)))
            figures = summary(table) | {"testbed": testbed.description, "hosts": asdict(costs) if costs else None}
            write_text(folder / "jobs.csv", to_csv(table))
            write_text(folder / "summary.json", json_text(figures))
            record(folder, ["jobs.csv", "summary.json"], made(command("experiments.validate_pac", [])))
            progress.advance(task)
    console.print(phase_table(table))


def _job(setup: Setup, settings: Any, case: Any) -> Job:
    loses = case.get("loss") is not None
    training = CachedTraining(
        problem=setup.problem,
        first=make_plan(case.plan, setup),
        iterations=settings.iterations,
        storage=Storage(case.storage),
        ahead=settings.ahead,
        replicate=loses,
    )
    return Job(
        phases=training.phases(training.evenly(), epochs=settings.epochs),
        members=tuple(range(len(setup.cluster.devices))),
        safety=Safety(replicate_every=settings.replicate_every if loses else None),
        recover=CachedRecovery(training=training, filling=lightweight(training.filling)) if loses else None,
    )


def _scenario(case: Any) -> Scenario:
    """Who is lost in a case, if anybody."""
    if (lost := case.get("loss")) is None:
        return Scenario()
    return Scenario(events=(Loss(rank=lost.rank, when=Moment(iteration=lost.iteration)),))


def _host_costs(cfg: DictConfig, setup: Setup, testbed: Testbed, job: Job, case: Any) -> HostCosts:
    with _assigned(cfg, setup, job, case) as assignment:
        return measure_host_costs(testbed, job.phases[0], assignment)


def _simulated(setup: Setup, job: Job, case: Any, costs: HostCosts, profiles: Mapping[str, Profile]) -> JobTrace:
    return simulate_job(
        job,
        cluster=setup.cluster,
        model=setup.model,
        profile=setup.profile,
        workload=setup.workload,
        host_costs=costs,
        scenario=_scenario(case),
        profiles=profiles,
    )


def _executed(cfg: DictConfig, setup: Setup, testbed: Testbed, job: Job, case: Any) -> JobTrace:
    with _assigned(cfg, setup, job, case) as assignment:
        return execute_job(testbed, job, assignment, scenario=_scenario(case))


def _assigned(cfg: DictConfig, setup: Setup, job: Job, case: Any) -> AbstractContextManager[Assignment]:
    first = job.phases[0]
    return caching(cfg, setup, first, iterations=first.iterations, storage=Storage(case.storage))


def main() -> None:
    """Do what the command line says."""
    run_command(validate_pac, about=__doc__, experiment="pac_validation")


if __name__ == "__main__":
    main()
