"""Bring a testbed to a plan that holds: calibrate, plan, simulate, execute, compare; and again where it is off.

    python -m experiments.autopilot testbed=netns strategy=hybrid_pipeline planner=ilp_hybrid_pipeline
    python -m experiments.autopilot testbed=lab cluster=my_lab --config-dir my_conf
    python -m experiments.autopilot profile=measured profile.path=... network.calibrated=...   # a calibration you kept
    python -m experiments.autopilot autopilot.loops=5 autopilot.tolerances.computing=0.05

A kind of task that takes 5 % of the iteration or more and is off by more than its tolerance is measured again: the
layers of the device that computes it, the links for messages, the disks for a cache. Then plans are made again, until
nothing is off. What stays off though it was measured again is told, and so is a limit that was reached. Devices
without work in a plan are not looked at.

Writes results/autopilot/<overrides>/: report.md and report.html (before and after), rounds.json (every kind of task),
and round_1, round_2, ...: each a run like those of experiments.run, with the profile.json it was planned with.
"""

import shlex
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.console import Console

from experiments.autopilot.folder import calibration_words, save_outcome, save_rounds
from experiments.autopilot.report import kind_rows, kinds_table, rounds_table
from experiments.autopilot.rounds import Outcome, Round, rounds_until_nothing_is_off
from experiments.calibrate import progress_bar
from experiments.commands import as_typed
from experiments.configuration.command_line import run_command
from experiments.configuration.constructors import build
from experiments.configuration.setup import Setup, nominal_cluster, read_setup, refuse_to_execute
from experiments.report.run_page import PAGE
from experiments.run import folder_name
from real_runtime.testbeds.opening import open_testbed


def autopilot(cfg: DictConfig) -> None:
    """Go round until nothing is off, write, and say what was off and what came of it."""
    setup, words = read_setup(cfg), HydraConfig.get().overrides.task
    refuse(cfg, setup)
    target = Path(cfg.results) / "autopilot" / folder_name(words, cfg.config_dirs)
    rounds: list[Round] = []
    with open_testbed(build(cfg.testbed), nominal_cluster(cfg), build(cfg.data)) as testbed, progress_bar() as progress:
        progress.console.print(testbed.description, soft_wrap=True, highlight=False)

        def keep(each: Round) -> None:
            rounds.append(each)
            save_rounds(rounds, target, words)
            progress.console.print(told(len(rounds), each), soft_wrap=True, highlight=False, markup=False)

        outcome = rounds_until_nothing_is_off(cfg, setup, testbed, progress, keep)
    save_outcome(outcome, target, words, as_typed(shlex.join(["python -m experiments.autopilot", *words])))
    _show(outcome, target)


def _show(outcome: Outcome, target: Path) -> None:
    console = Console()
    console.print(rounds_table(outcome))
    if kind_rows(outcome.rounds):
        console.print(kinds_table(outcome))
    use = shlex.join(calibration_words(target, len(outcome.rounds), outcome.rounds))
    print(f"Before and after are in {target / PAGE}, every round beside it.")
    print(as_typed(f"Use the last calibration: python -m experiments.run {use}"))


def told(number: int, each: Round) -> str:
    """What came of a round, in a line."""
    off = f"off: {each.again}" if each.again else "nothing is off"
    seconds = f"simulated {each.simulated_s:.4g} s, measured {each.measured_s:.4g} s"
    return f"round {number}: {each.run.plan}\n  {seconds}; {off}"


def refuse(cfg: DictConfig, setup: Setup) -> None:
    """Raise ValueError for what cannot be brought to hold so, before anything starts."""
    refuse_to_execute(setup)
    build(cfg.autopilot.tolerances)
    if cfg.get("job") is not None:
        raise ValueError(
            "job: the autopilot plays single iterations (leave job out; a whole job: edgesim run +job=...)"
        )
    if cfg.save_weights is not None:
        raise ValueError(f"save_weights={cfg.save_weights}: the autopilot trains only to measure (leave it out)")
    if cfg.get("divides") is not None:
        raise ValueError(
            f"strategy: the autopilot times whole layers, and {str(cfg.strategy._target_).rpartition('.')[2]} divides "
            "them (strategy=data, pipeline or hybrid_pipeline; or edgesim run execute=true rehearsals=5)"
        )
    if cfg.autopilot.loops < 0:
        raise ValueError(f"autopilot.loops must be 0 or more, got {cfg.autopilot.loops} (say 3)")


def main() -> None:
    """Do what the command line says."""
    run_command(autopilot, about=__doc__)


if __name__ == "__main__":
    main()
