"""Does the bench outlive every planner, and do its numbers say what they claim?"""

import json
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas import DataFrame
from processes import alive
from test_figures import layout_mistakes

from edgesim.proof import Objective
from edgesim.units import mbit_per_s, si
from experiments.analysis.tidy import read_table
from experiments.configuration.command_line import composed
from experiments.configuration.planners import Kind, Plans
from experiments.configuration.setup import read_setup
from experiments.figures.__main__ import main as figures
from experiments.figures.catalogue import load_figure
from experiments.figures.panels import figure_of
from experiments.figures.planners import lines, panels
from experiments.figures.regret_profile import profile
from experiments.planner_bench import __main__ as bench
from experiments.planner_bench import selection
from experiments.planner_bench.attempt import Attempt, pose, tried
from experiments.planner_bench.cases import POOLS, Case, cases
from experiments.planner_bench.competitors import Competitor, competitors
from experiments.planner_bench.pools import FEWEST, MOST, RATES_MBIT_PER_S, pools
from experiments.planner_bench.processes import attempted
from experiments.planner_bench.report import page
from experiments.planner_bench.rows import COLUMNS, table, updated
from experiments.planner_bench.summary import BEST, SIZE_CLASSES, by_group, size_class, standings, summary

COMPETITORS = competitors()
BLOCKS = [competitor.name for competitor in COMPETITORS if competitor.plans is Plans.BLOCKS]
RESULTS = Path(__file__).parent.parent / "results"
STORED = Path(__file__).parent / "golden" / "planner_bench.csv"
TINY = Case(
    plans=Plans.PIPELINES,
    environment="demo",
    model="bert_tiny_bytes",
    overrides=("cluster=demo", "model=bert_tiny_bytes", "workload.batch_samples=8", "workload.micro_batch_samples=4"),
)


def a_row(planner: str, simulated_s: float | None = None, **changes: object) -> dict[str, object]:
    """A row of the bench: of a plan, or without seconds of a planner that declined."""
    return {
        "plans": "pipelines",
        "cluster": "demo",
        "model": "bert",
        "planner": planner,
        "kind": "baseline",
        "layers": 6,
        "devices": 3,
        "status": "declined" if simulated_s is None else "done",
        "simulated_s": simulated_s,
        "planning_s": 0.5,
        "limit_s": 60.0,
    } | changes


def proven(analytic_s: float, bound_s: float, objective: Objective = Objective.ITERATION_TIME) -> dict[str, object]:
    """What a planner's row says of its proof."""
    own = {"objective": str(objective), "objective_value": analytic_s, "objective_bound": bound_s}
    return own | {"analytic_s": analytic_s}


def regrets(found: DataFrame) -> dict[str, float]:
    return dict(zip(found["planner"], found["regret"], strict=True))


# --- rows and summary ---


def test_regret_is_over_the_best_plan_of_the_same_case() -> None:
    found = table(
        [
            a_row("x", 2.0),
            a_row("y", 3.0),
            a_row("z"),
            a_row("x", 10.0, model="gpt"),
            a_row("y", 8.0, model="gpt"),
            a_row("z", 8.0, model="gpt"),
        ]
    )
    assert list(found.columns) == list(COLUMNS)
    first, second = (found[found["model"] == model] for model in ("bert", "gpt"))
    assert regrets(first) == pytest.approx({"x": 0.0, "y": 0.5, "z": float("nan")}, nan_ok=True)
    assert regrets(second) == pytest.approx({"x": 0.25, "y": 0.0, "z": 0.0})


def test_a_better_planner_that_is_added_raises_the_regrets_of_the_others_and_replaces_its_own_rows() -> None:
    kept = table([a_row("x", 2.0), a_row("y", 3.0)])
    now = updated(kept, table([a_row("y", 1.0), a_row("z", 4.0)]))
    assert regrets(now) == pytest.approx({"x": 1.0, "y": 0.0, "z": 3.0})


def test_rows_are_in_one_order_whatever_order_they_came_in() -> None:
    rows = [a_row("pac", 2.0), a_row("asteroid", 3.0), a_row("galaxy", 1.0, plans="blocks")]
    forwards, backwards = table(rows), table(reversed(rows))
    assert list(forwards["planner"]) == ["asteroid", "pac", "galaxy"]  # as they are listed, pipelines first
    assert forwards.equals(backwards)


