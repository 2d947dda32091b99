"""One run: plan, simulate and, if asked, execute; everything about it in a folder of its own.

    python -m experiments.run                                      # the default: BERT-small in a pipeline, simulated
    python -m experiments.run strategy=data network.rate="20 Mbit/s"
    python -m experiments.run strategy=hybrid_pipeline "groups=[[0],[1,2]]" planner=exhaustive
    python -m experiments.run execute=true testbed=netns           # for real as well
    python -m experiments.run execute=true meter=jetson_rails      # and read its power: conf/meter, docs/energy.md
    python -m experiments.run execute=true save_weights=trained    # and keep what it learnt: checkpoint=trained goes on
    python -m experiments.run "scenario=[wifi_walk,jitter]"        # links that change, durations that vary
    python -m experiments.run +job=asteroid scenario=lost_device   # a whole training that goes on after a loss
    python -m experiments.run -m strategy=data,pipeline "network.rate=20 Mbit/s,100 Mbit/s"    # a sweep: sweep.py
    python -m experiments.run -m experiment=parallelisms           # a study

A single run writes results/runs/<overrides>/: config.yaml, plan.json, network.json, schedule.txt, simulated.jsonl,
measured.jsonl (the last iteration), trace.perfetto.json (open it at ui.perfetto.dev), series.csv (memory and power over
time), metrics.json, versions.json, command.txt (to make it again); of a real run also iterations.jsonl (a line for
each) and traces.jsonl (all times of each), and with a meter power_<ranks>.csv (what it read). While it lasts they grow
in unfinished-<when>/ there, which stays where a run was killed.
"""

import json
import re
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.console import Console

from edgesim.plan import Plan
from experiments.commands import as_typed
from experiments.configuration.cache import Cache
from experiments.configuration.command_line import run_command
from experiments.configuration.setup import Prepared, prepare, read_setup
from experiments.execution.folders import save_run
from experiments.execution.listener import Listener
from experiments.execution.play import plain, play
from experiments.execution.unfinished import UnfinishedRun
from experiments.jobs.asked import read_job
from experiments.metering.table import metered_table, states_table
from experiments.sweeps.search import best_of_search
from experiments.sweeps.sweep import hydra_sweeps, sweep_command
from experiments.tables.answer import show_answer
from experiments.tables.metrics import metrics_table
from experiments.tables.plan import plan_table
from real_runtime.execution import Iteration

_LONGEST_NAME = 120


class Screen(Listener):
    """Says on the screen how far the run is."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def tell(self, said: object) -> None:
        """Print it at once."""
        print(said, flush=True)

    def waiting(self, what: str) -> AbstractContextManager[object]:
        """A spinner, or where the output is a file a line before it begins."""
        if self.console.is_terminal:
            return self.console.status(what)
        self.tell(f"{what} ...")
        return nullcontext()


class KeepingScreen(Screen):
    """Keeps the iterations of a real run as they come, too."""

    def __init__(self, console: Console, unfinished: UnfinishedRun) -> None:
        super().__init__(console)
        self.unfinished = unfinished

    def measured(self, iteration: Iteration) -> None:
        """Write it down; say where before the first one."""
        if not self.unfinished.folder.exists():
            self.tell(f"iterations are kept as they come: {self.unfinished.folder}")
        self.unfinished.add(iteration)


def run(cfg: DictConfig) -> float:
    """Plan, simulate, execute, write, and say what came out; the seconds per iteration are what a search minimises."""
    console, cache = Console(), Cache()
    screen = Screen(console)
    prepared = planned(cfg, cache, screen)
    target = Path(cfg.results) / "runs" / folder_name(HydraConfig.get().overrides.task, cfg.config_dirs)
    if cfg.get("job") is not None:
        if cfg.save_weights is not None:
            raise ValueError(
                f"save_weights={cfg.save_weights}: a job keeps its weights as checkpoints (say job.checkpoints=FOLDER)"
            )
        from experiments.jobs.command import run_job_command  # it draws: Matplotlib takes its time to load

        return run_job_command(cfg, read_job(cfg), prepared, target, console, screen)
    played = play(cfg, prepared, KeepingScreen(console, UnfinishedRun(target, plain(cfg), prepared)))
    save_run(replace(played, words=tuple(HydraConfig.get().overrides.task)), target)
    console.print(plan_table(played.promised))
    console.print(
        metrics_table(played.metrics, played.disturbed, as_typed(played.uncalibrated), as_typed(str(played.interval)))
    )
    if played.metered is not None:
        console.print(metered_table(played.metered))
        if (by_state := states_table(played.metered)) is not None:
            console.print(by_state)
    if played.slower_because:
        print(f"slower than one device: {played.slower_because}")
    print(f"Everything is in {target}; see trace.perfetto.json at https://ui.perfetto.dev")
    return played.metrics[-1].makespan_s


def planned(cfg: DictConfig, cache: Cache, screen: Screen) -> Prepared:
    """Plan, and say for what and what came out: the nouns before planning begins, which may last."""
    setup = read_setup(cfg, cache)
    screen.tell(f"{setup.model}\n{setup.cluster}\n{setup.profile}\nscenario: {setup.scenario}")
    with screen.waiting(f"planning with {str(cfg.planner._target_).rpartition('.')[2]}"):
        prepared = prepare(cfg, cache)
    idle = [str(rank) for rank in range(len(setup.cluster.devices)) if rank not in prepared.plan.ranks]
    screen.tell(f"plan: {prepared.plan}\n  ({legend(prepared.plan)})")
    if idle:
        screen.tell(f"without work: rank{'s' * (len(idle) > 1)} {', '.join(idle)}")
    return prepared


def legend(plan: Plan) -> str:
    """How the line of a plan is read."""
    shares = (
        "h, c, t: heads, columns and tokens on rank r"
        if plan.stages[0].divides_blocks
        else "r0:8: 8 samples of each micro-batch on rank 0"
    )
    return f"{shares}; K: micro-batches in flight"


def folder_name(overrides: Sequence[str], folders: Sequence[str] = ()) -> str:
    """The overrides as a folder name; ``default`` without any. Where things are written is no part of what they are.

    Two commands never share one: where the name does not say all, a hash does. ``folders`` are those of further
    configuration files.

    >>> folder_name(["strategy=data", "results=/tmp/x"]), folder_name(["network.rate=20 Mbit/s"])
    ('strategy=data', 'network.rate=20_Mbit_s-66fe18db')
    """
    telling = [word for word in overrides if not word.startswith(("results=", "save_weights="))]
    name = ",".join(re.sub(r"[^\w.=,+~\[\]-]+", "_", word) for word in telling) or "default"
    exact = json.dumps([telling, list(folders)])
    if not folders and name == (",".join(telling) or "default") and len(name) <= _LONGEST_NAME:
        return name
    return f"{name[:_LONGEST_NAME]}-{sha256(exact.encode()).hexdigest()[:8]}"


def main() -> None:
    """A single run, a sweep of ours, or whatever Hydra's own sweepers and launchers make of it."""
    arguments = sys.argv[1:]
    if {"-m", "--multirun"} & set(arguments) and not hydra_sweeps(arguments):
        sys.exit(sweep_command(arguments, show=show_answer))
    run_command(run, about=__doc__)
    if (best := best_of_search(arguments)) is not None:
        print(best)


if __name__ == "__main__":
    main()
