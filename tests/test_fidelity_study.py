"""Does the study draw what it says, go on where it ended, and tell how near the simulator is?"""

import json
import sys
from collections import Counter
from dataclasses import replace
from functools import cache
from math import exp
from pathlib import Path
from shutil import copytree, ignore_patterns

import numpy as np
import pytest
from fake_testbed import FakeTestbed, open_fake
from hydra.core.global_hydra import GlobalHydra
from pandas import DataFrame
from test_figures import layout_mistakes

from edgesim.errors import RunError
from edgesim.explanation import CauseShare
from edgesim.intervals import Residuals, WorkKind
from experiments.analysis.tidy import read_table
from experiments.configuration.command_line import composed, run_command
from experiments.fidelity_study import __main__ as study
from experiments.fidelity_study import hosts as study_hosts
from experiments.fidelity_study.asked import Asked, Part, asked
from experiments.fidelity_study.drawn_plans import STRATEGIES
from experiments.fidelity_study.draws import DrawnSetting, drawn_clusters, drawn_settings, setup_of
from experiments.fidelity_study.figures_of_merit import figures_of_merit, intervals, order, residuals_of
from experiments.fidelity_study.hosts import refuse_unfit
from experiments.fidelity_study.journal import Journal, Played
from experiments.fidelity_study.judging import Judged
from experiments.fidelity_study.playing import counts_of
from experiments.fidelity_study.results import worst_text
from experiments.figures.__main__ import main as draw
from experiments.figures.parity import parts_figure
from experiments.planner_regret import trials as trials_module
from real_runtime.ssh.inventory import Host
from real_runtime.testbeds.spec import TestbedSpec

CASE = (
    "{name: tiny, weight: 1, layers: true, blocks: false, words: ['model=bert_tiny_bytes'], batches: [[8, 4]], "
    "tokens: [8]}"
)
TINY = (
    "experiment=fidelity_study",
    "fidelity_study.clusters={calibration: 0, conformal: 1, test: 1}",
    "fidelity_study.settings=1",
    "fidelity_study.plans=4",
    "fidelity_study.hosts=[2]",
    f"fidelity_study.cases=[{CASE}]",
)


@cache
def whole() -> tuple[Asked, list[DrawnSetting]]:
    """The study as it is kept, but with fewer clusters and plans, which take time to draw."""
    kept = asked(composed("experiment=fidelity_study"))
    study = replace(kept, settings=3, plans=2, clusters={Part.CONFORMAL: 3, Part.TEST: 3})
    return study, list(drawn_settings(study, drawn_clusters(study)))


def called(results: Path, *words: str) -> int:
    """Calls the study as the shell would, on a fake testbed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trials_module, "open_testbed", open_fake)
        GlobalHydra.instance().clear()
        patch.setattr(sys, "argv", ["command", *TINY, f"results={results}", *words])
        try:
            run_command(study.fidelity_study, about="about", experiment="fidelity_study")
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a study that was played to its end, after a block in which there was no time to begin."""
    folder = tmp_path_factory.mktemp("results")
    assert called(folder, "fidelity_study.limit_s=0") == 0
    assert not (folder / "fidelity").exists()
    assert called(folder) == 0
    return folder


def test_the_same_seed_draws_the_same_and_another_one_does_not() -> None:
    study, settings = whole()
    first = drawn_clusters(study)
    assert first == drawn_clusters(study)
    assert first != drawn_clusters(replace(study, seed=study.seed + 1))
    assert next(iter(drawn_settings(study, first))) == settings[0]


def test_every_cluster_is_in_one_part_and_every_part_has_its_clusters() -> None:
    study = asked(composed("experiment=fidelity_study"))
    clusters = drawn_clusters(study)
    assert Counter(each.part for each in clusters) == study.clusters
    assert [each.number for each in clusters] == list(range(len(clusters)))
    assert len({each.part for each in clusters[:4]}) > 1, "a study that is cut short has some of each part"


def test_drawn_hosts_are_as_many_and_as_fast_as_was_asked() -> None:
    study, _ = whole()
    for each in drawn_clusters(study):
        assert len(each.fractions) in study.hosts
        assert sum(each.fractions) <= study.cores + 0.01
        assert max(each.fractions) / min(each.fractions) <= study.ratio * 1.05
        assert each.rate_bit_per_s in study.rates_bit_per_s


