"""Do meters of servers, cards, plugs and processes read what is there, once, and say what is missing?"""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from meter_trees import MIRRORED, MIRRORED_ZONES, POWERCAP, RANGE_UJ, SERVER, SERVER_J, until, write, zone

from edgesim.errors import MeterError
from edgesim.metered import Covers, Evidence, MeterFacts, PowerLog, Quantity, log_lines, window_energy
from real_runtime.meters.cpu_time import CpuTime
from real_runtime.meters.meter import JobClock, Reader
from real_runtime.meters.nvml import Nvml
from real_runtime.meters.rapl import Rapl, zones
from real_runtime.meters.replay import Replay
from real_runtime.meters.sampling import sampling
from real_runtime.meters.wall_csv import WallCsv

CLOCK = JobClock(wall_ahead_s=100.0)


def tree(root: Path, files: dict[str, str]) -> str:
    """A tree of files; its root as a meter takes it."""
    for name, text in files.items():
        write(root, name, text)
    return str(root)


# --- RAPL -------------------------------------------------------------------------------------------------------------


def test_packages_and_their_memory_count_once_and_nothing_beside(tmp_path: Path) -> None:
    meter = Rapl(root=tree(tmp_path, SERVER))
    assert meter.facts.source == "RAPL counters package-0 + package-1 + package-0 dram + package-1 dram"
    assert sum(each.joules() for each in zones(tmp_path)) == pytest.approx(SERVER_J, rel=1e-3)
    assert meter.facts.covers is Covers.PACKAGE


def test_joules_are_those_since_it_was_opened(tmp_path: Path) -> None:
    reader = Rapl(root=tree(tmp_path, SERVER)).open(())
    assert reader.read() == 0.0
    write(tmp_path, f"{POWERCAP}/intel-rapl:0/energy_uj", "1030000000")
    write(tmp_path, f"{POWERCAP}/intel-rapl:1:0/energy_uj", "200500000")
    write(tmp_path, f"{POWERCAP}/intel-rapl:2/energy_uj", "5100000000")  # the platform, of which all is part
    assert reader.read() == pytest.approx(30.5, rel=1e-3)


def test_a_counter_that_begins_anew_goes_on(tmp_path: Path) -> None:
    reader = Rapl(root=tree(tmp_path, zone("package-0", "intel-rapl:0", RANGE_UJ - 2_000_000))).open(())
    write(tmp_path, f"{POWERCAP}/intel-rapl:0/energy_uj", "3000000")
    assert reader.read() == pytest.approx(5.0, rel=1e-3)  # 2 J to its end, and 3 J from its beginning
    write(tmp_path, f"{POWERCAP}/intel-rapl:0/energy_uj", "4000000")
    assert reader.read() == pytest.approx(6.0, rel=1e-3)


def test_dies_that_mirror_one_counter_count_once(tmp_path: Path) -> None:
    tree(tmp_path, MIRRORED)
    assert [each.name for each in zones(tmp_path)] == MIRRORED_ZONES


def test_a_counter_without_a_range_is_refused(tmp_path: Path) -> None:
    meter = Rapl(root=tree(tmp_path, zone("package-0", "intel-rapl:0", 1_000_000, range_uj=0)))
    with pytest.raises(MeterError) as refused:
        meter.open(())
    assert str(refused.value) == (
        f"{tmp_path}/{POWERCAP}/intel-rapl:0/max_energy_range_uj says 0 J: where the counter begins anew is unknown"
    )


def test_a_machine_without_counters_is_told_what_else_there_is(tmp_path: Path) -> None:
    with pytest.raises(MeterError) as refused:
        Rapl(root=str(tmp_path)).facts  # noqa: B018
    assert str(refused.value) == (
        f"no RAPL package is under {tmp_path}/class/powercap: another processor, a virtual machine, or a container "
        "that hides it (meter=cpu_time estimates; meter=wall_csv reads a meter at the plug)"
    )


