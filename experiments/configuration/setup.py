"""What does a configuration say? The nouns it names, and the plan, schedule and simulation that follow from them."""

import inspect
import json
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from edgesim.cluster import Cluster, Device, Grid, Network
from edgesim.errors import ProfileError
from edgesim.metrics import Metrics, measure
from edgesim.model import Model
from edgesim.plan import Plan
from edgesim.planners.problem import Problem
from edgesim.profile import Profile, estimate, mix
from edgesim.scenario import Event, Scenario
from edgesim.schedule import Schedule
from edgesim.simulator import simulate
from edgesim.strategies import Strategy
from edgesim.trace import Trace
from edgesim.units import mbit_per_s
from edgesim.workload import Workload
from experiments.configuration.network_file import load_network

Planner = Callable[..., Plan]  # takes a problem, ``evaluate`` if it judges candidates, ``modes`` if it chooses them
Modes = Mapping[str, Sequence[Device]]  # by a device's name, its other power modes
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
    """All that a simulation needs.

    Plans are made and judged for the cluster as it is; what happens then is played. ``head_room`` is the share of each
    device's memory that plans leave free; ``modes`` are the other power modes of devices, by name.
    """

    cluster: Cluster
    model: Model
    workload: Workload
    profile: Profile
    scenario: Scenario
    head_room: float = 0.0
    grid: Grid | None = None
    modes: Modes = field(default_factory=dict)

    def calibrated(self, profile: Profile, network: Network) -> "Nouns":
        """The same, with what was measured on a testbed."""
        return replace(self, profile=profile, cluster=replace(self.cluster, network=network))

    @property
    def problem(self) -> Problem:
        """What these nouns ask a planner."""
        return Problem(
            model=self.model,
            cluster=self.cluster,
            profile=self.profile,
            workload=self.workload,
            head_room=self.head_room,
        )

    def plan(self, planner: Planner, strategy: Strategy) -> Plan:
        """The planner's answer, checked; who judges candidates is handed the simulator, who chooses modes these."""
        problem = self.problem
        handed: dict[str, Any] = {
            "evaluate": lambda candidate: self.seconds(candidate, strategy),
            "modes": self.modes,
        }
        asked = inspect.signature(planner).parameters
        plan = planner(problem, **{name: thing for name, thing in handed.items() if name in asked})
        return replace(problem, cluster=plan.in_modes(self.cluster, self.modes)).check(plan)

    def in_modes_of(self, plan: Plan) -> "Nouns":
        """The same, with the cluster in the plan's power modes: what plays and measures it."""
        return replace(self, cluster=plan.in_modes(self.cluster, self.modes)) if plan.modes else self

    def simulate(self, schedule: Schedule) -> Trace:
        """The schedule in virtual time, under the scenario."""
        return simulate(
            schedule,
            cluster=self.cluster,
            model=self.model,
            profile=self.profile,
            tokens=self.workload.tokens,
            scenario=self.scenario,
        )

    def seconds(self, plan: Plan, strategy: Strategy) -> float:
        """Simulated seconds per iteration of a plan if nothing happens: planners do not know the scenario."""
        undisturbed = replace(self, scenario=Scenario())
        return undisturbed.simulate(strategy(plan, self.model, self.workload)).makespan_s

    def measure(self, trace: Trace) -> Metrics:
        """What a trace of either player meant."""
        return measure(trace, cluster=self.cluster, model=self.model, workload=self.workload, grid=self.grid)


Config = DictConfig | Mapping[str, Any]


def nouns(cfg: Config, shelf: Shelf | None = None) -> Nouns:
    """Build what the configuration names, or take it from the shelf."""
    return _nouns(cfg, _texts(cfg), shelf or Shelf())