def test_the_study_over_ssh_draws_both_rates_both_models_and_training_and_requests_for_four_hosts() -> None:
    over_ssh = replace(asked(composed("experiment=fidelity_ssh")), plans=1)
    clusters = drawn_clusters(over_ssh)
    settings = list(drawn_settings(over_ssh, clusters))
    assert {len(each.fractions) for each in clusters} == {4}
    assert Counter(each.rate_bit_per_s for each in clusters) == {50e6: 2, 300e6: 2}
    assert {each.case for each in settings} == {case.name for case in over_ssh.cases}
    assert {each.kind for each in settings} == {WorkKind.TRAIN, WorkKind.INFER}
    assert {each.on.part for each in settings} == {Part.TEST}


def test_what_was_played_on_emulated_hosts_is_not_mixed_with_what_was_played_over_ssh() -> None:
    over_ssh, emulated = (asked(composed(f"experiment={name}")) for name in ("fidelity_ssh", "fidelity_study"))
    assert over_ssh.folder != emulated.folder
    assert over_ssh.journal != emulated.journal


def test_hosts_of_an_inventory_are_not_taken_for_drawn_ones() -> None:
    hosts = {name: Host(address=name) for name in ("pi-a", "pi-b")}
    with pytest.raises(ValueError, match="hosts of an inventory are what they are"):
        refuse_unfit(TestbedSpec(kind="ssh", hosts=hosts))
    refuse_unfit(TestbedSpec(kind="netns"))


def test_where_no_lab_can_be_raised_a_study_over_ssh_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_hosts, "problem", lambda: "a lab of hosts with sshd needs root")
    with pytest.raises(RunError, match=r"needs root \(use testbed=netns\)"):
        refuse_unfit(TestbedSpec(kind="ssh"))


def test_every_drawn_plan_fits_its_setting_and_takes_no_longer_than_was_asked() -> None:
    study, settings = whole()
    for setting in settings:
        setup = setup_of(setting.words, setting.on.cluster)
        assert len(setting.plans) == 2
        assert len({(each.strategy, each.plan.stages) for each in setting.plans}) == len(setting.plans)
        for each in setting.plans:
            each.plan.check(setup.model, setup.cluster, setup.workload)
            assert setup.seconds(each.plan, STRATEGIES[each.strategy]) <= study.most_s


def test_all_kinds_of_workload_are_drawn_for_intervals_and_for_the_test() -> None:
    _, settings = whole()
    for part in (Part.CONFORMAL, Part.TEST):
        assert {each.kind for each in settings if each.on.part is part} == set(WorkKind)


def test_layers_are_timed_where_plans_ask_for_samples() -> None:
    _, settings = whole()
    generation = next(each for each in settings if each.kind is WorkKind.GENERATE)
    training = next(each for each in settings if {plan.strategy for plan in each.plans} & {"data", "pipeline"})
    assert counts_of(generation.plans, 2) == []
    assert counts_of(training.plans, 4) == [1, 2, 4]
    assert counts_of(training.plans, 3) == [1, 2, 3]


def test_the_command_that_made_the_results_is_kept_without_what_only_cut_it_into_blocks(played: Path) -> None:
    (entry, *_) = json.loads((played / "fidelity" / "made.json").read_text()).values()
    assert entry["command"].startswith("python -m experiments.fidelity_study 'fidelity_study.clusters=")
    assert "results=" not in entry["command"]


def test_a_study_is_played_and_told(played: Path) -> None:
    assert len(list((played / "runs" / "fidelity_study").glob("*.json"))) == 2
    rows = read_table(played / "fidelity" / "table.csv")
    assert Counter(rows["part"]) == {"conformal": 4, "test": 4}
    assert rows["error"].abs().max() < 0.5
    figures = json.loads((played / "fidelity" / "summary.json").read_text())
    assert (figures["plans"], figures["coverage"]) == (4, None)
    assert "fake, train: 4 executed plans are too few" in figures["no_interval"][0]
    assert len(Residuals.load(played / "fidelity" / "residuals.json").residuals) == 4


def test_the_figure_command_draws_what_the_study_drew(played: Path, tmp_path: Path) -> None:
    copytree(played / "fidelity", tmp_path / "fidelity", ignore=ignore_patterns("parity.*"))
    assert draw(["fidelity", "--results", str(tmp_path)]) == 0
    drawn, kept = (folder / "fidelity" / "parity.png" for folder in (tmp_path, played))
    assert drawn.read_bytes() == kept.read_bytes()


