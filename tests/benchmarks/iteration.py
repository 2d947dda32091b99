"""Who plays an iteration of 8 stages and 64 micro-batches? This simulator, and the least that SimPy needs for it.

A message arrives 2 ms after its last byte has left. On links with a limit that takes 1 ms, and no two messages meet; on
slow ones 20 ms, and a stage's activations and gradients meet at its NIC.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from unittest.mock import patch

import simpy
from builders import chain, constant_profile, homogeneous, pipeline_plan, switched, workload

from edgesim.cluster import Cluster
from edgesim.metrics import measure
from edgesim.model import Model
from edgesim.profile import Profile
from edgesim.scenario import Event, Scenario
from edgesim.schedule import Op, Schedule
from edgesim.simulator import simulate
from edgesim.strategies.orders import one_forward_one_backward
from edgesim.strategies.pipeline import pipeline
from edgesim.trace import Trace

STAGES, MICRO_BATCHES = 8, 64
SECONDS = {Op.F: 0.010, Op.B: 0.020, Op.UPDATE: 0.0}
LATENCY_S = 0.002
MAKESPAN_S = 2.378  # on links without a limit
NO_LIMIT, LIMIT, SLOW = inf, 1e6, 5e4  # bytes per second


@dataclass(frozen=True, kw_only=True)
class Iteration:
    """The nouns of an iteration on links of some rate; every call is the whole of what it says."""

    model: Model
    cluster: Cluster
    profile: Profile
    schedule: Schedule
    scenario: Scenario

    def write(self) -> Schedule:
        """Write the schedule and check it."""
        asked = workload(micro_batches=MICRO_BATCHES)
        return pipeline(pipeline_plan(self.model, micro_batches=MICRO_BATCHES), self.model, asked)

    def play(self) -> Trace:
        """Simulate it, with its trace."""
        return self._played(self.schedule)

    def play_events(self) -> Trace:
        """Simulate it event by event, as if no pass over its graph could say the same."""
        with patch("edgesim.simulator.engine.longest_path", return_value=None):
            return self.play()

    def measure(self) -> object:
        """From plan to metrics."""
        trace = self._played(self.write())
        return measure(trace, cluster=self.cluster, model=self.model, workload=workload(micro_batches=MICRO_BATCHES))

    def _played(self, schedule: Schedule) -> Trace:
        return simulate(
            schedule, cluster=self.cluster, model=self.model, profile=self.profile, tokens=1, scenario=self.scenario
        )


def iteration(*events: Event, bytes_per_s: float = NO_LIMIT) -> Iteration:
    """On links of this rate, with what happens in it."""
    model = chain(STAGES)
    network = switched(STAGES, bytes_per_s=bytes_per_s, latency_s=LATENCY_S)
    cluster = homogeneous(STAGES, network=network)
    profile = constant_profile(model, cluster, forward_s=SECONDS[Op.F], backward_s=SECONDS[Op.B])
    plan, asked = pipeline_plan(model, micro_batches=MICRO_BATCHES), workload(micro_batches=MICRO_BATCHES)
    schedule = pipeline(plan, model, asked)
    scenario = Scenario(events=events)
    return Iteration(model=model, cluster=cluster, profile=profile, schedule=schedule, scenario=scenario)


def bare_loop() -> float:
    """A process per stage, a timeout per computation and per message, an event per arrival; nothing is recorded."""
    env = simpy.Environment()
    arrived = {
        (stage, op, m): env.event() for stage in range(STAGES) for op in (Op.F, Op.B) for m in range(MICRO_BATCHES)
    }

    def pass_on(stage: int, op: Op, m: int) -> None:
        arrival = arrived[stage, op, m]
        env.timeout(LATENCY_S).callbacks.append(lambda _: arrival.succeed())

    def run(stage: int) -> Iterator[simpy.Event]:
        for op, m in one_forward_one_backward(micro_batches=MICRO_BATCHES, in_flight=STAGES - stage):
            if op is Op.F:
                if stage > 0:
                    yield arrived[stage, op, m]
                yield env.timeout(SECONDS[op])
                if stage + 1 < STAGES:
                    pass_on(stage + 1, op, m)
            else:
                if stage + 1 < STAGES:
                    yield arrived[stage, op, m]
                yield env.timeout(SECONDS[op])
                if stage > 0:
                    pass_on(stage - 1, op, m)

    for stage in range(STAGES):
        env.process(run(stage))
    env.run()
    return float(env.now)
