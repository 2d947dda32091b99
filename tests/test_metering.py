"""Does a run with a meter keep what it read, say its joules by what they are, and refuse what cannot be read?"""

import json
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
from fake_testbed import open_fake
from hydra.core.global_hydra import GlobalHydra
from meter_trees import ORIN_NANO, SERVER, write
from metered_runs import TRUE, log_of, run_of, two_stages

from edgesim.job import Activity, JobSpan, JobTrace
from edgesim.metered import Covers, Evidence, MeteredRun, SyntheticMeter, log_from_text, metered_run
from experiments.configuration.command_line import run_command
from experiments.execution import assignments
from experiments.metering.__main__ import command, meters_table
from experiments.metering.here import meters_here
from experiments.metering.job_energy import energies_dict, job_energies, job_energy_table, traces_of
from experiments.metering.kept import kept_run
from experiments.metering.table import metered_table, states_table
from experiments.run import run

WORDS = ["model=bert_tiny_bytes", "workload.batch_samples=8", "workload.micro_batch_samples=4", "execute=true"]
SYNTHETIC = ("meter=synthetic", "meter.period_s=0.1 ms", "meter.behind_s=0 s")


@pytest.fixture(autouse=True)
def _fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(assignments, "open_testbed", open_fake)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with a synthetic meter, and in its place said.txt, what it said; not to be written to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place := tmp_path_factory.mktemp("kept"))
        patch.setattr(sys, "argv", sys.argv)
        patch.setattr(assignments, "open_testbed", open_fake)
        with Path("said.txt").open("w") as said, redirect_stdout(said):
            assert ending(*SYNTHETIC) == 0
        return place / folder_of_the_run()


def ending(*more: str) -> int:
    """The exit code of a run."""
    GlobalHydra.instance().clear()
    sys.argv = ["run", *WORDS, *more]
    try:
        run_command(run, about=None)
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def folder_of_the_run() -> Path:
    """The only one."""
    (folder,) = Path("results/runs").iterdir()
    return folder


def test_a_run_with_a_meter_keeps_its_logs_and_its_joules(kept: Path) -> None:
    said = (kept.parents[2] / "said.txt").read_text()
    assert "synthetic energy of 24 samples" in said
    assert "synthetic energy by state" in said
    assert "measured energy" not in said
    assert sorted(path.name for path in kept.glob("power_*.csv")) == ["power_0.csv", "power_1.csv", "power_2.csv"]
    metrics = json.loads((kept / "metrics.json").read_text())
    found = metrics["metered"]
    assert (found["evidence"], found["covers"], found["refused"]) == ("synthetic", "board", "")
    # Of declared watts a meter reads what is computed from the measured times.
    computed_j = sum(each["energy_j"] for each in metrics["iterations"][1:])
    assert found["energy_j"] == pytest.approx(computed_j, rel=0.02)
    assert found["energy_per_sample_j"] == pytest.approx(found["energy_j"] / 24)
    assert len(found["meters"][0]["iterations"]) == 3


def test_a_kept_run_has_the_same_joules_to_the_bit(kept: Path, capfd: pytest.CaptureFixture[str]) -> None:
    then = json.loads((kept / "metrics.json").read_text())["metered"]
    assert json.loads(json.dumps(kept_run(kept).to_dict())) == then
    assert command(["joules", str(kept)]) == 0
    assert "synthetic energy of 24 samples" in capfd.readouterr().out


def test_a_replayed_log_is_read_again(kept: Path) -> None:
    words = [f"+meter@meters.{rank}=replay" for rank in range(2)]
    words += [f"meters.{rank}.path='{kept}/power_{rank}.csv'" for rank in range(2)]
    assert ending(*words) == 0  # the testbed of tests plays the same times again, and rank 2 has no meter
    folder = folder_of_the_run()
    assert [log_from_text((folder / f"power_{rank}.csv").read_text()).ranks for rank in range(2)] == [(0,), (1,)]
    first, again = (json.loads((each / "metrics.json").read_text())["metered"] for each in (kept, folder))
    assert [again["meters"][rank] for rank in range(2)] == [first["meters"][rank] for rank in range(2)]
    assert (again["energy_j"], again["refused"]) == (None, "no joules of the whole run: no meter read rank 2")


