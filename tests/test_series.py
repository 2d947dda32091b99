"""Do the steps of memory and power say what the metrics say?"""

import pytest

from experiments.compose import prepare
from experiments.front_door import composed
from experiments.series import series


def test_the_steps_add_up_to_the_energy_and_reach_the_peak() -> None:
    prepared = prepare(composed("model=bert_tiny_bytes", "strategy=hybrid_pipeline"))
    words = prepared.words
    trace = words.simulate(prepared.schedule)
    metrics, steps = words.measure(trace), series([trace], words)
    energy_j = 0.0
    for rank, (_, mine) in enumerate(steps.groupby("device")):
        assert mine["time_s"].is_monotonic_increasing
        assert mine["time_s"].iloc[0] == 0
        assert mine["memory_bytes"].max() == pytest.approx(metrics.peak_bytes[rank])
        energy_j += (mine["power_w"][:-1].to_numpy() * mine["time_s"].diff()[1:].to_numpy()).sum()
    assert energy_j == pytest.approx(metrics.energy_j)


def test_a_device_without_work_holds_nothing_and_idles() -> None:
    prepared = prepare(composed("model=bert_tiny_bytes", "strategy=hybrid_pipeline", "groups=[[0],[1]]"))
    steps = series([prepared.words.simulate(prepared.schedule)], prepared.words)
    idle = steps[steps["device"] == "2 demo-slow"]
    assert set(idle["memory_bytes"]) == {0.0}
    assert set(idle["power_w"]) == {prepared.words.cluster.devices[2].power.idle_w}
