"""How long does a training stand still when a device is lost, and what is left of it where losses are many? Simulated.

    python -m experiments.asteroid.recovery

What is asked stands in conf/experiment/asteroid_recovery.yaml. Writes to results/asteroid/:

recovery.csv   a row per lost device and policy: the pause by its parts, and throughput before and after
timeline.csv   the same jobs, span by span
goodput.csv    a row per mean time between losses, policy and seed: samples per second that count
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from pandas import DataFrame
from rich.console import Console

from edgesim.errors import EdgesimError
from edgesim.job import Activity, JobMetrics, JobTrace
from edgesim.job.job_metrics import RecoveryMetrics
from edgesim.scenario import Loss, Moment, Scenario, poisson_losses
from experiments.asteroid.losing import Losing
from experiments.configuration.command_line import composed, run_command
from experiments.configuration.provenance import command, made, record
from experiments.configuration.result_folders import refuse_unwritable, write_text

FOLDER = "asteroid"
TABLES = ("recovery.csv", "timeline.csv", "goodput.csv")
_LONGER = 20  # times as long as undisturbed a job may take: so long devices are lost
_TOLD = ("at_s", "pause_s", "detection_s", "planning_s", "reconnection_s", "migration_s", "restart_s")
_ALSO = ("redone_iterations", "samples_per_s_before", "samples_per_s_after", "says")

Rows = list[dict[str, Any]]


def study(cfg: DictConfig) -> None:
    """Play all jobs, and write the tables when all have been played."""
    results, asked, console = Path(cfg.results), cfg.asteroid_recovery, Console()
    refuse_unwritable(results)
    recoveries, timeline = _losses(asked)
    tables = dict(zip(TABLES, (recoveries, timeline, list(_goodput(asked))), strict=True))
    for name, rows in tables.items():
        write_text(results / FOLDER / name, DataFrame(rows).to_csv(index=False))
    record(results / FOLDER, list(TABLES), made(command("experiments.asteroid.recovery")))
    console.print(f"{results / FOLDER}: " + ", ".join(f"{len(rows)} rows in {name}" for name, rows in tables.items()))


def _jobs(asked: Any, cases: Any) -> Iterator[Losing]:
    for case in cases:
        cfg = composed("experiment=asteroid_recovery", *case)
        yield Losing.of(cfg, dict(asked.policies))


def _losses(asked: Any) -> tuple[Rows, Rows]:
    """Every device of every case is lost once, under every policy."""
    recoveries: Rows = []
    timeline: Rows = []
    for losing in _jobs(asked, asked.losses.cases):
        at_s = asked.losses.lost_after * losing.iteration_s
        for rank, policy in ((rank, policy) for rank in losing.ranks for policy in asked.policies):
            scenario = Scenario(events=(Loss(rank=rank, when=Moment(at_s=at_s)),))
            where = losing.where | {"policy": policy, "lost": losing.named(rank)}
            outcome = losing.played(policy, scenario, asked.losses.iterations)
            if isinstance(outcome, EdgesimError):
                recoveries.append(where | {"status": "failed", "reason": str(outcome)})
                continue
            trace, metrics = outcome
            for each in metrics.recoveries:
                recoveries.append(where | {"status": "done", "reason": ""} | _told(each))
            timeline += [where | row for row in _spans(trace)]
    return recoveries, timeline


def _told(recovery: RecoveryMetrics) -> dict[str, Any]:
    return {name: getattr(recovery, name) for name in (*_TOLD, *_ALSO)}


def _spans(trace: JobTrace) -> Iterator[dict[str, Any]]:
    for span in trace.spans:
        trains = span.activity is Activity.TRAINING
        rate = span.count * trace.batch_samples / span.seconds if trains and span.seconds > 0 else 0.0
        yield {
            "activity": str(span.activity),
            "start_s": span.start_s,
            "end_s": span.end_s,
            "samples_per_s": rate,
            "redone": span.redone,
        }


def _goodput(asked: Any) -> Iterator[dict[str, Any]]:
    """Devices are lost by chance, at each mean time between losses, under every policy, for every seed."""
    told = asked.goodput
    for losing in _jobs(asked, told.cases):
        undisturbed = losing.undisturbed(told.iterations)
        for mean in told.mean_between:
            for seed in told.seeds:
                scenario = Scenario(
                    events=poisson_losses(
                        seed=seed,
                        mean_between_s=mean * losing.iteration_s,
                        until_s=_LONGER * told.iterations * losing.iteration_s,
                        ranks=losing.ranks,
                        returns_after_s=told.returns_after * losing.iteration_s,
                        at_least=told.at_least,
                    )
                )
                for policy in asked.policies:
                    where = losing.where | {"policy": policy, "mean_between_iterations": mean, "seed": seed}
                    yield where | _row(losing.played(policy, scenario, told.iterations), undisturbed)


def _row(outcome: tuple[JobTrace, JobMetrics] | EdgesimError, undisturbed: JobMetrics) -> dict[str, Any]:
    if isinstance(outcome, EdgesimError):
        return {"status": "failed", "reason": str(outcome)}
    _, metrics = outcome
    return {
        "status": "done",
        "reason": "",
        "end_s": metrics.end_s,
        "losses": len(metrics.recoveries),
        "redone_samples": metrics.redone_samples,
        "goodput_samples_per_s": metrics.goodput_samples_per_s,
        "share_of_undisturbed": metrics.goodput_samples_per_s / undisturbed.goodput_samples_per_s,
    }


def main() -> None:
    """Do what the command line says."""
    run_command(study, about=__doc__, experiment="asteroid_recovery")


if __name__ == "__main__":
    main()