def test_a_run_without_a_meter_has_no_metered_joules() -> None:
    assert ending() == 0
    folder = folder_of_the_run()
    assert "metered" not in json.loads((folder / "metrics.json").read_text())
    with pytest.raises(ValueError, match=r"has no power_\*\.csv: no meter read this run \(execute it with meter="):
        kept_run(folder)


def test_traces_of_older_runs_do_not_say_when_they_were(kept: Path, tmp_path: Path) -> None:
    folder = copytree(kept, tmp_path / "older")
    rows = [json.loads(line) for line in (kept / "traces.jsonl").read_text().splitlines()]
    (folder / "traces.jsonl").write_text("".join(json.dumps(row | {"began_s": None}) + "\n" for row in rows))
    with pytest.raises(ValueError, match="does not say when iterations began: it was written before runs had meters"):
        kept_run(folder)


def test_processes_are_estimated_each_and_a_fake_testbed_has_no_time_of_theirs(
    capfd: pytest.CaptureFixture[str],
) -> None:
    words = ["meter=cpu_time", "meter.core_w=3 W", "meter.idle_w=1 W", "meter.watts_source=a guess"]
    assert ending(*words) == 0
    said = capfd.readouterr().out
    assert "estimated energy of 24 samples" in said
    assert "no joules: processor time x 3 W per core + 1 W (a guess) saw 0.0% of" in " ".join(said.split())


