"""How is a run kept? As a folder, whole or not at all: configuration, plan, schedule, traces, series and figures."""

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from edgesim.metered import log_lines
from edgesim.perfetto import save_perfetto
from edgesim.whole_files import append_lines
from experiments.analysis.series import series
from experiments.configuration.network_file import save_network
from experiments.configuration.result_folders import json_text, versions, whole_folder
from experiments.configuration.setup import Prepared
from experiments.execution.iteration_lines import ITERATIONS, TRACES, line_of, trace_line_of
from experiments.execution.other_load import disturbed_dict
from experiments.execution.play import Played
from experiments.metering.hosts import power_file

COMMAND = "command.txt"  # what to type to make the run again, where that is known
REHEARSED = "rehearsed.json"  # the profile that was simulated, of a run whose hosts rehearsed


def save_run(run: Played, target: Path) -> None:
    """Write the folder, in the place of what was there."""
    with whole_folder(target) as folder:
        write_asked(folder, run.config, run.prepared)
        for trace in run.last_traces:
            _write(folder / f"{trace.player}.jsonl", trace.lines())
        save_perfetto(folder / "trace.perfetto.json", run.last_traces)
        (folder / "metrics.json").write_text(_metrics(run))
        if run.losses:
            append_lines(folder / ITERATIONS, map(line_of, run.iterations))
            append_lines(folder / TRACES, map(trace_line_of, run.iterations))
        if run.words:
            (folder / COMMAND).write_text(shlex.join(["edgesim", "run", *run.words]) + "\n")
        if run.setup.profile != run.prepared.setup.profile:
            run.setup.profile.save(folder / REHEARSED)
        for log in run.power:
            _write(folder / power_file(log), log_lines(log))
        series(run.last_traces, run.setup).to_csv(folder / "series.csv", index=False)


def write_asked(folder: Path, config: Mapping[str, Any], prepared: Prepared) -> None:
    """Write what is known of a run before anything is played."""
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(dict(config))))
    (folder / "plan.json").write_text(prepared.plan.to_json())
    _write(folder / "schedule.txt", prepared.schedule.lines())
    (folder / "versions.json").write_text(json_text(versions() | {"seed": config["seed"]}))
    save_network(folder / "network.json", prepared.setup.cluster.network)


def _write(path: Path, lines: Iterable[str]) -> None:
    """Line by line: a million tasks are a hundred megabytes of text."""
    with path.open("w") as file:
        file.writelines(lines)


def _metrics(run: Played) -> str:
    return json_text(
        {
            "seed": run.config["seed"],
            "schedule": run.schedule.hash,
            "plan": run.promised.to_dict(),
            "interval": run.interval.to_dict(),
            "losses": list(run.losses),
            **disturbed_dict(run.disturbed),
            **({"metered": run.metered.to_dict()} if run.metered else {}),
            "iterations": [each.to_dict() for each in run.metrics],
        }
    )