def test_a_standing_counts_what_was_solved_and_how_the_rest_ended() -> None:
    rows = [
        a_row("x", 2.0, planning_s=1.0),
        a_row("x", 6.0, model="gpt", planning_s=4.0),
        a_row("x", model="opt"),
        a_row("y", 2.0),
        a_row("y", 3.0, model="gpt"),
        a_row("y", model="opt", status="late", planning_s=None),
    ]
    y, x = standings(table(rows))
    assert (x.planner, x.cases, x.solved, x.best) == ("x", 3, 2, 1)
    assert (x.median_regret, x.worst_regret) == pytest.approx((0.5, 1.0))
    assert (x.median_planning_s, x.worst_planning_s) == pytest.approx((2.5, 4.0))
    assert (y.planner, y.best, dict(y.ends), dict(x.ends)) == ("y", 2, {"late": 1}, {"declined": 1})
    assert "| x | 2/3 | 1 | 0 | 50.0% | 100% | 2.5 s | 4 s | 1 declined |" in page([y, x], {})


def test_a_planner_without_any_plan_has_a_standing_without_numbers() -> None:
    (x,) = standings(table([a_row("x"), a_row("x", model="gpt")]))
    assert (x.solved, x.best, x.median_regret, x.worst_planning_s) == (0, 0, None, None)
    assert json.loads(json.dumps(summary(table([a_row("x")]))))["cases_with_a_plan"] == 0


def test_the_summary_has_the_worst_gap_and_the_longest_planning_of_each_size_class() -> None:
    rows = [
        a_row("x", 2.0, planning_s=1.0, kind="ours", **proven(2.04, 2.0)),
        a_row("y", 2.0, planning_s=3.0, **proven(2.14, 2.0)),
        a_row("x", 2.0, model="gpt", layers=30, devices=8, planning_s=9.0),
        a_row("tries all", 2.0, planning_s=50.0, kind="oracle"),
        a_row("z", layers=30, devices=8, planning_s=70.0),
    ]
    found = summary(table(rows))
    assert (found["cases"], found["attempts"], found["plans_with_a_bound"]) == (2, 5, 2)
    assert (found["worst_gap"], found["worst_gap_of_all"]) == (pytest.approx(0.02), pytest.approx(0.07))
    assert found["max_planning_time_s"] == {"small": 3.0, "medium": None, "large": 9.0}
    assert found["measured_regret"] is None


def test_the_summary_says_where_the_formula_is_off() -> None:
    rows = [a_row("x", 2.0, analytic_s=2.1), a_row("y", 2.0, analytic_s=3.0), a_row("z", 2.0)]
    found = summary(table(rows))["analytic_error"]
    assert (found["plans"], found["median"], found["worst"]) == (2, pytest.approx(0.275), pytest.approx(0.5))
    assert found["worst_of"].startswith("y on ")
    assert sum(found["beyond_10_per_cent"].values()) == 1
    assert summary(table([a_row("z", 2.0)]))["analytic_error"] is None


def test_a_pipeline_without_a_proof_gets_the_bound_of_its_case_and_depth() -> None:
    ours = proven(2.0, 2.0) | {"family": "asteroid"}
    rows = [
        a_row("ilp", 2.0, **ours),
        a_row("x", 3.0, analytic_s=3.0, family="asteroid"),
        a_row("y", 3.0, analytic_s=3.0, family="gpipe"),
        a_row("z", 3.0, analytic_s=3.0, family="asteroid", model="gpt"),
    ]
    found = table(rows).set_index("planner")
    assert (found.loc["x", "bound_s"], found.loc["x", "gap"]) == (2.0, pytest.approx(0.5))
    assert found.loc[["y", "z"], "bound_s"].isna().all()


def test_a_bound_of_the_slowest_stage_is_none_of_the_iteration_time() -> None:
    own = proven(2.0, 2.0, Objective.SLOWEST_STAGE)
    pipeedge = table([a_row("pipeedge", 20.0, **(own | {"analytic_s": 21.0}))]).iloc[0]
    same = table([a_row("pipeedge", 2.0, **own)]).iloc[0]
    for row in (pipeedge, same):
        assert pd.isna(row["bound_s"])
        assert pd.isna(row["gap"])
        assert row["proof"] == "heuristic"
        assert (row["objective_value"], row["objective_bound"]) == (2.0, 2.0)
    assert [each.proven for each in standings(table([a_row("pipeedge", 20.0, **own)]))] == [0]
    assert [each.proven for each in standings(table([a_row("ilp", 20.0, **proven(2.0, 2.0))]))] == [1]


