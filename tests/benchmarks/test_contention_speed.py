"""What do flows cost that share links or air? Between random pairs of 64 ranks, all at once.

The table is written to results/simulator_speed/contention.csv.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from builders import chain, constant_profile, homogeneous, pairs, radio, receive, schedule_of, send, switched
from kept import keep
from timing import cpu_s

from edgesim.cluster import Network
from edgesim.schedule import Payload, Task
from edgesim.simulator import simulate
from edgesim.trace import Trace

RANKS = 64
BYTES_PER_S = 1e6
NETWORKS = {
    "switched": switched(RANKS, bytes_per_s=BYTES_PER_S),
    "pairs": pairs(RANKS, bytes_per_s=BYTES_PER_S),
    "radio": radio(RANKS, bytes_per_s=BYTES_PER_S),
}
COUNTS = (60, 120, 240, 480, 960, 1920)
ROUNDS = 3


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


def times(counts: Sequence[int], network: Network) -> list[float]:
    """CPU seconds of playing so many flows."""
    plays = [flows(count, network)[1] for count in counts]
    return [min(cpu_s(play) for _ in range(ROUNDS)) for play in plays]


def test_480_flows_between_random_pairs_take_at_most_half_a_second_and_a_radio_plays_100_000_tasks_a_second() -> None:
    rows, took = [], {}
    for name, network in NETWORKS.items():
        for count, seconds in zip(COUNTS, times(COUNTS, network), strict=True):
            took[name, count] = seconds
            row = {"network": name, "ranks": RANKS, "flows": count, "ms": f"{seconds * 1e3:.2f}"}
            rows.append(row | {"tasks_per_s": f"{2 * count / seconds:.0f}"})
            print("\n", rows[-1], end="")
    keep("contention.csv", rows, Path(__file__).name)
    assert took["switched", 480] <= 0.5
    assert 2 * COUNTS[-1] / took["radio", COUNTS[-1]] >= 100_000
