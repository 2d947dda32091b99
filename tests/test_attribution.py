"""Do a meter's joules go to the states that took them, and what no state explains to a row of its own?"""

from dataclasses import replace
from math import fsum

import numpy as np
import pytest
from builders import collective, compute, homogeneous, play_programs, receive, send, switched
from hypothesis import given, settings
from hypothesis import strategies as st
from metered_runs import TRUE, log_of, run_of, two_stages

from edgesim.metered import Covers, Evidence, Quantity, SyntheticMeter, TraceOnClock, TrueWatts, attribute
from edgesim.metered.non_negative import fit
from edgesim.schedule import Op

EXACT = SyntheticMeter(noise=0.0, behind_s=0.0)


def test_without_noise_every_state_gets_its_own_watts_and_nothing_is_left() -> None:
    played = run_of(two_stages(), 3)
    found = attribute(EXACT.read(played, TRUE, 0), played)
    watts = {row.state: row.watts for row in found.rows}
    wanted = {"idle": 2.0, "waiting": 2.0, **TRUE.above_w, "residual": None}
    assert {state: w if w is None else pytest.approx(w, abs=1e-9) for state, w in watts.items()} == wanted
    assert found.untold == ()
    assert found.shift_s == 0.0


def test_seconds_are_those_of_the_trace() -> None:
    trace = two_stages()
    played = run_of(trace, 2)
    rows = {row.state: row.seconds for row in attribute(EXACT.read(played, TRUE, 0), played).rows}
    assert rows["compute F"] == pytest.approx(2 * 6 * 0.25)
    assert rows["compute B"] == pytest.approx(2 * 6 * 0.51)
    assert rows["transmit"] == pytest.approx(2 * 6 * 0.1)
    assert rows["idle"] + rows["waiting"] == pytest.approx(2 * trace.makespan_s)


@pytest.mark.parametrize("seed", range(20))
def test_a_meter_of_known_watts_is_found_out(seed: int) -> None:
    """Noise of 2 %, a reading every 100 ms, a clock that is 20 ms behind: the watts of states come within 3 %."""
    played = run_of(two_stages(), 5)
    found = attribute(SyntheticMeter(seed=seed).read(played, TRUE, 0), played, align=True)
    assert found.shift_s == pytest.approx(0.02, abs=0.004)
    for row in found.rows:
        if row.watts is not None:
            true_w = TRUE.idle_w + TRUE.above_w.get(row.state, 0.0)
            fitted_w = row.watts + (TRUE.idle_w if row.state in TRUE.above_w else 0.0)
            assert fitted_w == pytest.approx(true_w, rel=0.03), row.state


