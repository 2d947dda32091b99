"""Curves fitted to points give the curve back that made the points, predict others of it, and refuse what cannot be."""

from collections.abc import Sequence
from dataclasses import replace
from math import exp, log
from pathlib import Path

import numpy as np
import pytest
from builders import block, device
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.calibration import fit_efficiency, held_out_error, prediction_errors
from edgesim.cluster import Device, EfficiencyCurve
from edgesim.errors import ProfileError
from edgesim.model import Block, BlockKind, Cost, Layer, Model
from edgesim.profile import Point, Portion, Profile, estimate, estimated_s
from edgesim.zoo.bert import bert
from experiments.configuration.command_line import composed
from experiments.configuration.constructors import build
from experiments.configuration.setup import read_setup
from experiments.fit_device import fit_device

KEPT = Path(__file__).parent.parent / "results" / "profiles" / "netns_100mbit.profile.json"


def working(name: str, kind: BlockKind = BlockKind.MLP, *, flop: float = 1e6) -> Block:
    """A block of so much FLOP per sample, twice that backward, that memory never slows."""
    return replace(
        block(name),
        kind=kind,
        forward_flop=Cost(per_sample=flop),
        backward_flop=Cost(per_sample=2 * flop),
        forward_bytes=Cost(),
        backward_bytes=Cost(),
    )


def one_layer(*blocks: Block) -> Model:
    return Model(name="one", architecture="chain", hyper={}, layers=(Layer(name="l0", blocks=blocks),))


MODEL = one_layer(working("only"))


def curve(work_flop: Sequence[float], fraction: Sequence[float], kind: str = "any") -> EfficiencyCurve:
    return EfficiencyCurve(kind=kind, work_flop=tuple(work_flop), fraction=tuple(fraction), source="test")


def timed(board: Device, samples: Sequence[int], model: Model = MODEL) -> tuple[Point, ...]:
    """What the board would take, forward and backward."""
    return tuple(p for p in estimate(model, [board], samples=samples, tokens=1).points if p.op != "UPDATE")


def point(seconds: float, *, samples: int = 1, **more: object) -> Point:
    fields = {"block": "l0/only", "device": "board", "op": "F", "tokens": 1, "share": 1.0} | more
    return Point(samples=samples, seconds=seconds, **fields)  # type: ignore[arg-type]


@st.composite
def curves(draw: st.DrawFn) -> EfficiencyCurve:
    """One to four knots at works of 1, 2, 4 ... 256 MFLOP."""
    powers = sorted(draw(st.sets(st.integers(0, 8), min_size=1, max_size=4)))
    fraction = draw(st.lists(st.floats(0.05, 1), min_size=len(powers), max_size=len(powers)))
    return curve([1e6 * 2**power for power in powers], fraction)


@given(truth=curves())
@settings(derandomize=True, deadline=None, database=None)
def test_points_of_a_curve_give_the_curve_back(truth: EfficiencyCurve) -> None:
    board = device(efficiency=(truth,))
    fit = fit_efficiency(timed(board, [2**i for i in range(9)]), MODEL, device())
    for flop in np.geomspace(1e6, 5.12e8, 50):
        assert fit.device.efficiency_at("mlp", flop) == pytest.approx(truth.at(flop), rel=1e-4)
    assert max(fit.errors) < 1e-4


@given(truth=curves(), noise=st.lists(st.floats(-0.02, 0.02), min_size=18, max_size=18))
@settings(derandomize=True, deadline=None, database=None, max_examples=50)
def test_a_noisy_fit_predicts_other_points_of_the_curve_about_as_well_as_they_can_be_measured(
    truth: EfficiencyCurve, noise: list[float]
) -> None:
    board = device(efficiency=(curve(truth.work_flop, [0.9 * f for f in truth.fraction]),))
    exact = timed(board, [2**i for i in range(9)])
    measured = [replace(p, seconds=p.seconds * (1 + e)) for p, e in zip(exact, noise, strict=True)]
    fit = fit_efficiency(measured, MODEL, device(), knots=9)
    others = timed(board, [1, 2, 5, 11, 50, 100, 256])
    assert max(prediction_errors(others, MODEL, fit.device)) < 0.25
    assert np.median(prediction_errors(others, MODEL, fit.device)) < 0.05


def test_half_of_the_points_predict_the_other_half() -> None:
    board = device(efficiency=(curve((1e6, 64e6), (0.2, 0.8)),))
    points = timed(board, (1, 3, 5, 9, 16, 30, 64))
    assert held_out_error(points, MODEL, device()) == pytest.approx(0, abs=1e-6)
    assert held_out_error(timed(board, (4,)), MODEL, device()) is None
    half = device(efficiency=(curve((1e6,), (0.5,)),))
    bent = [replace(p, seconds=p.seconds * (2 if p.samples == 3 else 1)) for p in timed(half, (1, 3, 5))]
    assert held_out_error(bent, MODEL, device()) == pytest.approx(0.5)


