"""What does a scenario cost that changes every millisecond? Beside one that changes once, and beside none."""

import pytest
from test_engine_speed import one_iteration, seconds

from edgesim.recording import Column, Recording, Unit
from edgesim.scenario import Event, Slowdown

STEPS, STEP_S = 2600, 1e-3  # for longer than the iteration lasts
ROUNDS = 5
MOST = 3.0  # times as long as a scenario that changes once


def recorded(*values: float) -> list[Event]:
    """Bandwidth that takes these values of its rate, one after the other."""
    at_s = tuple(i * STEP_S for i in range(len(values)))
    return [Recording(at_s=at_s, columns=(Column(rank=None, unit=Unit.FACTOR, values=values),), source="made up")]


def slowed(*factors: float) -> list[Event]:
    """A device that takes these factors of its speed, one after the other."""
    times = [(i * STEP_S, (i + 1) * STEP_S) for i in range(len(factors))]
    return [
        Slowdown(rank=3, start_s=start_s, end_s=end_s, factor=factor, source="made up")
        for (start_s, end_s), factor in zip(times, factors, strict=True)
    ]


@pytest.mark.parametrize(
    ("name", "once", "often"),
    [
        ("bandwidth, equal steps", recorded(1.0), recorded(*[1.0] * STEPS)),
        ("a slow device, equal steps", slowed(0.99), slowed(*[0.99] * STEPS)),
        ("a slow device, other steps", slowed(0.99), slowed(*[0.99, 0.98] * (STEPS // 2))),
    ],
)
def test_steps_of_a_millisecond_cost_little_more_than_one(name: str, once: list[Event], often: list[Event]) -> None:
    plays = [one_iteration(*events, bytes_per_s=1e6)[1] for events in ([], once, often)]
    rounds = [[seconds(play) for play in plays] for _ in range(ROUNDS)]
    none_s, once_s, often_s = (min(times) for times in zip(*rounds, strict=True))
    told = f"{often_s / once_s:.1f} times one change, {often_s / none_s:.1f} times none"
    print(f"\n{name}: {told} ({none_s * 1e3:.1f} ms)")
    assert often_s <= MOST * once_s
