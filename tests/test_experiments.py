"""Do the commands write what they promise, and refuse in one sentence what they cannot do?"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from math import exp
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from fake_testbed import FakeTestbed, open_fake
from hydra.core.global_hydra import GlobalHydra

from edgesim.cluster import Cluster, Network
from edgesim.intervals import Residuals
from edgesim.plan import Plan
from edgesim.profile import Point, Profile
from edgesim.schedule import Schedule
from edgesim.trace import Trace
from experiments import calibrate, demo, run, validate
from experiments.analysis.fidelity import ITERATION, FidelityRow, from_csv, row, summary, to_csv
from experiments.configuration.command_line import composed, run_command
from experiments.configuration.network_file import network_from_json, network_to_json, save_network
from experiments.configuration.result_folders import whole_folder
from experiments.configuration.setup import read_setup
from experiments.execution import assignments
from experiments.figures.one_run.gantt import gantt_figure, load
from experiments.figures.parity import draw, parity_figure
from experiments.figures.style import save
from experiments.run import folder_name

TINY = ("model=bert_tiny_bytes", "workload.batch_samples=8", "workload.micro_batch_samples=4")
Command = Callable[..., int]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Calls a command as the shell would, with results in a temporary folder; returns its exit code."""

    def call(module: object, *words: str, experiment: str | None = None) -> int:
        GlobalHydra.instance().clear()
        monkeypatch.setattr(sys, "argv", ["command", f"results={tmp_path}", *words])
        task = {run: run.run, calibrate: calibrate.calibrate_command, demo: demo.demo, validate: validate.validate}[
            module
        ]
        try:
            run_command(task, about="about", experiment=experiment)
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0

    return call


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (assignments, calibrate, demo, validate):
        monkeypatch.setattr(module, "open_testbed", open_fake)


# --- one run ---


def test_a_run_leaves_everything_about_itself_in_one_folder(command: Command, tmp_path: Path) -> None:
    assert command(run, *TINY, "strategy=data") == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name == folder_name([*TINY, "strategy=data"])
    assert {path.name for path in folder.iterdir()} == {
        "config.yaml",
        "plan.json",
        "network.json",
        "schedule.txt",
        "simulated.jsonl",
        "trace.perfetto.json",
        "series.csv",
        "metrics.json",
        "versions.json",
        "command.txt",
    }
    schedule = Schedule.from_text((folder / "schedule.txt").read_text())
    trace = Trace.from_lines((folder / "simulated.jsonl").read_text(), schedule)
    (metrics,) = json.loads((folder / "metrics.json").read_text())["iterations"]
    assert metrics["makespan_s"] == pytest.approx(trace.makespan_s)
    assert Plan.from_json((folder / "plan.json").read_text()).ranks == (0, 1, 2)
    assert json.loads((folder / "versions.json").read_text()).keys() >= {
        "python",
        "torch",
        "git_commit",
        "git_dirty",
        "seed",
    }


def test_the_same_run_twice_replaces_itself_with_the_same(command: Command, tmp_path: Path) -> None:
    texts = []
    for _ in range(2):
        assert command(run, *TINY) == 0
        (folder,) = (tmp_path / "runs").iterdir()
        texts.append({path.name: path.read_bytes() for path in folder.iterdir() if path.name != "versions.json"})
    assert texts[0] == texts[1]


