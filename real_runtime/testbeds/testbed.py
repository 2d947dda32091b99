"""What can be asked of emulated hosts? To play an assignment; to time layers, rehearsals and the network."""

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from functools import partial
from statistics import median
from typing import Any, Protocol

from edgesim.cluster import Cluster, Network, Origin
from edgesim.model import Model, model_to_dict
from edgesim.profile import Point, Profile
from edgesim.ring import ring_steps
from edgesim.scenario import NOTHING_HAPPENS, Scenario
from edgesim.schedule import COMPUTE, Schedule
from edgesim.trace import Trace
from edgesim.work import Work, work_of
from edgesim.workload import Optimiser, Purpose, Workload
from real_runtime.assignment import Assignment
from real_runtime.control.coordinator import Coordinator
from real_runtime.control.heartbeats.heartbeats import Ear
from real_runtime.data import DataSpec
from real_runtime.execution import Execution, Heard, Iteration, unheard
from real_runtime.other_load.foreign_load import Watch, load_is_known, sourced, told, watching
from real_runtime.statistic import Statistic
from real_runtime.testbeds.alike_hosts import timed_alike
from real_runtime.testbeds.merging import Reports, merge, report_of
from real_runtime.testbeds.network_fit import (
    fit_network,
    relay_schedule,
    relayed,
    ring_schedule,
    rounds_schedule,
    small,
)
from real_runtime.testbeds.repeating import Retries, least_disturbed, undisturbed
from real_runtime.testbeds.scenarios.starts import starts_under
from real_runtime.testbeds.shaping import emulated, nic_rates
from real_runtime.testbeds.spec import TestbedSpec

# Messages and an all-reduce of all ranks that time the line, as seconds of the nominal rate; the all-reduce is long,
# since what it shows is a few per cent. And rounds of small ones, for what hosts need.
_PROBE_S, _RING_S = (0.02, 0.2), 0.6  # at line rate; a shaper's burst is the better known the smaller the first
_PROBE_REPEATS, _PROBE_PAUSE_S = 4, 0.03
_ROUNDS, _ROUNDS_REPEATS = 20, 7

Ranks = Collection[int] | None  # None: all of them


class Hosts(Protocol):
    """What a kind of testbed offers: a place in the network for a rank's process."""

    @property
    def paces(self) -> bool:
        """Whether the ranks themselves pace their messages."""

    @property
    def are_here(self) -> bool:
        """Whether hosts are emulated by this machine, and so disturbed by what else it does."""

    @property
    def uncertainties_s(self) -> tuple[float, ...]:
        """[rank] By how much a moment of its clock may be off; nothing where all have one clock."""

    def watched(self, ranks: Collection[int]) -> AbstractContextManager["Watch"] | None:
        """Watch the load on these hosts, each by itself; None where this machine's load is all there is to watch."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a trace of theirs should say of them: that they have different versions of PyTorch, for example."""

    def interface_of(self, rank: int) -> str:
        """The network interface by which a rank reaches the others."""

    def ear(self, period_s: float) -> Ear:
        """What hears whether ranks are there, if each says so so often. Raises RunError where it cannot be made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which kind of testbed emulates the hosts, and why that one."""

    kind: str
    why: str


