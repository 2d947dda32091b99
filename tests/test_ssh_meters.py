"""Are meters of hosts over SSH read there, on the driver's clock, checked, and said to be what they are?"""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import ssh_lab
from meter_trees import ORIN_NANO
from omegaconf import OmegaConf
from runtime_builders import three_hosts
from ssh_lab import Lab, lab

from edgesim.errors import MeterError, RunError
from edgesim.metered import Covers, Evidence, MeterFacts, Quantity, SyntheticMeter, window_energy
from experiments.configuration.places import CODE
from experiments.metering.hosts import host_meters
from real_runtime.meters.by_name import LIVE, OTHERS, as_told, name_of, told_of
from real_runtime.meters.cpu_time import CpuTime
from real_runtime.meters.jetson_rails import JetsonRails
from real_runtime.meters.rapl import Rapl
from real_runtime.meters.tegrastats import Tegrastats
from real_runtime.ssh.answers import Answers
from real_runtime.ssh.checking import checked
from real_runtime.ssh.clock import Answer, HostClock
from real_runtime.ssh.far_host import FarHost
from real_runtime.ssh.frames import FrameError
from real_runtime.ssh.hosts import reached, together
from real_runtime.ssh.inventory import Host
from real_runtime.ssh.metering.from_host import Arrived, FarMeter, facts_of

PROBLEM = ssh_lab.problem()
on_hosts = [
    pytest.mark.slow,
    pytest.mark.netns,
    pytest.mark.xdist_group("ssh"),
    pytest.mark.skipif(PROBLEM is not None, reason=str(PROBLEM)),
]
FACTS = MeterFacts(
    source="a rail",
    covers=Covers.MODULE,
    evidence=Evidence.MEASURED,
    quantity=Quantity.POWER,
    period_s=0.1,
    resolution=0.04,
)
AHEAD_S = 40.0  # of a host's clock
CPU_TIME = {
    "_target_": "real_runtime.meters.cpu_time.CpuTime",
    "core_w": 3.0,
    "idle_w": 1.0,
    "watts_source": "a guess",
}


# --- names ------------------------------------------------------------------------------------------------------------


def test_every_meter_of_the_configuration_has_its_name_and_its_usual_settings() -> None:
    files = {path.stem: OmegaConf.to_container(OmegaConf.load(path)) for path in (CODE / "conf/meter").glob("*.yaml")}
    kinds = {**LIVE, **OTHERS}
    assert {name: str(file["_target_"]).rpartition(".")[2] for name, file in files.items()} == {
        name: kind.__name__ for name, kind in kinds.items()
    }
    for name in LIVE:
        usual = {each.name: each.default for each in fields(LIVE[name])}
        given = {key: value for key, value in files[name].items() if key != "_target_" and value != "???"}
        assert {key: usual[str(key)] for key in given} == given