def test_the_figure_of_many_plans_by_all_strategies_has_no_mistake_in_its_layout() -> None:
    strategies = [*STRATEGIES]
    plans = [
        {
            "setting": f"{i // 8}",
            "part": list(Part)[i // 8 % len(Part)],
            "strategy": strategies[i % len(strategies)],
            "plan": str(i),
            "simulated_s": 0.1 * 1.01**i * (1 + 0.05 * (-1) ** i),
            "measured_s": 0.1 * 1.01**i,
            "measured_low_s": 0.098 * 1.01**i,
            "measured_high_s": 0.103 * 1.01**i,
            "disturbed": 0.1 * (i == 7),
        }
        for i in range(240)
    ]
    assert layout_mistakes(parts_figure(DataFrame(plans))) == []


def test_what_was_played_is_not_played_again_and_told_alike(played: Path) -> None:
    def state() -> dict[str, bytes | int]:
        told = {path.name: path.read_bytes() for path in (played / "fidelity").glob("*.csv")}
        return told | {path.name: path.stat().st_mtime_ns for path in (played / "runs").rglob("*.json")}

    before = state()
    assert len(before) == 5
    assert called(played) == 0
    assert state() == before


def test_what_was_drawn_otherwise_is_not_taken_for_the_same(played: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert called(played, f"fidelity_study.cases=[{CASE.replace('[8, 4]', '[12, 4]')}]") == 2
    assert "was drawn as" in capsys.readouterr().err


def test_an_entry_is_read_as_it_was_written(played: Path) -> None:
    (path, *_) = sorted((played / "runs" / "fidelity_study").glob("*.json"))
    drawn = asked(composed(*TINY))
    setting = next(iter(drawn_settings(drawn, drawn_clusters(drawn))))
    assert Journal(path.parent).entry(setting).to_json() == path.read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("fidelity_study.hosts=[1]", "2 hosts or more"),
        ("fidelity_study.iterations=[3, 2]", "at least and at most"),
        ("fidelity_study.fastest=[0.5, 0.2]", "the smaller first"),
        ("fidelity_study.cases=[]", "at least one of the cases"),
        (f"fidelity_study.cases=[{CASE.replace('layers: true', 'layers: false')}]", "neither layers nor blocks"),
        ("fidelity_study.most_s=1e-9", "raise it"),
    ],
)
def test_a_study_that_cannot_be_played_is_refused_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: str, said: str
) -> None:
    assert called(tmp_path, words) == 2
    assert said in capsys.readouterr().err


def judged(setting: str, name: str, simulated_s: float, *measured_s: float, part: Part = Part.TEST) -> Judged:
    """A plan with these seconds; its difference is a link's."""
    _, settings = whole()
    drawn = settings[0].plans[0]
    played = Played(name=name, strategy=drawn.strategy, plan=drawn.plan, runs=(measured_s,) if measured_s else ())
    more_s = sum(measured_s) / len(measured_s) - simulated_s if measured_s else 0.0
    share = CauseShare(what="transfer", where="link 0>1", seconds=more_s, least_s=more_s, most_s=more_s)
    return Judged(
        setting=setting,
        part=part,
        case="tiny",
        kind=WorkKind.TRAIN,
        hosts=3,
        rate_mbit_per_s=100.0,
        played=played,
        simulated_s=simulated_s if measured_s else None,
        shares=(share,) if measured_s else (),
    )


def test_order_and_regret_are_those_within_settings() -> None:
    """One setting in order, one in the opposite order of two, where the choice takes 3 s and the best 2 s."""
    plans = [
        judged("a", "1", 1.0, 1.1),
        judged("a", "2", 2.0, 2.2),
        judged("b", "1", 1.0, 3.0),
        judged("b", "2", 2.0, 2.0),
    ]
    found = order(plans)
    assert (found["kendall_tau"], found["worst_tau"]) == (0.0, -1.0)
    assert (found["median_regret"], found["worst_regret"]) == (pytest.approx(0.25), pytest.approx(0.5))


def test_a_setting_whose_plans_are_all_simulated_alike_has_no_order_and_is_counted() -> None:
    """Plans of one host alone, of which only the cuts differ: no tau of theirs, and that of the other setting stays."""
    plans = [
        judged("a", "1", 1.0, 1.1),
        judged("a", "2", 2.0, 2.2),
        judged("b", "1", 1.0, 1.0),
        judged("b", "2", 1.0, 1.1),
    ]
    found = order(plans)
    assert (found["kendall_tau"], found["worst_tau"], found["without_tau"]) == (1.0, 1.0, 1)
    assert (order(plans[2:])["kendall_tau"], order(plans[2:])["without_tau"]) == (None, 1)


def test_only_plans_whose_iterations_do_not_overlap_can_be_told_apart() -> None:
    """Of three plans one is slower than both others, and simulated slower than one of them; the two overlap."""
    plans = [
        judged("a", "1", 1.0, 1.0, 1.2),
        judged("a", "2", 2.5, 1.1, 1.3),
        judged("a", "3", 2.0, 2.0, 2.2),
        judged("b", "1", 9.0, 9.0),
    ]
    assert order(plans)["told_apart"] == 0.5
    assert order(plans[:2])["told_apart"] is None


