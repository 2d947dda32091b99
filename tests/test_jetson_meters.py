"""Is a Jetson's power what its own sensor says, on every board and JetPack that shows it differently?"""

import re
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from meter_trees import AGX_XAVIER, BOARDS, HWMON, NANO, ORIN_NANO, Board, until, write

from edgesim.errors import MeterError
from edgesim.metered import Covers, Evidence, energy_of, window_energy
from real_runtime.meters.jetson_rails import JetsonRails, rails
from real_runtime.meters.meter import JobClock
from real_runtime.meters.sampling import sampling
from real_runtime.meters.tegrastats import Tegrastats, TegrastatsLog, total_w

LOGS = Path(__file__).parent / "data/meters"
CLOCK = JobClock(wall_ahead_s=0.0)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_the_total_of_a_board_is_that_of_the_rail_at_its_input(board: Board, tmp_path: Path) -> None:
    meter = JetsonRails(root=str(board.write(tmp_path)))
    assert f"rail {board.rail} " in meter.facts.source
    assert meter.open(()).read() == pytest.approx(board.total_w, rel=1e-3)


def test_the_rail_covers_the_module_and_is_not_sold_as_the_board(tmp_path: Path) -> None:
    facts = JetsonRails(root=str(ORIN_NANO.write(tmp_path))).facts
    assert facts.covers is Covers.MODULE
    assert facts.evidence is Evidence.MEASURED
    assert "covers the module" in str(facts)
    assert "board" not in str(facts)


def test_a_power_file_is_not_needed_where_there_are_voltage_and_current(tmp_path: Path) -> None:
    for path in NANO.write(tmp_path).rglob("in_power*"):
        path.unlink()
    assert JetsonRails(root=str(tmp_path)).open(()).read() == pytest.approx(2.24)


def test_parts_without_a_total_are_refused(tmp_path: Path) -> None:
    for name, text in AGX_XAVIER.items():
        write(tmp_path, name, text)
    with pytest.raises(MeterError) as refused:
        JetsonRails(root=str(tmp_path)).facts  # noqa: B018
    assert str(refused.value) == (
        "the sensor has CPU, CV, GPU, SOC, SYS5V, VDDRQ, and no rail VDD_IN or POM_5V_IN: parts do not add up to what "
        "the module draws (meter=wall_csv reads a meter at its plug)"
    )


def test_a_machine_without_a_sensor_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(MeterError) as refused:
        JetsonRails(root=str(tmp_path)).facts  # noqa: B018
    assert str(refused.value) == (
        "no INA3221 sensor is here: this is no Jetson with one, such as a Nano 2GB (meter=wall_csv reads a meter at "
        "its plug)"
    )


def test_two_totals_are_no_total(tmp_path: Path) -> None:
    ORIN_NANO.write(tmp_path)
    for name, text in ORIN_NANO.files.items():
        write(tmp_path, name.replace("1-0040/hwmon/hwmon1", "1-0041/hwmon/hwmon2"), text)
    with pytest.raises(MeterError, match=r"^2 rails are called VDD_IN: "):
        JetsonRails(root=str(tmp_path)).facts  # noqa: B018


@pytest.mark.parametrize("text", ["nan", "", "n/a", "inf"])
def test_a_file_without_a_number_is_no_reading(text: str, tmp_path: Path) -> None:
    reader = JetsonRails(root=str(ORIN_NANO.write(tmp_path))).open(())
    path = write(tmp_path, f"{HWMON}/1-0040/hwmon/hwmon1/curr1_input", text)
    with pytest.raises(MeterError) as missing:
        reader.read()
    assert str(missing.value) == f"{path} holds no number: {text!r}"


def test_a_current_below_zero_is_no_reading(tmp_path: Path) -> None:
    reader = JetsonRails(root=str(ORIN_NANO.write(tmp_path))).open(())
    write(tmp_path, f"{HWMON}/1-0040/hwmon/hwmon1/curr1_input", "-8")
    with pytest.raises(MeterError, match=r"in1_input reads -0\.0405\d* W, which no module draws$"):
        reader.read()


def test_a_rail_that_appears_late_is_missing_before_and_read_from_then_on(tmp_path: Path) -> None:
    reader = JetsonRails(root=str(tmp_path)).open(())
    with pytest.raises(MeterError, match="no INA3221 sensor is here"):
        reader.read()
    ORIN_NANO.write(tmp_path)
    assert reader.read() == pytest.approx(5.064)


