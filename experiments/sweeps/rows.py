"""What is one run's row in a table? Its configuration, what came of it, and what made it; a failure is a row too."""

import json
import platform
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from statistics import median
from typing import Any

from edgesim.energy import STATES
from edgesim.errors import OutOfMemoryError
from edgesim.intervals import kind_of
from edgesim.metrics import Metrics
from edgesim.units import bit_per_s, si
from experiments.analysis.placements import in_words
from experiments.analysis.predictions import prediction, proof_columns
from experiments.analysis.tidy import RunStatus
from experiments.configuration.cache import Cache
from experiments.configuration.command_line import USERS, sentence
from experiments.configuration.result_folders import versions
from experiments.configuration.setup import Prepared, Setup, prepare, read_setup
from experiments.execution.play import Played, play
from experiments.intervals.validated import PredictedInterval
from experiments.sweeps.grid import Composer, Overrides, flat
from experiments.sweeps.row_lines import Row
from experiments.sweeps.run_key import key

# Figures that are one number per run; the largest or the sum of those that are one per rank.
FIGURES = (
    "makespan_s",
    "samples_per_s",
    "latency_s",
    "energy_j",
    "energy_per_sample_j",
    "edp_js",
    "peak_bytes",
    "bubble",
    "utilisation",
    "sent_bytes",
)
# Figures that only some configurations give: a device's battery, a grid. Of batteries the first that is empty.
OPTIONAL_FIGURES = ("samples_per_charge", "carbon_g")
# How many executed plans say between which seconds a simulated iteration lies, makespan_low_s and makespan_high_s;
# of which kind of workload they are, and the file of their residuals.
INTERVAL_PLANS, INTERVAL_KIND, INTERVAL_FROM = "interval_plans", "interval_kind", "interval_from"
# Joules of all ranks by state: in a study's table where it asks for them under ``study.columns``.
STATE_FIGURES = tuple(f"{state}_j" for state in STATES)
# What of an executed run is computed from its measured times and from watts: no meter read it.
_OF_WATTS = frozenset(
    ("energy_j", "energy_per_sample_j", "edp_js", *OPTIONAL_FIGURES, *STATE_FIGURES, "energy_source", "carbon_source")
)
# What meters read of an executed run, of which kind it is, and how much of the run they saw.
METERED = ("energy_per_sample_j", "coverage", "evidence", "covers")


class Runner:
    """Makes runs one after the other, and remembers what they share."""

    def __init__(self, composer: Composer, study: str, code: str) -> None:
        self.composer, self.cache = composer, Cache()
        self.made_by: Row = {"study": study, "code": code, "host": platform.node(), **versions()}

    def key(self, overrides: Overrides) -> tuple[str, dict[str, Any] | None, str]:
        """The run's key and configuration, or a key of its words and what is wrong with them."""
        try:
            config = self.composer(overrides)
            return key(config), config, ""
        except USERS as error:
            return "words " + json.dumps([*self.composer.sweep.fixed, *overrides]), None, sentence(error)

    def row(self, overrides: Overrides, name: str, config: dict[str, Any] | None, problem: str) -> Row:
        """The run, made now."""
        begin_s = time.monotonic()
        if config is None:
            return self.failed(overrides, name, config, problem)
        try:
            found = facts(play(config, prepare(config, self.cache)))
        except OutOfMemoryError as error:
            return self.failed(overrides, name, config, sentence(error), RunStatus.OUT_OF_MEMORY)
        except USERS as error:
            return self.failed(overrides, name, config, sentence(error))
        except Exception as error:  # our mistake, but it must not end the other runs
            return self.failed(overrides, name, config, f"{type(error).__name__}: {error}")
        wall_s = time.monotonic() - begin_s
        return (
            self._said(overrides, name, config)
            | found
            | {"status": str(RunStatus.DONE), "reason": "", "wall_s": wall_s}
        )

    def failed(
        self,
        overrides: Overrides,
        name: str,
        config: dict[str, Any] | None,
        reason: str,
        status: RunStatus = RunStatus.FAILED,
    ) -> Row:
        """The row of a run that could not be made; it tells which one as far as that can be known."""
        row = self._said(overrides, name, config) | {"status": str(status), "reason": reason}
        try:
            return row | (which(config, read_setup(config, self.cache)) if config else {})
        except Exception:  # what is wrong with the nouns is the reason already
            return row

    def _said(self, overrides: Overrides, name: str, config: dict[str, Any] | None) -> Row:
        row: Row = {"key": name, "overrides": json.dumps(overrides), "finished": datetime.now(UTC).isoformat()}
        return row | self.made_by | dict(flat(config or {}))