def test_counters_for_root_only_say_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, zone("package-0", "intel-rapl:0", 1))
    real, counter = Path.read_text, tmp_path / POWERCAP / "intel-rapl:0/energy_uj"

    def read_text(path: Path, *args: object, **more: object) -> str:
        if path == counter:
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(Path, "read_text", read_text)
    with pytest.raises(MeterError) as refused:
        Rapl(root=str(tmp_path)).facts  # noqa: B018
    assert (
        str(refused.value) == f"{counter} is not readable by this user (as root: chmod a+r {counter}, or run as root)"
    )


# --- NVML -------------------------------------------------------------------------------------------------------------


class NVMLError(Exception):
    """What NVML raises."""


def nvml(monkeypatch: pytest.MonkeyPatch, *, counts: bool = True, cards: int = 1) -> ModuleType:
    """A module in pynvml's place: cards that have taken 5000 J so far, and take 70 W."""
    module = ModuleType("pynvml")

    def handle(card: int) -> int:
        if card >= cards:
            raise NVMLError("Invalid Argument")
        return card

    def energy(card: int) -> int:
        if not counts:
            raise NVMLError("Not Supported")
        return 5_000_000

    module.__dict__.update(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetHandleByIndex=handle,
        nvmlDeviceGetName=lambda card: b"Some Card",
        nvmlDeviceGetTotalEnergyConsumption=energy,
        nvmlDeviceGetPowerUsage=lambda card: 70_000,
    )
    module.__spec__ = type(sys.__spec__)("pynvml", None)
    monkeypatch.setitem(sys.modules, "pynvml", module)
    return module


def test_a_card_s_counter_is_read_where_it_has_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml(monkeypatch)
    meter = Nvml(root=str(tmp_path))
    assert meter.facts.quantity is Quantity.ENERGY
    assert meter.facts.covers is Covers.CARD
    assert meter.open(()).read() == pytest.approx(5000.0)


