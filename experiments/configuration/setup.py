"""What is set up to be played? The nouns that a configuration names, and the plan and schedule that follow."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from edgesim.cluster import Cluster, Device, Grid, Network, with_disks
from edgesim.intervals import kind_of
from edgesim.metrics import Metrics, measure
from edgesim.model import Model, with_activation_bytes
from edgesim.plan import Plan
from edgesim.planners.problem import Modes, Planner, Problem, ask
from edgesim.profile import Profile
from edgesim.scenario import Scenario
from edgesim.schedule import Schedule
from edgesim.simulator import simulate
from edgesim.steady_state import seconds_per_iteration
from edgesim.strategies import Strategy
from edgesim.trace import Trace
from edgesim.units import mbit_per_s
from edgesim.workload import Workload
from edgesim.zoo.architectures import longest_tokens
from experiments.configuration.cache import Cache, text, texts_of
from experiments.configuration.constructors import Config, build, build_function, build_noun, of_kind
from experiments.configuration.network_file import load_disks, load_network
from experiments.configuration.planners import ConfiguredPlanner, Handed, build_planner
from experiments.intervals.validated import PredictedInterval, Validated, validated
from real_runtime.testbeds.scenarios.refusals import refuse_for_iterations, refuse_for_jobs


@dataclass(frozen=True, kw_only=True)
class Setup:
    """All that a simulation needs.

    Plans are made and judged for the cluster as it is; what happens then is played. ``head_room`` is the share of each
    device's memory that plans leave free; ``modes`` are the other power modes of devices, by name; ``validated``
    are the executed plans that say how far predictions may be off.
    """

    cluster: Cluster
    model: Model
    workload: Workload
    profile: Profile
    scenario: Scenario
    head_room: float = 0.0
    grid: Grid | None = None
    modes: Modes = field(default_factory=dict)
    validated: Validated = field(default_factory=Validated)

    def calibrated(self, profile: Profile, network: Network) -> "Setup":
        """The same, with what was measured on a testbed."""
        cluster = replace(self.cluster, network=network)
        return replace(self, profile=profile, cluster=cluster, validated=Validated())

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

    def plan(self, planner: ConfiguredPlanner, strategy: Strategy) -> Plan:
        """The planner's plan, checked."""
        return ask(self.bind(planner, strategy), self.problem, modes=self.modes)

    def bind(self, planner: ConfiguredPlanner, strategy: Strategy) -> Planner:
        """The planner, handed what it declares to need of this run."""
        return planner.bind({Handed.EVALUATE: partial(self.seconds, strategy=strategy), Handed.MODES: self.modes})

    def as_planned(self, plan: Plan) -> "Setup":
        """The same in the plan's power modes and micro-batches: what plays and measures it."""
        setup = replace(self, cluster=plan.in_modes(self.cluster, self.modes)) if plan.modes else self
        samples = plan.micro_batch_samples
        if samples == self.workload.micro_batch_samples:
            return setup
        return replace(setup, workload=replace(self.workload, micro_batch_samples=samples))

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
        return seconds_per_iteration(undisturbed.simulate(strategy(plan, self.model, self.workload)))

    def interval(self, simulated_s: float) -> PredictedInterval:
        """Between which seconds an iteration lies that is simulated to take these, by plans that were executed."""
        if self.scenario.events:
            return PredictedInterval(why="nothing happened to the plans that were executed (scenario=none has one)")
        return self.validated.interval(simulated_s, kind_of(self.workload))

    def measure(self, trace: Trace) -> Metrics:
        """What a trace of either player meant."""
        return measure(trace, cluster=self.cluster, model=self.model, workload=self.workload, grid=self.grid)


def read_setup(cfg: Config, cache: Cache | None = None) -> Setup:
    """Build what the configuration names, or take it from the cache."""
    return _setup(cfg, texts_of(cfg), cache or Cache())


def _setup(cfg: Config, texts: Mapping[str, str], cache: Cache) -> Setup:
    model: Model = cache.get(texts["model"], lambda: _model(cfg))
    workload: Workload = cache.get(texts["workload"], lambda: build_noun(cfg, "workload", Workload))
    refuse_misfit(model, workload)
    model = with_activation_bytes(model, workload.activation_bytes)
    cluster: Cluster = cache.get(texts["cluster"], lambda: read_cluster(cfg))
    modes: Modes = cache.get(texts["modes"], lambda: _modes(cfg, cluster))
    others = {"modes": [mode for name in sorted(modes) for mode in modes[name]]} if modes else {}
    devices = text(cfg["cluster"].get("devices", texts["cluster"]))  # not the network: a profile holds computation only
    profile: Profile = cache.get(
        (texts["profile"], texts["model"], texts["workload"], texts["modes"], devices),
        lambda: _profile(cfg, {"model": model, "cluster": cluster, "workload": workload, **others}),
    )
    scenario: Scenario = cache.get(texts["scenario"], lambda: build_noun(cfg, "scenario", Scenario))
    for name, settings in _settings(cfg):
        cache.get(f"{name}: {text(settings)}", partial(build, settings))  # wrong ones are told here already
    grid: Grid | None = build_noun(cfg, "grid", Grid) if cfg.get("grid") else None
    known = cache.get(("validated", texts["profile"]), lambda: validated(cfg, profile.hash))
    return Setup(
        cluster=cluster,
        model=model,
        workload=workload,
        profile=profile,
        scenario=scenario,
        head_room=cfg["head_room"],
        grid=grid,
        modes=modes,
        validated=known,
    )


def _settings(cfg: Config) -> Iterator[tuple[str, Any]]:
    """Those of a testbed and of a loop over it, of which a run may have no need."""
    yield "testbed", cfg["testbed"]
    if (loop := cfg.get("autopilot")) is not None:
        yield "tolerances", loop["tolerances"]