class Testbed:
    """Emulated hosts with a living rank on each."""

    __test__ = False

    def __init__(
        self, spec: TestbedSpec, cluster: Cluster, coordinator: Coordinator, hosts: Hosts, choice: Choice
    ) -> None:
        self.spec, self.cluster, self.coordinator, self.hosts, self.choice = spec, cluster, coordinator, hosts, choice
        self.generation = 0  # how often ranks have been connected
        # Puts a rank's process into its control group; None where there is none.
        self.confine: Callable[[int], object] | None = None
        self.retries = Retries(spec.repeat_disturbed)
        self.fractions: tuple[float, ...] = ()  # [rank] of one core of this machine, once the hosts are up
        # [measurement] How far other load disturbed what was timed so far of layers and links; 0 where it did not.
        self.disturbed_timings: list[float] = []
        self.disturbed_messages: list[float] = []

    @property
    def name(self) -> str:
        """The kind of testbed."""
        return self.choice.kind

    @property
    def description(self) -> str:
        """Which testbed, why, and what its hosts are."""
        if not self.hosts.are_here:
            return "; ".join((f"{self.name}: {self.choice.why}", *self.hosts.notes))
        slow = f", in {self.spec.slow_motion:g}x slow motion" if self.spec.slow_motion > 1 else ""
        blind = "" if load_is_known() else "; other load is not watched: the kernel does not tell of it"
        return f"{self.name} ({self.choice.why}): {emulated(self.cluster, self.fractions)}{slow}{blind}"

    def execute(
        self,
        assignment: Assignment,
        rehearsed: Profile | None = None,
        *,
        scenario: Scenario = NOTHING_HAPPENS,
        heard: Heard = unheard,
    ) -> Execution:
        """Play an assignment on the hosts; computations that were ``rehearsed`` take as long as they did then.

        Every iteration is played under the scenario from its first second on. ``heard`` hears of each iteration when
        all ranks have played it. Raises RunError naming rank, task and cause, ValueError for an assignment of other
        ranks, and for a scenario that a testbed cannot play.
        """
        asked, hosts = assignment.schedule.ranks, len(self.cluster.devices)
        if asked > hosts:
            raise ValueError(f"the schedule is for {asked} ranks, the testbed has {hosts}")
        assignment.schedule.check()
        reports = [Reports() for _ in range(assignment.iterations)]
        played: list[Iteration] = []
        command = {"do": "play", "assignment": assignment.to_dict(), "starts": bool(scenario.events)}
        commands = {rank: command | {"rehearsed": self._known(rank, rehearsed)} for rank in range(hosts)}
        with (
            starts_under(scenario, self.hosts, self.coordinator, self.cluster, self.spec) as starts,
            self._watching() as watch,
        ):
            for _, message in self.coordinator.stream(commands):
                if starts is not None and "ready" in message:
                    starts.hear(message)
                elif "iteration" in message:
                    report = report_of(reports, message["iteration"])
                    report.hear(message)
                    if report.ranks == len(commands):
                        played.append(self._iteration(message["iteration"], report, assignment, watch))
                        heard(played[-1])
        shares = [each.disturbed for each in played if each.disturbed is not None]
        return Execution(
            traces=tuple(iteration.trace for iteration in played),
            losses=tuple(iteration.loss for iteration in played),
            rehearsed=rehearsed,
            disturbed=tuple(shares) if len(shares) == len(played) else (),
            late=tuple(each.late for each in played),
        )

    def _iteration(self, number: int, report: Reports, assignment: Assignment, watch: Watch | None) -> Iteration:
        """What became of an iteration that all ranks have played just now."""
        uncertainties_s, notes = self.hosts.uncertainties_s, self.hosts.notes
        return Iteration(
            number=number,
            trace=merge(assignment.schedule, report.times, self.spec.slow_motion, uncertainties_s, notes),
            loss=report.loss,
            disturbed=self.disturbed(watch, *report.span_s) if watch else None,
            late=report.late,
        )

    def _watching(self, ranks: Ranks = None) -> AbstractContextManager[Watch | None]:
        """Watch the load beside emulated hosts, or on hosts of their own, by default on all."""
        watched = self.hosts.watched(range(len(self.cluster.devices)) if ranks is None else ranks)
        return watching(self.coordinator.pids) if watched is None else watched

    def disturbed(self, watch: Watch, start_s: float, end_s: float) -> float | None:
        """The share of the processors that other programs took, 0 where it is too little to count."""
        watch.sample()
        share = watch.share(start_s, end_s)
        return share if share is None or share > self.spec.disturbed_above else 0.0

    def _known(self, rank: int, rehearsed: Profile | None) -> list[dict[str, Any]]:
        """Rows that say how long a host is to take for its work; none where a quota slows it down, not dilation."""
        if rehearsed is None or self.spec.cpu_quota:
            return []
        own = (point for point in rehearsed.points if point.device == self.cluster.devices[rank].name)
        rows = (asdict(replace(point, seconds=point.seconds * self.spec.slow_motion)) for point in own)
        return [{name: value for name, value in row.items() if name not in ("device", "repeats")} for row in rows]

    def profile_layers(
        self, model: Model, workload: Workload, *, samples: Sequence[int], repeats: int, ranks: Ranks = None
    ) -> list[Point]:
        """Measured seconds of every layer on every host, or on these; one after the other: devices share no cache."""
        asked = {"model": model_to_dict(model), "workload": asdict(workload), "samples": list(samples)}
        command = {"do": "profile", **asked, "repeats": repeats}
        chosen = [rank for rank in range(len(self.cluster.devices)) if ranks is None or rank in ranks]
        dilated = {rank: self.fractions[rank] for rank in chosen if self._statistic(rank) is Statistic.LEAST}
        time_rank = partial(self._timed, command=command, disturbed=self.disturbed_timings)
        rows = timed_alike(chosen, dilated if self.hosts.are_here else {}, time_rank, tries=self.retries.most)
        return [
            Point(device=self.cluster.devices[rank].name, **row | {"seconds": row["seconds"] / self.spec.slow_motion})
            for rank in chosen
            for row in rows[rank]
        ]

    def rehearse(self, assignment: Assignment, *, repeats: int) -> Profile:
        """Measured seconds of what each rank computes in an assignment's schedule of blocks, one host after the other.

        Hosts of one device that compute alike are asked once. Raises RunError, and ValueError for a schedule of whole
        layers: these are timed layer by layer (profile_layers).
        """
        if any(task.op in COMPUTE and not task.block for task in assignment.schedule):
            raise ValueError(
                "only schedules of blocks are rehearsed (rehearsals=0; time layers by experiments.calibrate)"
            )
        points: dict[Point, Point] = {}
        disturbed: list[float] = []
        asked: set[tuple[str, frozenset[Work]]] = set()
        for rank, program in enumerate(assignment.schedule.programs):
            device = self.cluster.devices[rank].name
            works = {work_of(t, assignment.model, assignment.workload.tokens) for t in program if t.op in COMPUTE}
            if not works or (device, frozenset(works)) in asked:
                continue
            asked.add((device, frozenset(works)))
            command = {"do": "rehearse", "assignment": assignment.to_dict(), "repeats": repeats}
            for row in self._timed(rank, command, disturbed):
                point = Point(device=device, **row | {"seconds": row["seconds"] / self.spec.slow_motion})
                same = replace(point, seconds=0.0, repeats=())
                points[same] = min(point, points.get(same, point), key=lambda each: each.seconds)
        source = sourced(f"rehearsals of the plan on {self.name}, {repeats} repeats", told(disturbed, "rehearsals"))
        model, made = assignment.model.name, tuple(points.values())
        return Profile(model=model, origin=Origin.MEASURED, source=source, points=made)

    def _timed(self, rank: int, command: dict[str, Any], disturbed: list[float]) -> list[dict[str, Any]]:
        """Rows of seconds from one host; adds to ``disturbed`` how far other load disturbed what is kept."""
        whole = {rank: command | {"statistic": self._statistic(rank)}}

        def measure() -> tuple[list[dict[str, Any]], float]:
            with self._watching([rank]) as watch:
                begin_s = time.monotonic()
                (answer,) = self.coordinator.ask(whole)
                end_s = time.monotonic()
                return answer["rows"], (self.disturbed(watch, begin_s, end_s) or 0.0) if watch else 0.0

        rows, share = least_disturbed(measure, self.retries)
        disturbed.append(share)
        return rows

    def _statistic(self, rank: int) -> Statistic:
        """What the profile keeps of a computation's repeats: the time that the host takes for it in a run."""
        if self.spec.cpu_quota:
            return Statistic.MEAN
        return Statistic.LEAST if self.fractions[rank] < 1 else Statistic.MEDIAN

    def measure_network(self) -> Network:
        """Rates and latencies of the hosts' NICs, and what hosts need for a message or a step of a ring."""
        ranks, line = len(self.cluster.devices), min(nic_rates(self.cluster, self.spec.slow_motion))
        relays = [
            trace
            for seconds in _PROBE_S
            for trace in self._probes(relay_schedule(ranks, round(line * seconds)), _PROBE_REPEATS)
        ]
        rounds = [self._probes(rounds_schedule(some, _ROUNDS), _ROUNDS_REPEATS) for some in range(2, ranks + 1)]
        # Four bytes a number, of which each member passes on the n-th part.
        large = ranks * round(line * _RING_S / ring_steps(ranks) / 4) * 4
        rings = self._probes(ring_schedule(ranks, large), _PROBE_REPEATS)
        ring = (large, median(trace.makespan_s for trace in rings))
        source = sourced(f"messages and rings of all hosts on {self.name}", told(self.disturbed_messages, "messages"))
        return fit_network(relayed(relays), small(rounds), ring, ranks, source=source)

    def _probes(self, schedule: Schedule, repeats: int) -> tuple[Trace, ...]:
        assignment = Assignment(
            schedule=schedule,
            model=NO_MODEL,
            workload=NO_WORK,
            data=DataSpec(kind="text"),
            iterations=repeats + 1,
            seed=0,
            pause_s=_PROBE_PAUSE_S,
        )
        found = undisturbed(self.execute, assignment, self.retries)
        self.disturbed_messages += found.disturbed
        return found.traces


NO_MODEL = Model(name="none", architecture="none", hyper={}, layers=())
NO_WORK = Workload(
    purpose=Purpose.TRAIN, batch_samples=1, micro_batch_samples=1, tokens=1, optimiser=Optimiser.SGD, learning_rate=0.0
)