def test_a_sensor_that_goes_away_during_a_run_leaves_no_joules_and_says_why(tmp_path: Path) -> None:
    meter = JetsonRails(root=str(ORIN_NANO.write(tmp_path)), period_s=0.01)
    with sampling(meter, [0]) as sampled:
        until(lambda: len(sampled.values) >= 5)
        gone = tmp_path / HWMON / "1-0040/hwmon/hwmon1/in1_input"
        gone.unlink()
        until(lambda: bool(np.isnan(sampled.values[-5:]).all()))
    log = sampled.log()
    found = window_energy(log, float(log.at_s[0]), float(log.at_s[-1]))
    assert found.energy_j is None
    (note,) = log.notes
    why = re.escape(f"{gone} gives no reading: No such file or directory")
    assert re.fullmatch(rf"\d+ readings missing, the first after \S+ s: {why}", note)
    assert found.refused == (
        f"no joules: {log.facts.source} saw {found.coverage:.1%} of {found.seconds:.3g} s, and 95 % are needed ({note})"
    )


def test_what_a_user_may_not_read_is_told_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ORIN_NANO.write(tmp_path)
    reader, forbidden = JetsonRails(root=str(tmp_path)).open(()), tmp_path / HWMON / "1-0040/hwmon/hwmon1/in1_input"
    real = Path.read_text

    def read_text(path: Path, *args: object, **more: object) -> str:
        if path == forbidden:
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(Path, "read_text", read_text)
    with pytest.raises(MeterError) as refused:
        reader.read()
    assert str(refused.value) == (
        f"{forbidden} is not readable by this user (as root: chmod a+r {forbidden}, or run as root)"
    )


def test_rails_of_all_chips_are_found(tmp_path: Path) -> None:
    names = [rail.name for rail in rails(BOARDS[1].write(tmp_path))]
    assert len(names) == 9
    assert {"VDD_IN", "VDD_MUX", "VDD_SYS_GPU"} <= set(names)


# --- tegrastats -------------------------------------------------------------------------------------------------------


def test_a_nano_s_log_gives_the_joules_of_its_input_rail() -> None:
    log = TegrastatsLog(path=str(LOGS / "nano_jetpack4.log"), began=1000.0).log([0], CLOCK)
    assert log.value.tolist() == [2.0, 4.0, 6.0, 4.0, 2.0]
    assert log.at_s.tolist() == [1000.0, 1001.0, 1002.0, 1003.0, 1004.0]
    # By hand: four trapezoids of a second, 3 + 5 + 5 + 3.
    assert window_energy(log, 1000.0, 1004.0).energy_j == pytest.approx(16.0, rel=1e-3)


def test_a_line_without_the_rail_is_missing_and_not_zero() -> None:
    log = TegrastatsLog(path=str(LOGS / "tx2_jetpack4.log"), began=0.0).log([0], CLOCK)
    assert log.value[[0, 1, 3]].tolist() == [3.0, 5.0, 5.0]
    assert np.isnan(log.value[2])
    assert log.notes == ("1 of 4 lines say no VDD_IN or POM_5V_IN",)
    found = window_energy(log, 0.0, 3.0)
    assert found.seen_s == 1.0
    assert found.refused == (
        f"no joules: tegrastats log {LOGS}/tx2_jetpack4.log saw 33.3% of 3 s, and 95 % are needed "
        "(1 of 4 lines say no VDD_IN or POM_5V_IN)"
    )
    assert window_energy(log, 0.0, 1.0).energy_j == pytest.approx(4.0, rel=1e-3)


def test_later_versions_say_milliwatts_and_the_time_of_day() -> None:
    log = TegrastatsLog(path=str(LOGS / "xavier_nx_jetpack5.log")).log([0], CLOCK)
    first_s = datetime(2026, 3, 14, 15, 26, 34).timestamp()
    assert log.at_s.tolist() == [first_s + i + 0.5 for i in range(4)]
    # By hand: 5.5 + 6.5 + 7.5.
    assert window_energy(log, first_s + 0.5, first_s + 3.5).energy_j == pytest.approx(19.5, rel=1e-3)


def test_lines_of_one_second_are_spread_over_it_and_a_nan_is_missing() -> None:
    log = TegrastatsLog(path=str(LOGS / "orin_nano_jetpack6.log"), period_s=0.5, behind_s=2.0).log([0], CLOCK)
    first_s = datetime(2026, 1, 2, 3, 4, 5).timestamp() + 2.0
    assert log.at_s.tolist() == [first_s + 0.25 + 0.5 * i for i in range(6)]
    assert np.isnan(log.value).tolist() == [False, False, False, True, False, False]
    # By hand: half seconds of 4.5 and 5.5 W, then of 5.5 W; what is around the missing line is not filled.
    found = window_energy(log, first_s + 0.25, first_s + 1.25)
    assert found.energy_j == pytest.approx(5.0, rel=1e-3)
    assert window_energy(log, first_s + 0.25, first_s + 2.75).seen_s == 1.5