@pytest.mark.usefixtures("fake")
def test_an_executed_run_keeps_both_traces_and_drops_the_warm_up(command: Command, tmp_path: Path) -> None:
    assert command(run, *TINY, "execute=true", "iterations=2") == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert [trace.player for trace in load(folder)] == ["simulated", "measured"]
    players = [m["player"] for m in json.loads((folder / "metrics.json").read_text())["iterations"]]
    assert players == ["simulated", "measured", "measured"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model=bert_tinny_bytes"], "unknown model 'bert_tinny_bytes' (did you mean 'bert_tiny_bytes'"),
        (["netwrk.rate=1 Mbit/s"], "unknown override 'netwrk.rate' (did you mean 'network.rate'"),
        (["network.rate=100 Mbt/s"], "unknown unit 'Mbt'"),
        (
            ["network.rate=0 Mbit/s"],
            "network.rate: expected a rate of bytes or bits, above 0, like",
        ),
        (["workload.batch_samples=9"], "batch_samples=9 is not a multiple of micro_batch_samples=4"),
        (["strategy=data", "groups=[[0],[1]]"], "the plan has 2 stages"),
        (["depth=gpip"], "depth: expected one of gpipe, one_f_one_b, asteroid, got 'gpip' (did you mean 'gpipe'"),
        (["profile=measured"], "profile.path has no value"),
        (["profile=measured", "profile.path=nowhere.json"], "no such file: nowhere.json"),
        (["groups=[[0"], "cannot read the override 'groups=[[0'"),
        (["network.rate=20", "Mbit/s"], 'a value with spaces in quotes: "network.rate=20 Mbit/s"'),
        (["devices.slow.memory_bytes=1e4"], "demo-slow"),
        (["execute=true", "scenario=jitter"], "the testbed cannot play a scenario in which durations vary by 0.05"),
        (["head_room=0.9999"], "(0.9999 of it kept free)"),
        (["head_room=1"], "head_room must lie in [0, 1), got 1"),
        (["execute=true", "data=digits"], "bert-tiny-bytes reads text, not digits (choose data=text"),
    ],
)
def test_bad_input_gets_one_sentence_and_leaves_nothing(
    command: Command, tmp_path: Path, capfd: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert command(run, *TINY, *words) == 2
    error = capfd.readouterr().err
    assert said in error
    assert error.count("\n") == 1, error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("fake")
def test_a_run_that_fails_half_way_leaves_nothing(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(assignments, "open_testbed", _open_broken)
    assert command(run, *TINY, "execute=true") == 2
    assert "rank 2: cannot be reached" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_help_says_what_the_command_does_and_what_can_be_chosen(
    command: Command, capfd: pytest.CaptureFixture[str]
) -> None:
    command(run, "--help")
    out = capfd.readouterr().out
    assert out.startswith("about")
    assert "bert_small_bytes" in out
    assert "rate: 100 Mbit/s" in out


def test_an_unfinished_folder_vanishes_and_the_old_one_stays(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "old").touch()

    def half() -> None:
        with whole_folder(tmp_path / "kept") as folder:
            (folder / "new").touch()
            raise KeyError

    with pytest.raises(KeyError):
        half()
    assert [path.name for path in tmp_path.rglob("*")] == ["kept", "old"]


def test_long_overrides_give_short_names_that_differ() -> None:
    first, second = (folder_name(["a=" + "x" * 300 + end]) for end in "12")
    assert len(first) < 150
    assert first != second


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["scenario.events.trace.path='a/b.csv'"], ["scenario.events.trace.path='a_b.csv'"]),
        (["model.name=llama:7b@q4"], ["model.name=llama_7b_q4"]),
        (["network.rate=20 Mbit/s"], ["network.rate=20_Mbit_s"]),
        (["model.name='a,seed=1'"], ["model.name=a", "seed=1"]),
        (["model.name=a b"], ["model.name=a  b"]),
        (["model.name=" + "x" * 300 + "/"], ["model.name=" + "x" * 300 + ":"]),
    ],
)
def test_two_commands_never_share_a_folder(one: list[str], other: list[str]) -> None:
    assert folder_name(one) != folder_name(other)
    assert folder_name(one) == folder_name([*one, "results=/elsewhere"])


def test_a_planner_of_the_same_name_from_another_folder_has_a_folder_of_its_own() -> None:
    names = {folder_name(["planner=mine"], folders) for folders in ([], ["/one"], ["/other"])}
    assert len(names) == 3


