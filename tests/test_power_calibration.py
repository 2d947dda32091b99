"""Does a testbed's protocol find the watts that its devices declare, and write them as device files that say whence?"""

import math
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from builders import chain, device, power, switched, workload
from fake_testbed import FakeTestbed

from edgesim.cluster import Cluster
from edgesim.computing_power import ComputingPower
from edgesim.metered import SyntheticMeter
from edgesim.plan import Plan, Stage
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.workload import Purpose
from experiments.metering import protocol
from experiments.metering.hosts import HostMeter
from experiments.metering.power_calibration import (
    DevicePower,
    calibrate_power,
    device_yaml,
    refuse_meters,
    save_power,
    told,
)
from experiments.metering.protocol import Protocol, messages
from real_runtime.assignment import Assignment
from real_runtime.data import DataSpec

MODEL = chain(2)
CLUSTER = Cluster(
    name="two boards",
    devices=(
        device("fast", flop_per_s=2e8, power=power(idle_w=1.9, compute_w=6.8, transmit_w=2.4, receive_w=2.2)),
        device("slow-one", flop_per_s=1e8, power=power(idle_w=2.6, compute_w=6.4, transmit_w=2.9, receive_w=3.1)),
    ),
    network=switched(2, bytes_per_s=1e6),
)


def alone(rank: int, samples: int, micro_batches: int, forward: bool) -> Assignment:
    """One rank computes all layers."""
    asked = replace(
        workload(micro_batches=micro_batches, micro_batch_samples=samples),
        purpose=Purpose.INFER if forward else Purpose.TRAIN,
    )
    stage = Stage(layers=(0, 2), ranks=(rank,), samples=(samples,), in_flight=1)
    plan = Plan(
        model=MODEL.name, stages=(stage,), micro_batches=micro_batches, micro_batch_samples=samples, planner="alone"
    )
    return Assignment(
        schedule=hybrid_pipeline(plan, MODEL, asked),
        model=MODEL,
        workload=asked,
        data=DataSpec(kind="text"),
        iterations=2,
        seed=0,
    )


class Clocked(FakeTestbed):
    """A testbed whose disks take their time on its own clock."""

    def _timed_disks(self, commands):  # type: ignore[no-untyped-def]
        timed = super()._timed_disks(commands)
        self.now_s += sum(each["read_s"] + each["write_s"] for each in timed)
        return timed


@pytest.fixture(scope="module")
def found() -> list[DevicePower]:
    """What the protocol finds of two boards whose meters are synthetic."""
    testbed = Clocked(CLUSTER)

    def sleep(seconds: float) -> None:
        testbed.now_s += seconds

    with pytest.MonkeyPatch.context() as patch:
        clock = SimpleNamespace(monotonic=lambda: testbed.now_s, sleep=sleep)
        patch.setattr(protocol, "time", clock)
        played = Protocol(testbed=testbed, computes=alone, samples=[1, 4], segment_s=2.0)  # type: ignore[arg-type]
        return calibrate_power(
            played,
            [HostMeter(meter=SyntheticMeter(seed=3), ranks=(rank,)) for rank in (0, 1)],
            ComputingPower(CLUSTER.devices, MODEL, 1),
        )


def test_declared_watts_are_found_within_three_per_cent(found: list[DevicePower]) -> None:
    assert [each.device.name for each in found] == ["fast", "slow-one"]
    for each in found:
        declared, fit = each.device.power, each.fit
        assert fit.idle_w.value == pytest.approx(declared.idle_w, rel=0.03)
        assert fit.compute_w == pytest.approx(declared.compute_w, rel=0.03)
        assert fit.watts("compute F") == pytest.approx(declared.compute_w, rel=0.03)
        assert fit.watts("transmit") == pytest.approx(declared.transmit_w, rel=0.03)
        assert fit.watts("receive") == pytest.approx(declared.receive_w, rel=0.03)
        assert fit.warmed == ""


def test_all_that_a_host_does_is_in_the_means(found: list[DevicePower]) -> None:
    names = " ".join(found[0].means)
    for part in ("idle", "computes forward, 1 sample", "computes, 4 samples", "large", "small", "both ways", "disk"):
        assert part in names
    assert "rank 1 computes" not in names


def test_the_device_s_file_says_its_watts_their_intervals_and_their_source(
    found: list[DevicePower], tmp_path: Path
) -> None:
    text = save_power(found[1], tmp_path).read_text()
    assert (tmp_path / "device/slow_one_metered.yaml").read_text() == text
    lines = text.splitlines()
    assert lines[1:4] == ["defaults:", "  - slow_one", "  - _self_"]
    fields = dict(line.strip().split(" #")[0].split(": ", 1) for line in lines[6:])
    numbers = {name: float(value) for name, value in fields.items() if name != "source"}
    replace(found[1].device.power, **numbers)  # a power model takes them
    assert numbers["idle_w"] == pytest.approx(2.6, rel=0.03)
    assert "(95 %)" in text
    assert "synthetic meter of declared watts" in fields["source"]
    assert "(synthetic; covers the board)" in fields["source"]
    assert "measured" not in text


def test_the_fit_is_told_beside_what_was_declared(found: list[DevicePower]) -> None:
    said = told(found[0])
    assert "6.8 W declared" in said
    assert re.search(r"mean while idle: 1\.\d+ W", said)
    assert "warning" not in said


def test_a_device_that_warmed_up_says_so_in_its_file(found: list[DevicePower]) -> None:
    warm = replace(found[0], fit=replace(found[0].fit, idle_before_w=1.9, idle_after_w=2.2))
    assert "idle watts went from 1.9 to 2.2 W (+15.8%) meanwhile" in device_yaml(warm, today="2026-01-01")
    assert "warning: idle watts went" in told(warm)


def test_what_could_not_be_told_is_said_and_not_fitted(found: list[DevicePower]) -> None:
    fit = found[0].fit
    without = replace(fit, above_w={s: a for s, a in fit.above_w.items() if s != "transmit"}, untold=("transmit",))
    said = device_yaml(replace(found[0], fit=without), today="2026-01-01")
    assert f"transmit_w: {fit.idle_w.value:.6g} # assumed: as idle, for this could not be told" in said


def test_watts_need_a_meter_for_each_host() -> None:
    with pytest.raises(ValueError, match=r"power=true fits watts to what a meter reads \(say meter="):
        refuse_meters([], asked=True)
    refuse_meters([], asked=False)
    with pytest.raises(ValueError, match="reads ranks 0, 1 together, and watts of one device cannot be told from that"):
        refuse_meters([HostMeter(meter=SyntheticMeter(), ranks=(0, 1))], asked=True)


def test_messages_go_one_after_the_other_on_each_way() -> None:
    schedule = messages([(0, 1), (1, 0)], 100, 3)
    schedule.check()
    assert [len(program) for program in schedule.programs] == [6, 6]
    assert math.isclose(sum(task.nbytes for task in schedule), 1200)