@pytest.mark.parametrize(
    "meter",
    [
        JetsonRails(),
        JetsonRails(period_s=0.5, root="/tree"),
        Rapl(),
        Tegrastats(),
        CpuTime(core_w=3.0, idle_w=1, watts_source="a guess"),
    ],
)
def test_a_host_makes_the_meter_of_which_it_is_told(meter: Any) -> None:
    assert told_of(as_told(meter)) == meter


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"name": "ina219", "settings": {}}, "no meter of a host: 'ina219' .known: cpu_time, jetson_rails, nvml"),
        ({"name": "replay", "settings": {"path": "power_0.csv"}}, "no meter of a host: 'replay'"),
        ({"name": "tegrastats", "settings": {"command": ["reboot"]}}, "command=.* cannot be told to another host"),
        ({"name": "rapl", "settings": {"period_s": "0.1"}}, "period_s='0.1' cannot be told"),
        ({"name": "rapl", "settings": {"period_s": True}}, "period_s=True cannot be told"),
        (
            {"name": "rapl", "settings": {"period_s": 1e-9}},
            "period_s must be from 1 ms to an hour on a host, got 1e-09",
        ),
        ({"name": "rapl", "settings": {"period_s": float("nan")}}, "period_s must be from 1 ms"),
        ({"name": "cpu_time", "settings": {}}, "cpu_time cannot be made: .*missing 3 required"),
        ({"name": ["rapl"], "settings": {}}, "no meter of a host"),
    ],
)
def test_a_host_refuses_what_is_no_meter_of_its_own(told: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        told_of(told)


@pytest.mark.parametrize(
    ("meter", "says"),
    [
        ("ina219", r"host pi-a: unknown meter 'ina219' \(known: cpu_time, jetson_rails"),
        (JetsonRails, "a type is no meter of edgesim's own, and only these are read on other hosts"),
        ("cpu_time", r"meter cpu_time needs core_w, idle_w, watts_source \(say meter: {_target_: real_runtime.meters"),
    ],
)
def test_an_unknown_meter_in_an_inventory_is_refused(meter: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Host(address="pi-a", meter=meter)


# --- which meter reads which host -------------------------------------------------------------------------------------


def config(**more: Any) -> dict[str, Any]:
    """A testbed of three boards, of which the first two have meters."""
    of_boards = ("jetson_rails", CPU_TIME, None)
    hosts = {
        f"pi-{rank}": {"_target_": "real_runtime.ssh.inventory.Host", "address": f"pi-{rank}", "meter": meter}
        for rank, meter in enumerate(of_boards)
    }
    spec = {"_target_": "real_runtime.testbeds.spec.TestbedSpec", "kind": "ssh", "hosts": hosts}
    return {"meter": None, "meters": {}, "testbed": spec} | more


def test_every_board_has_the_meter_of_the_inventory_and_none_is_asked_here() -> None:
    found = host_meters(config(), three_hosts())
    assert [(each.ranks, name_of(each.meter), each.is_far) for each in found] == [
        ((0,), "jetson_rails", True),
        ((1,), "cpu_time", True),
    ]


def test_what_a_run_says_of_meters_counts_instead_of_the_inventory() -> None:
    rails = {"_target_": "real_runtime.meters.jetson_rails.JetsonRails", "period_s": 0.5}
    none = {"_target_": "real_runtime.meters.no_meter.NoMeter"}
    synthetic = {"_target_": "edgesim.metered.SyntheticMeter"}
    found = host_meters(config(meter=rails, meters={"1": none, "2": synthetic}), three_hosts())
    assert [(each.ranks, each.is_far) for each in found] == [((0,), True), ((2,), False)]
    assert found[0].meter == JetsonRails(period_s=0.5)
    assert isinstance(found[1].meter, SyntheticMeter)


def test_a_meter_that_does_not_travel_is_refused_before_anything_starts() -> None:
    own = {"_target_": "real_runtime.meters.tegrastats.Tegrastats", "command": ["my_tegrastats"]}
    with pytest.raises(ValueError, match=r"tegrastats: command=\['my_tegrastats'\] cannot be told to another host"):
        host_meters(config(meter=own), three_hosts())


# --- what comes over the channel --------------------------------------------------------------------------------------


def clock() -> HostClock:
    """Of a host that is 40 s ahead, which has just answered over a way of 1 ms."""
    made, now_s = HostClock(), time.monotonic()
    made.hear(Answer(asked_s=now_s - 0.001, heard_s=now_s, there_s=now_s - 0.0005 + AHEAD_S))
    return made


def arrived(**more: Any) -> Arrived:
    """A reading that began ten seconds ago."""
    return Arrived(facts=replace(FACTS, **more), clock=clock(), ranks=(1,), began_s=time.monotonic() - 10)


def readings(count: int, **more: Any) -> dict[str, Any]:
    """So many of 5 W on the host's clock, the last of them now."""
    now_s = time.monotonic() + AHEAD_S
    at_s = [now_s - 0.1 * (count - 1 - i) for i in range(count)]
    return {"readings": 1, "at_s": at_s, "values": [5.0] * count} | more


def test_readings_stand_on_our_clock_and_a_missing_one_stays_missing() -> None:
    found, now_s = arrived(), time.monotonic()
    found.hear(readings(20, values=[5.0] * 9 + [None] + [5.0] * 10))
    found.hear_end({"metered": 1, "notes": ["1 reading missing, the first after 0.9 s: no file"]})
    log = found.log()
    assert log.ranks == (1,)
    assert log.at_s[-1] == pytest.approx(now_s, abs=0.05)
    assert np.isnan(log.value).nonzero()[0].tolist() == [9]
    assert log.notes == ("1 reading missing, the first after 0.9 s: no file",)
    seen = window_energy(log, float(log.at_s[0]), float(log.at_s[-1]))
    assert seen.refused.startswith("no joules: a rail saw 89.5% of 1.9 s, and 95 % are needed (1 reading missing")
    assert window_energy(log, float(log.at_s[10]), float(log.at_s[-1])).energy_j == pytest.approx(5.0 * 0.9)


def test_a_host_that_is_lost_and_an_uncertain_clock_are_said() -> None:
    found = arrived(period_s=0.002)
    found.hear(readings(2))
    assert found.log().notes == ("its host did not send the last readings", "its host's clock is known to 0.5 ms only")


def test_readings_that_are_no_later_than_others_are_left_out_and_counted() -> None:
    found = arrived()
    found.hear(frame := readings(3))
    found.hear(frame)
    assert len(found.log()) == 3
    assert found.log().notes[1] == "3 readings were no later than others on our clock, and are left out"


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"values": [5.0]}, "2 times of 1 readings"),
        ({"values": [5.0, -1.0]}, "a meter reads -1.0"),
        ({"values": [5.0, float("nan")]}, "a meter reads nan"),
        ({"values": [5.0, "5"]}, "a meter reads '5'"),
        ({"at_s": [0.0, float("inf")]}, "no second of a clock: inf"),
        ({"at_s": [0.0, 10**400]}, "no second of a clock"),
        ({"at_s": [0.0, time.monotonic() + 1e6]}, "a reading that is taken in"),
        ({"at_s": "soon"}, "at_s is no list of at most 4096"),
        ({"at_s": [0.0] * 5000}, "at_s is no list of at most 4096"),
        ({"at_s": [0.0] * 400, "values": [1.0] * 400}, "more readings than a period of 0.1 s allows"),
    ],
)
def test_readings_that_no_meter_takes_end_the_channel(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(FrameError, match=says):
        arrived().hear(readings(2, **changed))


def test_a_counter_of_energy_does_not_fall() -> None:
    with pytest.raises(FrameError, match="a counter of energy that falls to 4"):
        arrived(quantity=Quantity.ENERGY).hear(readings(2, values=[5.0, 4.0]))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"source": "x\n# covers"}, "no source of a meter"),
        ({"source": "x" * 1000}, "no source of a meter"),
        ({"covers": "everything"}, "'everything' is not a valid Covers"),
        ({"evidence": ["measured"]}, "not a valid Evidence"),
        ({"period_s": 0.0}, "period_s must be positive"),
        ({"period_s": None}, "no number of a meter: None"),
        ({"resolution": float("nan")}, "no number of a meter: nan"),
    ],
)
def test_facts_that_no_meter_has_are_refused(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(FrameError, match=says):
        facts_of(asdict(FACTS) | changed)


def test_what_nobody_asked_for_is_refused_and_what_nobody_waits_for_any_more_is_not_kept() -> None:
    line = SimpleNamespace(clock=clock(), answers=Answers("host a", "ssh a"), named="host a", tell=lambda frame: None)
    meter = FarMeter(line, "a")
    for frame in (readings(1), {"reads": 7, "meter": asdict(FACTS)}):
        with pytest.raises(FrameError, match="which nobody asked for"):
            meter.hear(frame)
    meter._number = 2
    meter.hear(readings(1))  # of reading 1
    assert meter._arrived is None


# --- hosts ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("lab"), 2, ahead_s=(AHEAD_S, -0.05)) as made:
        yield made


def wrong(notes: Sequence[str]) -> list[str]:
    """What went wrong, but for a clock that is not well known beside other tests."""
    return [note for note in notes if "clock is known" not in note]


class TestHosts:
    """With an sshd each; the first has the sensors of an Orin Nano, as files."""

    pytestmark = on_hosts
    RAILS = JetsonRails(root="/media/orin", period_s=0.02)

    def test_a_board_s_rail_is_read_there_until_it_dies_and_joules_are_on_our_clock(self, two: Lab) -> None:
        tree = ORIN_NANO.write(two.root(0) / "media/orin")
        with reached(list(two.hosts().items()), two.reaching()) as far:
            together(far, FarHost.open)
            with pytest.raises(
                MeterError, match=r"host h1 \(h1\): meter jetson_rails cannot be read: no INA3221 sensor"
            ):
                far[1].meter.tried(self.RAILS)
            with (
                pytest.raises(MeterError, match="meter cpu_time cannot be read: processor time is that of processes"),
                far[1].meter.sampling(CpuTime(core_w=1, idle_w=0, watts_source="none"), (1,)),
            ):
                pass
            assert far[0].meter.tried(self.RAILS).covers is Covers.MODULE
            with far[0].meter.sampling(self.RAILS, (0,)) as whole:
                time.sleep(0.2)
                start_s = time.monotonic()
                time.sleep(1.5)
                end_s = time.monotonic()
                time.sleep(0.2)
            with far[0].meter.sampling(self.RAILS, (0,)) as dies:
                time.sleep(0.3)
                next(tree.rglob("curr1_input")).unlink()
                time.sleep(0.3)
        log = whole.log()
        assert wrong(log.notes) == []
        assert str(log.facts).startswith(
            "INA3221 rail VDD_IN (/media/orin/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1) on"
        )
        assert "on host h0 (measured; covers the module; every 0.02 s" in str(log.facts)
        assert start_s - 1 < log.at_s[0] < start_s < end_s < log.at_s[-1] < end_s + 1
        assert set(log.value.tolist()) == {ORIN_NANO.total_w}
        (missing,) = wrong(dies.log().notes)
        assert "curr1_input gives no reading: No such file" in missing
        assert np.isnan(dies.log().value[-1])
        assert two.nothing_is_left() == []

    def test_a_check_says_whether_a_meter_can_be_read_and_what_to_do(self, two: Lab) -> None:
        ORIN_NANO.write(two.root(0) / "media/orin")
        hosts = two.hosts(h0=two.host(0, meter=self.RAILS), h1=two.host(1, meter="rapl"))
        good, bad = checked(list(hosts.items()), two.reaching())
        assert good.meter is not None
        assert good.meter.evidence is Evidence.MEASURED
        assert (bad.failure, bad.meter) == ("", None)
        assert "meter rapl cannot be read: " in bad.meter_problem
        assert any(warning.startswith("its meter rapl cannot be read: ") for warning in bad.warnings)

    def test_a_host_that_is_lost_leaves_what_it_has_sent(self, two: Lab) -> None:
        ORIN_NANO.write(two.root(0) / "media/orin")
        with reached(list(two.hosts().items())[:1], two.reaching()) as far:
            together(far, FarHost.open)
            with far[0].meter.sampling(self.RAILS, (0,)) as read:
                until_s = time.monotonic() + 10
                while not read.at_s and time.monotonic() < until_s:
                    time.sleep(0.05)
                for pid, what in two.processes(0).items():
                    if what.endswith("-m real_runtime.ssh.agent"):
                        os.kill(pid, signal.SIGKILL)
            assert len(read.log()) > 0
            assert wrong(read.log().notes) == ["its host did not send the last readings"]
            with pytest.raises(RunError):
                far[0].meter.tried(self.RAILS)
