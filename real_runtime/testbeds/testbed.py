"""What can be asked of emulated hosts? To play a job, to time layers, rehearsals and the network between them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import permutations
from typing import Any, Protocol

from edgesim.cluster import Cluster, Network, Origin
from edgesim.model import Model, model_to_dict
from edgesim.profile import Point, Profile
from edgesim.schedule import COMPUTE
from edgesim.units import mbit_per_s
from edgesim.work import Work, work_of
from edgesim.workload import Optimiser, Purpose, Workload
from real_runtime.data import DataSpec
from real_runtime.job import Execution, Job
from real_runtime.profiler import Statistic
from real_runtime.testbeds.coordinator import Coordinator
from real_runtime.testbeds.merging import merge
from real_runtime.testbeds.network_fit import Pair, Timed, fit_network, message_schedule
from real_runtime.testbeds.spec import TestbedSpec

# Messages that time a link: one for latency, three for the line, as seconds of the nominal rate.
_PROBE_BYTES, _PROBE_S, _PROBE_REPEATS, _PROBE_PAUSE_S = 1024, (0.06, 0.12, 0.24), 3, 0.03
# Of messages both ways at once; long, since what they show is a few per cent.
_BOTH_WAYS_S = 0.6


class Hosts(Protocol):
    """What a kind of testbed offers: how to start a rank's process on its host."""

    @property
    def interface(self) -> str:
        """The network interface by which a host's ranks reach each other."""

    @property
    def paces(self) -> bool:
        """Whether the ranks themselves pace their messages."""

    def command(self, rank: int, argv: Sequence[str]) -> list[str]:
        """The command line that runs a program on a host."""


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
        self.spec, self.cluster, self.coordinator, self.hosts = spec, cluster, coordinator, hosts
        self.choice = choice
        self.fractions: tuple[float, ...] = ()  # [rank] of one core of this machine, once the hosts are up

    @property
    def name(self) -> str:
        """The kind of testbed."""
        return self.choice.kind

    @property
    def description(self) -> str:
        """Which testbed, why, and what its hosts are."""
        rates = nic_rates(self.cluster)
        hosts = ", ".join(
            f"{device.name} at {fraction:.2f} core and {mbit_per_s(rate):g} Mbit/s"
            for device, fraction, rate in zip(self.cluster.devices, self.fractions, rates, strict=True)
        )
        slow = f", in {self.spec.slow_motion:g}x slow motion" if self.spec.slow_motion > 1 else ""
        return f"{self.name} ({self.choice.why}): {hosts}{slow}"

    def execute(self, job: Job, rehearsed: Profile | None = None) -> Execution:
        """Play a job on the hosts; computations that were ``rehearsed`` take as long as they did then.

        Raises RunError naming rank, task and cause, ValueError for a job of other ranks.
        """
        if job.schedule.ranks > len(self.cluster.devices):
            raise ValueError(
                f"the schedule is for {job.schedule.ranks} ranks, the testbed has {len(self.cluster.devices)}"
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
        """Rows that say how long a host is to take for its work; none where a quota slows it down, not dilation."""
        if rehearsed is None or self.spec.cpu_quota:
            return []
        own = (point for point in rehearsed.points if point.device == self.cluster.devices[rank].name)
        rows = (asdict(replace(point, seconds=point.seconds * self.spec.slow_motion)) for point in own)
        return [{name: value for name, value in row.items() if name != "device"} for row in rows]

    def profile_layers(self, model: Model, workload: Workload, *, samples: Sequence[int], repeats: int) -> list[Point]:
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
            for row in self.coordinator.ask({rank: command | {"statistic": self._statistic(rank)}})[0]["rows"]
        ]

    def rehearse(self, job: Job, *, repeats: int) -> Profile:
        """Measured seconds of what each rank computes in a job's schedule of blocks, one host after the other.

        Hosts of one device that compute alike are asked once. Raises RunError, and ValueError for a schedule of whole
        layers: these are timed layer by layer (profile_layers).
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
            command = {"do": "rehearse", "job": job.to_dict(), "repeats": repeats, "statistic": self._statistic(rank)}
            for row in self.coordinator.ask({rank: command})[0]["rows"]:
                seconds = row["seconds"] / self.spec.slow_motion
                point = Point(device=device, **row | {"seconds": 0.0})
                points[point] = min(seconds, points.get(point, seconds))
        source = f"rehearsals of the plan on {self.name}, {repeats} repeats"
        made = tuple(replace(point, seconds=seconds) for point, seconds in points.items())
        return Profile(model=job.model.name, origin=Origin.MEASURED, source=source, points=made)

    def _statistic(self, rank: int) -> Statistic:
        """What the profile keeps of a computation's repeats: the time that the host takes for it in a run."""
        if self.spec.cpu_quota:
            return Statistic.MEAN
        return Statistic.LEAST if self.fractions[rank] < 1 else Statistic.MEDIAN

    def _all(self, command: dict[str, Any]) -> dict[int, dict[str, Any]]:
        return dict.fromkeys(range(len(self.cluster.devices)), command)

    def measure_network(self) -> Network:
        """Rates, latencies, burst and acknowledgements of the hosts' NICs, from messages between all pairs."""
        ranks = len(self.cluster.devices)
        rates = nic_rates(self.cluster, self.spec.slow_motion)
        messages: dict[Pair, list[Timed]] = {}
        both_ways: dict[Pair, Timed] = {}
        for i, j in permutations(range(ranks), 2):
            line = min(rates[i], rates[j])
            sizes = (_PROBE_BYTES, *(round(line * seconds) for seconds in _PROBE_S))
            messages[i, j] = [(size, self._probe_s([(i, j)], size)) for size in sizes]
            if i < j:
                size = round(line * _BOTH_WAYS_S)
                both_ways[i, j] = (size, self._probe_s([(i, j), (j, i)], size))
        return fit_network(messages, both_ways, ranks, source=f"messages between all pairs on {self.name}")

    def _probe_s(self, pairs: Sequence[Pair], nbytes: int) -> float:
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


def nic_rates(cluster: Cluster, slow_motion: float = 1.0) -> list[float]:
    """[rank] bytes per second of each host's line, the slower of its two directions."""
    return [min(up, down) / slow_motion for up, down in zip(*cluster.network.bytes_per_s, strict=True)]


_NO_MODEL = Model(name="none", architecture="none", hyper={}, layers=())
_NO_WORK = Workload(
    purpose=Purpose.TRAIN, batch_samples=1, micro_batch_samples=1, tokens=1, optimiser=Optimiser.SGD, learning_rate=0.0
)