def test_an_older_card_says_its_power(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml(monkeypatch, counts=False)
    meter = Nvml(root=str(tmp_path))
    assert (meter.facts.quantity, meter.facts.source) == (Quantity.POWER, "NVML power of card 0, Some Card")
    assert meter.open(()).read() == pytest.approx(70.0)


def test_a_card_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml(monkeypatch)
    with pytest.raises(MeterError, match=r"^NVML gives no card 3: Invalid Argument$"):
        Nvml(card=3, root=str(tmp_path)).open(())


@pytest.mark.parametrize(
    "files",
    [
        {"etc/nv_tegra_release": "# R32 (release), REVISION: 7.1, BOARD: t210ref"},
        {"proc/device-tree/compatible": "nvidia,p3768-0000+p3767-0005\0nvidia,tegra234"},
    ],
)
def test_a_tegra_is_refused(files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml(monkeypatch)
    with pytest.raises(MeterError) as refused:
        Nvml(root=tree(tmp_path, files)).facts  # noqa: B018
    assert str(refused.value) == (
        "this is a Tegra, whose driver does not tell NVML its power (meter=jetson_rails reads its rail)"
    )


def test_without_its_module_nvml_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("real_runtime.meters.nvml.find_spec", lambda name: None)
    with pytest.raises(MeterError) as refused:
        Nvml(root=str(tmp_path)).facts  # noqa: B018
    assert str(refused.value) == 'no module pynvml: NVML is read by nvidia-ml-py (pip install "edgesim[meters]")'


# --- at the plug ------------------------------------------------------------------------------------------------------


def plug(path: Path, text: str, **more: object) -> WallCsv:
    """A file, and its meter."""
    path.write_text(text)
    fields = {"time_column": "time", "power_column": "P", "period_s": 1.0, "resolution_w": 0.01} | more
    return WallCsv(path=str(path), **fields)  # type: ignore[arg-type]


def test_a_plug_s_file_goes_on_the_clock_of_the_run(tmp_path: Path) -> None:
    meter = plug(tmp_path / "p.csv", "time,U,P\n1100,5.1,2.0\n1101,5.1,4.0\n1102,5.1,6.0\n", behind_s=0.5)
    log = meter.log([0, 1], CLOCK)
    assert log.at_s.tolist() == [1000.5, 1001.5, 1002.5]  # 100 s less, and half a second behind
    assert window_energy(log, 1000.5, 1002.5).energy_j == pytest.approx(8.0, rel=1e-3)  # by hand: 3 + 5
    assert log.facts.covers is Covers.BOARD


def test_units_dates_and_other_marks_are_read(tmp_path: Path) -> None:
    text = "time;P\n1970-01-01T00:01:40;1500\n1970-01-01T00:01:40.500+00:00;2500\n"
    log = plug(tmp_path / "p.csv", text, power_unit="mW", period_s=0.5).log([0], CLOCK)
    assert log.at_s.tolist() == [0.0, 0.5]
    assert log.value.tolist() == [1.5, 2.5]


def test_times_may_be_those_of_the_run_in_milliseconds(tmp_path: Path) -> None:
    log = plug(tmp_path / "p.csv", "time,P\n1000,1\n2000,1\n", time_unit="ms", clock="monotonic").log([0], CLOCK)
    assert log.at_s.tolist() == [1.0, 2.0]


def test_an_empty_cell_and_a_nan_are_missing(tmp_path: Path) -> None:
    log = plug(tmp_path / "p.csv", "time,P\n100,2\n101,\n102,NaN\n103,2\n104,2\n").log([0], CLOCK)
    assert np.isnan(log.value).tolist() == [False, True, True, False, False]
    assert log.notes == ("2 of 5 lines have no reading",)
    assert window_energy(log, 0.0, 4.0).seen_s == 1.0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "time,P\n100,2\n99,2\n",
            "line 3: the clock steps back by 1 s to 99 (cut the file there, and keep the part that belongs to the run)",
        ),
        (
            "time,P\n100,2\nyesterday,2\n",
            "line 3: 'yesterday' is no time (a number, or a date like 2026-03-01T12:00:00.5)",
        ),
        ("time,P\n100,-2\n", "line 2: '-2' is no power in W (leave a missing one empty)"),
        ("time,P\n100,off\n", "line 2: 'off' is no power in W (leave a missing one empty)"),
        ("time,P\n100\n", "line 2: 1 cells, and 2 names above"),
    ],
)
def test_a_line_that_is_wrong_is_named(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        plug(tmp_path / "p.csv", text).log([0], CLOCK)
    assert str(refused.value) == f"{tmp_path}/p.csv, {says}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", ": no line of names and values"),
        ("time,W\n1,2\n", ": no column 'P' (columns: time, W)"),
        ("time,P\n1,\n", ": no reading in column 'P'"),
    ],
)
def test_a_file_without_readings_is_refused(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        plug(tmp_path / "p.csv", text).log([0], CLOCK)
    assert str(refused.value) == f"{tmp_path}/p.csv{says}"


@pytest.mark.parametrize("wrong", [{"time_unit": "h"}, {"power_unit": "kW"}, {"clock": "sun"}, {"covers": "house"}])
def test_what_a_file_s_columns_cannot_be_is_refused(wrong: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"^wall meter: {next(iter(wrong))} must be one of "):
        plug(tmp_path / "p.csv", "", **wrong)


# --- processes, replays, and the thread that reads --------------------------------------------------------------------


def test_processor_time_is_an_estimate_and_says_so() -> None:
    meter = CpuTime(core_w=10.0, idle_w=0.0, watts_source="a guess")
    assert meter.facts.evidence is Evidence.ESTIMATED
    assert str(meter.facts).startswith("processor time x 10 W per core + 0 W (a guess) (estimated; covers the process;")
    reader = meter.open([os.getpid()])
    began_s = time.process_time()
    while time.process_time() - began_s < 0.05:
        pass
    assert reader.read() >= 0.5
    assert reader.read() <= 10.0 * (time.process_time() - began_s + 0.05)


def test_idle_watts_pass_whatever_a_process_does() -> None:
    reader = CpuTime(core_w=0.0, idle_w=100.0, watts_source="a guess").open([os.getpid()])
    time.sleep(0.02)
    assert reader.read() >= 2.0


def test_a_process_that_has_ended_is_missing() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    reader = CpuTime(core_w=1.0, idle_w=0.0, watts_source="a guess").open([ended.pid])
    ended.wait()
    with pytest.raises(MeterError) as missing:
        reader.read()
    assert str(missing.value) == f"a process of {ended.pid} has ended"
    with pytest.raises(MeterError, match="none was named"):
        CpuTime(core_w=1.0, idle_w=0.0, watts_source="a guess").open([])


def test_a_log_is_replayed_to_the_bit(tmp_path: Path) -> None:
    drawn = np.random.default_rng(0)
    at_s, value = np.cumsum(drawn.uniform(0.09, 0.11, 500)), drawn.uniform(1, 9, 500)
    value[[7, 8, 300]] = np.nan
    facts = MeterFacts(
        source="some sensor",
        covers=Covers.MODULE,
        evidence=Evidence.MEASURED,
        quantity=Quantity.POWER,
        period_s=0.1,
        resolution=0.04,
    )
    log = PowerLog(facts=facts, ranks=(0,), at_s=at_s, value=value, notes=("3 readings missing",))
    (tmp_path / "log.csv").write_text("".join(log_lines(log)))
    again = Replay(path=str(tmp_path / "log.csv")).log([2], CLOCK)
    assert (again.facts, again.notes, again.ranks) == (log.facts, log.notes, (2,))
    assert again.at_s.tobytes() == log.at_s.tobytes()
    assert again.value.tobytes() == log.value.tobytes()
    assert window_energy(again, 3.3, 29.9) == window_energy(log, 3.3, 29.9)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("at_s,power_w\n1,2\n", r"is no power log: it has no field 'clock'"),
        ("# clock: 3\nat_s,power_w\n1;2\n", r"line 3: '1;2' is no time and value \(write 12\.5,3\.2\)"),
        ('# clock: "sun\'s"\nat_s,power_w\n1,2\n', r"its clock is \"sun's\", and must be 'monotonic clock"),
        ("# clock: {\n", r"is no power log: line 1, column 3"),
    ],
)
def test_what_is_no_power_log_is_told(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(ValueError, match=says):
        Replay(path=str(tmp_path / "log.csv")).log([0], CLOCK)


class Scripted:
    """A meter that reads what it is told, and then fails."""

    paces_itself = False
    facts = MeterFacts(
        source="a script",
        covers=Covers.BOARD,
        evidence=Evidence.MEASURED,
        quantity=Quantity.POWER,
        period_s=0.01,
        resolution=0.0,
    )

    def __init__(self, values: Sequence[float]) -> None:
        self.values, self.closed = list(values), False

    def open(self, processes: Sequence[int]) -> Reader:
        """Itself."""
        return self

    def read(self) -> float:
        """The next value."""
        if not self.values:
            raise MeterError("the script has ended")
        return self.values.pop(0)

    def close(self) -> None:
        """Remember it."""
        self.closed = True


def test_readings_come_every_period_in_a_thread_that_ends_with_the_run() -> None:
    meter, before, began_s = Scripted([3.0] * 10_000), threading.active_count(), time.monotonic()
    with sampling(meter, [0]) as sampled:
        until(lambda: len(sampled.values) >= 10)
    assert threading.active_count() == before
    assert meter.closed
    log = sampled.log()
    assert began_s <= log.at_s[0] <= log.at_s[-1] <= time.monotonic()
    assert len(log) <= 2 + (time.monotonic() - began_s) / 0.01  # no faster than its period, but at both ends
    assert set(log.value.tolist()) == {3.0}


def test_a_meter_that_dies_is_missing_from_then_on() -> None:
    with sampling(Scripted([1.0, 2.0]), [0]) as sampled:
        until(lambda: len(sampled.values) >= 8)
    log = sampled.log()
    assert log.value[:2].tolist() == [1.0, 2.0]
    assert np.isnan(log.value[2:]).all()
    (note,) = log.notes
    assert re.fullmatch(rf"{len(log) - 2} readings missing, the first after 0\.\d+ s: the script has ended", note)


def test_an_error_of_the_run_passes_and_the_thread_ends() -> None:
    meter, before = Scripted([1.0] * 10_000), threading.active_count()
    with pytest.raises(KeyError), sampling(meter, [0]):
        raise KeyError("of the run")
    assert meter.closed
    assert threading.active_count() == before