@given(
    st.integers(0, 10_000),
    st.floats(0, 0.5),
    st.floats(0, 0.1),
    st.sampled_from([Quantity.POWER, Quantity.ENERGY]),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_states_and_the_residual_add_up_to_the_metered_joules(
    seed: int, noise: float, behind_s: float, quantity: Quantity, is_both: bool
) -> None:
    """Whatever a meter reads, also what no state explains, and of two hosts at once."""
    drawn = np.random.default_rng(seed)
    played = run_of(two_stages(3), 3)
    log = SyntheticMeter(noise=noise, behind_s=behind_s, seed=seed).read(played, TRUE, seed % 2)
    value = log.value + drawn.uniform(0, 3) * (drawn.random(len(log)) < 0.3)
    if quantity is Quantity.ENERGY:
        value = np.cumsum(value)
    value[drawn.integers(len(value))] = np.nan
    log = replace(log, facts=replace(log.facts, quantity=quantity), value=value, ranks=(0, 1) if is_both else log.ranks)
    try:
        found = attribute(log, played)
    except ValueError as error:
        assert "95 % are needed" in str(error)  # noqa: PT017
        return
    assert fsum(row.energy_j for row in found.rows) == pytest.approx(found.energy_j, rel=1e-9)
    assert found.rows[-1].state == "residual"
    assert all(row.watts is None or row.watts >= 0 for row in found.rows)


def test_a_fan_that_no_state_knows_is_in_the_residual_alone() -> None:
    """Five watts for a second in a pause of every host: neither computing nor sending has to do with it."""
    trace = two_stages()
    played = run_of(trace, 4)
    log = EXACT.read(played, TRUE, 0)
    clean = attribute(log, played)
    on = np.zeros(len(log), dtype=bool)
    on[40:44] = True
    found = attribute(replace(log, value=log.value + 5.0 * on), played)
    assert found.energy_j - clean.energy_j == pytest.approx(2.0, rel=0.1)
    assert found.rows[-1].energy_j > clean.rows[-1].energy_j
    assert fsum(row.energy_j for row in found.rows) == pytest.approx(found.energy_j, rel=1e-9)


def test_what_sends_and_receives_at_once_cannot_be_told_apart_and_is_said() -> None:
    cluster = homogeneous(2, network=switched(2, bytes_per_s=1e6))
    computed = [compute(Op.F, rank) for rank in (0, 1)]
    rings = collective(Op.ALL_REDUCE, (0, 1), 2_000_000, needs=[computed[0].name])
    programs = [[computed[0], rings[0]], [computed[1], replace(rings[1], needs=(computed[1].name,))]]
    played = run_of(play_programs(cluster, *programs, forward_s=2.0), 3, pause_s=0.0)
    watts = TrueWatts(idle_w=1.0, above_w={"compute F": 4.0, "transmit": 0.5, "receive": 0.25})
    found = attribute(EXACT.read(played, watts, 0), played)
    # It also always does one or the other, so that idle, computing and the wire are two columns, not three.
    assert found.untold
    assert "receive" in found.untold
    assert fsum(row.energy_j for row in found.rows) == pytest.approx(found.energy_j, rel=1e-9)


def test_one_meter_of_two_hosts_counts_both() -> None:
    played = run_of(two_stages(), 4)
    logs = [EXACT.read(played, TRUE, rank) for rank in (0, 1)]
    both = replace(logs[0], ranks=(0, 1), value=logs[0].value + logs[1].value)
    found = attribute(both, played)
    rows = {row.state: row for row in found.rows}
    assert rows["idle"].watts == pytest.approx(2.0, abs=1e-6)
    assert rows["compute F"].watts == pytest.approx(4.0, abs=1e-6)
    assert found.energy_j == pytest.approx(fsum(attribute(log, played).energy_j for log in logs))


def test_joules_of_bytes_are_in_what_the_wire_takes() -> None:
    cluster = homogeneous(2, network=switched(2, bytes_per_s=1e6))
    message = [send(0, 1, 3_000_000)], [receive(1, 0, 3_000_000)]
    later = compute(Op.F, 1, needs=[message[1][0].name])  # the sender waits meanwhile
    trace = play_programs(cluster, [compute(Op.F, 0), *message[0]], [*message[1], later], forward_s=4.0)
    watts = TrueWatts(idle_w=1.0, above_w={"transmit": 0.5}, j_per_byte={"transmit": 2e-7})
    played = run_of(trace, 2)
    (row,) = (r for r in attribute(EXACT.read(played, watts, 0), played).rows if r.state == "transmit")
    assert row.watts == pytest.approx(0.7, rel=0.02)  # 0.5 W, and 1 MB/s at 0.2 uJ each


def test_too_few_readings_are_refused() -> None:
    played = run_of(two_stages(), 1)
    log = SyntheticMeter(period_s=1.0, noise=0.0).read(played, TRUE, 0)
    with pytest.raises(
        ValueError, match=r"readings are too few to tell 6 states apart \(play more iterations, or take"
    ):
        attribute(log, played)


def test_too_little_coverage_is_refused_as_joules_are() -> None:
    played = run_of(two_stages(), 1)
    log = EXACT.read(played, TRUE, 0)
    value = log.value.copy()
    value[10:20] = np.nan
    with pytest.raises(ValueError, match=r"^no joules: synthetic meter .* and 95 % are needed"):
        attribute(replace(log, value=value), played)


def test_readings_of_a_moment_are_of_what_is_done_then() -> None:
    trace = play_programs(homogeneous(1), [compute(Op.F, 0)], forward_s=10.0)
    played = [TraceOnClock(trace=trace, began_s=0.0), TraceOnClock(trace=trace, began_s=20.0)]
    at_s = np.arange(-0.5, 31, 0.5)
    busy = ((at_s >= 0) & (at_s < 10)) | (at_s >= 20) & (at_s < 30)
    log = log_of(at_s, np.where(busy, 5.0, 1.0), period_s=0.5, covers=Covers.MODULE, evidence=Evidence.MEASURED)
    found = attribute(log, played)
    assert found.untold == ("compute F",)  # it computes all the time: nothing says what idle takes
    assert found.rows[0].watts == pytest.approx(5.0, rel=0.02)


# --- least squares ----------------------------------------------------------------------------------------------------


def test_amounts_below_zero_are_held_at_zero() -> None:
    ones, ramp = np.ones(5), np.arange(5.0)
    fitted = fit([ones, ramp], 5.0 - ramp, np.ones(5))
    assert fitted.amounts == pytest.approx((3.0, 0.0))
    assert fitted.errors[1] is None


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_no_other_amounts_fit_better(seed: int) -> None:
    """The conditions of Karush, Kuhn and Tucker: at 0 more of it helps nothing, elsewhere neither more nor less."""
    drawn = np.random.default_rng(seed)
    columns = [drawn.random(30) for _ in range(1 + seed % 5)]
    readings, weights = drawn.normal(0.5, 1.0, 30), drawn.uniform(0.5, 2, 30)
    fitted = fit(columns, readings, weights)
    assert not fitted.untold
    left = readings - sum(a * c for a, c in zip(fitted.amounts, columns, strict=True))
    for amount, column in zip(fitted.amounts, columns, strict=True):
        pull = float((weights * column * left).sum())
        assert amount >= 0
        assert pull <= 1e-6 if amount == 0 else abs(pull) <= 1e-6


def test_equal_columns_are_one() -> None:
    column = np.array([0.0, 1.0, 0.0, 1.0])
    fitted = fit([np.ones(4), column, 2 * column, 0 * column], 1 + 3 * column, np.ones(4))
    assert fitted.untold == (2, 3)
    assert fitted.amounts == pytest.approx((1.0, 3.0, 0.0, 0.0))
