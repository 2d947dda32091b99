"""What do flows cost that share links or air? Hundreds between random pairs, and a radio channel of 64 ranks."""

from collections.abc import Callable
from random import Random

from builders import chain, constant_profile, homogeneous, radio, receive, schedule_of, send, switched
from pytest_benchmark.fixture import BenchmarkFixture

from edgesim.cluster import Network
from edgesim.schedule import Payload, Task
from edgesim.simulator import simulate
from edgesim.trace import Trace

RANKS = 64
BYTES_PER_S = 1e6


def flows(count: int, network: Network) -> tuple[int, Callable[[], Trace]]:
    """How many tasks there are, and a function that plays messages between random pairs, all posted at the start."""
    random = Random(3)
    programs: list[list[Task]] = [[] for _ in range(RANKS)]
    for number in range(count):
        source, destination = random.sample(range(RANKS), 2)
        nbytes, payload = random.randint(10**5, 10**6), (Payload.ACTIVATION, Payload.GRADIENT, Payload.KV)[number % 3]
        programs[source].append(send(source, destination, nbytes, micro_batch=number, payload=payload))
        programs[destination].append(receive(destination, source, nbytes, micro_batch=number, payload=payload))
    model, cluster, schedule = chain(1), homogeneous(RANKS, network=network), schedule_of(*programs)
    profile = constant_profile(model, cluster, forward_s=0.01, backward_s=0.02)
    schedule.check()
    return len(schedule), lambda: simulate(schedule, cluster=cluster, model=model, profile=profile, tokens=1)


def test_480_flows_between_random_pairs_take_at_most_half_a_second(benchmark: BenchmarkFixture) -> None:
    _, play = flows(480, switched(RANKS, bytes_per_s=BYTES_PER_S))
    benchmark.pedantic(play, rounds=5)
    assert benchmark.stats.stats.min <= 0.5


def test_a_radio_channel_plays_a_hundred_thousand_tasks_a_second(benchmark: BenchmarkFixture) -> None:
    tasks, play = flows(2000, radio(RANKS, bytes_per_s=BYTES_PER_S))
    benchmark.pedantic(play, rounds=5)
    assert tasks / benchmark.stats.stats.min >= 100_000