def _nouns(cfg: Config, texts: Mapping[str, str], shelf: Shelf) -> Nouns:
    model: Model = shelf.get(texts["model"], lambda: build(cfg["finetuning"])(build(cfg["model"])))
    workload: Workload = shelf.get(texts["workload"], lambda: build(cfg["workload"]))
    cluster: Cluster = shelf.get(texts["cluster"], lambda: _cluster(cfg))
    modes: Modes = shelf.get(texts["modes"], lambda: _modes(cfg, cluster))
    others = {"modes": [mode for name in sorted(modes) for mode in modes[name]]} if modes else {}
    devices = text(cfg["cluster"].get("devices", texts["cluster"]))  # not the network: a profile holds computation only
    profile: Profile = shelf.get(
        (texts["profile"], texts["model"], texts["workload"], texts["modes"], devices),
        lambda: build(cfg["profile"])(model=model, cluster=cluster, workload=workload, **others),
    )
    scenario: Scenario = shelf.get(texts["scenario"], lambda: build(cfg["scenario"]))
    grid: Grid | None = build(cfg["grid"]) if cfg.get("grid") else None
    return Nouns(
        cluster=cluster,
        model=model,
        workload=workload,
        profile=profile,
        scenario=scenario,
        head_room=cfg["head_room"],
        grid=grid,
        modes=modes,
    )


def _modes(cfg: Config, cluster: Cluster) -> Modes:
    """Power modes that are named for devices of the cluster. Raises ValueError for a device that it lacks."""
    modes: dict[str, dict[str, Device]] = build(cfg["modes"]) if cfg.get("modes") else {}
    known = {device.name for device in cluster.devices}
    if unknown := sorted(modes.keys() - known):
        raise ValueError(
            f"modes are given for {unknown[0]!r}, cluster {cluster.name} has {', '.join(sorted(known))} "
            "(say +device@modes.NAME.low=... with one of these)"
        )
    return {name: tuple(of.values()) for name, of in modes.items()}


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
    strategy: Strategy
    plan: Plan
    schedule: Schedule


def prepare(cfg: Config, shelf: Shelf | None = None) -> Prepared:
    """Nouns, plan and schedule of a configuration, or what of them is on the shelf."""
    shelf, texts = shelf or Shelf(), _texts(cfg)
    words = _nouns(cfg, texts, shelf)
    if cfg["execute"]:
        refuse_to_execute(words.scenario)
    strategy: Strategy = shelf.get(texts["strategy"], lambda: build(cfg["strategy"]))
    planned_for = (words.head_room, *(each for noun, each in texts.items() if noun != "scenario"))
    plan = shelf.get(planned_for, lambda: words.plan(build(cfg["planner"]), strategy))
    if cfg["execute"]:
        refuse_modes(plan)
    schedule = shelf.get(
        # Not the network: plans that agree in their stages have one schedule, whatever they were made for.
        (texts["strategy"], texts["model"], texts["workload"], plan.stages),
        lambda: strategy(plan, words.model, words.workload),
    )
    return Prepared(words=words.in_modes_of(plan), strategy=strategy, plan=plan, schedule=schedule)


def _texts(cfg: Config) -> dict[str, str]:
    """What each noun is built from, as texts that differ where anything differs; a file by when it was written."""
    files = files_of(cfg)
    texts = {
        noun: f"{noun}: {text(cfg[noun])}" + "".join(f" {_written_ns(file)}" for file in files.get(noun, ()))
        for noun in ("model", "workload", "cluster", "profile", "planner", "strategy", "scenario")
    }
    return texts | {"model": f"{texts['model']} {text(cfg['finetuning'])}", "modes": f"modes: {text(cfg['modes'])}"}


def files_of(cfg: Config) -> dict[str, list[str]]:
    """Files that a configuration names, by the noun that is read from them."""
    table = cfg["model"].get("table")
    paths = {
        "model": [table if str(table).endswith(".json") else None],  # a user's own; kept ones change with the library
        "cluster": [cfg["network"]["calibrated"]],
        "profile": [cfg["profile"].get("path")],
        "scenario": [event.get("path") for event in cfg["scenario"]["events"].values()],
    }
    if old := cfg["planner"].get("old"):  # the plan that was running before a loss
        paths["planner"] = [old]
    return {noun: [path for path in found if path] for noun, found in paths.items()}


def _written_ns(path: str) -> tuple[str, int]:
    return path, Path(path).stat().st_mtime_ns


def text(cfg: Any) -> str:
    """A part of a configuration as text that is equal where it is."""
    plain = OmegaConf.to_container(cfg, resolve=True) if OmegaConf.is_config(cfg) else cfg
    return json.dumps(plain, sort_keys=True, default=str)


def build(cfg: Config) -> Any:
    """Call the constructor that the configuration names, with plain Python values."""
    return instantiate(cfg, _convert_="all")


