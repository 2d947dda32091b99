"""Does a protocol of single states find the watts of a device, with intervals that hold, and say what it cannot?"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from builders import compute, homogeneous, play_programs, receive, send, switched

from edgesim.metered import PowerLog, SyntheticMeter, TraceOnClock, TrueWatts
from edgesim.metered.power_fit import PowerFit, Segment, fit_power, mean_watts, protocol_activity
from edgesim.schedule import Op, Task
from edgesim.trace import Trace

TRUE = TrueWatts(
    idle_w=1.9,
    above_w={"compute F": 4.5, "compute B": 5.2, "compute UPDATE": 2.5, "transmit": 0.3, "receive": 0.2, "disk": 0.8},
    j_per_byte={"transmit": 3e-7, "receive": 2e-7},
)
LENGTH_S = 3.0
LARGE, SMALL = 1e6, 1e5  # bytes per second of messages: small ones fill a tenth of their time on the air


def computing(op: Op, times: int) -> Trace:
    """One operation after the other on rank 0."""
    tasks = [compute(op, 0, None if op is Op.UPDATE else i) for i in range(1 if op is Op.UPDATE else times)]
    return play_programs(homogeneous(2), tasks, [], forward_s=LENGTH_S / times / (2 if op is Op.B else 1))


def messages(pairs: Sequence[tuple[int, int]], bytes_per_s: float) -> Trace:
    """Ten messages one after the other, for the length of a segment."""
    count, nbytes = 10, round(bytes_per_s * LENGTH_S / 10)
    programs: list[list[Task]] = [[], []]
    for source, sink in pairs:
        programs[source] += [send(source, sink, nbytes, micro_batch=i) for i in range(count)]
        programs[sink] += [receive(sink, source, nbytes, micro_batch=i) for i in range(count)]
    return play_programs(homogeneous(2, network=switched(2, bytes_per_s=bytes_per_s)), *programs)


def protocol() -> list[Segment]:
    """What is done, one thing at a time, with a pause between."""
    played: list[tuple[str, Trace | None, tuple[int, ...]]] = [
        ("idle", None, ()),
        ("compute 1", computing(Op.F, 1), ()),
        ("compute 4", computing(Op.F, 4), ()),
        ("compute back", computing(Op.B, 4), ()),
        ("send", messages([(0, 1)], LARGE), ()),
        ("send small", messages([(0, 1)], SMALL), ()),
        ("receive", messages([(1, 0)], LARGE), ()),
        ("receive small", messages([(1, 0)], SMALL), ()),
        ("both", messages([(0, 1), (1, 0)], LARGE), ()),
        ("disk", None, (0,)),
        ("idle", None, ()),
    ]
    segments, now_s = list[Segment](), 50.0
    for name, trace, disks in played:
        length_s = LENGTH_S if trace is None else trace.makespan_s
        traces = () if trace is None else (TraceOnClock(trace=trace, began_s=now_s),)
        segments.append(Segment(name=name, window_s=(now_s, now_s + length_s), played=traces, disk_ranks=disks))
        now_s += length_s + 0.4
    return segments


SEGMENTS = protocol()


def metered(seed: int, rank: int = 0, **more: float) -> PowerLog:
    """What a synthetic meter reads of it: noise of 2 %, every 100 ms, 20 ms behind."""
    activity, windows = protocol_activity(SEGMENTS, [rank]), [segment.window_s for segment in SEGMENTS]
    return SyntheticMeter(seed=seed, **more).read_activity(activity, windows, TRUE, rank)


@pytest.fixture(scope="module")
def fits() -> list[PowerFit]:
    """Of twenty seeds."""
    return [fit_power(metered(seed), SEGMENTS) for seed in range(20)]


def test_known_watts_are_found_within_three_per_cent_whatever_the_noise(fits: list[PowerFit]) -> None:
    for fit in fits:
        assert fit.idle_w.value == pytest.approx(TRUE.idle_w, rel=0.03)
        for state in ("compute F", "compute B", "transmit", "receive", "disk"):
            assert fit.watts(state) == pytest.approx(TRUE.idle_w + TRUE.above_w[state], rel=0.03), state


def test_joules_per_byte_are_told_from_time_on_the_air(fits: list[PowerFit]) -> None:
    for way in ("transmit", "receive"):
        found = [fit.j_per_byte[way].value for fit in fits]
        assert np.mean(found) == pytest.approx(TRUE.j_per_byte[way], rel=0.05)


def test_intervals_hold_the_truth_about_as_often_as_they_say(fits: list[PowerFit]) -> None:
    held = [
        abs(fit.above_w[state].value - TRUE.above_w[state]) <= (fit.above_w[state].margin or 0.0)
        for fit in fits
        for state in ("compute F", "compute B", "transmit", "receive", "disk")
    ]
    assert np.mean(held) >= 0.85  # of a hundred draws at 95 %


def test_compute_watts_are_the_mean_of_operations_by_their_time() -> None:
    fit = fit_power(metered(0, noise=0.0), SEGMENTS)
    assert fit.seconds["compute F"] == pytest.approx(2 * LENGTH_S)
    assert fit.compute_w == pytest.approx(1.9 + (2 * 4.5 + 5.2) / 3, rel=1e-3)


def test_means_of_segments_are_there_to_check_the_fit() -> None:
    means = mean_watts(metered(0, noise=0.0, behind_s=0.0), SEGMENTS)
    assert means["idle"] == pytest.approx(1.9, rel=1e-6)
    assert means["disk"] == pytest.approx(2.7, rel=0.03)


def test_a_device_that_warms_up_is_told() -> None:
    log = metered(0, noise=0.0)
    warm = replace(log, value=log.value * np.linspace(1.0, 1.1, len(log)))
    assert fit_power(log, SEGMENTS).warmed == ""
    said = fit_power(warm, SEGMENTS).warmed
    assert said.startswith("idle watts went from 1.9")
    assert said.endswith("(let it cool down or warm up first, and calibrate again)")


def test_messages_of_one_size_cannot_tell_bytes_from_time() -> None:
    segments = [segment for segment in SEGMENTS if "small" not in segment.name]
    fit = fit_power(metered(0, noise=0.0), segments)
    assert set(fit.untold) == {"transmitted", "received"}
    assert fit.j_per_byte == {}
    # What bytes take is then in what time on the air takes.
    assert fit.watts("transmit") == pytest.approx(1.9 + 0.3 + 0.3, rel=0.03)


def test_too_few_readings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"readings of the protocol are too few to fit \d+ amounts \(calibration\."):
        fit_power(metered(0, period_s=2.0), SEGMENTS[:4])


def test_a_protocol_without_computing_has_no_compute_watts() -> None:
    fit = fit_power(metered(0), [segment for segment in SEGMENTS if "compute" not in segment.name])
    with pytest.raises(ValueError, match="no computation was played"):
        fit.compute_w  # noqa: B018


def test_amounts_say_their_intervals() -> None:
    fit = fit_power(metered(0), SEGMENTS)
    said = fit.idle_w.said("W")
    value, low, high = float(said.split()[0]), float(said.split()[2]), float(said.split()[4])
    assert low < value < high
    assert replace(fit.idle_w, margin=None).said("W").endswith("W, interval unknown")
