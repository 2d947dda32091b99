"""Do intervals hold as often as they say, and are plans told apart no better than executed ones allow?"""

from dataclasses import replace
from itertools import product
from math import e, exp, log, sqrt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesim.intervals import (
    Residual,
    Residuals,
    WorkKind,
    bounds,
    chances_of_fastest,
    difference,
    fewest,
    is_within_error,
    kind_of,
)
from edgesim.workload import Workload

DISTINCT = st.lists(st.floats(-1, 1), min_size=20, max_size=60, unique=True)


def residuals(*logs: float, kind: WorkKind = WorkKind.TRAIN, settings: int = 1) -> Residuals:
    """Some residuals, dealt to settings in turn."""
    return Residuals(
        testbed="netns",
        source="a test",
        residuals=tuple(
            Residual(kind=kind, setting=f"setting {i % settings}", plan=f"plan {i}", log_ratio=each)
            for i, each in enumerate(logs)
        ),
    )


@pytest.mark.parametrize(
    ("count", "level", "ends"),
    [
        (19, 0.9, (1, 19)),
        (39, 0.9, (2, 38)),
        (99, 0.9, (5, 95)),
        (20, 0.9, (1, 20)),
        (3, 0.5, (1, 3)),
        (9, 0.5, (2, 7)),
    ],
)
def test_an_interval_lies_between_the_residuals_that_its_level_asks_for(
    count: int, level: float, ends: tuple[int, int]
) -> None:
    assert bounds([float(i) for i in range(count, 0, -1)], level) == ends


@given(DISTINCT, st.sampled_from([0.5, 0.8, 0.9]))
def test_of_exchangeable_residuals_exactly_the_promised_share_lies_within(drawn: list[float], level: float) -> None:
    """Each of n + 1 is as likely to be the new one as any other: the level is met, and by less than one place more."""
    within = 0
    for i, new in enumerate(drawn):
        low, high = bounds(drawn[:i] + drawn[i + 1 :], level)
        within += low <= new <= high
    assert level * len(drawn) - 1e-9 <= within < level * len(drawn) + 1 - 1e-9


@given(DISTINCT, st.randoms(use_true_random=False))
def test_the_order_of_residuals_does_not_matter(drawn: list[float], random: object) -> None:
    shuffled = list(drawn)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert bounds(shuffled) == bounds(drawn)


def test_intervals_of_drawn_residuals_hold_as_often_as_they_say() -> None:
    """Skewed and biased ones: no distribution is assumed. 4000 trials, so within two per cent or a bug."""
    random = np.random.default_rng(7)
    held = 0
    for _ in range(4000):
        *known, new = random.gamma(1.5, 0.03, size=60) - 0.02
        low, high = bounds(known)
        held += low <= new <= high
    assert held / 4000 == pytest.approx(55 / 60, abs=0.02)  # ceil(60 x 0.9) = 54 places of 60, and ties there are none


@pytest.mark.parametrize(("level", "count"), [(0.9, 19), (0.5, 3), (0.95, 39), (0.99, 199)])
def test_too_few_residuals_are_refused_with_how_many_it_takes(level: float, count: int) -> None:
    assert fewest(level) == count
    bounds([0.0] * count, level)
    with pytest.raises(ValueError, match=f"{count - 1} executed plans are too few .* it needs {count}"):
        bounds([0.0] * (count - 1), level)