def test_a_log_without_a_total_names_its_rails(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none of 2 lines says VDD_IN or POM_5V_IN \(rails: VDDRQ\)$"):
        TegrastatsLog(path=str(LOGS / "agx_xavier_jetpack5.log")).log([0], CLOCK)
    (tmp_path / "log").write_text("RAM 1216/3964MB CPU [2%@102]\n")
    with pytest.raises(ValueError, match=r"\(rails: none; run tegrastats as root\)$"):
        TegrastatsLog(path=str(tmp_path / "log"), began=0.0).log([0], CLOCK)


def test_a_clock_that_steps_back_is_refused_by_its_line(tmp_path: Path) -> None:
    lines = (LOGS / "xavier_nx_jetpack5.log").read_text().splitlines()
    (tmp_path / "log").write_text("\n".join([*lines, lines[0]]))
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        TegrastatsLog(path=str(tmp_path / "log")).log([0], CLOCK)
    assert str(refused.value) == (
        f"{tmp_path}/log, line 5: the clock steps back by 3 s to 03-14-2026 15:26:34 (cut the log there, and keep the "
        "part that belongs to the run)"
    )


def test_a_clock_that_steps_ahead_is_a_gap(tmp_path: Path) -> None:
    lines = (LOGS / "xavier_nx_jetpack5.log").read_text()
    (tmp_path / "log").write_text(lines.replace("15:26:36", "15:36:36").replace("15:26:37", "15:36:37"))
    log = TegrastatsLog(path=str(tmp_path / "log")).log([0], CLOCK)
    found = window_energy(log, float(log.at_s[0]), float(log.at_s[-1]))
    assert found.energy_j is None
    assert found.seen_s == 2.0


def test_lines_without_times_need_to_know_when_they_began() -> None:
    with pytest.raises(ValueError, match=r"its lines have no time \(say when the first was written: meter\.began="):
        TegrastatsLog(path=str(LOGS / "nano_jetpack4.log")).log([0], CLOCK)


@pytest.mark.parametrize(
    ("line", "watts"),
    [
        ("VDD_IN 3056/3056 VDD_SYS_CPU 152/152", 3.056),
        ("VDD_SYS_CPU 152/152 VDD_IN 4940mW/4940mW", 4.94),
        ("POM_5V_IN 1022/1022 POM_5V_GPU 0/0", 1.022),
    ],
)
def test_a_line_s_total_is_the_first_number_of_its_input_rail(line: str, watts: float) -> None:
    assert total_w(line) == pytest.approx(watts)


@pytest.mark.parametrize("line", ["", "RAM 1216/3964MB", "VDD_IN nan/nan", "VDD_IN ?/3000", "MY_VDD_IN 3/3"])
def test_other_lines_say_nothing(line: str) -> None:
    assert np.isnan(total_w(line))


def program(path: Path, body: str) -> tuple[str, ...]:
    """A program in tegrastats' place."""
    path.write_text(f"import sys, time\n{body}")
    return (sys.executable, str(path))


def test_the_running_program_is_read_line_by_line(tmp_path: Path) -> None:
    command = program(
        tmp_path / "says.py", "while True:\n    print('VDD_IN 3000/3000', flush=True); time.sleep(0.02)\n"
    )
    with sampling(Tegrastats(command=command, period_s=0.02), [0]) as sampled:
        until(lambda: len(sampled.values) >= 5)
    log = sampled.log()
    assert not log.notes
    assert set(log.value.tolist()) == {3.0}


def test_a_program_that_ends_during_a_run_is_told(tmp_path: Path) -> None:
    command = program(tmp_path / "ends.py", "print('VDD_IN 3000/3000', flush=True)\n")
    with sampling(Tegrastats(command=command, period_s=0.02), [0]) as sampled:
        until(lambda: bool(sampled.failures))
    (note,) = sampled.log().notes
    assert re.fullmatch(rf"\d+ readings? missing, the first after \S+ s: {re.escape(sys.executable)} has ended", note)


def test_a_program_that_falls_silent_is_told(tmp_path: Path) -> None:
    command = program(tmp_path / "hangs.py", "print('VDD_IN 3000/3000', flush=True); time.sleep(60)\n")
    with sampling(Tegrastats(command=command, period_s=0.02), [0]) as sampled:
        until(lambda: bool(sampled.failures))
    (note,) = sampled.log().notes
    assert note.endswith(f"{sys.executable} has said nothing for 0.1 s")


def test_no_program_no_meter() -> None:
    with pytest.raises(MeterError) as refused:
        Tegrastats(command=("no-tegrastats-here",)).facts  # noqa: B018
    assert str(refused.value) == "no program no-tegrastats-here is here: it comes with JetPack, on a Jetson only"


def test_nothing_played_gives_no_joules() -> None:
    log = TegrastatsLog(path=str(LOGS / "nano_jetpack4.log"), began=0.0).log([0], CLOCK)
    assert energy_of(log, []).whole.energy_j is None
