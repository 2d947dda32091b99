"""What is measured? Each rate with each workload; and how long will all of it take?"""

from copy import deepcopy
from typing import Any

from omegaconf import DictConfig

from edgesim.units import bit_per_s
from experiments.configuration.constructors import build
from experiments.configuration.planners import contending_planners
from experiments.configuration.setup import Setup, read_setup, refuse_to_execute
from experiments.planner_regret.contenders import contenders
from experiments.planner_regret.trials import planned_s, rounds

# What a testbed of three hosts takes to come up, to time its links, and to begin and end a run: measured, about.
_OPENING_S, _LINKS_S, _RUN_S = 6.0, 30.0, 0.6
_WORKLOAD = {"batch_samples", "micro_batch_samples"}


def check(cfg: DictConfig) -> None:
    """Raise ValueError for what could not be measured, before anything starts."""
    asked, counts = cfg.planner_regret, sorted(cfg.calibration.samples)
    setup = read_setup(cfg)
    if setup.scenario.events:
        raise ValueError(f"planners know of no scenario: {setup.scenario} (set scenario=none)")
    refuse_to_execute(setup)
    if not asked.rates or not asked.workloads:
        raise ValueError("planner_regret needs at least one of the rates and one of the workloads")
    for name in ("rounds", "iterations", "keep"):
        if asked[name] < 1:
            raise ValueError(f"planner_regret.{name} must be at least 1, got {asked[name]}")
    if not 1 <= asked.once_above <= asked.skip_above:
        raise ValueError(
            f"planner_regret.once_above={asked.once_above} and skip_above={asked.skip_above} are times the fastest "
            "plan: at least 1, and the second no less than the first"
        )
    for workload in asked.workloads:
        if set(workload) != _WORKLOAD:
            raise ValueError(f"planner_regret: a workload has {' and '.join(sorted(_WORKLOAD))}, got {dict(workload)}")
        if not counts or counts[0] > 1 or counts[-1] < workload.micro_batch_samples:
            raise ValueError(
                f"plans may ask for 1 to {workload.micro_batch_samples} samples, calibration.samples={counts} "
                "do not reach from one to the other (add these)"
            )


def configurations(cfg: DictConfig, rate: str) -> list[DictConfig]:
    """One for each workload at this rate."""
    configured = []
    for workload in cfg.planner_regret.workloads:
        own = deepcopy(cfg)
        own.network.rate = rate
        own.workload.batch_samples = workload.batch_samples
        own.workload.micro_batch_samples = workload.micro_batch_samples
        configured.append(own)
    return configured


def setting(testbed: str, setup: Setup) -> dict[str, Any]:
    """The columns that tell which one it is; the rate is that of the line, not what was measured of it."""
    return {
        "testbed": testbed,
        "cluster": setup.cluster.name,
        "model": setup.model.name,
        "bandwidth_bit_per_s": bit_per_s(setup.cluster.network.slowest_bytes_per_s),
        "batch_samples": setup.workload.batch_samples,
        "micro_batch_samples": setup.workload.micro_batch_samples,
    }


def expected_s(cfg: DictConfig) -> float:
    """Seconds of the whole study, by estimates of the devices."""
    return sum(_of_rate_s(cfg, rate) for rate in cfg.planner_regret.rates)


def _of_rate_s(cfg: DictConfig, rate: str) -> float:
    """Opening, calibration and all runs."""
    strategy, setups = build(cfg.strategy), [read_setup(own) for own in configurations(cfg, rate)]
    planners = list(contending_planners(cfg))
    contending = [contenders(setup, strategy, planners, keep=cfg.planner_regret.keep) for setup in setups]
    runs_s = sum(planned_s(each, cfg.planner_regret) for each in contending)
    runs = sum(len(order) for each in contending for order in rounds(each, cfg.planner_regret))
    problem, layers = setups[0].problem, (0, len(setups[0].model.layers))
    # One host after the other times all layers; one repeat warms up. Seconds are about proportional to samples.
    one_s = sum(problem.seconds(rank=rank, layers=layers, samples=1) for rank in problem.ranks)
    blocks_s = (cfg.calibration.repeats + 1) * sum(cfg.calibration.samples) * one_s
    slow_motion = float(cfg.testbed.slow_motion)
    return _OPENING_S + _LINKS_S + runs * _RUN_S + (float(blocks_s) + runs_s) * slow_motion
