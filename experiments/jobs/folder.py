"""How is a job kept? As a folder, whole or not at all: configuration, plan, metrics, tables, a timeline, a trace."""

import csv
from collections.abc import Iterable
from dataclasses import asdict, fields
from io import StringIO
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from edgesim.job.job_perfetto import save_job_perfetto
from edgesim.metered import log_lines
from experiments.analysis.job_spans import RankRow, SpanRow, rank_rows, span_rows
from experiments.configuration.network_file import save_network
from experiments.configuration.result_folders import json_text, versions, whole_folder
from experiments.execution.other_load import disturbed_dict
from experiments.figures.jobs.timeline import timeline_figure
from experiments.figures.style import save
from experiments.jobs.playing import PlayedJob
from experiments.metering.hosts import power_file
from experiments.metering.job_energy import energies_dict


def save_job(played: PlayedJob, target: Path) -> None:
    """Write the folder, in the place of what was there."""
    setup = played.prepared.setup
    spans = list(span_rows(played.traces))
    ranks = list(rank_rows(played.traces, played.job, len(setup.cluster.devices)))
    with whole_folder(target) as folder:
        (folder / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(dict(played.config))))
        (folder / "plan.json").write_text(played.job.phases[0].plan.to_json())
        (folder / "versions.json").write_text(json_text(versions() | {"seed": played.config["seed"]}))
        save_network(folder / "network.json", setup.cluster.network)
        (folder / "job.json").write_text(_told(played))
        (folder / "spans.csv").write_text(_csv(SpanRow, spans))
        (folder / "ranks.csv").write_text(_csv(RankRow, ranks))
        for log in played.power:
            (folder / power_file(log)).write_text("".join(log_lines(log)))
        save_job_perfetto(folder / "trace.perfetto.json", played.traces)
        save(timeline_figure(spans, ranks), folder / "timeline")


def _told(played: PlayedJob) -> str:
    return json_text(
        {
            "seed": played.config["seed"],
            "iterations": played.job.iterations,
            "members": list(played.job.members),
            "host_costs": asdict(played.host_costs),
            **({"metered": energies_dict(played.energies)} if played.energies else {}),
            "jobs": [
                metrics.to_dict() | {"losses": list(trace.losses)} | disturbed_dict(trace.disturbed)
                for metrics, trace in zip(played.metrics, played.traces, strict=True)
            ],
        }
    )


def _csv(kind: type[Any], rows: Iterable[Any]) -> str:
    out = StringIO()
    writer = csv.DictWriter(out, [field.name for field in fields(kind)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(asdict, rows))
    return out.getvalue()