def test_a_record_that_cannot_be_read_costs_the_joules_and_not_the_run(capfd: pytest.CaptureFixture[str]) -> None:
    words = ["meter=wall_csv", "meter.path=plug.csv", "meter.time_column=t", "meter.power_column=P"]
    assert ending(*words, "meter.period_s=1 s", "meter.resolution_w=10 mW") == 0
    assert "No such file or directory: 'plug.csv'" in " ".join(capfd.readouterr().out.split())
    found = json.loads((folder_of_the_run() / "metrics.json").read_text())["metered"]
    assert found["energy_j"] is None
    assert "saw 0.0% of" in found["refused"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["meter=jetson_rails", "+meter.root=empty"], "no INA3221 sensor is here: this is no Jetson with one"),
        (["meter=synthetic", "+meter@meters.pi=none"], "meters are given for 'pi', cluster demo has demo-fast, "),
        (["meter=cpu_time"], "meter.core_w"),
        (["meter=replay", "meter.path=gone.csv"], "gone.csv"),
        (["meter=synthetic", "meter.period_s=0 s"], "period_s must be positive and finite, got 0"),
    ],
)
def test_a_meter_that_cannot_be_read_is_one_sentence_and_nothing_is_written(
    words: list[str], says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert ending(*words) == 2
    assert says in capfd.readouterr().err
    assert not Path("results/runs").exists()


def test_a_machine_s_meter_reads_all_emulated_hosts_together(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name, text in SERVER.items():
        write(tmp_path / "sys", name, text)
    assert ending("meter=rapl", "+meter.root=sys") == 0
    assert [path.name for path in folder_of_the_run().glob("power_*.csv")] == ["power_0-1-2.csv"]
    assert "measured energy of 24 samples" in capfd.readouterr().out
    assert ending("+meter@meters.demo-slow=rapl", "+meters.demo-slow.root=sys") == 2
    assert "covers the package, on which all 3 emulated hosts live: it cannot read some of them" in (
        capfd.readouterr().err
    )


# --- what meters say of a run -----------------------------------------------------------------------------------------


def synthetic_run(**more: object) -> MeteredRun:
    """Two hosts with a meter each; ``more`` is of the first one's facts."""
    played = run_of(two_stages(), 3)
    logs = [SyntheticMeter(seed=1).read(played, TRUE, rank) for rank in (0, 1)]
    first = log_of(logs[0].at_s.tolist(), logs[0].value.tolist(), **{"period_s": 0.1, "averages_s": 0.1} | more)
    return metered_run([first, logs[1]], played, hosts=2, batch_samples=6)


def test_joules_are_measured_only_if_every_host_was_read_by_a_sensor() -> None:
    assert synthetic_run().evidence is Evidence.SYNTHETIC
    played = run_of(two_stages(), 3)
    at_s, watts = np.arange(99.0, 130.0, 0.1), np.full(310, 3.0)
    logs = [log_of(at_s, watts, ranks=[rank], period_s=0.1) for rank in (0, 1)]
    run = metered_run(logs, played, hosts=2, batch_samples=6)
    assert run.evidence is Evidence.MEASURED
    assert run.energy_j == pytest.approx(2 * 3.0 * 3 * two_stages().makespan_s)
    estimated = log_of(at_s, watts, ranks=[1], period_s=0.1, evidence=Evidence.ESTIMATED)
    assert metered_run([logs[0], estimated], played, hosts=2, batch_samples=6).evidence is Evidence.ESTIMATED


def test_a_module_is_not_sold_as_a_board() -> None:
    run = synthetic_run(covers=Covers.MODULE)
    assert run.covers == "module, board"
    assert "covers the module, board" in str(metered_table(run).caption)


def test_a_host_that_two_meters_read_is_not_counted_twice() -> None:
    run = synthetic_run()
    twice = metered_run(
        [each.log for each in (*run.energies, run.energies[0])], run_of(two_stages(), 3), hosts=2, batch_samples=6
    )
    assert (twice.energy_j, twice.refused) == (None, "no joules of the whole run: 2 meters read rank 0")


def test_the_residual_is_a_row_of_its_own() -> None:
    table = states_table(synthetic_run())
    assert table is not None
    assert list(table.columns[0].cells)[-1] == "residual"


def job(*, began_s: float = 500.0) -> JobTrace:
    """Two iterations, between which somebody was missing for two seconds."""
    first, again = (replace(two_stages(), began_s=began_s + s) for s in (0.0, 2.0 + two_stages().makespan_s))
    lasts_s = first.makespan_s
    spans = (
        JobSpan(activity=Activity.TRAINING, start_s=0.0, end_s=lasts_s, trace=first),
        JobSpan(activity=Activity.DETECTION, start_s=lasts_s, end_s=lasts_s + 2.0),
        JobSpan(activity=Activity.TRAINING, start_s=lasts_s + 2.0, end_s=2 * lasts_s + 2.0, first=1, trace=again),
    )
    return JobTrace(player="measured", spans=spans, resumptions=(), batch_samples=6, began_s=began_s)


def test_a_job_has_joules_by_what_it_was_at() -> None:
    trace, at_s = job(), np.arange(499.0, 530.0, 0.1)
    logs = [log_of(at_s, np.full(len(at_s), watts), ranks=[rank], period_s=0.1) for rank, watts in ((0, 3.0), (1, 5.0))]
    energies = job_energies(logs, trace)
    lasts_s = two_stages().makespan_s
    found = {name: energies[0].phases[name].energy_j for name in ("training", "detection")}
    assert found == {"training": pytest.approx(6 * lasts_s), "detection": pytest.approx(6.0)}
    assert energies[1].whole.energy_j == pytest.approx(5 * (2 * lasts_s + 2))
    table = job_energy_table(energies)
    assert table.title == "measured energy of the job"
    assert list(table.columns[0].cells) == ["training", "detection", "all"]
    assert json.loads(json.dumps(energies_dict(energies)))[0]["phases"]["detection"]["seconds"] == pytest.approx(2.0)


def test_what_a_job_s_hosts_did_is_where_its_traces_are() -> None:
    assert [each.began_s for each in traces_of(job())] == [500.0, pytest.approx(502.0 + two_stages().makespan_s)]


def test_a_job_s_refused_joules_say_why() -> None:
    energies = job_energies([log_of([500, 501], [1, 1])], job())
    table = job_energy_table(energies)
    assert list(table.columns[1].cells) == ["refused"] * 3
    assert "no joules: a sensor saw" in str(table.caption)


# --- this machine -----------------------------------------------------------------------------------------------------


def test_a_machine_says_which_meters_work_and_how_to_get_the_others(tmp_path: Path) -> None:
    ORIN_NANO.write(tmp_path / "sys")
    write(tmp_path, "etc/nv_tegra_release", "# R36 (release)")
    here = {each.name: each for each in meters_here(tmp_path)}
    assert here["jetson_rails"].facts is not None
    assert here["jetson_rails"].facts.covers is Covers.MODULE
    assert "this is a Tegra" in here["nvml"].problem
    assert "no RAPL package" in here["rapl"].problem
    rows = meters_table(tmp_path).row_count
    assert rows == len(here) + 4


def test_the_command_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["meters"]) == 0
    assert "jetson_rails" in capsys.readouterr().out


def test_a_folder_without_logs_is_refused_by_the_command(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no meter read this run"):
        command(["joules", str(tmp_path)])