def test_bounds_are_reckoned_anew_when_a_planner_proves_more() -> None:
    family = {"family": "asteroid"}
    kept = table([a_row("ilp", 3.0, **proven(3.0, 1.0), **family), a_row("x", 4.0, analytic_s=4.0, **family)])
    now = updated(kept, table([a_row("ilp", 3.0, **proven(3.0, 2.0), **family)])).set_index("planner")
    assert (now.loc["x", "bound_s"], now.loc["x", "gap"], now.loc["x", "proof"]) == (2.0, 1.0, "feasible")


def test_standings_are_told_by_whose_environments_they_are() -> None:
    rows = [a_row("x", s, cluster=where) for s, where in ((2.0, "asteroid_a"), (9.0, "pool-0-01"), (4.0, "pac_8"))]
    best = [a_row("y", 1.0, cluster=where) for where in ("asteroid_a", "pool-0-01")]
    whole = table([*rows, *best])
    assert {str(where): mine[-1].median_regret for where, mine in by_group(whole).items()} == {
        "Asteroid's testbeds": 1.0,
        "random pools": 8.0,
        "PAC's Nanos": 0.0,
    }
    assert "| x | 100%, 100% (1/1) | 800%, 800% (1/1) | 0.0%, 0.0% (1/1) |" in page(standings(whole), by_group(whole))
    assert summary(whole)["by_environment"]["random pools"]["x"]["median_regret"] == 8.0


def test_every_size_has_a_class() -> None:
    sizes = [size_class(layers, devices) for layers in (1, 8, 16, 32, 99) for devices in (1, 8, 99)]
    assert set(sizes) == set(SIZE_CLASSES)


# --- cases and competitors ---


def test_a_seed_draws_the_same_pools_however_many_and_another_seed_others() -> None:
    assert pools(3, 5) == pools(3, 9)[:5]
    assert [pool.boards for pool in pools(3, 5)] != [pool.boards for pool in pools(4, 5)]
    drawn = pools(0, POOLS)
    assert {len(pool.boards) for pool in drawn} == set(range(FEWEST, MOST + 1))
    assert {rate for pool in drawn for rate in pool.rates_mbit_per_s} == set(RATES_MBIT_PER_S)
    assert all(len(set(pool.boards)) > 1 for pool in drawn)


def test_a_pool_is_the_cluster_that_was_drawn() -> None:
    (*_, pool) = pools(0, 4)
    cluster = read_setup(composed(*pool.overrides)).cluster
    assert [device.name.replace("-", "_") for device in cluster.devices] == list(pool.boards)
    for a, b in ((0, 1), (1, 0)):
        slower = min(pool.rates_mbit_per_s[a], pool.rates_mbit_per_s[b])
        assert mbit_per_s(cluster.network.goodput_bytes_per_s(a, b)) == pytest.approx(0.941 * slower)


def test_cases_are_those_of_the_papers_and_the_pools() -> None:
    found = cases(seed=0)
    assert len(found) == len({(case.environment, case.model) for case in found}) == (4 + POOLS) * 4 + 2 + 6 * 4
    for case in (found[0], found[-1], *(case for case in found if case.environment == "pac_8")):
        setup = read_setup(composed(*case.overrides))
        assert setup.cluster.name.replace("-", "_") == case.environment.removesuffix("_8")
        assert setup.workload.micro_batches > 1 or case.plans is Plans.BLOCKS


@pytest.mark.parametrize("competitor", COMPETITORS, ids=lambda competitor: competitor.name)
def test_every_competitor_can_be_built(competitor: Competitor) -> None:
    case = next(case for case in cases(seed=0) if case.plans is competitor.plans)
    posed = pose(Attempt(case=case, competitor=competitor))
    assert callable(posed.planner.function)
    assert callable(posed.strategy)


def test_names_of_planners_environments_and_models_are_told_apart() -> None:
    names = [
        {competitor.name for competitor in COMPETITORS},
        {case.environment for case in cases(seed=0)},
        {case.model for case in cases(seed=0)},
    ]
    assert len(set.union(*names)) == sum(map(len, names))
    assert len(names[0]) == len(COMPETITORS)


