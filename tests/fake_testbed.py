"""A testbed for tests: plays schedules in the simulator and disturbs the clock a little; no process is started."""

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from edgesim.cluster import Cluster, Network, Origin
from edgesim.errors import RunError
from edgesim.model import Model
from edgesim.profile import Point, Profile, estimate
from edgesim.scenario import NOTHING_HAPPENS, Scenario
from edgesim.simulator import simulate
from edgesim.trace import Trace
from edgesim.workload import Workload
from real_runtime.assignment import Assignment
from real_runtime.execution import Execution, Heard, Iteration, unheard
from real_runtime.testbeds.repeating import Retries
from real_runtime.testbeds.spec import TestbedSpec

NOISE = 0.03


class FakeTestbed:
    """Looks like ``real_runtime.testbeds.testbed.Testbed``; refuses schedules of more than ``ranks`` ranks."""

    name = "fake"
    disturbed = 0.0  # the share of everything measured that other load disturbs
    late = 0.0  # the share by which every computation takes too long for its device
    breaks_after: int | None = None  # so many iterations

    def __init__(
        self, cluster: Cluster, *, ranks: int = 99, truth: Cluster | None = None, noise: float = NOISE
    ) -> None:
        self.cluster, self.ranks = cluster, ranks
        self.truth, self.noise = truth or cluster, noise  # what hosts are like, and how much their seconds vary
        self.timed: list[str] = []  # devices whose layers were timed, in order
        self.fractions = tuple(0.5 / (1 + rank) for rank in range(len(cluster.devices)))
        self.random = np.random.default_rng(0)
        self.spec = TestbedSpec()
        self.retries = Retries(self.spec.repeat_disturbed)
        self.disturbed_timings: list[float] = []
        self.disturbed_messages: list[float] = []
        self.coordinator = SimpleNamespace(ask=self._timed_disks, pids=(os.getpid(),) * len(cluster.devices))
        self.hosts = SimpleNamespace(are_here=True)
        self.now_s = 1000.0  # on the clock of the machine that plays
        self.description = f"fake testbed of {len(cluster.devices)} hosts"

    def execute(
        self,
        assignment: Assignment,
        rehearsed: Profile | None = None,
        *,
        scenario: Scenario = NOTHING_HAPPENS,
        heard: Heard = unheard,
    ) -> Execution:
        """Each iteration a little slower or faster than simulated."""
        if assignment.schedule.ranks > self.ranks:
            raise RunError(f"rank {self.ranks}: cannot be reached")
        samples = range(1, assignment.workload.micro_batch_samples + 1)
        profile = estimate(assignment.model, self.truth.devices, samples=samples, tokens=assignment.workload.tokens)
        exact = simulate(
            assignment.schedule,
            cluster=self.truth,
            model=assignment.model,
            profile=profile,
            tokens=assignment.workload.tokens,
            scenario=scenario,
        )
        played = []
        for number in range(assignment.iterations):
            if number == self.breaks_after:
                raise RunError(f"rank 0 was killed by SIGKILL at iteration {number}")
            played.append(
                Iteration(
                    number=number, trace=self._disturbed(exact), loss=1.0 / (1 + number), disturbed=self.disturbed
                )
            )
            heard(played[-1])
        return Execution(
            traces=tuple(each.trace for each in played),
            losses=tuple(each.loss for each in played),
            rehearsed=rehearsed,
            disturbed=(self.disturbed,) * assignment.iterations,
            late=(self.late,) * assignment.iterations,
        )

    def _disturbed(self, trace: Trace) -> Trace:
        factor = 1 + self.noise * self.random.standard_normal()
        stretched = {name: tuple(factor * s for s in getattr(trace, name)) for name in ("start_s", "end_s")}
        began_s = self.now_s
        self.now_s += max(stretched["end_s"]) + 1.0
        return replace(trace, **stretched, player="measured", profile_hash=None, began_s=began_s)

    def profile_layers(
        self,
        model: Model,
        workload: Workload,
        *,
        samples: Sequence[int],
        repeats: int,
        ranks: Collection[int] | None = None,
    ) -> list[Point]:
        """The estimate, as if timed."""
        self.disturbed_timings.append(self.disturbed)
        devices = [device for rank, device in enumerate(self.truth.devices) if ranks is None or rank in ranks]
        self.timed += [device.name for device in devices]
        return list(estimate(model, devices, samples=samples, tokens=workload.tokens).points)

    def _timed_disks(self, commands: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
        """Disks read as their devices say, and write a quarter as fast."""
        rates = {rank: self.cluster.devices[rank].disk_bytes_per_s for rank in commands}
        sizes = {rank: command["nbytes"] for rank, command in commands.items()}
        return [
            {"read_s": sizes[rank] / rate, "write_s": 4 * sizes[rank] / rate, "is_cold": True}
            for rank, rate in rates.items()
        ]

    def measure_network(self) -> Network:
        """The nominal network, as if measured."""
        self.disturbed_messages.append(self.disturbed)
        return replace(self.truth.network, origin=Origin.MEASURED)


@contextmanager
def open_fake(spec: object, cluster: Cluster, data: object = None) -> Iterator[FakeTestbed]:
    """In place of ``open_testbed``."""
    yield FakeTestbed(cluster)
