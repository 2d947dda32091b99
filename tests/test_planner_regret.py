"""Does the study measure what it claims, keep what was measured, and outlive plans that fail?"""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from fake_testbed import NOISE, FakeTestbed, open_fake
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from processes import alive
from runtime_builders import BERT, three_hosts
from test_figures import layout_mistakes
from test_planner_bench import a_row

from edgesim.cluster import Cluster
from edgesim.planners.simulate_and_choose import Candidate, simulate_and_choose
from edgesim.profile import Profile, estimate
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from experiments.analysis.tidy import read_table
from experiments.configuration.command_line import composed, run_command
from experiments.configuration.planners import contending_planners
from experiments.configuration.setup import Setup, read_setup
from experiments.figures.__main__ import main as draw
from experiments.figures.catalogue import load_figure
from experiments.figures.panels import figure_of
from experiments.planner_bench import __main__ as bench
from experiments.planner_bench.rows import table as bench_table
from experiments.planner_bench.summary import summary
from experiments.planner_regret import __main__ as study
from experiments.planner_regret import trials as trials_module
from experiments.planner_regret.contenders import CHOICE, Contender, contenders, numbered
from experiments.planner_regret.report import standings_table, verdict
from experiments.planner_regret.rows import COLUMNS, SETTING, by_planner, table, updated
from experiments.planner_regret.settings import check, configurations
from experiments.planner_regret.summary import kept, measured_regret, merge
from experiments.planner_regret.trials import FreshTestbeds, Trial, planned_s, rounds, trials
from real_runtime.testbeds.spec import TestbedSpec