def estimated(*, model: Model, cluster: Cluster, workload: Workload, modes: Sequence[Device] = ()) -> Profile:
    """An estimated profile for every sample count that a micro-batch can be cut into, also in other power modes."""
    return _estimated(model, (*cluster.devices, *modes), workload)


def _estimated(model: Model, devices: Sequence[Device], workload: Workload) -> Profile:
    return estimate(model, devices, samples=range(1, workload.micro_batch_samples + 1), tokens=workload.tokens)


def alike(*, name: str, device: Device, count: int, network: Callable[..., Network], bytes_per_s: float) -> Cluster:
    """A cluster of ``count`` equal devices; ``network`` is handed a rate for each."""
    if count < 1:
        raise ValueError(f"cluster {name}: count must be at least 1, got {count}")
    return joined(name=name, devices=[device] * count, network=network, bytes_per_s=bytes_per_s)


def joined(*, name: str, devices: Sequence[Device], network: Callable[..., Network], bytes_per_s: float) -> Cluster:
    """A cluster of these devices whose NICs all have one rate; ``network`` is handed a rate for each."""
    rates = [bytes_per_s] * len(devices)
    return Cluster(name=name, devices=tuple(devices), network=network(transmit_bytes_per_s=rates))


def scenario(*, seed: int, iteration: int, events: Mapping[str, Event]) -> Scenario:
    """A scenario of named events, so that an override can name a value of one: ``scenario.events.walk.low=0.5``."""
    return Scenario(seed=seed, iteration=iteration, events=tuple(events.values()))


def refuse_to_execute(scenario: Scenario) -> None:
    """Raise ValueError where something happens: only the simulator can play that."""
    if scenario.events:
        raise ValueError(f"the testbed cannot play a scenario yet: {scenario} (set scenario=none, or execute=false)")


def refuse_modes(plan: Plan) -> None:
    """Raise ValueError for a plan in other power modes: a testbed emulates devices as the cluster names them."""
    if plan.modes:
        rank, mode = next(iter(plan.modes.items()))
        raise ValueError(
            f"the testbed runs devices in their own power mode, the plan runs rank {rank} as {mode} "
            "(leave modes out, name that device in the cluster, or set execute=false)"
        )


def measured(*, path: str, model: Model, cluster: Cluster, workload: Workload, modes: Sequence[Device] = ()) -> Profile:
    """A profile file of :mod:`experiments.calibrate`. Raises ProfileError if it is of another model, device or mode."""
    return _measured(path, model, {device.name for device in (*cluster.devices, *modes)}, workload)


def mixed(
    *,
    path: str,
    estimate: Sequence[str],
    model: Model,
    cluster: Cluster,
    workload: Workload,
    modes: Sequence[Device] = (),
) -> Profile:
    """Estimates for the devices that ``estimate`` names, and a profile file for all others.

    Raises ProfileError if a name is no device of the cluster, or if there is nothing to mix.
    """
    devices = {device.name: device for device in (*cluster.devices, *modes)}
    if not set(estimate) < set(devices) or not estimate:
        raise ProfileError(
            f"profile.estimate must name some, not all, of {', '.join(devices)}, got {list(estimate)} "
            f"(for one origin say profile=measured or profile=estimated)"
        )
    known = _measured(path, model, set(devices) - set(estimate), workload)
    guess = _estimated(model, [devices[name] for name in estimate], workload)
    return mix({name: guess if name in estimate else known for name in devices})


def _measured(path: str, model: Model, devices: set[str], workload: Workload) -> Profile:
    """The file's profile, if it has all that is wanted."""
    profile = Profile.load(Path(path))
    if profile.model != model.name:
        raise ProfileError(
            f"{path} is a profile of {profile.model}, the model is {model.name} (calibrate it, or take another)"
        )
    known = {point.device for point in profile.points}
    if missing := devices - known:
        raise ProfileError(
            f"{path} was measured for devices {sorted(known)}, asked for {sorted(missing)} (calibrate these, or say "
            f"profile=mixed to estimate them)"
        )
    tokens = {point.tokens for point in profile.points}
    if not min(tokens) <= workload.tokens <= max(tokens):
        raise ProfileError(
            f"{path} was measured for tokens {sorted(tokens)}, asked for {workload.tokens} (calibrate these)"
        )
    return profile
