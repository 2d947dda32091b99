"""Do the steps of memory and power say what the metrics say?"""

import pytest

from experiments.analysis.series import series
from experiments.configuration.command_line import composed
from experiments.configuration.setup import prepare
from experiments.tables.metrics import metrics_table


def test_the_steps_add_up_to_the_energy_and_reach_the_peak() -> None:
    prepared = prepare(composed("model=bert_tiny_bytes", "strategy=hybrid_pipeline"))
    setup = prepared.setup
    trace = setup.simulate(prepared.schedule)
    metrics, steps = setup.measure(trace), series([trace], setup)
    energy_j = 0.0
    for rank, (_, mine) in enumerate(steps.groupby("device")):
        assert mine["time_s"].is_monotonic_increasing
        assert mine["time_s"].iloc[0] == 0
        assert mine["memory_bytes"].max() == pytest.approx(metrics.peak_bytes[rank])
        energy_j += (mine["power_w"][:-1].to_numpy() * mine["time_s"].diff()[1:].to_numpy()).sum()
    assert energy_j == pytest.approx(metrics.energy_j)


def test_a_device_without_work_holds_nothing_and_idles() -> None:
    prepared = prepare(composed("model=bert_tiny_bytes", "strategy=hybrid_pipeline", "groups=[[0],[1]]"))
    steps = series([prepared.setup.simulate(prepared.schedule)], prepared.setup)
    idle = steps[steps["device"] == "2 demo-slow"]
    assert set(idle["memory_bytes"]) == {0.0}
    assert set(idle["power_w"]) == {prepared.setup.cluster.devices[2].power.idle_w}


def test_the_table_of_a_run_tells_energy_per_sample_and_what_a_battery_and_a_grid_add() -> None:
    tiny = ("model=bert_tiny_bytes", "strategy=hybrid_pipeline")
    plain, more = (
        prepare(composed(*tiny, *more)) for more in ((), ("grid=world_2023", "+devices.fast.power.battery_j=36000"))
    )
    captions = [
        str(metrics_table([made.setup.measure(made.setup.simulate(made.schedule))]).caption) for made in (plain, more)
    ]
    assert "energy per sample: " in captions[0]
    assert "carbon" not in captions[0]
    assert "battery" not in captions[0]
    assert "per iteration (Ember" in captions[1]
    assert "battery of rank 0: " in captions[1]
