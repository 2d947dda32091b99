"""What does a configuration say? The nouns it names, and the plan, schedule and simulation that follow from them."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig

from edgesim.cluster import Cluster, Network
from edgesim.errors import ProfileError
from edgesim.metrics import Metrics, measure
from edgesim.model import Model
from edgesim.plan import Plan
from edgesim.planners import Problem
from edgesim.profile import Profile, estimate
from edgesim.schedule import Schedule
from edgesim.simulator import simulate
from edgesim.strategies import Strategy
from edgesim.trace import Trace
from edgesim.workload import Workload
from experiments.network_file import load_network

Planner = Callable[..., Plan]  # takes a problem, and ``evaluate`` if it judges candidates


@dataclass(frozen=True, kw_only=True)
class Nouns:
    """All that a simulation needs."""

    cluster: Cluster
    model: Model
    workload: Workload
    profile: Profile

    def calibrated(self, profile: Profile, network: Network) -> "Nouns":
        """The same, with what was measured on a testbed."""
        return replace(self, profile=profile, cluster=replace(self.cluster, network=network))

    def plan(self, planner: Planner, strategy: Strategy) -> Plan:
        """The planner's answer, checked; a planner that judges candidates is handed the simulator."""
        problem = Problem(model=self.model, cluster=self.cluster, profile=self.profile, workload=self.workload)
        judges = "evaluate" in inspect.signature(planner).parameters
        plan = (
            planner(problem, evaluate=lambda candidate: self.seconds(candidate, strategy))
            if judges
            else planner(problem)
        )
        plan.check(self.model, self.cluster, self.workload)
        return plan

    def simulate(self, schedule: Schedule) -> Trace:
        """The schedule in virtual time."""
        return simulate(
            schedule, cluster=self.cluster, model=self.model, profile=self.profile, tokens=self.workload.tokens
        )

    def seconds(self, plan: Plan, strategy: Strategy) -> float:
        """Simulated seconds per iteration of a plan."""
        return self.simulate(strategy(plan, self.model, self.workload)).makespan_s

    def measure(self, trace: Trace) -> Metrics:
        """What a trace of either player meant."""
        return measure(trace, cluster=self.cluster, model=self.model, workload=self.workload)


def nouns(cfg: DictConfig) -> Nouns:
    """Build what the configuration names."""
    cluster: Cluster = build(cfg.cluster)
    if cfg.network.calibrated is not None:
        cluster = replace(cluster, network=load_network(Path(cfg.network.calibrated)))
    model: Model = build(cfg.model)
    workload: Workload = build(cfg.workload)
    profile = build(cfg.profile)(model=model, cluster=cluster, workload=workload)
    return Nouns(cluster=cluster, model=model, workload=workload, profile=profile)


def build(cfg: DictConfig) -> Any:
    """Call the constructor that the configuration names, with plain Python values."""
    return instantiate(cfg, _convert_="all")


def estimated(*, model: Model, cluster: Cluster, workload: Workload) -> Profile:
    """A roofline profile for every sample count that a micro-batch can be cut into."""
    return estimate(model, cluster.devices, samples=range(1, workload.micro_batch_samples + 1), tokens=workload.tokens)


def measured(*, path: str, model: Model, cluster: Cluster, workload: Workload) -> Profile:
    """A profile file of :mod:`experiments.calibrate`. Raises ProfileError if it is of another model or device."""
    profile = Profile.load(Path(path))
    if profile.model != model.name:
        raise ProfileError(
            f"{path} is a profile of {profile.model}, the model is {model.name} (calibrate it, or take another)"
        )
    _known("devices", {device.name for device in cluster.devices}, {point.device for point in profile.points}, path)
    _known("tokens", {workload.tokens}, {point.tokens for point in profile.points}, path)
    return profile


def _known(what: str, wanted: set[object], known: set[object], path: str) -> None:
    if missing := wanted - known:
        raise ProfileError(
            f"{path} was measured for {what} {sorted(known)}, asked for {sorted(missing)} (calibrate these)"
        )  # type: ignore[type-var]