def test_coverage_and_width_are_those_of_the_conformal_parts_intervals() -> None:
    """Residuals from -9 to 9 %: of two test plans one is off by 5 % and one by 20 %; their iterations are 6 % apart."""
    known = [judged("c", str(i), 1.0, exp(0.01 * i), part=Part.CONFORMAL) for i in range(-9, 10)]
    test = [judged("d", str(off), 1.0, exp(off - 0.03), exp(off), exp(off + 0.03)) for off in (0.05, 0.2)]
    found = intervals(test, residuals_of([*known, *test], "netns", "a test"))
    assert found["coverage"] == 0.5
    assert found["width_ratio"] == pytest.approx(0.18 / 0.06)


def test_alike_distributions_are_near_and_others_are_far() -> None:
    """Of nineteen places each at the middle of its own: a half of one apart."""
    known = [judged("c", str(i), 1.0, exp(0.01 * i), part=Part.CONFORMAL) for i in range(-9, 10)]
    residuals = residuals_of(known, "netns", "a test")
    near = [replace(each, part=Part.TEST) for each in known]
    far = [judged("d", str(i), 1.0, exp(0.5), exp(0.5)) for i in range(5)]
    assert intervals(far, residuals)["ks"] == 1.0
    assert intervals(near, residuals)["ks"] == pytest.approx(0.5 / 19)


def test_a_predicted_distribution_is_as_wide_as_the_repeats_of_the_calibration_say() -> None:
    """Conformal plans are as simulated; the iterations of a test plan are 10 % apart, and so were its repeats."""
    known = [judged("c", str(i), 1.0, 1.0, part=Part.CONFORMAL) for i in range(19)]
    residuals = residuals_of(known, "netns", "a test")
    random = np.random.default_rng(3)
    measured, drawn = np.exp(0.1 * random.standard_normal((2, 200)))
    test = judged("d", "1", 1.0, *measured)
    told, untold = replace(test, drawn=tuple(drawn)), test
    assert intervals([told], residuals)["ks"] == pytest.approx(0.0, abs=0.15)
    assert intervals([untold], residuals)["ks"] > 0.45


def test_plans_count_the_same_however_often_they_were_measured() -> None:
    known = [judged("c", str(i), 1.0, exp(0.01 * i), part=Part.CONFORMAL) for i in range(-9, 10)]
    residuals = residuals_of(known, "netns", "a test")
    early, late = judged("d", "1", 1.0, *[exp(-0.5)] * 9), judged("d", "2", 1.0, exp(0.5))
    assert intervals([early, late], residuals)["ks"] == pytest.approx(0.5)


def test_disturbed_plans_neither_calibrate_intervals_nor_are_judged_by_them() -> None:
    known = [judged("c", str(i), 1.0, exp(0.01 * i), part=Part.CONFORMAL) for i in range(-9, 10)]
    wrong = judged("c", "wrong", 1.0, exp(3.0), part=Part.CONFORMAL)
    wrong = replace(wrong, played=replace(wrong.played, disturbed=0.3))
    test = [judged("d", "1", 1.0, 1.01, 1.02), replace(wrong, part=Part.TEST)]
    found = figures_of_merit([*known, wrong, *test], residuals_of([*known, wrong], "netns", "a test"))
    assert (found["coverage"], found["left_out"], found["plans"]) == (1.0, 1, 2)
    assert found["worst_abs_error"] > 0.9


def test_a_plan_that_was_not_executed_counts_nowhere_but_is_told() -> None:
    failed = judged("a", "2", 1.0)
    failed = replace(failed, played=replace(failed.played, reason="rank 0 was killed"))
    plans = [judged("a", "1", 1.0, 1.1), failed]
    figures = figures_of_merit(plans, residuals_of(plans, "netns", "a test"))
    assert figures["plans"] == 1
    assert figures["failed"] == ["a, 2: rank 0 was killed"]


def test_what_hosts_could_not_play_at_their_pace_is_told_and_judges_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeTestbed, "late", 0.4)
    assert called(tmp_path) == 0
    rows = read_table(tmp_path / "fidelity" / "table.csv")
    assert rows["error"].isna().all()
    assert rows["reason"].str.contains("too slow for these hosts: .* by 40 % of an iteration").all()


def test_the_worst_are_told_with_their_causes() -> None:
    plans = [judged("a", str(i), 1.0, 1.0 + 0.01 * i) for i in range(1, 20)]
    told = worst_text(plans)
    assert told.count("\n## ") == 10
    assert "## 1. tiny, 19: -16.0%" in told
    assert "| transfer | link 0>1 | +0.1900 |" in told