def test_names_of_one_sort_are_alternatives_and_sorts_combine() -> None:
    def named(*only: str) -> set[tuple[str, str, str]]:
        found = selection.attempts(cases(seed=0), COMPETITORS, only=only)
        return {(each.competitor.name, each.case.environment, each.case.model) for each in found}

    assert named("asteroid", "pac", "asteroid_a", "resnet50") == {
        ("asteroid", "asteroid_a", "resnet50"),
        ("pac", "asteroid_a", "resnet50"),
    }
    assert {planner for planner, _, _ in named("galaxy", "pac")} == {"galaxy", "pac"}
    assert len(named("galaxy")) == 6 * 4


def test_the_kept_selection_is_the_rows_of_the_kept_table() -> None:
    """Case by case and planner by planner, so that one command makes the table again."""
    kept = pd.read_csv(RESULTS / "planner_bench" / "table.csv")
    wanted = selection.attempts(cases(seed=0), COMPETITORS, selection=selection.KEPT)
    names = ["plans", "cluster", "model", "planner", "kind"]
    assert Counter(tuple(each.names[name] for name in names) for each in wanted) == Counter(
        kept[names].itertuples(index=False, name=None)
    )
    assert set(kept["limit_s"]) == {selection.KEPT_TIME_LIMIT_S}
    assert len({(each.case.environment, each.case.model) for each in wanted}) == 44


def test_a_bench_whose_attempts_all_died_failed_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def died(attempts: Sequence[Attempt], **_: object) -> Iterator[tuple[Attempt, dict[str, object]]]:
        lost = {"status": "died", "reason": "out of luck"}
        yield from ((attempt, a_row("x", 2.0) | attempt.names | lost) for attempt in attempts)

    monkeypatch.setattr(bench, "attempted", died)
    assert bench.main(["--quick", "--results", str(tmp_path)]) == 1
    assert "attempts died, nothing is written; the first: out of luck" in capfd.readouterr().err
    assert not (tmp_path / "planner_bench").exists()