@pytest.mark.parametrize("level", [0.0, 1.0, 90.0])
def test_a_level_is_a_probability(level: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        bounds([0.0] * 50, level)


def test_an_interval_is_in_seconds_of_what_was_simulated() -> None:
    known = residuals(*(0.01 * i for i in range(-9, 10)))
    interval = known.interval(2.0, WorkKind.TRAIN)
    assert (interval.low_s, interval.high_s) == pytest.approx((2 * exp(-0.09), 2 * exp(0.09)))
    assert (interval.residuals, 2.0 in interval, 2.3 in interval) == (19, True, False)


def test_a_kind_of_which_nothing_was_executed_has_no_interval() -> None:
    with pytest.raises(ValueError, match="netns, generate: 0 executed plans are too few"):
        residuals(*([0.0] * 30)).interval(1.0, WorkKind.GENERATE)


def test_a_plan_that_other_load_disturbed_calibrates_nothing_and_is_counted() -> None:
    """Twenty plans, of which one that is far off was disturbed: as if it had not been executed, but it is said."""
    known = residuals(*(0.01 * i for i in range(-9, 10)), 3.0)
    *others, far = known.residuals
    known = replace(known, residuals=(*others, replace(far, disturbed=0.2)))
    interval = known.interval(1.0, WorkKind.TRAIN)
    assert (interval.high_s, interval.residuals, interval.left_out) == (pytest.approx(exp(0.09)), 19, 1)
    assert known.deviations(WorkKind.TRAIN) == residuals(*(0.01 * i for i in range(-9, 10))).deviations(WorkKind.TRAIN)
    assert str(known).endswith("1 of them disturbed by other load and left out")
    disturbed = replace(known, residuals=tuple(replace(each, disturbed=0.2) for each in known.residuals))
    with pytest.raises(ValueError, match=r"0 executed plans are too few .*; 20 more were disturbed by other load"):
        disturbed.interval(1.0, WorkKind.TRAIN)


def test_a_residual_is_the_logarithm_of_measured_over_simulated() -> None:
    mine = Residual.of(kind=WorkKind.INFER, setting="s", plan="p", simulated_s=1.0, measured_s=[e, 1.0, e**2])
    assert mine.log_ratio == pytest.approx(1.0)
    assert mine.repeats == pytest.approx((1.0, 0.0, 2.0))
    with pytest.raises(ValueError, match="seconds above 0"):
        Residual.of(kind=WorkKind.INFER, setting="s", plan="p", simulated_s=0.0, measured_s=[1.0])


def test_residuals_are_read_as_they_were_written(tmp_path: Path) -> None:
    known = residuals(0.1, -0.2, kind=WorkKind.GENERATE)
    known.save(tmp_path / "netns.residuals.json")
    assert Residuals.load(tmp_path / "netns.residuals.json") == known


def test_a_file_of_another_version_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "netns.residuals.json"
    residuals(0.1).save(path)
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(ValueError, match=r"netns.residuals.json .*format 2, known is 1"):
        Residuals.load(path)


def test_each_kind_of_workload_has_its_own() -> None:
    asked = {"batch_samples": 2, "micro_batch_samples": 1, "tokens": 8, "optimiser": "sgd", "learning_rate": 0.1}
    kinds = [
        kind_of(Workload(purpose=purpose, new_tokens=new, **asked))  # type: ignore[arg-type]
        for purpose, new in (("train", 0), ("fine_tune", 0), ("infer", 0), ("infer", 4))
    ]
    assert kinds == [WorkKind.TRAIN, WorkKind.TRAIN, WorkKind.INFER, WorkKind.GENERATE]


def test_what_a_setting_has_in_common_decides_no_comparison() -> None:
    """One setting is simulated half as long as it takes, the other twice: their plans are off from that by 10 %."""
    one, other = [log(2) - 0.1, log(2) + 0.1], [-log(2) + 0.1, -log(2) - 0.1]
    known = residuals(*(each for pair in zip(one, other, strict=True) for each in pair), settings=2)
    assert [tuple(map(abs, each)) for each in known.deviations(WorkKind.TRAIN)] == [pytest.approx((0.1, 0.1))] * 2


def test_two_plans_that_deviate_by_two_amounts_have_a_known_chance() -> None:
    """Deviations ±d, as plans of two are about their mean, are ±sqrt(2) d about what they should be.

    A plan that is simulated longer by less than twice that is the faster one in a case of four.
    """
    apart = 2 * sqrt(2) * 0.1
    assert chances_of_fastest([1.0, exp(0.9 * apart)], [[-0.1, 0.1]]) == pytest.approx([0.75, 0.25])
    assert chances_of_fastest([1.0, exp(1.1 * apart)], [[-0.1, 0.1]]) == pytest.approx([1.0, 0.0])
    assert chances_of_fastest([1.0, 1.0, 1.0], [[-0.1, 0.1]]) == pytest.approx([1 / 3] * 3)


@given(
    st.lists(st.floats(0.5, 2), min_size=1, max_size=4),
    st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=4),
)
def test_the_chance_of_being_fastest_is_that_of_all_outcomes_together(seconds: list[float], off: list[float]) -> None:
    scaled = [each * sqrt(len(off) / (len(off) - 1)) for each in off]
    wins = [0.0] * len(seconds)
    for outcome in product(scaled, repeat=len(seconds)):
        taken = [log(s) + r for s, r in zip(seconds, outcome, strict=True)]
        first = [i for i, each in enumerate(taken) if each <= min(taken) + 1e-12]
        for i in first:
            wins[i] += 1 / len(first) / len(scaled) ** len(seconds)
    chances = chances_of_fastest(seconds, [off])
    assert chances == pytest.approx(wins, abs=1e-6)
    assert sum(chances) == pytest.approx(1.0)


def test_a_plan_that_was_never_executed_beside_another_has_no_chance_told() -> None:
    with pytest.raises(ValueError, match="no two were executed"):
        chances_of_fastest([1.0, 2.0], [[0.0]])


def test_a_difference_within_what_executed_plans_are_apart_is_no_win() -> None:
    apart = [[-0.02 * i / 10, 0.02 * i / 10] for i in range(10, 20)]
    low, high = difference(1.0, 1.0, apart)
    assert low == pytest.approx(1 / high)
    assert is_within_error(1.0, 1.05, apart)
    assert not is_within_error(1.0, 1.1, apart)
