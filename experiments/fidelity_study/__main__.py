"""Play plans drawn at random over drawn clusters, networks, models and workloads, and say how near the simulator is.

    python -m experiments.fidelity_study
    python -m experiments.fidelity_study fidelity_study.limit_s=540      # a block of minutes; say it again to go on
    python -m experiments.fidelity_study fidelity_study.limit_s=0        # judge what was played so far, play nothing
    python -m experiments.fidelity_study experiment=fidelity_ssh         # over SSH, on hosts of a lab (root)

What is drawn stands in conf/experiment/fidelity_study.yaml. Clusters are in one of three parts: for calibration, where
one may look for what the simulator lacks; conformal, whose residuals calibrate intervals; and test, which is reported.

RESULTS/runs/fidelity_study/ holds a file per setting that was played. Writes to RESULTS/fidelity/, over SSH to
RESULTS/testbed/: table.csv (a row per plan), kinds.csv (errors by kind of task), causes.csv (what makes each plan take
other than simulated), worst.md (the worst ten), summary.json, residuals.json, and parity.pdf and .png.
"""

from collections.abc import Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from time import perf_counter

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import Progress, TaskID

from experiments.calibrate import busy, progress_bar
from experiments.configuration.command_line import run_command
from experiments.configuration.constructors import build
from experiments.configuration.provenance import command
from experiments.fidelity_study.asked import Asked, asked
from experiments.fidelity_study.draws import DrawnSetting, drawn_clusters, drawn_settings
from experiments.fidelity_study.hosts import hosts_of, refuse_unfit
from experiments.fidelity_study.journal import Journal
from experiments.fidelity_study.playing import play_setting
from experiments.fidelity_study.results import keep
from experiments.planner_regret.trials import FreshTestbeds
from real_runtime.testbeds.spec import TestbedSpec

# What a cluster takes to come up and to time its links, and a setting for all: measured, about, with 8 plans.
_CLUSTER_S, _SETTING_S = 30.0, 67.0
_STUDY = "fidelity_study"


def fidelity_study(cfg: DictConfig) -> None:
    """Play what is left, as long as there is time for it, and judge all that was played."""
    study, console, spec = asked(cfg), Console(), build(cfg.testbed)
    refuse_unfit(spec)
    journal = Journal(Path(cfg.results) / "runs" / study.journal)
    clusters = drawn_clusters(study)
    console.print(f"drawing the settings of {len(clusters)} clusters")
    settings = list(drawn_settings(study, clusters))
    left = [setting for setting in settings if not journal.holds(setting)]
    left_s = len(left) * _SETTING_S + len({setting.on.number for setting in left}) * _CLUSTER_S
    console.print(
        f"settings: {len(settings)}, {sum(len(setting.plans) for setting in settings)} plans; to be played: "
        f"{len(left)}, about {left_s / 60:.0f} minutes where nothing else runs"
    )
    if left and (load := busy()):
        console.print(f"[yellow]warning: {load}: what is measured now will be off[/yellow]")
    _play(study, spec, left, journal)
    played = journal.entries(settings)
    console.print(f"played: {len(played)} of {len(settings)} settings")
    if played:
        print(keep(Path(cfg.results) / study.folder, played, by=_said()))


def _play(study: Asked, spec: TestbedSpec, left: Sequence[DrawnSetting], journal: Journal) -> None:
    """Cluster by cluster; no setting is begun that would be over only behind the limit."""
    began_s = perf_counter()

    def is_time_for(seconds: float) -> bool:
        return study.limit_s is None or perf_counter() - began_s + seconds <= study.limit_s

    for on, mine in groupby(left, key=lambda setting: setting.on):
        if not is_time_for(_CLUSTER_S + _SETTING_S):
            return
        with (
            hosts_of(on, spec) as of_cluster,
            FreshTestbeds(of_cluster, on.cluster) as testbeds,
            progress_bar() as progress,
        ):
            progress.console.print(testbeds.testbed.description, soft_wrap=True)
            task = progress.add_task(f"cluster {on.number}: timing links", total=None)
            network = testbeds.testbed.measure_network()
            for setting in mine:
                if not is_time_for(_SETTING_S):
                    return

                tell = partial(_tell, progress, task, setting)
                journal.keep(play_setting(study, setting, testbeds, network, tell))


def _tell(progress: Progress, task: TaskID, setting: DrawnSetting, what: str) -> None:
    progress.update(task, description=f"{setting.key} {setting.case}: {what}")


def _said() -> str:
    """The command that makes these results, however many blocks it was played in."""
    words = HydraConfig.get().overrides.task
    of_block = (f"experiment={_STUDY}", "results=", "fidelity_study.limit_s=")
    return command("experiments.fidelity_study", [word for word in words if not word.startswith(of_block)])


def main() -> None:
    """Do what the command line says."""
    run_command(fidelity_study, about=__doc__, experiment=_STUDY)


if __name__ == "__main__":
    main()