def test_the_command_for_the_kept_table_asks_for_its_selection_with_its_time_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, float]] = []

    def made_up(
        attempts: Sequence[Attempt], *, limit_s: float, **_: object
    ) -> Iterator[tuple[Attempt, dict[str, object]]]:
        asked.append((len(attempts), limit_s))
        yield from ((attempt, a_row("x", 2.0) | attempt.names) for attempt in attempts)

    monkeypatch.setattr(bench, "attempted", made_up)
    assert bench.main(["--kept", "--results", str(tmp_path)]) == 0
    assert asked == [(746, 30.0)]
    assert len(read_table(tmp_path / "planner_bench" / "table.csv")) == 746
    made = json.loads((tmp_path / "planner_bench" / "made.json").read_text())
    assert made["table.csv"]["command"] == "python -m experiments.planner_bench --kept"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "astroid"], "unknown planner, environment or model 'astroid' (did you mean 'asteroid'"),
        (["--only", "galaxy", "resnet50"], "no planner and case have all of galaxy, resnet50"),
        (["--workers", "0"], "--workers must be at least 1, got 0"),
        (["--time-limit", "0"], "--time-limit must be positive, got 0"),
        (["--seed", "-1"], "--seed must not be negative, got -1"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert bench.main(["--results", str(tmp_path), *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_interrupted_leaves_what_was_there_and_goes_on_where_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    few = len(BLOCKS) // 3 + 1

    def a_few(attempts: Sequence[Attempt], **_: object) -> Iterator[tuple[Attempt, dict[str, object]]]:
        """Makes up some rows, and is interrupted."""
        for place, attempt in enumerate(attempts):
            if place == few:
                raise KeyboardInterrupt
            asked.append(attempt.competitor.name)
            yield attempt, a_row("x", 2.0) | attempt.names

    table_csv = tmp_path / "planner_bench" / "table.csv"
    table_csv.parent.mkdir()
    table_csv.write_text("before")
    monkeypatch.setattr(bench, "attempted", a_few)
    command = ["--results", str(tmp_path), "--only", "galaxy_a", "distilbert"]
    kept = table([a_row("x", 2.0)])
    monkeypatch.setattr(bench, "read_table", lambda path: kept)
    for words in (command, [*command, "--time-limit", "1"], command):  # another limit: another bench
        with pytest.raises(SystemExit, match="130"):
            bench.main(words)
        assert table_csv.read_text() == "before"
    assert bench.main(command) == 0
    assert asked == [*BLOCKS[:few], *BLOCKS[:few], *BLOCKS[few:]]
    found = pd.read_csv(table_csv)
    assert sorted(found["planner"]) == sorted([*BLOCKS, "x"])
    assert set(found["simulated_s"]) == {2.0}
    journals = tmp_path / "sweeps" / "planner_bench"
    assert len(list(journals.iterdir())) == 1  # the one of the other limit


# --- attempts ---


def odd(name: str, *overrides: str) -> Attempt:
    """An attempt with a planner of odd_planners.py."""
    words = ("strategy=pipeline", "planner=pac", f"planner._target_=odd_planners.{name}", *overrides)
    competitor = Competitor(name=name, plans=Plans.PIPELINES, kind=Kind.BASELINE, overrides=words)
    return Attempt(case=TINY, competitor=competitor)


def named(name: str) -> Attempt:
    """An attempt with a competitor of the list."""
    return Attempt(case=TINY, competitor=next(each for each in COMPETITORS if each.name == name))


def test_an_attempt_is_judged_by_the_simulator_and_says_what_planning_took() -> None:
    posed = pose(named("asteroid"))
    row = tried(posed)
    plan = posed.setup.plan(posed.planner, posed.strategy)
    assert row["status"] == "done"
    assert row["simulated_s"] == posed.setup.seconds(plan, posed.strategy)
    assert row["objective_value"] == row["predicted_s"] == plan.predicted_s
    assert 0 < row["planning_s"] < 60
    assert 0 <= row["planning_bytes"] < 1e9


def test_the_oracle_is_asked_with_the_simulator_and_its_plan_has_no_gap_to_it() -> None:
    oracle, asteroid = (tried(pose(named(name))) for name in ("exhaustive_pipeline", "proportional_pipeline"))
    assert oracle["objective_bound"] == oracle["objective_value"] == oracle["simulated_s"]
    assert (oracle["objective_gap"], oracle["objective_proof"]) == (0, "optimal")
    assert oracle["simulated_s"] <= asteroid["simulated_s"]


@pytest.mark.slow
def test_a_planner_that_fails_in_any_way_is_a_row_and_the_others_go_on(tmp_path: Path) -> None:
    note = tmp_path / "solver"
    wanted = [
        odd("never_ends", f"+planner.note={note}"),
        odd("declines"),
        odd("finds_nothing"),
        odd("has_a_bug"),
        odd("is_killed"),
        odd("is_not_there"),
        named("proportional_pipeline"),
    ]
    rows = {attempt.competitor.name: row for attempt, row in attempted(wanted, workers=2, limit_s=5.0)}
    assert {name: row["planner"] for name, row in rows.items()} == {name: name for name in rows}
    assert {name: row["status"] for name, row in rows.items()} == {
        "never_ends": "late",
        "declines": "declined",
        "finds_nothing": "infeasible",
        "has_a_bug": "died",
        "is_killed": "died",
        "is_not_there": "died",
        "proportional_pipeline": "done",
    }
    said = {name: row["reason"] for name, row in rows.items()}
    assert said["never_ends"] == "no plan within 5 s (raise --time-limit)"
    assert said["declines"] == "not made for bert-tiny-bytes (take another)"
    assert said["finds_nothing"] == "nothing of bert-tiny-bytes fits (add devices)"
    assert "KeyError: 'no such key'" in said["has_a_bug"]
    assert "signal 9" in said["is_killed"]
    assert "is_not_there" in said["is_not_there"]
    devices = {name: row.get("devices") for name, row in rows.items()}
    assert devices == dict.fromkeys(rows, 3) | {"is_not_there": None}
    assert gone(int(note.read_text()), within_s=5.0)


def gone(pid: int, *, within_s: float) -> bool:
    """Whether a process that was killed is away: the kernel takes a moment."""
    end_s = time.monotonic() + within_s
    while alive(pid) and time.monotonic() < end_s:
        time.sleep(0.01)
    return not alive(pid)


# --- the whole ---


@pytest.mark.slow
def test_a_quick_bench_writes_its_tables_and_its_figures_can_be_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = ["--quick", "--results", str(tmp_path), "--workers", "2"]
    assert bench.main([*quick, "--time-limit", "12"]) == 0
    assert "planners of pipelines" in capsys.readouterr().out
    folder = tmp_path / "planner_bench"
    assert {path.name for path in tmp_path.rglob("*.*")} == {
        "table.csv",
        "summary.md",
        "summary.json",
        "made.json",
    }
    found, stored = read_table(folder / "table.csv"), read_table(STORED)
    same = ["plans", "cluster", "model", "planner", "kind", "layers", "devices", "profile_hash"]
    both = found[found["status"] == "done"].merge(stored[stored["status"] == "done"], on=same, suffixes=("", "_stored"))
    assert len(both) >= 0.9 * (stored["status"] == "done").sum()
    assert both["simulated_s"].to_numpy() == pytest.approx(both["simulated_s_stored"].to_numpy())
    chosen = found[found["planner"].str.startswith("simulate_and_choose")]
    assert set(chosen["status"]) == {"done"}
    others = found[found["kind"] != "oracle"].groupby(["plans", "cluster", "model"])["simulated_s"].transform("min")
    of_pipelines = chosen[chosen["plans"] == "pipelines"]
    assert (of_pipelines["simulated_s"] <= others[of_pipelines.index] * (1 + BEST)).all()
    assert json.loads((folder / "summary.json").read_text())["cases"] == 3
    assert bench.main([*quick, "--only", "galaxy"]) == 0
    assert len(read_table(folder / "table.csv")) == len(found)
    assert figures(["planner_bench", "--results", str(tmp_path)]) == 0
    assert {path.suffix for path in folder.glob("regret_profile.*")} == {".pdf", ".png"}
    assert {path.suffix for path in folder.glob("planning_time.*")} == {".pdf", ".png"}


# --- figures ---


@pytest.mark.parametrize("name", ["regret_profile", "planning_time"])
def test_a_figure_of_the_bench_has_no_mistake_in_its_layout(name: str) -> None:
    figure = figure_of(load_figure(name), read_table(STORED))
    assert layout_mistakes(figure) == []
    assert [ax.get_title("left") for ax in figure.axes] == [
        "pipelines: 2 cases with a plan",
        "blocks: 1 case with a plan",
    ]


def test_a_profile_counts_a_case_without_a_plan_as_never_within() -> None:
    found = table(
        [a_row("x", 2.0), a_row("x", 9.0, model="gpt"), a_row("y", 6.0, model="gpt"), a_row("x", model="opt")]
    )
    edges, shares = profile(found[found["planner"] == "x"])
    assert edges == pytest.approx([0.0, 0.5])
    assert shares == pytest.approx([1 / 3, 2 / 3])


def test_lines_of_a_profile_rise_from_the_share_of_best_plans_to_the_share_of_solved_cases() -> None:
    (left, _) = figure_of(load_figure("regret_profile"), read_table(STORED)).axes
    heights = {line.get_color(): np.asarray(line.get_ydata()) for line in left.lines if line.get_linestyle() != "None"}
    assert all((np.diff(y) >= 0).all() for y in heights.values())
    (asteroid, *_) = lines(panels(read_table(STORED))["pipelines: 2 cases with a plan"])
    assert asteroid.planner == "asteroid"
    assert set(heights[asteroid.look.colour]) == {100.0}


def test_eight_planners_have_looks_of_their_own_ours_first_and_the_others_are_one_crowd() -> None:
    rows = [a_row(f"b{i}", 2.0 + i) for i in range(9)] + [a_row("exact", 5.0, kind="ours")]
    found = lines(table(rows))
    assert [line.planner for line in found] == ["exact", *(f"b{i}" for i in range(9))]
    looks = [(line.look.colour, line.look.marker, line.look.dashes) for line in found]
    assert len(set(looks[:8])) == 8
    assert [line.text for line in found[8:]] == ["others", "others"]


def test_a_table_that_is_no_bench_is_named_with_the_column_it_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "planner_bench").mkdir()
    read_table(STORED).drop(columns="regret").to_csv(tmp_path / "planner_bench" / "table.csv", index=False)
    assert figures(["planner_bench", "--results", str(tmp_path)]) == 2
    assert re.search(r"table.csv has no column 'regret'", capsys.readouterr().err)


def test_rates_of_pools_are_read_as_all_others() -> None:
    (pool,) = pools(0, 1)
    (rates,) = (word.partition("=")[2] for word in pool.overrides if "transmit" in word)
    assert json.loads(rates) == [si(f"{rate} Mbit/s") for rate in pool.rates_mbit_per_s]