def facts(run: Played) -> Row:
    """Which run it is, its plan, and what came out of it, simulated and measured."""
    row = which(run.config, run.setup) | made_of(run.prepared) | figures(run.metrics[:1])
    row |= foretold(run.setup, run.interval)
    measured = figures(run.metrics[1:]) if len(run.metrics) > 1 else {}
    if run.disturbed:
        measured["disturbed"] = max(run.disturbed)
    if run.slower_because:
        row["slower_because"] = run.slower_because
    row |= {real_column(name): value for name, value in measured.items()}
    metered = {} if run.metered is None else {f"metered.{name}": getattr(run.metered, name) for name in METERED}
    return row | metered


def foretold(setup: Setup, predicted: PredictedInterval) -> Row:
    """Between which seconds a simulated iteration lies, and which executed plans say so; nothing where none do."""
    if (known := predicted.interval) is None:
        return {}
    plans: Row = {INTERVAL_PLANS: known.residuals, INTERVAL_KIND: str(kind_of(setup.workload))}
    return plans | {
        "makespan_low_s": known.low_s,
        "makespan_high_s": known.high_s,
        INTERVAL_FROM: setup.validated.path,
    }


def real_column(name: str) -> str:
    """What a figure of an executed run is called in a sweep's table; only what was measured is called so.

    >>> real_column("makespan_s"), real_column("energy_j")
    ('measured.makespan_s', 'from_measured_times.energy_j')
    """
    return f"from_measured_times.{name}" if name in _OF_WATTS else f"measured.{name}"


def which(config: Mapping[str, Any], setup: Setup) -> Row:
    """Which run it is, in columns of the tidy table."""
    strategy, planner = (str(config[noun]["_target_"]).rpartition(".")[2] for noun in ("strategy", "planner"))
    return {
        "cluster": setup.cluster.name,
        "model": setup.model.name,
        "strategy": strategy,
        "planner": planner,
        "method": config.get("method") or strategy,
        "devices": len(setup.cluster.devices),
        "bandwidth_bit_per_s": bit_per_s(line_rate_bytes_per_s(config, setup)),
        "batch_samples": setup.workload.batch_samples,
        "iterations": config["iterations"],
        "profile_hash": setup.profile.hash,
        "profile_origin": str(setup.profile.origin),
    }


def made_of(prepared: Prepared) -> Row:
    """The plan, what is known of it before it is played, and the schedule."""
    setup, plan = prepared.setup, prepared.plan
    promised = prediction(setup.problem, plan, prepared.strategy)
    known = {
        "predicted_s": promised.seconds,
        "bound_s": promised.bound_s,
        "gap": promised.gap,
        "planning_s": plan.proof and plan.proof.seconds,
    } | proof_columns(plan.proof)
    return {
        "placement": in_words(plan, [device.name for device in setup.cluster.devices]),
        "schedule": prepared.schedule.hash,
        **{name: value for name, value in known.items() if value is not None},
    }


def line_rate_bytes_per_s(config: Mapping[str, Any], setup: Setup) -> float:
    """The rate of the slowest NIC or link; where the links were measured, the rate that they were meant to have."""
    network = config["network"]
    return setup.cluster.network.slowest_bytes_per_s if network["calibrated"] is None else si(network["rate"])


def figures(iterations: Sequence[Metrics]) -> Row:
    """The median of the iterations, and of their time also the extremes."""
    plain = [
        metrics.to_dict()
        | {
            "peak_bytes": max(metrics.peak_bytes),
            "sent_bytes": sum(metrics.sent_bytes),
            "utilisation": sum(metrics.utilisation) / len(metrics.utilisation),
            "samples_per_charge": min((n for n in metrics.samples_per_charge if n is not None), default=None),
        }
        | {f"{state}_j": sum(each[state] for each in metrics.energy_by_state_j) for state in STATES}
        for metrics in iterations
    ]
    times = [metrics.makespan_s for metrics in iterations]
    known = [name for name in (*FIGURES, *OPTIONAL_FIGURES, *STATE_FIGURES) if plain[0][name] is not None]
    return (
        dict.fromkeys(OPTIONAL_FIGURES)
        | {name: median(each[name] for each in plain) for name in known}
        | {
            "makespan_low_s": min(times) if len(times) > 1 else None,
            "makespan_high_s": max(times) if len(times) > 1 else None,
            "energy_source": iterations[0].energy_source,
            "carbon_source": iterations[0].carbon_source,
        }
    )