SETTINGS = OmegaConf.create({"rounds": 3, "iterations": 2, "once_above": 1.2, "skip_above": 2.0, "keep": 2})
TINY = (
    "experiment=planner_regret",
    "model=bert_tiny_bytes",
    "planner_regret.keep=2",
    "planner_regret.rounds=2",
    "planner_regret.iterations=1",
    "planner_regret.workloads=[{batch_samples: 8, micro_batch_samples: 4}]",
)
PLANNERS = tuple(contending_planners(composed(*TINY)))
Command = Callable[..., int]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Calls the study as the shell would, on a fake testbed, with results in a temporary folder."""
    monkeypatch.setattr(trials_module, "open_testbed", open_fake)

    def call(*words: str, rates: Sequence[int] = (100,)) -> int:
        GlobalHydra.instance().clear()
        asked = ",".join(f"{rate} Mbit/s" for rate in rates)
        words = (*TINY, f"results={tmp_path}", f"planner_regret.rates=[{asked}]", *words)
        monkeypatch.setattr(sys, "argv", ["command", *words])
        try:
            run_command(study.planner_regret, about="about", experiment="planner_regret")
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0

    return call


def tiny(*more: str) -> tuple[DictConfig, Setup]:
    """A small problem, as estimated."""
    words = ("workload.batch_samples=8", "workload.micro_batch_samples=4")
    cfg = composed(*TINY, *words, *more)
    return cfg, read_setup(cfg)


@cache
def tiny_contenders() -> Sequence[Contender]:
    """Of the small problem, planned once for all tests here."""
    _, setup = tiny()
    return contenders(setup, hybrid_pipeline, PLANNERS, keep=2)


def plan(planners: str, measured_s: float | None = None, **changes: object) -> dict[str, object]:
    """A row of measured.csv; without seconds of a plan that was skipped."""
    done = measured_s is not None
    return {
        "testbed": "netns",
        "cluster": "demo",
        "model": "bert",
        "bandwidth_bit_per_s": 1e8,
        "batch_samples": 16,
        "micro_batch_samples": 4,
        "planners": planners,
        "placement": "layers 0–5 on fast",
        "simulated_s": 2.0,
        "measured_s": measured_s,
        "runs": 2 if done else 0,
        "iterations": 2 if done else 0,
        "spread": 0.02 if done else None,
        "error": 2.0 / measured_s - 1 if measured_s else None,
        "status": "done" if done else "skipped",
        "reason": "" if done else "not executed",
        "profile_hash": "1e10",
    } | changes


SLOW_LINKS, SHORT = {"bandwidth_bit_per_s": 2e7}, {"batch_samples": 12, "micro_batch_samples": 2}
THREE = table(
    [
        plan("ilp; simulate_and_choose", 2.1),
        plan("pac; pipedream", 2.0),
        plan("ilp #2", 3.0),
        plan("eddl", simulated_s=9.0),
        plan("ilp; pac; simulate_and_choose", 4.0, **SLOW_LINKS),
        plan("pipedream", 5.0, **SLOW_LINKS),
        plan("eddl", **SLOW_LINKS, status="failed", reason="rank 2: cannot be reached"),
        plan("simulate_and_choose; pac", 4.0, **SHORT),
        plan("ilp", 4.4, **SHORT),
        plan("eddl", 8.0, **SHORT),
    ]
)


# --- who competes ---


def test_contenders_are_distinct_plans_and_each_has_all_who_proposed_it() -> None:
    (_, setup), found = tiny(), tiny_contenders()
    assert len({each.plan.stages for each in found}) == len(found) > 3
    names = [name for each in found for name in each.planners]
    assert len(set(names)) == len(names)
    assert {"asteroid", "pipedream", "eddl", "ilp_hybrid_pipeline, asteroid", CHOICE} <= set(names)
    assert all(each.simulated_s == setup.seconds(each.plan, hybrid_pipeline) for each in found)


@pytest.mark.parametrize("rate", ["20 Mbit/s", "500 Mbit/s"])
def test_the_choice_is_the_planners_own_answer_and_the_fastest_simulated(rate: str) -> None:
    _, setup = tiny(f"network.rate={rate}")
    found = contenders(setup, hybrid_pipeline, PLANNERS, keep=2)
    (chosen,) = (each for each in found if CHOICE in each.planners)
    assert chosen.simulated_s == min(each.simulated_s for each in found)
    assert len(chosen.planners) > 1  # it never has a plan of its own
    theirs = simulate_and_choose(
        setup.problem,
        evaluate=lambda plan: setup.seconds(plan, hybrid_pipeline),
        contenders=[setup.bind(planner, hybrid_pipeline) for planner in PLANNERS],
        keep=2,
    )
    assert theirs.stages == chosen.plan.stages


def test_further_answers_of_a_planner_are_numbered() -> None:
    (first, *_) = tiny_contenders()
    proposals = [Candidate(name=name, plan=first.plan) for name in ("pac", "eddl", "pac", "pac")]
    assert [name for name, _ in numbered(proposals)] == ["pac", "eddl", "pac #2", "pac #3"]


# --- rounds and runs ---


def simulated(*seconds: float) -> list[Contender]:
    """Plans that differ in seconds alone."""
    (first, *_) = tiny_contenders()
    return [
        Contender(planners=(f"p{place}",), plan=first.plan, analytic_s=each, simulated_s=each)
        for place, each in enumerate(seconds)
    ]


def test_rounds_go_forwards_and_backwards_and_slow_plans_are_run_once_or_not_at_all() -> None:
    found = simulated(1.5, 1.0, 2.1, 1.2, 2.0)
    assert rounds(found, SETTINGS) == [[0, 1, 3, 4], [3, 1], [1, 3]]
    # A run has one iteration more than the two that count.
    assert planned_s(found, SETTINGS) == pytest.approx(3 * (1.5 + 1.0 + 1.2 + 2.0 + 2 * (1.0 + 1.2)))


def test_a_measurement_is_the_median_of_all_iterations_and_its_spread_is_between_runs() -> None:
    trial = Trial(runs=((1.0, 1.1, 1.2), (1.3, 1.5, 1.4)))
    assert trial.measured_s == pytest.approx(1.25)
    assert trial.spread == pytest.approx((1.4 - 1.1) / 1.25)
    assert Trial(runs=((1.0, 2.0),)).spread is None
    assert Trial(reason="broken").measured_s is None


def test_a_plan_that_breaks_the_testbed_is_not_run_again_and_the_next_has_a_fresh_one_as_fast(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened, closed = [], []

    @contextmanager
    def of_two(spec: TestbedSpec, cluster: Cluster, data: object) -> Iterator[FakeTestbed]:
        opened.append(spec.fractions)
        yield FakeTestbed(cluster, ranks=2)
        closed.append(spec.fractions)

    monkeypatch.setattr(trials_module, "open_testbed", of_two)
    cfg, setup = tiny("planner_regret.skip_above=99", "planner_regret.once_above=99", "testbed.slow_motion=2")
    found = tiny_contenders()
    told: list[str] = []
    with FreshTestbeds(TestbedSpec(slow_motion=2.0), setup.cluster) as testbeds:
        tried = trials(
            found,
            testbeds,
            setup,
            hybrid_pipeline,
            cfg,
            tell=lambda each: told.append(each.planners[0]),
            advance=lambda: None,
        )
    assert len(told) == 2 * len(found)
    wide = [max(each.plan.ranks) > 1 for each in found]
    assert 0 < sum(wide) < len(found)
    for broken, trial in zip(wide, tried, strict=True):
        assert trial.reason == ("rank 2: cannot be reached" if broken else "")
        assert len(trial.runs) == (0 if broken else 2)
    assert len(opened) == len(closed) == 1 + sum(wide)
    # Shares of a core at full speed, as a specification has them; slow motion divides them again.
    assert opened[0] is None
    assert all(fractions == pytest.approx((1.0, 0.5, 1 / 3)) for fractions in opened[1:])


# --- regrets ---


def test_a_regret_is_over_the_least_that_was_measured_in_the_same_setting() -> None:
    assert list(THREE.columns) == list(COLUMNS)
    regrets = dict(
        zip(zip(*(THREE[name] for name in (*SETTING[3:], "planners")), strict=True), THREE["regret"], strict=True)
    )
    assert regrets[1e8, 16, 4, "ilp; simulate_and_choose"] == pytest.approx(0.05)
    assert regrets[1e8, 16, 4, "pac; pipedream"] == 0
    assert regrets[1e8, 16, 4, "ilp #2"] == pytest.approx(0.5)
    assert regrets[2e7, 16, 4, "pipedream"] == pytest.approx(0.25)
    assert THREE["regret"].isna().sum() == 2  # skipped, failed


def test_a_planners_row_is_that_of_its_first_answer() -> None:
    found = by_planner(THREE)
    here = found[(found["bandwidth_bit_per_s"] == 1e8) & (found["batch_samples"] == 16)]
    assert dict(zip(here["planner"], here["measured_s"], strict=True)) == pytest.approx(
        {"ilp": 2.1, CHOICE: 2.1, "pac": 2.0, "pipedream": 2.0, "eddl": float("nan")}, nan_ok=True
    )


def test_the_summary_has_the_choices_regrets_and_those_of_all_planners_over_what_was_executed() -> None:
    found = json.loads(json.dumps(measured_regret(THREE)))
    assert (found["of"], found["settings"], found["spread"]) == (CHOICE, 3, 0.02)
    assert (found["median"], found["worst"]) == pytest.approx((0.0, 0.05))
    assert (found["plans_executed"], found["plans_skipped"]) == (8, 1)
    assert found["planners"]["ilp"] == pytest.approx({"settings": 3, "skipped": 0, "median": 0.05, "worst": 0.1})
    assert found["planners"]["eddl"] == pytest.approx({"settings": 1, "skipped": 1, "median": 1.0, "worst": 1.0})
    assert "Settings: 3. The plan of simulate_and_choose is 0.0% slower" in verdict(found)
    assert standings_table(found).row_count == len(found["planners"]) == 5


def test_new_settings_take_the_place_of_old_ones_and_others_stay() -> None:
    now = updated(THREE, table([plan("pac", 7.0, bandwidth_bit_per_s=2e7), plan("ilp", 3.5, bandwidth_bit_per_s=2e7)]))
    assert list(now[now["bandwidth_bit_per_s"] == 2e7]["measured_s"]) == [7.0, 3.5]
    assert list(now[now["bandwidth_bit_per_s"] == 2e7]["regret"]) == pytest.approx([1.0, 0.0])
    others = [each[each["bandwidth_bit_per_s"] != 2e7].reset_index(drop=True) for each in (now, THREE)]
    assert others[0].equals(others[1])


# --- the command ---


def test_the_study_writes_its_tables_and_adds_to_the_benchs_summary(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "planner_bench"
    folder.mkdir()
    (folder / "summary.json").write_text('{"cases": 7, "measured_regret": null}')
    assert command("planner_regret.rounds=2", "planner_regret.skip_above=1.6") == 0
    found, planners = read_table(folder / "measured.csv"), read_table(folder / "regret.csv")
    assert set(found["status"]) == {"done", "skipped"}
    assert set(found["bandwidth_bit_per_s"]) == {1e8}
    done = found[found["status"] == "done"]
    assert done["regret"].min() == 0
    # The fake adds noise to what is simulated.
    assert done["error"].abs().max() < 5 * NOISE
    assert set(done["runs"]) == {1, 2}
    skipped = found[found["status"] == "skipped"]
    assert skipped["measured_s"].isna().all()
    assert skipped["reason"].str.contains("times as slow as the fastest, not executed").all()
    profile = Profile.load(tmp_path / "profiles" / "planner_regret_fake_100mbit.profile.json")
    assert set(found["profile_hash"]) == {profile.hash}
    assert {CHOICE, "asteroid", "eddl"} <= set(planners["planner"])
    figures = json.loads((folder / "summary.json").read_text())
    assert figures == {"cases": 7, "measured_regret": kept(folder)}
    assert figures["measured_regret"]["worst"] < 5 * NOISE
    out = capsys.readouterr().out
    assert "settings: 1; about" in out
    assert "Settings: 1. The plan of simulate_and_choose is" in " ".join(out.split())
    assert draw(["planner_bench", "--results", str(tmp_path)]) == 0
    assert (folder / "planner_regret.png").exists()


def test_an_interruption_leaves_the_rates_that_were_done_to_which_another_is_added(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def interrupted(found: object, testbeds: FreshTestbeds, *more: object, **words: object) -> list[Trial]:
        asked.append(testbeds.cluster.network.slowest_bytes_per_s)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return trials(found, testbeds, *more, **words)  # type: ignore[arg-type]

    monkeypatch.setattr(study, "trials", interrupted)
    assert command("planner_regret.rounds=1", rates=[100, 20]) == 130
    assert {path.name for path in tmp_path.rglob("*.*")} == {
        "measured.csv",
        "made.json",
        "regret.csv",
        "summary.json",
        "planner_regret_fake_100mbit.profile.json",
        "planner_regret_fake_100mbit.network.json",
    }
    path = tmp_path / "planner_bench" / "measured.csv"
    first = read_table(path)
    assert set(first["bandwidth_bit_per_s"]) == {1e8}
    monkeypatch.setattr(study, "trials", trials)
    assert command("planner_regret.rounds=1", rates=[20]) == 0
    both = read_table(path)
    assert list(both["bandwidth_bit_per_s"].unique()) == [2e7, 1e8]
    assert both[both["bandwidth_bit_per_s"] == 1e8].reset_index(drop=True).equals(first)
    assert json.loads((path.parent / "summary.json").read_text())["measured_regret"]["settings"] == 2


def test_the_configured_study_has_ten_settings_that_can_be_measured() -> None:
    cfg = composed("experiment=planner_regret")
    check(cfg)
    found = [read_setup(own).workload for rate in cfg.planner_regret.rates for own in configurations(cfg, rate)]
    assert len(found) >= 10
    assert len({(each.batch_samples, each.micro_batch_samples) for each in found}) >= 2


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("planner_regret.workloads=[{batch_samples: 9, micro_batch_samples: 4}]", "not a multiple"),
        ("planner_regret.workloads=[{batch_samples: 8}]", "a workload has batch_samples and micro_batch_samples"),
        ("planner_regret.workloads=[{batch_samples: 16, micro_batch_samples: 8}]", "1 to 8 samples"),
        ("planner_regret.rounds=0", "planner_regret.rounds: expected a whole number of at least 1, like 2, got 0"),
        ("planner_regret.skip_above=1.05", "once_above=1.1 and skip_above=1.05"),
        ("planner_regret.rates=[]", "at least one of the rates"),
        ("scenario=throttled", "planners know of no scenario: rank 0 computes at 0.5"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_starts(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str, said: str
) -> None:
    assert command(word) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


# --- beside the bench ---


def test_a_new_bench_keeps_what_was_measured(tmp_path: Path) -> None:
    folder = tmp_path / "planner_bench"
    figures = study.keep(folder, THREE)
    before = {path.name: path.read_text() for path in folder.glob("*.csv")}
    asked = bench._parser().parse_args(["--workers", "1", "--time-limit", "1"])
    bench._write(folder, bench_table([a_row("pac", 2.0)]), asked)
    assert {name: (folder / name).read_text() for name in before} == before
    found = json.loads((folder / "summary.json").read_text())
    assert found["measured_regret"] == figures
    assert found["cases"] == 1
    merge(folder / "summary.json", {"of": "another"})
    assert json.loads((folder / "summary.json").read_text()) == found | {"measured_regret": {"of": "another"}}


def test_a_bench_beside_which_nothing_was_measured_says_so(tmp_path: Path) -> None:
    assert kept(tmp_path) is None
    assert summary(bench_table([a_row("pac", 2.0)]))["measured_regret"] is None


# --- figure ---


def test_the_figure_draws_a_dot_per_setting_and_has_no_mistake_in_its_layout() -> None:
    planners = by_planner(THREE)
    figure = figure_of(load_figure("planner_regret"), planners)
    assert layout_mistakes(figure) == []
    (ax,) = figure.axes
    assert ax.get_title("left") == "bert, n = 3 settings"
    names = [text.get_text() for text in ax.get_yticklabels()]
    assert names[0] == "simulate and choose (ours)"
    assert len(names) == planners["planner"].nunique()
    row = names.index("EDDL")
    dots = {
        (round(float(line.get_xdata()[0]), 6), line.get_markerfacecolor() == "white")
        for line in ax.lines
        if line.get_marker() != "|" and len(line.get_ydata()) and round(float(line.get_ydata()[0])) == row
    }
    assert {dot for dot in dots if dot[0] == dot[0]} == {(350.0, True), (100.0, False)}  # simulated 9 s over 2 s


# --- for real ---


@pytest.mark.slow
def test_plans_are_measured_on_real_processes_and_a_fresh_testbed_goes_on() -> None:
    cluster = three_hosts()
    cfg = composed(*TINY, "workload.batch_samples=8", "workload.micro_batch_samples=4", "workload.tokens=16")
    setup = read_setup(cfg)
    profile = estimate(BERT, cluster.devices, samples=range(1, 5), tokens=16)
    setup = Setup(cluster=cluster, model=BERT, workload=setup.workload, profile=profile, scenario=setup.scenario)
    found = contenders(setup, hybrid_pipeline, PLANNERS, keep=1)[:2]
    cfg.planner_regret.skip_above = cfg.planner_regret.once_above = 1e3
    with FreshTestbeds(TestbedSpec(kind="loopback"), cluster) as testbeds:
        first, fractions = testbeds.testbed, testbeds.testbed.fractions
        testbeds.renew()
        assert testbeds.testbed is not first
        assert testbeds.testbed.fractions == pytest.approx(fractions)
        assert all(rank.pid is not None and not alive(rank.pid) for rank in first.coordinator.ranks)
        tried = trials(found, testbeds, setup, hybrid_pipeline, cfg, tell=lambda _: None, advance=lambda: None)
    assert [trial.reason for trial in tried] == ["", ""]
    assert [len(trial.runs) for trial in tried] == [2, 2]
    assert all(0 < (trial.measured_s or 0) < 60 for trial in tried)
