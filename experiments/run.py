"""One run: plan, simulate and, if asked, execute; everything about it in a folder of its own.

    python -m experiments.run                                      # the default: BERT-small in a pipeline, simulated
    python -m experiments.run strategy=data network.rate="20 Mbit/s"
    python -m experiments.run strategy=hybrid_pipeline "groups=[[0],[1,2]]" planner=exhaustive
    python -m experiments.run execute=true testbed=netns           # for real as well
    python -m experiments.run "scenario=[wifi_walk,jitter]"        # links that change, durations that vary
    python -m experiments.run -m strategy=data,pipeline "network.rate=20 Mbit/s,100 Mbit/s"    # a sweep: sweep.py
    python -m experiments.run -m experiment=parallelisms           # a study

A single run writes results/runs/<overrides>/: config.yaml, plan.json, network.json, schedule.txt, simulated.jsonl,
measured.jsonl (the last iteration), trace.perfetto.json (open it at ui.perfetto.dev), series.csv (memory and power over
time), metrics.json, versions.json.
"""

import json
import re
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from edgesim.metrics import Metrics
from edgesim.trace import Trace, save_perfetto
from experiments.analysis.predictions import prediction
from experiments.analysis.series import series
from experiments.configuration.cache import Cache
from experiments.configuration.command_line import run_command
from experiments.configuration.network_file import save_network
from experiments.configuration.result_folders import versions, whole_folder
from experiments.configuration.setup import Prepared, prepare, read_setup
from experiments.execution.deferred import executed
from experiments.sweeps.search import best_of_search
from experiments.sweeps.sweep import hydra_sweeps, sweep_command
from experiments.tables.answer import show_answer
from experiments.tables.metrics import metrics_table
from experiments.tables.plan import SideBySide, plan_table, side_by_side

_LONGEST_NAME = 120


def run(cfg: DictConfig) -> float:
    """Plan, simulate, execute, write, and say what came out; the seconds per iteration are what a search minimises."""
    console = Console()
    cache = Cache()
    prepared = planned(cfg, cache, console)
    setup, plan, schedule = prepared.setup, prepared.plan, prepared.schedule
    execution = None
    if cfg.execute:
        with _waiting(console, "opening the testbed, executing"):
            execution = executed(cfg, prepared, print)
        if execution.rehearsed is not None:
            setup = replace(setup, profile=execution.rehearsed)
            print(setup.profile)
    simulated = setup.simulate(schedule)
    traces = (simulated, *(execution.traces if execution else ()))
    metrics = [setup.measure(trace) for trace in traces]
    row = side_by_side(plan, prediction(prepared.setup.problem, plan, prepared.strategy), metrics)
    target = Path(cfg.results) / "runs" / folder_name(HydraConfig.get().overrides.task, cfg.config_dirs)
    losses = execution.losses if execution else ()
    record = RunRecord(prepared=prepared, traces=traces, metrics=metrics, promised=row, losses=losses)
    with whole_folder(target) as folder:
        record.write(folder, cfg)
        save_network(folder / "network.json", setup.cluster.network)
        last = {trace.player: trace for trace in traces}
        series(list(last.values()), setup).to_csv(folder / "series.csv", index=False)
    console.print(plan_table(row))
    console.print(metrics_table(metrics))
    print(f"Everything is in {target}; see trace.perfetto.json at https://ui.perfetto.dev")
    return metrics[-1].makespan_s


def planned(cfg: DictConfig, cache: Cache, console: Console) -> Prepared:
    """Plan, and say for what and what came out: the nouns before planning begins, which may last."""
    setup = read_setup(cfg, cache)
    print(f"{setup.model}\n{setup.cluster}\n{setup.profile}\nscenario: {setup.scenario}", flush=True)
    planner = str(cfg.planner._target_).rpartition(".")[2]
    with _waiting(console, f"planning with {planner}"):
        prepared = prepare(cfg, cache)
    plan = prepared.plan
    idle = [str(rank) for rank in range(len(setup.cluster.devices)) if rank not in plan.ranks]
    print(
        f"plan: {plan}" + (f"\nwithout work: rank{'s' * (len(idle) > 1)} {', '.join(idle)}" if idle else ""), flush=True
    )
    return prepared


def _waiting(console: Console, what: str) -> AbstractContextManager[object]:
    """Something that may last: a spinner, or where the output is a file a line before it begins."""
    if console.is_terminal:
        return console.status(what)
    print(f"{what} ...", flush=True)
    return nullcontext()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """All that came of a run, the simulated iteration first, for its folder."""

    prepared: Prepared
    traces: Sequence[Trace]
    metrics: Sequence[Metrics]
    promised: SideBySide
    losses: Sequence[float]

    def write(self, folder: Path, cfg: DictConfig) -> None:
        """The configuration, the plan, the schedule, the last trace of each player, and the figures."""
        (folder / "config.yaml").write_text(OmegaConf.to_yaml(cfg, resolve=True))
        (folder / "plan.json").write_text(self.prepared.plan.to_json())
        (folder / "schedule.txt").write_text(self.prepared.schedule.to_text())
        last = {trace.player: trace for trace in self.traces}
        for player, trace in last.items():
            (folder / f"{player}.jsonl").write_text(trace.to_lines())
        save_perfetto(folder / "trace.perfetto.json", last.values())
        figures = {
            "seed": cfg.seed,
            "schedule": self.prepared.schedule.hash,
            "plan": self.promised.to_dict(),
            "losses": list(self.losses),
            "iterations": [each.to_dict() for each in self.metrics],
        }
        (folder / "metrics.json").write_text(json.dumps(figures, indent=2) + "\n")
        (folder / "versions.json").write_text(json.dumps(versions() | {"seed": cfg.seed}, indent=2) + "\n")


def folder_name(overrides: Sequence[str], folders: Sequence[str] = ()) -> str:
    """The overrides as a folder name; ``default`` without any. Where things are written is no part of what they are.

    Two commands never share one: where the name does not say all, a hash does. ``folders`` are those of further
    configuration files.

    >>> folder_name(["strategy=data", "results=/tmp/x"]), folder_name(["network.rate=20 Mbit/s"])
    ('strategy=data', 'network.rate=20_Mbit_s-66fe18db')
    """
    telling = [word for word in overrides if not word.startswith("results=")]
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
