"""The front door: what a script gets of ``import edgesim`` is what a command would have made, in words of Python."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from shutil import copy

import pytest
from fake_testbed import open_fake
from matplotlib.figure import Figure
from omegaconf import OmegaConf

import edgesim as es
from edgesim.planners.baselines.even import even
from edgesim.planners.problem import Problem
from experiments import calibrate
from experiments.analysis.drawn import described
from experiments.api.nouns import noun as read_noun
from experiments.api.nouns import to_text
from experiments.configuration.command_line import composed
from experiments.configuration.constructors import build
from experiments.configuration.places import KEPT
from experiments.configuration.setup import prepare
from experiments.tables.runs import read_run

ROOT = Path(__file__).parent.parent
SMALL = {"model": "bert_tiny_bytes", "rate": "100 Mbit/s"}


@pytest.fixture(scope="module")
def run() -> es.Result:
    """A small run, simulated."""
    return es.simulate(**SMALL, strategy="data")


def test_a_run_is_the_one_that_the_command_line_would_make(run: es.Result) -> None:
    prepared = prepare(composed("model=bert_tiny_bytes", "network.rate=100 Mbit/s", "strategy=data"))
    assert run.plan == prepared.plan
    assert run.schedule.hash == prepared.schedule.hash
    assert run.simulated == prepared.setup.measure(prepared.setup.simulate(prepared.schedule))
    assert run.words == ("model=bert_tiny_bytes", "strategy=data", "network.rate=100 Mbit/s")


def test_nouns_are_given_by_name_by_path_and_as_objects_alike(run: es.Result) -> None:
    conf = ROOT / "conf"
    by_path = es.simulate(
        model=conf / "model/bert_tiny_bytes.yaml", cluster=str(conf / "cluster/demo.yaml"), strategy="data"
    )
    by_object = es.simulate(
        model=es.load_model("bert_tiny_bytes"),
        cluster=es.load_cluster("demo", rate="100 Mbit/s"),
        workload=es.load_workload("text"),
        scenario=es.load_scenario("none"),
        strategy="data",
    )
    assert by_path.simulated == by_object.simulated == run.simulated
    assert by_object.cluster == run.cluster
    assert by_object.model == run.model


def test_a_model_given_as_an_object_is_fine_tuned_and_its_activations_shortened_as_a_named_one_is() -> None:
    half = {"finetuning": "lora", "workload": {"purpose": "infer", "activation_bytes": 2}, "strategy": "pipeline"}
    named, given = (
        es.simulate(model="bert_tiny_bytes", **half),
        es.simulate(model=es.load_model("bert_tiny_bytes"), **half),
    )
    assert given.model == named.model
    assert given.model.activation_bytes == 2
    assert given.simulated == named.simulated


def test_a_model_comes_from_a_configuration_or_a_table_on_disk(tmp_path: Path) -> None:
    gpt2 = es.load_model(ROOT / "tests/configs/gpt2.json", layers=2)
    assert gpt2.name == "gpt2"
    table = ROOT / "edgesim/tables/resnet50.json"
    assert es.load_model(table) == es.load_model("resnet50")


def test_a_noun_of_a_path_is_found_by_it_and_may_have_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path that has no ending and no slash is a path all the same."""
    (tmp_path / "mine").mkdir()
    copy(ROOT / "tests/configs/gpt2.json", tmp_path / "mine" / "config.json")
    monkeypatch.chdir(tmp_path)
    assert es.load_model(Path("mine")).name == "mine"
    assert es.load_device("demo_slow", name="another").name == "another"


def test_options_are_checked_like_overrides_and_take_the_place_of_the_files() -> None:
    device = es.load_device("jetson_nano", memory_bytes="2 GiB")
    assert device.memory_bytes == 2 * 2**30
    assert len(es.load_cluster("nanos", count=5, rate="20 Mbit/s").devices) == 5
    assert es.load_workload("text", tokens=64, epochs=3).epochs == 3
    assert es.load_scenario(["wifi_walk", "jitter"], seed=7).seed == 7
    planner = es.load_planner("exhaustive")
    assert es.make_plan(**SMALL, strategy="pipeline", planner=planner).planner == "exhaustive"


def my_planner(problem: Problem, *, depth: str) -> es.Plan:
    """Even stages."""
    return even(problem, groups="pipeline", depth=es.Depth(depth))


def test_a_planner_may_be_a_function_of_ones_own() -> None:
    mine = es.make_plan(**SMALL, strategy="pipeline", planner=partial(my_planner, depth="gpipe"))
    assert mine == es.make_plan(**SMALL, strategy="pipeline", planner="even", depth="gpipe")


