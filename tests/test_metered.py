"""Are a run's joules what a meter saw of it, no more, on every machine the same?"""

from dataclasses import replace
from math import fsum
from pathlib import Path

import numpy as np
import pytest
from builders import compute, homogeneous, play_programs
from hypothesis import given, settings
from hypothesis import strategies as st
from metered_runs import FACTS, log_of, run_of, two_stages

from edgesim.metered import (
    Covers,
    Evidence,
    PowerLog,
    Quantity,
    TraceOnClock,
    attribute,
    energy_of,
    log_from_text,
    log_lines,
    window_energy,
)
from edgesim.schedule import Op

RECORDED = Path(__file__).parent / "data/meters/power_recorded.csv"


def test_a_trapezoid_between_readings_and_interpolated_ends() -> None:
    log = log_of([0, 1, 2, 3], [2, 4, 4, 0])
    assert window_energy(log, 0, 3).energy_j == 3 + 4 + 2
    # From 0.5 s (3 W) to 1 s (4 W), then to 2 s, then to 2.5 s (2 W): 1.75 + 4 + 1.5.
    assert window_energy(log, 0.5, 2.5).energy_j == pytest.approx(7.25)
    assert window_energy(log, 1.25, 1.75).energy_j == pytest.approx(2.0)


def test_a_counter_passes_evenly_between_readings() -> None:
    log = log_of([0, 1, 2], [10, 14, 20], quantity=Quantity.ENERGY)
    assert window_energy(log, 0, 2).energy_j == 10
    assert window_energy(log, 0.5, 1.5).energy_j == pytest.approx(2 + 3)


def test_a_mean_stands_in_the_middle_of_its_time() -> None:
    log = log_of([1, 2, 3], [2, 4, 2], averages_s=1.0)
    assert window_energy(log, 0.5, 2.5).energy_j == 6
    assert window_energy(log, 1, 3).seen_s == 1.5


@given(
    st.lists(st.floats(0.5, 2.4), min_size=4, max_size=30),
    st.lists(st.floats(0, 50), min_size=31, max_size=31),
    st.floats(0, 1),
    st.floats(0, 1),
)
@settings(max_examples=60, deadline=None)
def test_two_windows_side_by_side_hold_what_both_hold(
    lasts_s: list[float], watts: list[float], first: float, second: float
) -> None:
    at_s = np.concatenate([[0.0], np.cumsum(lasts_s)])
    log, end_s = log_of(at_s, watts[: len(at_s)]), float(at_s[-1])
    cut_s = end_s * (0.2 + 0.6 * first)
    parts = [window_energy(log, 0.0, cut_s).energy_j, window_energy(log, cut_s, end_s).energy_j]
    assert None not in parts
    whole = window_energy(log, 0.0, end_s).energy_j
    assert whole == pytest.approx(fsum(part for part in parts if part is not None), rel=1e-12, abs=1e-9)


def test_a_missing_reading_is_missing_and_what_is_around_it_is_not_filled() -> None:
    log = log_of([0, 1, 2, 3, 4], [5, 5, np.nan, 5, 5])
    found = window_energy(log, 0, 4)
    assert (found.seen_s, found.energy_j) == (2.0, None)
    assert found.refused == (
        "no joules: a sensor saw 50.0% of 4 s, and 95 % are needed (readings are missing or too far apart)"
    )


def test_readings_too_far_apart_have_a_gap_between_them() -> None:
    assert window_energy(log_of([0, 2.5, 5], [1, 1, 1]), 0, 5).energy_j == 5
    assert window_energy(log_of([0, 2.6, 5], [1, 1, 1]), 0, 5).seen_s == 2.4


def test_95_per_cent_are_enough_and_only_what_was_seen_counts() -> None:
    at_s = np.arange(41.0)
    watts = np.full(41, 3.0)
    watts[20] = np.nan
    found = window_energy(log_of(at_s, watts), 0, 40)
    assert (found.coverage, found.energy_j) == (0.95, 114.0)  # two seconds of forty are missing, and are not filled
    assert window_energy(log_of(at_s, watts), 0, 39).energy_j is None