def test_a_straight_curve_needs_no_knot_between_its_ends() -> None:
    board = device(efficiency=(curve((1e6, 128e6), (0.2, 0.8)),))
    (found,) = fit_efficiency(timed(board, (1, 2, 4, 16, 32, 64)), MODEL, device()).device.efficiency[-1:]
    assert found.work_flop == pytest.approx((1e6, 128e6))
    assert found.fraction == pytest.approx((0.2, 0.8))


def test_no_more_knots_than_asked_for_are_used() -> None:
    board = device(efficiency=(curve((1e6, 4e6, 16e6, 64e6), (0.1, 0.7, 0.3, 0.9)),))
    points = timed(board, [2**i for i in range(7)])
    worst = []
    for knots in (1, 2, 3, 4):
        fit = fit_efficiency(points, MODEL, device(), knots=knots)
        assert all(len(found.work_flop) <= knots for found in fit.device.efficiency)
        worst.append(max(fit.errors))
    assert worst[0] > worst[3]
    assert worst[3] == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="at least one knot, got knots=0"):
        fit_efficiency(points, MODEL, device(), knots=0)


def test_every_kind_that_was_timed_alone_gets_its_own_curve() -> None:
    model = one_layer(working("a", BlockKind.ATTENTION), working("b", BlockKind.CONV))
    truth = (curve((1.0,), (0.3,), "attention"), curve((1.0,), (0.6,), "conv"), curve((1.0,), (0.1,)))
    fit = fit_efficiency(timed(device(efficiency=truth), (1, 2, 4), model), model, device())
    assert {found.kind for found in fit.device.efficiency} == {"attention", "conv", "any"}
    assert fit.device.efficiency_at("attention", 1e6) == pytest.approx(0.3)
    assert fit.device.efficiency_at("conv", 1e6) == pytest.approx(0.6)
    assert 0.3 < fit.device.efficiency_at("head", 1e6) < 0.6  # of all points, as no layer was timed as a whole


def test_a_layer_of_several_kinds_that_was_timed_as_a_whole_is_a_point_of_any() -> None:
    model = one_layer(working("a", BlockKind.ATTENTION, flop=1e6), working("b", BlockKind.MLP, flop=4e6))
    fit = fit_efficiency([point(5e6 / 1e9 / 0.5, block="l0")], model, device())
    (found,) = fit.device.efficiency
    assert (found.kind, found.fraction) == ("any", pytest.approx((0.5,)))
    assert found.work_flop == pytest.approx((exp((log(1e6) + 4 * log(4e6)) / 5),))
    assert fit.errors == pytest.approx((0,))


def test_where_layers_were_timed_as_a_whole_any_rests_on_them_alone() -> None:
    whole = one_layer(working("a", BlockKind.ATTENTION), working("b", BlockKind.MLP)).layers[0]
    head = Layer(name="l1", blocks=(working("head", BlockKind.HEAD),))
    model = Model(name="two", architecture="chain", hyper={}, layers=(whole, head))
    points = [point(2e6 / 1e9 / 0.5, block="l0"), point(1e6 / 1e9 / 0.1, block="l1")]
    board = fit_efficiency(points, model, device()).device
    assert board.efficiency_at("mlp", 1e6) == pytest.approx(0.5)
    assert board.efficiency_at("head", 1e6) == pytest.approx(0.1)


def test_seconds_of_blocks_that_only_move_bytes_are_taken_off_a_layer() -> None:
    norm = replace(working("norm", BlockKind.CONNECTIVE, flop=0), forward_bytes=Cost(per_sample=1e6))
    model = one_layer(working("only"), norm)
    board = device(memory_bytes_per_s=1e9)
    fit = fit_efficiency([point(0.002 + 0.001, block="l0")], model, board)
    assert fit.device.efficiency[0].fraction == pytest.approx((0.5,))
    assert fit.errors == pytest.approx((0,))


def test_what_says_nothing_about_arithmetic_is_left_out_and_counted() -> None:
    memory_bound = replace(working("slow"), forward_bytes=Cost(per_sample=1e9))
    norm = replace(working("norm", BlockKind.CONNECTIVE, flop=0), forward_bytes=Cost(per_sample=1))
    model = one_layer(working("only"), memory_bound, norm)
    points = [
        point(0.002),
        point(1.0, block="l0/slow"),
        point(0.5, block="l0/slow"),
        point(1e-9, block="l0/norm"),
        point(1.0, op="UPDATE", samples=0),
        point(1.0, share=0.5),
    ]
    fit = fit_efficiency(points, model, device(memory_bytes_per_s=1e9))
    assert fit.used == (points[0],)
    assert fit.left_out == {
        "as fast as memory_bytes_per_s allows, or faster": 2,
        "no FLOP, so bound by memory": 1,
        "steps of the optimiser": 1,
        "a share of a block": 1,
    }
    for said in ("2 points left out: as fast as memory", "any: 0.500 at 1e+06 FLOP", "0.0% (worst)"):
        assert said in str(fit)


