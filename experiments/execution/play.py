"""What comes of a prepared run? Its traces, simulated and where asked measured, and what they mean."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from omegaconf import DictConfig, OmegaConf

from edgesim.cluster import Cluster, Origin
from edgesim.metered import MeteredRun, PowerLog, metered_run
from edgesim.metrics import Metrics
from edgesim.model import Model
from edgesim.plan import Plan
from edgesim.planners.alone import why_slower
from edgesim.profile import Profile
from edgesim.schedule import Schedule
from edgesim.trace import Trace
from edgesim.workload import Workload
from experiments.analysis.predictions import prediction
from experiments.analysis.promised import SideBySide, side_by_side
from experiments.configuration.constructors import Config
from experiments.configuration.setup import Prepared, Setup
from experiments.execution.assignments import execute_once, on_the_clock
from experiments.execution.listener import SILENCE, Listener
from experiments.intervals.validated import PredictedInterval
from real_runtime.execution import Iteration


@dataclass(frozen=True, kw_only=True)
class Played:
    """All that came of one run.

    Attributes:
        config: the whole configuration, as plain values.
        prepared: what was set up before anything was played.
        setup: the nouns that were played; of an executed run whose hosts rehearsed, with the profile of the rehearsal.
        traces: the simulated iteration first, then the measured ones that count.
        metrics: of each trace.
        losses: of the measured iterations.
        disturbed: of each of these, the share of this machine's processors that other programs took meanwhile, 0 where
            it is too little to count; empty where nothing was measured, or nothing is known of other programs.
        power: what meters read while it was executed.
        words: the overrides that a command line would need for the same run, where these are known.
    """

    config: Mapping[str, Any]
    prepared: Prepared
    setup: Setup
    traces: tuple[Trace, ...]
    metrics: tuple[Metrics, ...]
    losses: tuple[float, ...] = ()
    disturbed: tuple[float, ...] = ()
    power: tuple[PowerLog, ...] = ()
    words: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What figures call it: the method, or else the strategy."""
        return str(self.config.get("method") or str(self.config["strategy"]["_target_"]).rpartition(".")[2])

    @property
    def cluster(self) -> Cluster:
        """The devices and their network, in the plan's power modes."""
        return self.setup.cluster

    @property
    def model(self) -> Model:
        """The model, with what the fine-tuning changed in it."""
        return self.setup.model

    @property
    def workload(self) -> Workload:
        """What was asked of the model."""
        return self.setup.workload

    @property
    def profile(self) -> Profile:
        """Whose seconds the simulator played."""
        return self.setup.profile

    @property
    def plan(self) -> Plan:
        """Where everything lived."""
        return self.prepared.plan

    @property
    def schedule(self) -> Schedule:
        """When each rank did what, without seconds."""
        return self.prepared.schedule

    @property
    def last_traces(self) -> tuple[Trace, ...]:
        """The last trace of each player, the simulated one first."""
        return tuple({trace.player: trace for trace in self.traces}.values())

    @property
    def iterations(self) -> tuple[Iteration, ...]:
        """What was measured, iteration by iteration; the first one that counts is 1."""
        measured, shares = self.traces[1:], self.disturbed or (None,) * len(self.losses)
        return tuple(
            Iteration(number=number, trace=trace, loss=loss, disturbed=share)
            for number, (trace, loss, share) in enumerate(zip(measured, self.losses, shares, strict=True), start=1)
        )

    @property
    def uncalibrated(self) -> str:
        """In words, what of an executed run was simulated without having been measured; nothing where all was."""
        return uncalibrated(self.setup) if len(self.traces) > 1 else ""

    @cached_property
    def metered(self) -> MeteredRun | None:
        """What meters say of the measured iterations; None where there was no meter."""
        if not self.power:
            return None
        hosts, samples = len(self.cluster.devices), self.workload.batch_samples
        return metered_run(self.power, on_the_clock(self.traces[1:]), hosts=hosts, batch_samples=samples)

    @cached_property
    def interval(self) -> PredictedInterval:
        """Between which seconds its iteration is predicted to lie, by plans that were executed before."""
        return self.setup.interval(self.metrics[0].makespan_s)

    @cached_property
    def slower_because(self) -> str:
        """Why its simulated iteration is slower than the fastest device alone; nothing where it is not."""
        if self.setup.scenario.events:
            return ""  # what happens to one device would happen to another
        return why_slower(self.setup.problem, self.plan, self.metrics[0].makespan_s)

    @cached_property
    def promised(self) -> SideBySide:
        """What was said of the plan before it was played, beside what came of it."""
        known = prediction(self.prepared.setup.problem, self.plan, self.prepared.strategy)
        return side_by_side(self.plan, known, self.metrics)


def play(cfg: Config, prepared: Prepared, listener: Listener = SILENCE) -> Played:
    """Execute what is prepared if the configuration says so, and simulate it; the one way from a plan to its traces.

    Raises ValueError for a job, which is more than an iteration.
    """
    if cfg.get("job") is not None:
        raise ValueError("whole jobs are played by python -m experiments.run alone (leave job out for one iteration)")
    setup, execution = prepared.setup, None
    if cfg["execute"]:
        whole = cfg if isinstance(cfg, DictConfig) else OmegaConf.create(dict(cfg))
        with listener.waiting("opening the testbed, executing"):
            execution = execute_once(whole, prepared, listener)
        if execution.rehearsed is not None:
            setup = replace(setup, profile=execution.rehearsed)
            listener.tell(setup.profile)
    traces = (setup.simulate(prepared.schedule), *(execution.traces if execution else ()))
    return Played(
        config=plain(cfg),
        prepared=prepared,
        setup=setup,
        traces=traces,
        metrics=tuple(setup.measure(trace) for trace in traces),
        losses=tuple(execution.losses) if execution else (),
        disturbed=execution.disturbed if execution else (),
        power=execution.power if execution else (),
    )


def uncalibrated(setup: Setup) -> str:
    """In words, what of these nouns nobody has measured; nothing where all was."""
    sources = (("links", setup.cluster.network.origin), ("seconds", setup.profile.origin))
    guessed = [f"{what} that are {origin}" for what, origin in sources if origin is not Origin.MEASURED]
    if not guessed:
        return ""
    return (
        f"simulated with {' and '.join(guessed)}, not measured on this testbed: their difference says little "
        "(python -m experiments.calibrate, and use what it writes)"
    )


def plain(cfg: Config) -> Mapping[str, Any]:
    """A configuration as plain values."""
    if not OmegaConf.is_config(cfg):
        return cfg
    plain = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(plain, dict), "a configuration is a mapping"
    return {str(key): value for key, value in plain.items()}