def test_a_run_longer_than_its_log_is_refused_at_either_end() -> None:
    log = log_of([0, 1, 2, 3], [1, 1, 1, 1])
    assert window_energy(log, -1, 3).energy_j is None
    assert window_energy(log, 0, 4).energy_j is None


def test_iterations_and_phases_add_up_to_the_run() -> None:
    trace = play_programs(homogeneous(1), [compute(Op.F, 0), compute(Op.F, 0, 1)])
    played = [
        TraceOnClock(trace=trace, began_s=10.0 + 3 * i, phase="cached" if i else "first") for i in range(3)
    ]  # from 10 to 12 s, 13 to 15 s, 16 to 18 s
    log = log_of(range(9, 20), range(9, 20))  # as many watts as seconds
    found = energy_of(log, played)
    assert [each.energy_j for each in found.iterations] == [22.0, 28.0, 34.0]
    assert {name: each.energy_j for name, each in found.phases.items()} == {"first": 22.0, "cached": 62.0}
    assert found.whole.energy_j == 84.0


def test_joules_are_the_same_bits_on_every_machine() -> None:
    """A recorded log replayed with its trace: values that were found on one machine, and another must find."""
    played = run_of(two_stages(), 3, began_s=1234.567)
    log = log_from_text(RECORDED.read_text())
    assert "".join(log_lines(log)) == RECORDED.read_text()
    found = energy_of(log, played)
    assert [each.energy_j.hex() for each in (found.whole, *found.iterations) if each.energy_j] == GOLDEN_J
    assert [row.energy_j.hex() for row in attribute(log, played, align=True).rows] == GOLDEN_ROWS_J


GOLDEN_J = ["0x1.a7276abaa1adap+6", "0x1.19f2c109030fep+5", "0x1.19e0d9ad43159p+5", "0x1.1a7b3abefd35dp+5"]
GOLDEN_ROWS_J = [
    "0x1.0ddd261ec5ba2p+5",
    "0x1.fbfaa21bce03ap+1",
    "0x1.6cacc3e42ef0ep+5",
    "0x1.1e5d0673f9008p+4",
    "0x1.90df1ab7b3149p+1",
    "0x1.3df69f71f628fp+0",
    "0x1.68b29786d341cp-1",
    "-0x1.e4d977486fe8cp-2",
]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"at_s": np.array([0.0, 2.0, 1.0])}, "the clock steps from 2.000000 to 1.000000 s between readings 1 and 2"),
        ({"at_s": np.array([0.0, 1.0, np.nan])}, "a time is no finite number"),
        ({"at_s": np.array([0.0, 1.0])}, "2 times, but 3 values"),
        ({"value": np.array([1.0, -1.0, 1.0])}, "a reading is -1 "),
        ({"value": np.array([1.0, np.inf, 1.0])}, "a reading is inf "),
        ({"ranks": ()}, "needs distinct ranks"),
        ({"ranks": (1, 1)}, "needs distinct ranks"),
        (
            {"facts": replace(FACTS, quantity=Quantity.ENERGY), "value": np.array([3.0, np.nan, 2.0])},
            "the counter falls",
        ),
    ],
)
def test_a_log_that_cannot_be_is_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=rf"^power log of a sensor: .*{says}"):
        replace(log_of([0, 1, 2], [1, 1, 1]), **wrong)


@pytest.mark.parametrize("wrong", [{"period_s": 0.0}, {"period_s": np.inf}, {"resolution": -1.0}, {"averages_s": -1.0}])
def test_a_meter_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=rf"^meter a sensor: {next(iter(wrong))} must be "):
        replace(FACTS, **wrong)


def test_a_log_says_what_it_is() -> None:
    log = log_of([0, 1], [1, np.nan], covers=Covers.MODULE, evidence=Evidence.ESTIMATED)
    assert str(log) == "2 readings of a sensor (estimated; covers the module; every 1 s, in steps of 0 W), 1 missing"


def test_a_log_may_be_shifted() -> None:
    log = log_of([0, 1, 2], [1, 2, 3]).shifted(0.5)
    assert isinstance(log, PowerLog)
    assert window_energy(log, 0.5, 2.5).energy_j == 4.0