def test_a_point_above_the_peak_is_refused_as_the_peak_is_wrong() -> None:
    assert fit_efficiency([point(0.001)], MODEL, device()).device.efficiency[0].fraction == pytest.approx((1,))
    with pytest.raises(ProfileError, match=r"reached 1\.25 of flop_per_s=1e\+09: that peak is too low \(raise it\)"):
        fit_efficiency([point(0.0008)], MODEL, device())


def test_points_that_say_nothing_or_are_of_another_model_are_refused() -> None:
    with pytest.raises(ProfileError, match=r"board: no point tells its efficiency \(steps of the optimiser\)"):
        fit_efficiency([point(1.0, op="UPDATE", samples=0)], MODEL, device())
    with pytest.raises(ProfileError, match="one has no block 'l7/only'"):
        fit_efficiency([point(1.0, block="l7/only")], MODEL, device())


def test_a_curve_names_the_points_that_it_was_fitted_to() -> None:
    fit = fit_efficiency([point(0.002), point(0.008, samples=4)], MODEL, device())
    assert {found.source for found in fit.device.efficiency} == {
        "fitted to 2 measured points (F of l0/only; 1, 4 samples)"
    }


def test_a_device_fitted_to_one_model_predicts_another() -> None:
    """A board with known curves, timed with a small BERT; a larger one's blocks are asked for."""
    sizes = {"layers": 1, "heads": 8, "vocabulary": 512, "positions": 64}
    small = bert(name="small", hidden=128, columns=512, **sizes)  # type: ignore[arg-type]
    large = bert(name="large", hidden=192, columns=768, **sizes)  # type: ignore[arg-type]
    truth = device(flop_per_s=1e10, memory_bytes_per_s=1e12, efficiency=(curve((1e6, 1e10), (0.2, 0.9)),))
    points = [p for p in estimate(small, [truth], samples=(1, 2, 4, 8, 16, 32), tokens=64).points]
    fit = fit_efficiency(points, small, device(flop_per_s=1e10, memory_bytes_per_s=1e12))
    asked = [p for p in estimate(large, [truth], samples=(1, 3, 10), tokens=64).points if p.op != "UPDATE"]
    assert max(prediction_errors(asked, large, fit.device)) < 1e-6


# --- the command ---


def test_fitted_devices_are_written_and_meet_what_was_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The kept profile of three emulated hosts: the files meet its seconds within 10 % (median; 5 % when written)."""
    words = [f"results={tmp_path}", "profile=measured", f"profile.path={KEPT}"]
    fit_device(composed(*words))
    said = capsys.readouterr().out
    assert said.count("every second sample count, from a fit to the others: ") == 3
    measured = Profile.load(KEPT)
    for name in ("demo-fast", "demo-medium", "demo-slow"):
        stem = f"{name.replace('-', '_')}_fitted"
        board = build(composed(f"+device@one={stem}", folders=[str(tmp_path / "fitted")]).one)
        assert board.name == f"{name}-fitted"
        points = [p for p in measured.points if p.device == name and p.op != "UPDATE" and p.block != "embedding"]
        assert np.median(prediction_errors(points, read_setup(composed()).model, board)) < 0.10


def test_a_fit_to_an_estimate_is_refused() -> None:
    with pytest.raises(ValueError, match="profile is estimated, and only measured seconds say"):
        fit_device(composed("profile=estimated"))


def test_parts_that_were_timed_alone_tell_about_their_kind_as_well() -> None:
    """A part, and new tokens that look at many keys: the curve that made their seconds comes back."""
    model = bert(name="small", layers=1, hidden=64, heads=4, columns=256, vocabulary=99, positions=64)
    board, core = device(efficiency=(curve([1.0], [0.5], "attention"),)), model.block("encoder.0/attention.core")
    points = [
        point(
            estimated_s(board, core, "F", Portion(samples, 1, keys=keys)),
            block="encoder.0/attention.core",
            samples=samples,
            keys=keys,
        )
        for samples in (1, 2, 4)
        for keys in (16, 64)
    ]
    fit = fit_efficiency(points, model, device())
    assert fit.device.efficiency_at("attention", 1e6) == pytest.approx(0.5)
    assert max(fit.errors) < 1e-9
