"""What does a configuration say? The nouns it names, and the plan, schedule and simulation that follow from them."""

import inspect
import json
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from edgesim.cluster import Cluster, Device, Network
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
from edgesim.units import mbit_per_s
from edgesim.workload import Workload
from experiments.network_file import load_network

Planner = Callable[..., Plan]  # takes a problem, and ``evaluate`` if it judges candidates
T = TypeVar("T")
_SHELF_SIZE = 256  # of each kind a sweep needs a few at a time; schedules are the largest


class Shelf:
    """What has been built, by what it was built from; of too many, the one not used for longest goes."""

    def __init__(self) -> None:
        self.things: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The thing of this key, made at its first use."""
        if key not in self.things:
            self.things[key] = make()
            if len(self.things) > _SHELF_SIZE:
                self.things.popitem(last=False)
        self.things.move_to_end(key)
        thing: T = self.things[key]
        return thing


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


Config = DictConfig | Mapping[str, Any]


def nouns(cfg: Config, shelf: Shelf | None = None) -> Nouns:
    """Build what the configuration names, or take it from the shelf."""
    return _nouns(cfg, _texts(cfg), shelf or Shelf())


def _nouns(cfg: Config, texts: Mapping[str, str], shelf: Shelf) -> Nouns:
    model: Model = shelf.get(texts["model"], lambda: build(cfg["model"]))
    workload: Workload = shelf.get(texts["workload"], lambda: build(cfg["workload"]))
    cluster: Cluster = shelf.get(texts["cluster"], lambda: _cluster(cfg))
    profile: Profile = shelf.get(
        # Not the network: a profile holds computation only.
        (texts["profile"], texts["model"], texts["workload"], text(cfg["cluster"].get("devices", texts["cluster"]))),
        lambda: build(cfg["profile"])(model=model, cluster=cluster, workload=workload),
    )
    return Nouns(cluster=cluster, model=model, workload=workload, profile=profile)


# What TCP leaves of a line rate: on radio down to a third, and never more, but for the error of the measurement.
_LEAST_OF_LINE_RATE, _MOST_OF_LINE_RATE = 1 / 3, 1.05


def nominal_cluster(cfg: Config) -> Cluster:
    """The cluster as it is meant to be: what a testbed emulates, and what is calibrated."""
    cluster: Cluster = build(cfg["cluster"])
    return cluster


def _cluster(cfg: Config) -> Cluster:
    cluster = nominal_cluster(cfg)
    calibrated = cfg["network"]["calibrated"]
    if calibrated is None:
        return cluster
    network = load_network(Path(calibrated))
    meant, found = cluster.network.slowest_bytes_per_s, network.slowest_bytes_per_s
    if not meant * _LEAST_OF_LINE_RATE <= found <= meant * _MOST_OF_LINE_RATE:
        raise ValueError(
            f"{calibrated} was measured at {mbit_per_s(found):.3g} Mbit/s, and network.rate is "
            f"{mbit_per_s(meant):g} Mbit/s (set network.rate to the line rate at which it was calibrated)"
        )
    return replace(cluster, network=network)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A configuration up to the point where a player takes over."""

    words: Nouns
    plan: Plan
    schedule: Schedule


def prepare(cfg: Config, shelf: Shelf | None = None) -> Prepared:
    """Nouns, plan and schedule of a configuration, or what of them is on the shelf."""
    shelf, texts = shelf or Shelf(), _texts(cfg)
    words = _nouns(cfg, texts, shelf)
    strategy: Strategy = shelf.get(texts["strategy"], lambda: build(cfg["strategy"]))
    plan = shelf.get(tuple(texts.values()), lambda: words.plan(build(cfg["planner"]), strategy))
    schedule = shelf.get(
        # Not the network: plans that agree in their stages have one schedule, whatever they were made for.
        (texts["strategy"], texts["model"], texts["workload"], plan.stages),
        lambda: strategy(plan, words.model, words.workload),
    )
    return Prepared(words=words, plan=plan, schedule=schedule)


def _texts(cfg: Config) -> dict[str, str]:
    """What each noun is built from, as texts that differ where anything differs; a file by when it was written."""
    files = {"cluster": cfg["network"]["calibrated"], "profile": cfg["profile"].get("path")}
    if str(table := cfg["model"].get("table")).endswith(".json"):
        files["model"] = table
    return {
        noun: f"{noun}: {text(cfg[noun])}" + (f" {_written_ns(file)}" if (file := files.get(noun)) else "")
        for noun in ("model", "workload", "cluster", "profile", "planner", "strategy")
    }


def _written_ns(path: str) -> tuple[str, int]:
    return path, Path(path).stat().st_mtime_ns


def text(cfg: Any) -> str:
    """A part of a configuration as text that is equal where it is."""
    plain = OmegaConf.to_container(cfg, resolve=True) if OmegaConf.is_config(cfg) else cfg
    return json.dumps(plain, sort_keys=True, default=str)


def build(cfg: Config) -> Any:
    """Call the constructor that the configuration names, with plain Python values."""
    return instantiate(cfg, _convert_="all")


def estimated(*, model: Model, cluster: Cluster, workload: Workload) -> Profile:
    """A roofline profile for every sample count that a micro-batch can be cut into."""
    return estimate(model, cluster.devices, samples=range(1, workload.micro_batch_samples + 1), tokens=workload.tokens)


def alike(*, name: str, device: Device, count: int, network: Callable[..., Network], bytes_per_s: float) -> Cluster:
    """A cluster of ``count`` equal devices; ``network`` is handed a rate for each."""
    if count < 1:
        raise ValueError(f"cluster {name}: count must be at least 1, got {count}")
    return Cluster(name=name, devices=(device,) * count, network=network(transmit_bytes_per_s=[bytes_per_s] * count))


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