def test_every_noun_reads_back_from_its_text_also_where_it_looks_like_a_link() -> None:
    device = replace(es.load_device("jetson_nano"), source="${network.rate}")
    for noun in (device, es.load_model("bert_tiny_bytes"), es.load_cluster("demo"), es.load_scenario("wifi_walk")):
        text = OmegaConf.to_container(OmegaConf.create({"text": to_text(noun)}), resolve=True)
        assert isinstance(text, dict)
        assert read_noun(**text) == noun
    with pytest.raises(ValueError, match=r"not a noun of edgesim: os\.system"):
        read_noun(text='{"noun": "os.system"}')


def test_a_measured_profile_is_given_as_an_object_and_must_be_of_the_model() -> None:
    profile = es.Profile.load(KEPT / "profiles/netns_100mbit.profile.json")
    measured = es.simulate(profile=profile, strategy="data")
    assert measured.profile == profile
    assert measured.simulated == es.simulate(profile="netns_demo", strategy="data").simulated
    with pytest.raises(es.ProfileError, match="is a profile of bert-small-bytes, the model is bert-tiny-bytes"):
        es.simulate(**SMALL, profile=profile)
    with pytest.raises(ValueError, match="is computed from a model and its devices \\(leave it out"):
        es.simulate(**SMALL, profile=es.simulate(**SMALL).profile)


