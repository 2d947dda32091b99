"""Where do ranks live? On emulated hosts of this machine: network namespaces where allowed, else plain processes."""

import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import permutations
from pathlib import Path
from typing import Any, Protocol

from edgesim.cluster import Cluster, Device, Network, Origin, Topology
from edgesim.errors import RunError
from edgesim.model import BlockKind, Model, model_to_dict
from edgesim.profile import Point, Profile
from edgesim.schedule import COMPUTE
from edgesim.units import mbit_per_s, show
from edgesim.work import Work, work_of
from edgesim.workload import Optimiser, Purpose, Workload
from real_runtime.data import DataSpec
from real_runtime.job import Execution, Job
from real_runtime.profiler import MATRIX_FLOP, fit_network, message_schedule
from real_runtime.testbeds import cgroups, loopback, netns
from real_runtime.testbeds.coordinator import Coordinator
from real_runtime.testbeds.merging import merge

KINDS = ("auto", "netns", "loopback")
# Share of the machine's cores that hosts may ask for together: the rest carries the network and the system.
_CORES_SHARE = 0.8
# Messages that time a link: one for latency, three for the line, as seconds of the nominal rate.
_PROBE_BYTES, _PROBE_S, _PROBE_REPEATS, _PROBE_PAUSE_S = 1024, (0.06, 0.12, 0.24), 3, 0.03
# Of messages both ways at once; long, since what they show is a few per cent.
_BOTH_WAYS_S = 0.6

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TestbedSpec:
    """How to emulate a cluster on this machine.

    Attributes:
        kind: netns, loopback, or auto: the best that works here.
        fractions: [rank] speed of each host as a fraction of one core of this machine; None takes what the
            devices sustain: their FLOP/s, and of these what a large matrix product reaches.
        slow_motion: slows computation and links alike, so that fast boards are imitated true to ratio; traces are told
            in the board's own seconds.
        deadline_s: no wait takes longer.
        cpu_quota: slow hosts down by cgroup quota instead of dilation (root).
        memory_limit: hold each host to its device's memory (cgroup as root, else by resource limit).
    """

    __test__ = False  # not a test class, whatever its name says

    kind: str = "auto"
    fractions: tuple[float, ...] | None = None
    slow_motion: float = 1.0
    deadline_s: float = 60.0
    cpu_quota: bool = False
    memory_limit: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown testbed {self.kind!r} (known: {', '.join(KINDS)})")
        if not self.slow_motion >= 1:
            raise ValueError(f"testbed: slow_motion must be at least 1, got {self.slow_motion:g}")
        if not self.deadline_s > 0:
            raise ValueError(f"testbed: deadline_s must be positive, got {self.deadline_s:g}")


class Hosts(Protocol):
    """What a kind of testbed offers: how to start a rank's process on its host."""

    interface: str
    paces: bool  # whether messages are paced by the ranks themselves

    def command(self, rank: int, argv: Sequence[str]) -> list[str]: ...