def _model(cfg: Config) -> Model:
    tune = build_function(cfg, "finetuning", "model")
    return of_kind(tune(build_noun(cfg, "model", Model)), Model, "finetuning")


def _profile(cfg: Config, handed: Mapping[str, object]) -> Profile:
    return of_kind(build_function(cfg, "profile", named=handed)(**handed), Profile, "profile")


def read_strategy(cfg: Config) -> Strategy:
    """The strategy that the configuration names."""
    return build_function(cfg, "strategy", "plan", "model", "workload")


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
    return build_noun(cfg, "cluster", Cluster)


def read_cluster(cfg: Config) -> Cluster:
    """The cluster, with its network and its disks as they were measured where the configuration names a calibration.

    Raises ValueError where that was made at another line rate, or of other devices.
    """
    cluster = nominal_cluster(cfg)
    if (disks := cfg.get("disks")) is not None:
        cluster = with_disks(cluster, load_disks(Path(disks)))
    calibrated = cfg["network"]["calibrated"]
    if calibrated is None:
        return cluster
    network = load_network(Path(calibrated))
    meant, measured = cluster.network.slowest_bytes_per_s, network.slowest_bytes_per_s
    if not meant * _LEAST_OF_LINE_RATE <= measured <= meant * _MOST_OF_LINE_RATE:
        raise ValueError(
            f"{calibrated} was measured at {mbit_per_s(measured):.3g} Mbit/s, and network.rate is "
            f"{mbit_per_s(meant):g} Mbit/s (set network.rate to the line rate at which it was calibrated)"
        )
    return replace(cluster, network=network)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A configuration up to the point where a player takes over."""

    setup: Setup
    strategy: Strategy
    plan: Plan
    schedule: Schedule


def prepare(cfg: Config, cache: Cache | None = None) -> Prepared:
    """Nouns, plan and schedule of a configuration, or what of them is in the cache."""
    cache, texts = cache or Cache(), texts_of(cfg)
    setup = _setup(cfg, texts, cache)
    if cfg["execute"]:
        refuse_to_execute(setup, in_job=cfg.get("job") is not None)
    if cfg["save_weights"] is not None:
        refuse_to_save(cfg, setup.workload)
    strategy: Strategy = cache.get(texts["strategy"], lambda: read_strategy(cfg))
    planned_for = (setup.head_room, *(each for noun, each in texts.items() if noun != "scenario"))
    plan = cache.get(planned_for, lambda: setup.plan(build_planner(cfg), strategy))
    if cfg["execute"]:
        refuse_modes(plan)
    schedule = cache.get(
        # Not the network: plans that agree in their stages have one schedule, whatever they were made for.
        (texts["strategy"], texts["model"], texts["workload"], plan.stages),
        lambda: of_kind(strategy(plan, setup.model, setup.workload), Schedule, "strategy"),
    )
    return Prepared(setup=setup.as_planned(plan), strategy=strategy, plan=plan, schedule=schedule)


def refuse_misfit(model: Model, workload: Workload) -> None:
    """Raise ValueError for images asked of a model that reads text, and for text asked of one that reads images.

    A model of text is trained on more than a token; to a model of images a sample is a picture, and tokens are no part
    of it.
    """
    reads_text, reads_images = "vocabulary" in model.hyper, "resolution" in model.hyper
    if reads_text and workload.trains and workload.tokens == 1:
        raise ValueError(
            f"workload: {model.name} reads text, and workload.tokens=1 is none (say workload=text, or how many tokens)"
        )
    if reads_images and not reads_text and workload.tokens != 1:
        raise ValueError(
            f"workload: {model.name} reads images, and has no use for workload.tokens={workload.tokens} "
            "(say workload=images, or workload.tokens=1)"
        )
    longest = longest_tokens(model.architecture, model.hyper)
    for name in ("tokens", "new_tokens") if longest is not None else ():
        asked = workload.tokens + (workload.new_tokens if name == "new_tokens" else 0)
        if asked > longest:
            raise ValueError(
                f"workload: {model.name} has learnt positions for {longest} tokens, workload.{name} asks for {asked} "
                "(ask for fewer, or set model.positions)"
            )


def refuse_to_execute(setup: Setup, *, in_job: bool = False) -> None:
    """Raise ValueError for what only the simulator can play: some scenarios, and some shorter numbers."""
    (refuse_for_jobs if in_job else refuse_for_iterations)(setup.scenario)
    if (length := setup.workload.kv_bytes) not in (4, 2):
        raise ValueError(
            f"the testbed keeps K and V in FP32 or BF16, got workload.kv_bytes={length} "
            "(set workload.kv_bytes=2, or execute=false)"
        )


def refuse_to_save(cfg: Config, workload: Workload) -> None:
    """Raise ValueError where no weights are trained that could be saved."""
    if not cfg["execute"]:
        raise ValueError(f"save_weights={cfg['save_weights']} keeps what a real run has trained (set execute=true)")
    if not workload.trains:
        raise ValueError(
            f"save_weights={cfg['save_weights']}: nothing is trained with workload.purpose={workload.purpose} "
            "(choose a workload that trains, or leave save_weights out)"
        )


def refuse_modes(plan: Plan) -> None:
    """Raise ValueError for a plan in other power modes: a testbed emulates devices as the cluster names them."""
    if plan.modes:
        rank, mode = next(iter(plan.modes.items()))
        raise ValueError(
            f"the testbed runs devices in their own power mode, the plan runs rank {rank} as {mode} "
            "(leave modes out, name that device in the cluster, or set execute=false)"
        )