def test_a_run_shows_itself_as_figures_and_tables(run: es.Result, tmp_path: Path) -> None:
    assert isinstance(run.gantt(tmp_path / "gantt.png"), Figure)
    assert isinstance(run.timeline(tmp_path / "deep/timeline.pdf"), Figure)
    assert (tmp_path / "gantt.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "deep/timeline.pdf").read_bytes().startswith(b"%PDF")
    joules = run.energy()
    assert joules["total"].sum() == pytest.approx(run.simulated.energy_j)
    assert list(joules.index.get_level_values("device")) == ["0 demo-fast", "1 demo-medium", "2 demo-slow"]
    assert run.to_pandas()["makespan_s"].tolist() == [run.simulated.makespan_s]
    assert "per iteration" in repr(run)
    assert "<b>" in run._repr_html_()
    with pytest.raises(ValueError, match=r"gantt\.txt does not end like a figure \(say \.png, \.pdf, \.svg\)"):
        run.gantt(tmp_path / "gantt.txt")


def test_a_saved_run_is_a_folder_as_a_command_writes_it_whose_configuration_holds_all(tmp_path: Path) -> None:
    mine = es.load_model("bert_tiny_bytes")
    saved = es.simulate(model=mine, cluster=es.load_cluster("demo"), strategy="data").save(tmp_path / "mine")
    parts = read_run(saved)
    assert set(parts) == {"configuration", "plan", "schedule", "metrics", "versions"}
    assert build(OmegaConf.load(saved / "config.yaml").model) == mine


@pytest.mark.slow
def test_an_executed_run_has_a_measured_trace_beside_the_simulated_one() -> None:
    run = es.execute(**SMALL, strategy="data", testbed="loopback", iterations=2)
    assert [trace.player for trace in run.traces] == ["simulated", "measured", "measured"]
    assert len(run.measured) == len(run.losses) == 2
    assert sorted(run.to_pandas()["player"]) == ["measured", "simulated"]
    figure = run.compare(es.simulate(**SMALL, strategy="pipeline")).plot()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["measured; bars: simulated"]


def test_runs_stand_side_by_side_in_a_table_and_a_figure(run: es.Result, tmp_path: Path) -> None:
    both = run.compare(es.simulate(**SMALL, strategy="pipeline"), es.simulate(**SMALL, strategy="data", seed=1))
    assert both.labels == ("data", "pipeline", "data, seed=1")
    table = both.to_pandas()
    assert table["method"].tolist() == list(both.labels)
    assert "pipeline" in repr(both)
    figure = both.plot(tmp_path / "both.png", values=["samples_per_s", "peak_bytes"])
    assert [len(ax.patches) for ax in figure.axes] == [3, 3]
    lengths = [bar.get_width() for bar in figure.axes[0].patches]
    assert lengths == pytest.approx(list(table["samples_per_s"]))
    with pytest.raises(ValueError, match="unknown value 'samples' \\(did you mean 'samples_per_s'"):
        both.plot(values=["samples"])
    with pytest.raises(ValueError, match="two runs are called 'a'"):
        es.compare(run, run, labels=["a", "a"])
    slow = es.simulate(model="bert_tiny_bytes", rate="20 Mbit/s", strategy="data")
    assert es.compare(run, slow).labels == ("data", "data"), "bandwidths tell them apart"
    assert es.compare(run, run).labels == ("data (1)", "data (2)")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"model": "bert_bas"}, "unknown model 'bert_bas' \\(did you mean 'bert_base'"),
        ({"model": "nowhere/config.json"}, "model: no such file: nowhere/config.json"),
        ({"rate": "5 J"}, "network.rate: expected a rate of bytes or bits, above 0, like '20 Mbit/s', got '5 J'"),
        ({"rat": "20 Mbit/s"}, "unknown key 'rat' \\(did you mean 'rate'"),
        (
            {"modle": "bert_base"},
            "unknown key 'modle' \\(did you mean 'modes' or 'model'. known: .*model, .*workload",
        ),
        ({"seed": "abc"}, "seed: expected a whole number, like 2, got 'abc'"),
        ({"workload": {"tokns": 3}}, "unknown key workload.tokns \\(did you mean 'tokens'"),
        ({"workload": {"tokens": 32.5}}, "workload.tokens: expected a whole number, like 2, got 32.5"),
        ({"cluster": 3}, "cluster: expected a name, a path, a Cluster, or a mapping of its values, got 3"),
        ({"planner": lambda problem: None}, "planner: '.*<lambda>' is not a function at the top of a module"),
        ({"planner": es.load_strategy("data")}, "planner: strategy data was given, which is no planner"),
    ],
    ids=lambda each: "-".join(each) if isinstance(each, dict) else "",
)
def test_a_mistake_is_told_in_the_sentence_of_the_command_line(asked: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        es.simulate(**asked)


def test_a_device_of_a_cluster_is_as_fast_as_its_text_says() -> None:
    by_text, by_number = (
        es.simulate(**SMALL, strategy="data", devices={"fast": {"flop_per_s": speed}}) for speed in ("8 GFLOP/s", 8e9)
    )
    assert by_text.cluster.devices[0].flop_per_s == 8e9
    assert by_text.simulated == by_number.simulated


def test_a_rate_is_no_part_of_a_cluster_that_is_given_whole() -> None:
    with pytest.raises(ValueError, match="rate: the cluster nanos was given as it is, with its own network"):
        es.simulate(cluster=es.load_cluster("nanos"), rate="20 Mbit/s")


def test_a_plan_that_cannot_be_is_an_error_of_edgesims() -> None:
    with pytest.raises(es.EdgesimError, match="out of memory"):
        es.simulate(model="llama_2_7b", cluster="nanos", strategy="data")


def test_the_front_door_is_listed_and_loads_nothing_before_it_is_used() -> None:
    import experiments.api
    from edgesim import front_door

    assert set(front_door.__all__) <= set(dir(es))
    assert sorted(front_door.__all__) == front_door.__all__ == experiments.api.__all__
    with pytest.raises(AttributeError, match="has no attribute 'simulat'"):
        es.simulat  # noqa: B018


def script(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a folder that comes first on its path."""
    (folder / "script.py").write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "script.py"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_folders_of_ones_own_called_like_ours_shadow_nothing(tmp_path: Path) -> None:
    for name in ("experiments", "conf", "results"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('a package of the user')\n")
    done = script(tmp_path, "import edgesim as es\nprint(es.simulate(model='bert_tiny_bytes').plan.planner)\n")
    assert (done.stdout, done.stderr) == ("proportional\n", "")


def test_a_sweep_is_the_commands_and_makes_no_finished_run_again(tmp_path: Path, run: es.Result) -> None:
    own = es.load_cluster("demo", rate="20 Mbit/s")
    over = {"cluster": ["demo", own], "strategy": "data", "workload": {"tokens": [32, 64], "epochs": 1}}
    first = es.sweep(model="bert_tiny_bytes", **over, results=tmp_path, workers=1)
    assert (len(first), first.failures) == (4, 0)
    again = es.sweep(model="bert_tiny_bytes", **over, results=tmp_path, workers=1)
    assert again.path == first.path
    assert again.end.before == frozenset(first.end.failed)
    assert again.runs().equals(first.runs())
    table = first.to_pandas()
    same = table[(table["workload.tokens"] == 32) & (table["bandwidth_bit_per_s"] == 1e8)]
    assert same["makespan_s"].tolist() == [run.simulated.makespan_s]
    assert first.best(2).title == "the best 2 of 4, by simulated time per iteration"
    assert isinstance(first.plot(tmp_path / "sweep.png"), Figure)
    one = es.sweep(
        model="bert_tiny_bytes", strategy="data", rate="100 Mbit/s", results=tmp_path, name="mine", workers=1
    )
    assert one.path == tmp_path / "sweeps/mine/runs.parquet"
    assert repr(one) == f"1 runs in {one.path}"


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_file_that_is_edited_between_two_calls_is_read_anew(tmp_path: Path, workers: int) -> None:
    path = tmp_path / "conf" / "mine.yaml"
    path.parent.mkdir()
    asked = {"model": "bert_tiny_bytes", "strategy": "data", "workload": path}
    bytes_sent = []
    for samples in (8, 16):
        kept = (ROOT / "conf" / "workload" / "text.yaml").read_text()
        path.write_text(re.sub(r"batch_samples: \d+", f"batch_samples: {samples}", kept, count=1))
        assert es.simulate(**asked).setup.workload.batch_samples == samples
        rows = es.sweep(**asked, seed=[1, 2], results=tmp_path, name="mine", workers=workers).to_pandas()
        bytes_sent.append(rows["batch_samples"].tolist())
    assert bytes_sent == [[8, 8], [16, 16]]


def test_a_sweep_of_mistakes_does_not_begin(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown strategy 'dota'"):
        es.sweep(strategy=["data", "dota"], results=tmp_path)
    with pytest.raises(ValueError, match=r"workload\.tokens: an empty list asks for no run"):
        es.sweep(workload={"tokens": []}, results=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_ten_lines_of_the_readme_compare_four_parallelisms(tmp_path: Path) -> None:
    (lines,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.S)
    assert lines.startswith("import edgesim as es\n")
    assert len(lines.splitlines()) == 10
    done = script(tmp_path, lines)
    assert done.stderr == ""
    names = ["data parallel", "pipeline", "tensor parallel", "sequence parallel"]
    assert [line.split("│")[1].strip() for line in done.stdout.splitlines() if line.startswith("│")] == names
    panels = described(tmp_path / "comparison.png")["panels"]
    assert [panel["axes"][0][0] for panel in panels] == [
        "time per iteration (s)",
        "energy per iteration (J)",
        "peak memory (GB)",
    ]
    assert [len(panel["patches"]) for panel in panels] == [4, 4, 4]


@pytest.mark.slow
def test_workers_of_a_sweep_are_not_shadowed_either(tmp_path: Path) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments/__init__.py").write_text("raise RuntimeError('a package of the user')\n")
    asked = "model='bert_tiny_bytes', strategy=['data', 'pipeline'], workers=2, **{'sweep.batch': 1}"
    done = script(tmp_path, f"import edgesim as es\nprint(es.sweep({asked}).failures)\n")
    assert done.stdout.splitlines()[-1] == "0", done.stderr


def test_a_package_of_ones_own_that_is_imported_already_is_named(tmp_path: Path) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments/__init__.py").touch()
    done = script(tmp_path, "import experiments\nimport edgesim as es\nes.simulate()\n")
    said = f"a package 'experiments' of your own was imported from {tmp_path / 'experiments'}, and edgesim has one"
    assert said in done.stderr.splitlines()[-1]


def test_a_calibration_is_what_the_command_finds_and_its_files_are_the_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a fake testbed, whose seconds are the estimate's with noise."""
    monkeypatch.setattr(calibrate, "open_testbed", open_fake)
    found = es.calibrate(**SMALL, samples=[1, 2, 4], repeats=2)
    assert found.name == "fake_100mbit"
    assert found.profile.origin == "measured"
    assert {point.samples for point in found.profile.points} == {0, 1, 2, 4}, "updates are of no samples"
    known = found.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{found.name}.{kind}.json" for kind in ("network", "profile", "disks")
    }
    run = es.simulate(**SMALL, strategy="data", workload={"batch_samples": 8, "micro_batch_samples": 4}, **known)
    assert run.profile == es.Profile.load(tmp_path / "fake_100mbit.profile.json") == found.profile
    assert run.cluster.network == found.network
    assert [device.writes_bytes_per_s for device in run.cluster.devices] == [
        disk.write_bytes_per_s for disk in found.disks
    ]
    with pytest.raises(ValueError, match=r"calibration\.repeats: expected a whole number"):
        es.calibrate(**SMALL, repeats=0)


def test_links_can_be_calibrated_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "open_testbed", open_fake)
    known = es.calibrate(**SMALL, samples=[]).save(tmp_path)
    network, disks = (tmp_path / f"fake_100mbit.{kind}.json" for kind in ("network", "disks"))
    assert known == {"network": {"calibrated": str(network)}, "disks": str(disks)}
    assert {*tmp_path.iterdir()} == {network, disks}


def test_what_is_not_installed_is_named_with_its_extra(tmp_path: Path) -> None:
    without = "import sys\nsys.modules[{!r}] = None\nimport edgesim as es\nes.{}(model='bert_tiny_bytes'){}\n"
    for module, verb, view, extra in (
        ("hydra", "simulate", "", "experiments"),
        ("simpy", "simulate", "", "sim"),
        ("matplotlib", "simulate", ".gantt()", "experiments"),
        ("torch", "execute", "", "runtime"),
    ):
        done = script(tmp_path, without.format(module, verb, view))
        assert (
            f"needs {module}, which is not installed (pip install 'edgesim[{extra}]')" in done.stderr.splitlines()[-1]
        )