class Testbed:
    """Emulated hosts with a living rank on each."""

    __test__ = False

    def __init__(
        self, spec: TestbedSpec, cluster: Cluster, coordinator: Coordinator, hosts: Hosts, *, name: str, why: str
    ) -> None:
        self.spec, self.cluster, self.coordinator, self.hosts = spec, cluster, coordinator, hosts
        self.name, self.why = name, why
        self.fractions: tuple[float, ...] = ()

    @property
    def description(self) -> str:
        """Which testbed, why, and what its hosts are."""
        rates = _nic_rates(self.cluster, 1.0)
        hosts = ", ".join(
            f"{device.name} at {fraction:.2f} core and {mbit_per_s(rate):g} Mbit/s"
            for device, fraction, rate in zip(self.cluster.devices, self.fractions, rates, strict=True)
        )
        slow = f", in {self.spec.slow_motion:g}x slow motion" if self.spec.slow_motion > 1 else ""
        return f"{self.name} ({self.why}): {hosts}{slow}"

    def execute(self, job: Job, rehearsed: Profile | None = None) -> Execution:
        """Play a job on the hosts; computations that were ``rehearsed`` take as long as they did then.

        Raises RunError naming rank, task and cause, ValueError for a job of other ranks.
        """
        if len(job.schedule.programs) > len(self.cluster.devices):
            raise ValueError(
                f"the schedule is for {len(job.schedule.programs)} ranks, the testbed has {len(self.cluster.devices)}"
            )
        job.schedule.check()
        times: list[dict[str, tuple[float, float]]] = [{} for _ in range(job.iterations)]
        losses = [0.0] * job.iterations
        command = {"do": "play", "job": job.to_dict()}
        commands = {rank: command | {"rehearsed": self._known(rank, rehearsed)} for rank in self._all(command)}
        for _, message in self.coordinator.stream(commands):
            if "iteration" in message:
                times[message["iteration"]] |= {name: (ready, end) for name, (ready, end) in message["times"].items()}
                losses[message["iteration"]] += message["loss"]
        return Execution(
            traces=tuple(merge(job.schedule, t, self.spec.slow_motion) for t in times),
            losses=tuple(losses),
            rehearsed=rehearsed,
        )

    def _known(self, rank: int, rehearsed: Profile | None) -> list[dict[str, Any]]:
        """Rows of what a host is to take for its work; nothing where a quota decides, not dilation."""
        if rehearsed is None or self.spec.cpu_quota:
            return []
        own = (point for point in rehearsed.points if point.device == self.cluster.devices[rank].name)
        rows = (asdict(replace(point, seconds=point.seconds * self.spec.slow_motion)) for point in own)
        return [{name: value for name, value in row.items() if name != "device"} for row in rows]

    def profile_blocks(self, model: Model, workload: Workload, *, samples: Sequence[int], repeats: int) -> list[Point]:
        """Measured seconds of every layer on every host, one host after the other: devices do not share a cache."""
        command = {
            "do": "profile",
            "model": model_to_dict(model),
            "workload": asdict(workload),
            "samples": list(samples),
            "repeats": repeats,
        }
        return [
            Point(device=device.name, **row | {"seconds": row["seconds"] / self.spec.slow_motion})
            for rank, device in enumerate(self.cluster.devices)
            for row in self.coordinator.ask({rank: command | {"row": self._row(rank)}})[0]["rows"]
        ]

    def rehearse(self, job: Job, *, repeats: int) -> Profile:
        """Measured seconds of what each rank computes in a job's schedule of blocks, one host after the other.

        Hosts of one device that compute alike are asked once. Raises RunError, and ValueError for a schedule of whole
        layers: these are timed layer by layer (profile_blocks).
        """
        if any(task.op in COMPUTE and not task.block for task in job.schedule):
            raise ValueError(
                "only schedules of blocks are rehearsed (rehearsals=0; time layers by experiments.calibrate)"
            )
        points: dict[Point, float] = {}
        asked: set[tuple[str, frozenset[Work]]] = set()
        for rank, program in enumerate(job.schedule.programs):
            device = self.cluster.devices[rank].name
            works = {work_of(t, job.model, job.workload.tokens) for t in program if t.op in COMPUTE}
            if not works or (device, frozenset(works)) in asked:
                continue
            asked.add((device, frozenset(works)))
            command = {"do": "rehearse", "job": job.to_dict(), "repeats": repeats, "row": self._row(rank)}
            for row in self.coordinator.ask({rank: command})[0]["rows"]:
                seconds = row["seconds"] / self.spec.slow_motion
                point = Point(device=device, **row | {"seconds": 0.0})
                points[point] = min(seconds, points.get(point, seconds))
        source = f"rehearsals of the plan on {self.name}, {repeats} repeats"
        made = tuple(replace(point, seconds=seconds) for point, seconds in points.items())
        return Profile(model=job.model.name, origin=Origin.MEASURED, source=source, points=made)

    def _row(self, rank: int) -> str:
        """What of a layer's repeats the profile keeps: what the host takes for it in a run (profiler.ROWS)."""
        if self.spec.cpu_quota:
            return "mean"
        return "least" if self.fractions[rank] < 1 else "median"

    def _all(self, command: dict[str, Any]) -> dict[int, dict[str, Any]]:
        return dict.fromkeys(range(len(self.cluster.devices)), command)

    def measure_network(self) -> Network:
        """Rates, latencies, burst and acknowledgements of the hosts' NICs, from messages between all pairs."""
        ranks = len(self.cluster.devices)
        rates = _nic_rates(self.cluster, self.spec.slow_motion)
        messages: dict[tuple[int, int], list[tuple[int, float]]] = {}
        both_ways: dict[tuple[int, int], tuple[int, float]] = {}
        for i, j in permutations(range(ranks), 2):
            line = min(rates[i], rates[j])
            sizes = (_PROBE_BYTES, *(round(line * seconds) for seconds in _PROBE_S))
            messages[i, j] = [(size, self._probe_s([(i, j)], size)) for size in sizes]
            if i < j:
                size = round(line * _BOTH_WAYS_S)
                both_ways[i, j] = (size, self._probe_s([(i, j), (j, i)], size))
        return fit_network(messages, both_ways, ranks, source=f"messages between all pairs on {self.name}")

    def _probe_s(self, pairs: Sequence[tuple[int, int]], nbytes: int) -> float:
        job = Job(
            schedule=message_schedule(pairs, nbytes),
            model=_NO_MODEL,
            workload=_NO_WORK,
            data=DataSpec(kind="text"),
            iterations=_PROBE_REPEATS + 1,
            seed=0,
            pause_s=_PROBE_PAUSE_S,
        )
        seconds = sorted(trace.makespan_s for trace in self.execute(job).traces[1:])
        return (seconds[(len(seconds) - 1) // 2] + seconds[len(seconds) // 2]) / 2


_NO_MODEL = Model(name="none", architecture="none", hyper={}, layers=())
_NO_WORK = Workload(
    purpose=Purpose.TRAIN, batch_samples=1, micro_batch_samples=1, tokens=1, optimiser=Optimiser.SGD, learning_rate=0.0
)


@contextmanager
def open_testbed(spec: TestbedSpec, cluster: Cluster) -> Iterator[Testbed]:
    """Start a rank on every emulated host; end and remove everything on leaving, also after an error or Ctrl-C.

    Raises ValueError where the machine cannot emulate the cluster, RunError where ranks do not come up.
    """
    if cluster.network.topology is not Topology.SWITCHED:
        raise ValueError(
            f"the testbeds emulate switched networks, cluster {cluster.name} has topology {cluster.network.topology}"
        )
    ranks = len(cluster.devices)
    kind, why = choose(spec.kind)
    rates = _nic_rates(cluster, spec.slow_motion)
    with ExitStack() as stack:
        hosts: Hosts = stack.enter_context(netns.hosts(rates) if kind == "netns" else loopback.hosts())
        groups = (
            stack.enter_context(cgroups.groups(ranks))
            if spec.cpu_quota or (spec.memory_limit and cgroups.available())
            else None
        )
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgesim-")))
        coordinator = Coordinator(
            [hosts.command(rank, [sys.executable, "-m", "real_runtime"]) for rank in range(ranks)],
            oom_kills=lambda rank: 0 if groups is None else groups[rank].oom_kills(),
        )
        stack.callback(coordinator.close)
        testbed = Testbed(spec, cluster, coordinator, hosts, name=kind, why=why)
        _bring_up(testbed, rates, str(folder / "store"), groups)
        yield testbed


def _bring_up(testbed: Testbed, rates: Sequence[float], store: str, groups: "list[cgroups.Cgroup] | None") -> None:
    """Let the ranks join, then give each its device's speed and memory. Raises ValueError, RunError."""
    spec, cluster, coordinator, hosts = testbed.spec, testbed.cluster, testbed.coordinator, testbed.hosts
    ranks = len(cluster.devices)
    limits = [device.memory_bytes if spec.memory_limit and groups is None else None for device in cluster.devices]
    joins = {
        rank: {
            "do": "join",
            "rank": rank,
            "world": ranks,
            "store": store,
            "interface": hosts.interface,
            "deadline_s": spec.deadline_s,
            "nic_bytes_per_s": rates[rank] if hosts.paces else None,
            "limited": spec.memory_limit or spec.cpu_quota,
        }
        for rank in range(ranks)
    }
    coordinator.ask(joins)
    # One rank alone: together they would take each other's caches, and hosts would be faster than they should.
    (core,) = coordinator.ask({0: {"do": "time_core"}})
    testbed.fractions = _fractions(spec, cluster, core["flop_per_s"])
    if groups is not None:
        _confine(spec, cluster, coordinator, groups, testbed.fractions)
    dilations = {
        rank: {"do": "dilate", "fraction": 1.0 if spec.cpu_quota else fraction, "memory_bytes": limits[rank]}
        for rank, fraction in enumerate(testbed.fractions)
    }
    coordinator.ask(dilations)


def _confine(
    spec: TestbedSpec,
    cluster: Cluster,
    coordinator: Coordinator,
    groups: "list[cgroups.Cgroup]",
    fractions: Sequence[float],
) -> None:
    """Put the ranks, now that they are up, into their cgroups: start-up is never throttled."""
    for rank, group, device, fraction in zip(coordinator.ranks, groups, cluster.devices, fractions, strict=True):
        assert rank.pid is not None, "a rank that joined has told its pid"
        if spec.cpu_quota:
            group.limit_cpu(fraction)
        if spec.memory_limit:
            group.limit_memory(int(device.memory_bytes), rank.pid)
        group.add(rank.pid)


def _fractions(spec: TestbedSpec, cluster: Cluster, machine_flop_per_s: float) -> tuple[float, ...]:
    """Each host's share of one core. Raises ValueError if this machine is too slow or too small."""
    if spec.fractions is not None and len(spec.fractions) != len(cluster.devices):
        raise ValueError(f"testbed: {len(spec.fractions)} fractions for {len(cluster.devices)} devices")
    wanted = spec.fractions or tuple(_sustained_flop_per_s(device) / machine_flop_per_s for device in cluster.devices)
    fractions = tuple(fraction / spec.slow_motion for fraction in wanted)
    cores = (
        _CORES_SHARE * len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else _CORES_SHARE * (os.cpu_count() or 1)
    )
    need = max(max(fractions), sum(fractions) / cores) * spec.slow_motion
    if need > spec.slow_motion:
        raise ValueError(
            f"testbed: the hosts ask for {', '.join(f'{f:.2f}' for f in fractions)} of a core "
            f"({show(machine_flop_per_s, 'FLOP/s')} each, {cores:g} cores to share): "
            f"set testbed.slow_motion={need * 1.05:.2g} or more"
        )
    return fractions


def _sustained_flop_per_s(device: Device) -> float:
    """What the device reaches in a matrix product like that by which this machine is measured."""
    return device.flop_per_s * device.efficiency_at(BlockKind.MLP, MATRIX_FLOP)


def _nic_rates(cluster: Cluster, slow_motion: float) -> list[float]:
    """Each host's line rate, the slower of its two directions."""
    return [min(up, down) / slow_motion for up, down in zip(*cluster.network.bytes_per_s, strict=True)]


def choose(kind: str) -> tuple[str, str]:
    """The testbed to use and why. Raises RunError if the wanted one does not work here."""
    if kind == "loopback":
        return "loopback", "as asked: plain processes, messages paced in user space"
    problem = netns.problem()
    if problem is None:
        return "netns", "a network namespace per host" + (
            ", as asked" if kind == "netns" else ": the best that works here"
        )
    if kind == "netns":
        raise RunError(f"testbed netns does not work here: {problem} (use testbed=loopback)")
    logger.info("netns does not work here: %s", problem)
    return "loopback", f"namespaces do not work here: {problem}"


__all__ = ["Testbed", "TestbedSpec", "open_testbed"]
