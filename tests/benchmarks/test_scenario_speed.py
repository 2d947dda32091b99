"""What does a scenario cost that changes every millisecond? Beside none, in one process, in seconds of the processor.

The schedule and the scenario are there, and have been simulated before: thousands of plans share a scenario. No two
messages meet, at any of these rates.
"""

from statistics import median

import pytest
from iteration import LIMIT, STAGES, iteration
from timing import cpu_s

from edgesim.recording import Column, Recording, Unit
from edgesim.scenario import Event, Slowdown

STEPS, STEP_S = 2600, 1e-3  # for longer than the iteration lasts
ROUNDS = 15
CALLS = 3  # in a round
FEW = 2.0  # times as long as no scenario: where they change few tasks, or nothing
MANY = 6.0  # where each millisecond changes all that is on its way, or everything computed


def recorded(*values: float) -> list[Event]:
    """Bandwidth that takes these values of its rate, one after the other."""
    at_s = tuple(i * STEP_S for i in range(len(values)))
    return [Recording(at_s=at_s, columns=(Column(rank=None, unit=Unit.FACTOR, values=values),), source="made up")]


def slowed(*factors: float, rank: int = 3) -> list[Event]:
    """A device that takes these factors of its speed, one after the other."""
    times = [(i * STEP_S, (i + 1) * STEP_S) for i in range(len(factors))]
    return [
        Slowdown(rank=rank, start_s=start_s, end_s=end_s, factor=factor, source="made up")
        for (start_s, end_s), factor in zip(times, factors, strict=True)
    ]


def all_slowed(*factors: float) -> list[Event]:
    return [event for rank in range(STAGES) for event in slowed(*factors, rank=rank)]


@pytest.mark.parametrize(
    ("events", "most"),
    [
        pytest.param(recorded(*[1.0] * STEPS), FEW, id="bandwidth, equal steps: nothing changes"),
        pytest.param(slowed(*[0.99] * STEPS), FEW, id="a slow device, equal steps: 1 task in 20 changes"),
        pytest.param(slowed(*[0.99, 0.98] * (STEPS // 2)), FEW, id="a slow device, other steps: 1 task in 20 changes"),
        pytest.param(all_slowed(*[0.99, 0.98] * (STEPS // 2)), MANY, id="slow devices: all computations change"),
        pytest.param(recorded(*[1.0, 0.9] * (STEPS // 2)), MANY, id="bandwidth, other steps: all messages change"),
    ],
)
def test_steps_of_a_millisecond_cost_little_where_they_change_little(events: list[Event], most: float) -> None:
    plays = [iteration(*each, bytes_per_s=LIMIT).play for each in ([], events)]
    for play in plays:
        play()
    rounds = [[cpu_s(lambda play=play: [play() for _ in range(CALLS)]) for play in plays] for _ in range(ROUNDS)]
    none_s, often_s = (median(times) / CALLS for times in zip(*rounds, strict=True))
    print(f"\n{often_s / none_s:.2f} times none ({none_s * 1e3:.2f} ms)")
    assert often_s <= most * none_s