def test_what_is_known_is_said_before_planning_begins(
    command: Command, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def interrupted(*_: object) -> None:
        said.append(capsys.readouterr().out)
        raise ValueError("stopped while planning")

    monkeypatch.setattr(run, "prepare", interrupted)
    assert command(run, *TINY, "strategy=data") == 2
    model, cluster, profile, *_, last = said[0].splitlines()
    assert model.startswith("bert-tiny-bytes: ")
    assert "demo" in cluster
    assert "estimated" in profile
    assert last == "planning with proportional ..."


def test_devices_without_work_are_told(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("cluster=nanos", "cluster.count=5", "strategy=hybrid_pipeline", "groups=[[0],[2]]", "planner=even")
    assert command(run, *TINY, *words) == 0
    assert "without work: ranks 1, 3, 4\n" in capsys.readouterr().out


# --- calibration, validation, demonstration ---


@pytest.mark.usefixtures("fake")
def test_what_calibration_writes_a_run_can_use(command: Command, tmp_path: Path) -> None:
    assert command(calibrate, *TINY, "calibration.samples=[1,2,4]") == 0
    profile, network = (tmp_path / "profiles" / f"fake_100mbit.{kind}.json" for kind in ("profile", "network"))
    disks = tmp_path / "profiles" / "fake_100mbit.disks.json"
    words = ("profile=measured", f"profile.path={profile}", f"network.calibrated={network}", f"disks={disks}")
    assert command(run, *TINY, *words) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    (metrics,) = json.loads((folder / "metrics.json").read_text())["iterations"]
    assert metrics["profile_hash"] == Profile.load(profile).hash
    for device in read_setup(composed(*TINY, f"disks={disks}")).cluster.devices:
        assert device.writes_bytes_per_s == pytest.approx(device.disk_bytes_per_s / 4)
        assert "written through to the disk, read from the disk" in device.disk_source


def test_a_run_with_calibrated_links_is_executed_at_the_line_rate_and_not_at_what_was_measured(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []

    def opened(spec: object, cluster: Cluster, data: object) -> AbstractContextManager[FakeTestbed]:
        rates.append(cluster.network.slowest_bytes_per_s)
        return open_fake(spec, cluster)

    monkeypatch.setattr(assignments, "open_testbed", opened)
    network = read_setup(composed(*TINY)).cluster.network
    slower = tuple(tuple(0.9 * rate for rate in row) for row in network.bytes_per_s)
    save_network(tmp_path / "network.json", replace(network, bytes_per_s=slower))
    assert command(run, *TINY, "execute=true", f"network.calibrated={tmp_path / 'network.json'}") == 0
    assert rates == [network.slowest_bytes_per_s]


def test_links_that_were_calibrated_at_another_rate_are_refused(
    command: Command, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    save_network(tmp_path / "network.json", read_setup(composed(*TINY, "network.rate=20 Mbit/s")).cluster.network)
    assert command(run, *TINY, f"network.calibrated={tmp_path / 'network.json'}") == 2
    assert "was measured at 20 Mbit/s, and network.rate is 100 Mbit/s" in capfd.readouterr().err


@pytest.mark.usefixtures("fake")
def test_a_profile_of_another_model_is_refused(
    command: Command, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command(calibrate, *TINY, "calibration.samples=[1,2,4]", "calibration.name=here")
    path = tmp_path / "profiles" / "here.profile.json"
    assert command(run, "profile=measured", f"profile.path={path}") == 2
    assert "is a profile of bert-tiny-bytes, the model is bert-small-bytes" in capfd.readouterr().err


def test_an_update_timed_at_every_sample_count_becomes_one_point() -> None:
    point = Point(block="head", device="d", op="UPDATE", samples=0, tokens=1, share=1.0, seconds=1.0)
    twice = [replace(point, seconds=1.0, repeats=(1.1,)), replace(point, seconds=3.0, repeats=(0.9,))]
    assert calibrate.merged(twice) == (replace(point, seconds=2.0, repeats=(1.1, 0.9)),)
    assert calibrate.merged([point, replace(point, seconds=9.0), replace(point, seconds=2.0)]) == (
        replace(point, seconds=2.0),
    )


def test_a_network_survives_its_file() -> None:
    network = Network.switched(
        transmit_bytes_per_s=[1.5, 2.5],
        latency_s=[[0, 1e-3], [2e-3, 0]],
        goodput=0.9,
        origin="measured",
        source="x",
        burst_bytes=3,
    )
    assert network_from_json(network_to_json(network)) == network


@pytest.mark.usefixtures("fake")
def test_validation_writes_a_row_per_plan_and_kind_and_merges_the_summary(command: Command, tmp_path: Path) -> None:
    (tmp_path / "validation").mkdir()
    (tmp_path / "validation" / "summary.json").write_text('{"loopback_5mbit": {"plans": 1}}')
    words = ("calibration.samples=[1,8]", "validation.rates=[{rate: 100 Mbit/s, iterations: 2}]")
    assert command(validate, *words, experiment="validation") == 0
    figures = json.loads((tmp_path / "validation" / "summary.json").read_text())
    assert set(figures) == {"fake_100mbit", "loopback_5mbit"}
    assert figures["fake_100mbit"]["plans"] >= 12
    assert figures["fake_100mbit"]["kendall_tau"] > 0.8
    table = from_csv((tmp_path / "validation" / "fake_100mbit.csv").read_text())
    kinds = {entry.kind for entry in table}
    assert kinds == {ITERATION, "F", "B", "UPDATE", "SEND activation", "SEND gradient", "ALL_REDUCE"}
    assert (tmp_path / "validation" / "parity_fake.png").exists()
    residuals = Residuals.load(tmp_path / "profiles" / "fake_100mbit.residuals.json")
    profile = Profile.load(tmp_path / "profiles" / "fake_100mbit.profile.json")
    assert (len(residuals.residuals), residuals.profile_hash) == (figures["fake_100mbit"]["plans"], profile.hash)
    errors = [abs(1 / exp(each.log_ratio) - 1) for each in residuals.residuals]
    assert max(errors) == pytest.approx(figures["fake_100mbit"]["worst_abs_error"])


@pytest.mark.usefixtures("fake")
def test_a_plan_that_fails_is_a_row_with_its_reason_and_the_others_go_on(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validate, "open_testbed", _open_broken)
    words = ("calibration.samples=[1,8]", "validation.rates=[{rate: 100 Mbit/s, iterations: 2}]")
    assert command(validate, *words, experiment="validation") == 0
    table = from_csv((tmp_path / "validation" / "fake_100mbit.csv").read_text())
    assert {entry.plan for entry in table if not entry.reason} == {"data on two", "pipeline 1F1B, on two"}
    assert all(entry.reason == "rank 2: cannot be reached" for entry in table if entry.simulated_s is None)


def test_a_validation_plan_that_does_not_add_up_is_refused_before_anything_starts(
    command: Command, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plan = "{name: x, strategy: data, cuts: [0, 5], groups: [[0]], samples: [[8]], depth: gpipe}"
    assert command(validate, f"validation.plans=[{plan}]", experiment="validation") == 2
    assert "plan covers 5 layers, bert-small-bytes has 6" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("module", "experiment"), [(validate, "validation"), (demo, "demo")])
def test_what_executes_refuses_jitter_before_anything_starts(
    command: Command, tmp_path: Path, capfd: pytest.CaptureFixture[str], module: object, experiment: str
) -> None:
    assert command(module, *TINY, "scenario=jitter", experiment=experiment) == 2
    assert "the testbed cannot play a scenario in which durations vary" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("fake")
def test_the_demonstration_prints_one_table_and_draws_both_players(
    command: Command, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert command(demo, *TINY, "calibration.samples=[1,2,4]", experiment="demo") == 0
    out = capfd.readouterr().out
    assert "fake testbed of 3 hosts" in out
    assert "watts that are assumed" in out.replace("\n", " ")
    folder = tmp_path / "demo"
    assert (folder / "table.md").read_text().count("\n") == 5
    assert {"gantt.pdf", "gantt.png", "trace.perfetto.json"} <= {path.name for path in folder.iterdir()}
    names = {
        event["args"]["name"]
        for event in json.loads((folder / "trace.perfetto.json").read_text())["traceEvents"]
        if event["ph"] == "M"
    }
    assert {"data, simulated, rank 0", "hybrid, measured, rank 2"} <= names


# --- figures and statistics ---


def made_up(simulated_s: float, measured_s: list[float], **words: str) -> FidelityRow:
    return row(
        **{"strategy": "data", "plan": "p", "kind": ITERATION} | words,
        tasks=1,
        simulated_s=simulated_s,
        measured_s=measured_s,
    )


def test_an_error_is_simulated_over_the_median_measured_and_a_spread_is_the_range_over_it() -> None:
    entry = made_up(1.1, [0.9, 1.0, 1.3])
    assert entry.error == pytest.approx(0.1)
    assert entry.spread == pytest.approx(0.4)


def test_one_iteration_has_no_spread() -> None:
    assert made_up(1.1, [1.0]).spread is None


def test_a_busy_machine_is_said_to_be_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr("os.getloadavg", lambda: (7.9, 1.0, 1.0))
    assert calibrate.busy() == "this machine is busy (load 7.9 on 2 cores)"
    monkeypatch.setattr("os.getloadavg", lambda: (1.9, 1.0, 1.0))
    assert calibrate.busy() is None


def test_the_summary_counts_played_iterations_only() -> None:
    table = [
        made_up(1.1, [1.0], plan="a"),
        made_up(1.9, [2.0], plan="b"),
        made_up(3.0, [3.0], plan="c"),
        made_up(9.0, [1.0], kind="F"),
        FidelityRow(strategy="data", plan="d", kind=ITERATION, reason="rank 1: killed"),
    ]
    figures = summary(table)
    assert figures["plans"] == 3
    assert figures["failed"] == ["d"]
    assert figures["median_abs_error"] == pytest.approx(0.05)
    assert figures["worst_abs_error"] == pytest.approx(0.1)
    assert figures["kendall_tau"] == pytest.approx(1.0)


def test_one_swapped_pair_of_three_gives_a_tau_of_a_third() -> None:
    table = [made_up(s, [m]) for s, m in ((1.0, 1.0), (2.0, 3.0), (3.0, 2.0))]
    assert summary(table)["kendall_tau"] == pytest.approx(1 / 3)


def test_without_plans_the_summary_knows_nothing() -> None:
    assert summary([])["median_abs_error"] is None


def test_a_table_survives_its_file() -> None:
    table = [
        made_up(1.5, [1.0, 1.0]),
        FidelityRow(strategy="data", plan="d", kind=ITERATION, reason='rank 1, "2F0@1": killed'),
    ]
    assert from_csv(to_csv(table)) == table


def test_an_error_of_seconds_that_are_not_there_is_refused() -> None:
    text = to_csv([made_up(1.5, [1.0, 1.0])]).replace(",1.5,", ",,")
    with pytest.raises(ValueError, match=r"mine\.csv.*an error, but not both simulated_s and measured_s"):
        from_csv(text, source="mine.csv")


def test_the_same_traces_give_the_same_bytes(command: Command, tmp_path: Path) -> None:
    assert command(run, *TINY) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    traces = load(folder)
    for name in ("a", "b"):
        save(gantt_figure([("pipeline", traces)]), tmp_path / name)
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_same_table_gives_the_same_parity_plot(tmp_path: Path) -> None:
    (tmp_path / "made_20mbit.csv").write_text(
        to_csv([made_up(1.1, [1.0, 1.2]), made_up(4.0, [4.1, 3.9], strategy="pipeline")])
    )
    first = save(parity_figure(tmp_path, "made"), tmp_path / "parity").read_bytes()
    assert save(parity_figure(tmp_path, "made"), tmp_path / "parity").read_bytes() == first


def test_a_parity_plot_shows_every_plan_and_clips_none() -> None:
    figure, (ax, errors) = plt.subplots(2)
    draw([made_up(1.1, [1.0, 1.2]), made_up(40.0, [41.0, 39.0], strategy="pipeline")], ax, errors)
    assert ax.get_xlim()[0] < 1.0 < 41.0 < ax.get_xlim()[1]
    assert len(ax.containers) == 2
    plt.close(figure)


def test_no_table_no_parity_plot(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no table of testbed 'moon'"):
        parity_figure(tmp_path, "moon")


@contextmanager
def _open_broken(spec: object, cluster: Cluster, data: object) -> Iterator[FakeTestbed]:
    yield FakeTestbed(cluster, ranks=2)
