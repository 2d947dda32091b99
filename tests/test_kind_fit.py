"""Are watts by kind of block and by share of the peak found where a protocol tells them, and is it said where not?"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from builders import compute, device, homogeneous, play_programs, power
from omegaconf import OmegaConf
from test_power_by_kind import model_of, of_kinds

from edgesim.cluster import ComputeWatts
from edgesim.computing_power import ComputingPower, Done
from edgesim.metered import SyntheticMeter, TraceOnClock, TrueWatts
from edgesim.metered.kind_fit import KindFit, fit_kinds, flop_of, kind_activity, seconds_of
from edgesim.metered.power_fit import Segment, fit_power
from edgesim.schedule import Kind, Op
from edgesim.trace import Trace
from experiments.metering.power_calibration import DevicePower, device_yaml

# A board of 1 GFLOP/s: what it draws above its 2 W, and per FLOP.
IDLE_W, STALLED_W, PER_FLOP_J = 2.0, {"mlp": 1.5, "attention": 3.0}, {"mlp": 4e-9, "attention": 1e-9}
LENGTH_S = 4.0


def passes(op: Op, samples: int, times: int = 8) -> Trace:
    """Passes over layer 0, one after the other, for the length of a segment."""
    tasks = [replace(compute(op, 0, number), samples=(0, samples)) for number in range(times)]
    return play_programs(homogeneous(1), tasks, forward_s=LENGTH_S / times / (2 if op is Op.B else 1))


def fitted(played: Sequence[tuple[Trace, Mapping[str, tuple[float, float]]]], seed: int = 0) -> tuple[KindFit, ...]:
    """What is fitted to passes that have, of each kind, a share of the seconds and a share of the peak in them."""
    segments, now_s = [Segment(name="idle", window_s=(10.0, 14.0))], 15.0
    of_kind: dict[Kind, Mapping[str, Done]] = {}
    for number, (trace, parts) in enumerate(played):
        (kind,) = trace.of_rank(0).kinds
        of_kind[kind] = {
            name: Done(share=share, flop=share * reached * 1e9 * LENGTH_S / 8)
            for name, (share, reached) in parts.items()
        }
        at = TraceOnClock(trace=trace, began_s=now_s)
        segments.append(Segment(name=f"computes {number}", window_s=at.window_s, played=(at,)))
        now_s += LENGTH_S + 1
    assert len(of_kind) == len(played), "each segment is of a kind of its own"
    activity = kind_activity(segments, [0], of_kind.__getitem__)
    above_w = {seconds_of(name): watts for name, watts in STALLED_W.items()}
    above_w |= {flop_of(name): joules for name, joules in PER_FLOP_J.items()}
    meter = SyntheticMeter(seed=seed)
    log = meter.read_activity(
        activity, [each.window_s for each in segments], TrueWatts(idle_w=IDLE_W, above_w=above_w), 0
    )
    return fit_kinds(log, segments, of_kind.__getitem__)


ALONE = [
    (passes(Op.F, 1), {"mlp": (1.0, 0.1)}),
    (passes(Op.F, 2), {"mlp": (1.0, 0.8)}),
    (passes(Op.B, 1), {"attention": (1.0, 0.2)}),
    (passes(Op.B, 2), {"attention": (1.0, 0.9)}),
]


@pytest.mark.parametrize("seed", range(20))
def test_kinds_that_segments_compute_apart_at_several_shares_of_the_peak_are_found(seed: int) -> None:
    found = {each.kind: each for each in fitted(ALONE, seed)}
    assert found.keys() == {"mlp", "attention"}
    for name, each in found.items():
        for reached in (0.1, 0.5, 0.9):
            assert each.j_per_flop is not None
            said_w = IDLE_W + each.stalled_above_w.value + each.j_per_flop.value * reached * 1e9
            assert said_w == pytest.approx(IDLE_W + STALLED_W[name] + PER_FLOP_J[name] * reached * 1e9, rel=0.03)
    assert found["mlp"].told


def test_kinds_that_every_segment_mixes_alike_are_fitted_together() -> None:
    """Half and half: 2.25 W of both stalled, and 2.5 nJ per FLOP where both reach as much."""
    mixed = [
        (passes(Op.F, samples), {"mlp": (0.5, reached), "attention": (0.5, reached)})
        for samples, reached in ((1, 0.1), (2, 0.5), (3, 0.9))
    ]
    (found,) = fitted(mixed)
    assert found.kind == "any"
    assert found.j_per_flop is not None
    assert found.stalled_above_w.value == pytest.approx(2.25, rel=0.05)
    assert found.j_per_flop.value == pytest.approx(2.5e-9, rel=0.05)


def test_sizes_that_reach_the_same_share_tell_no_flop_from_seconds() -> None:
    (found,) = fitted([(passes(Op.F, samples), {"mlp": (1.0, 0.5)}) for samples in (1, 2)])
    assert (found.kind, found.j_per_flop, found.told) == ("mlp", None, False)
    assert found.stalled_above_w.value == pytest.approx(1.5 + 4 * 0.5, rel=0.03)


def test_what_a_task_does_is_told_by_kind_in_shares_of_estimated_seconds_and_in_flop() -> None:
    computing = ComputingPower([device()], model_of(of_kinds(mlp=3e6, attention=1e6)), 1)
    (kind,) = passes(Op.B, 2, 1).of_rank(0).kinds
    assert computing.done(kind) == {"mlp": Done(share=0.75, flop=12e6), "attention": Done(share=0.25, flop=4e6)}


def test_a_device_s_file_has_the_kinds_that_were_told_and_a_power_model_takes_them() -> None:
    kinds, board = fitted(ALONE), device("some-board", power=power(backward_w=6.0))
    idle = Segment(name="idle", window_s=(10.0, 20.0))
    log = SyntheticMeter(noise=0.0).read_activity({}, [idle.window_s], TrueWatts(idle_w=IDLE_W, above_w={}), 0)
    fit = replace(fit_power(log, [idle]), above_w={"compute F": kinds[0].stalled_above_w}, seconds={"compute F": 1.0})
    found = DevicePower(device=board, rank=0, fit=fit, means={}, kinds=kinds)
    said = OmegaConf.create(device_yaml(found, today="2026-01-01"))["power"]
    assert said["backward_w"] is None
    told = {
        each["kind"]: ComputeWatts(**{name: value for name, value in each.items() if name != "_target_"})
        for each in said["by_kind"]
    }
    assert told["mlp"].stalled_w == pytest.approx(2 + 1.5, rel=0.03)
    assert told["mlp"].watts == pytest.approx(2 + 1.5 + 4, rel=0.03)
    flat = [replace(each, j_per_flop=None) for each in kinds]
    assert "by_kind" not in device_yaml(replace(found, kinds=tuple(flat)), today="2026-01-01")
