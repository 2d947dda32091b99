"""A scenario's bandwidths as one row of steps in time: what live players play is what the simulator reckons with."""

from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.recording import Column, Recording, Unit
from edgesim.scenario import Scenario, Slowdown, Walk
from edgesim.scenario.timeline import Step, rate_steps
from edgesim.simulator.network.bandwidth import Bandwidth

repeatable = settings(max_examples=50, deadline=None, derandomize=True, database=None)


def recorded(*steps: tuple[float, float], rank: int | None = None, unit: Unit = Unit.FACTOR) -> Recording:
    """One column of (from when, value)."""
    column = Column(rank=rank, unit=unit, values=tuple(value for _, value in steps))
    return Recording(at_s=tuple(at_s for at_s, _ in steps), columns=(column,), source="test")


def walk(**changed: object) -> Walk:
    fields = {"interval_s": 0.5, "ratio": 1.25, "low": 0.25, "high": 1.0, "start": 0.64, "together": False}
    return Walk(**fields | {"source": "test"} | changed)  # type: ignore[arg-type]


def steps(scenario: Scenario, *bytes_per_s: float, most: int = 20) -> list[tuple[float, int, float]]:
    return [(step.at_s, step.rank, step.factor) for step in islice(rate_steps(scenario, bytes_per_s), most)]


def test_what_changes_no_line_has_no_steps() -> None:
    slow = Slowdown(rank=0, start_s=1, end_s=2, factor=0.5, source="test")
    assert steps(Scenario(events=(slow,)), 10, 10) == []


def test_ranks_that_change_together_stand_side_by_side_and_others_are_not_named() -> None:
    both = recorded((0, 1), (4, 0.5))
    assert steps(Scenario(events=(both,)), 10, 10) == [(0, 0, 1), (0, 1, 1), (4, 0, 0.5), (4, 1, 0.5)]
    assert steps(Scenario(events=(recorded((0, 1), (4, 0), (5, 1), rank=1),)), 10, 10) == [
        (0, 1, 1),
        (4, 1, 0),
        (5, 1, 1),
    ]


def test_a_rate_in_the_place_of_a_lines_own_is_a_factor_of_it() -> None:
    rates = recorded((0, 20), (1, 5), unit=Unit.RATE)
    assert steps(Scenario(events=(rates,)), 10, 40) == [(0, 0, 2), (0, 1, 0.5), (1, 0, 0.5), (1, 1, 0.125)]


def test_a_walk_and_a_recording_multiply_at_the_seconds_of_both() -> None:
    scenario = Scenario(events=(recorded((0, 1), (0.75, 0.5)), walk(together=True)), seed=1)
    alone = Scenario(events=(walk(together=True),), seed=1)
    (_, _, first), (_, _, second), (_, _, third) = steps(alone, 10, most=3)
    assert steps(scenario, 10, most=4) == [(0, 0, first), (0.5, 0, second), (0.75, 0, second / 2), (1, 0, third / 2)]


def test_a_walk_that_never_ends_and_never_moves_is_taken_step_by_step() -> None:
    still = Scenario(events=(walk(ratio=1.0, start=0.5),))
    assert steps(still, 10, most=3) == [(0, 0, 0.5), (0.5, 0, 0.5), (1, 0, 0.5)]


@repeatable
@given(seed=st.integers(0, 99), table=st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=6))
def test_each_step_is_what_the_simulator_reckons_with_at_its_second(seed: int, table: list[float]) -> None:
    recording = recorded(*((0.3 * i, factor) for i, factor in enumerate([*table, 1.0])))
    scenario = Scenario(events=(recording, walk()), seed=seed)
    for rank in (0, 1):
        bandwidth, nominal = Bandwidth(scenario, rank), 0.1
        own: list[Step] = [step for step in islice(rate_steps(scenario, [10, 10]), 40) if step.rank == rank]
        for step in own:
            while bandwidth.next_s <= step.at_s:
                bandwidth.step()
            seconds = bandwidth.seconds_per_byte(nominal, goodput=1.0)
            assert (nominal / step.factor if step.factor else float("inf")) == pytest.approx(seconds)
