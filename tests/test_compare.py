"""Is every difference between two runs or two tables found, none invented, and the worst first?"""

import json
import math
import sys
from pathlib import Path
from shutil import copytree

import pandas as pd
import pytest
from hydra.core.global_hydra import GlobalHydra
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas import DataFrame
from table_builders import made

from experiments import run
from experiments.analysis.differences import COLUMN, ROW, Difference, differences, read_table, strangers
from experiments.compare import main
from experiments.configuration.command_line import run_command

repeatable = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def table(*rows: dict[str, object]) -> DataFrame:
    return DataFrame([made(**row) for row in rows])


def said(entry: Difference) -> tuple[str, str]:
    return entry.row, entry.column


@st.composite
def tables(draw: st.DrawFn) -> DataFrame:
    """Runs of a few methods and bandwidths, with any numbers, some missing."""
    keys = draw(
        st.lists(
            st.tuples(st.sampled_from(["a", "b", "NA", "1e5"]), st.sampled_from([1e6, 2e7, 1e8 / 3])),
            unique=True,
            min_size=1,
        )
    )
    number = st.none() | st.floats(allow_nan=False, allow_infinity=False)
    columns = ["makespan_s", "energy_j"]
    rows = [
        {"method": method, "bandwidth_bit_per_s": rate}
        | {name: draw(number) for name in columns}
        | {"reason": draw(st.sampled_from(["", "out of memory"]))}
        for method, rate in keys
    ]
    return table(*rows).astype(dict.fromkeys(columns, float))


# --- laws ---


@repeatable
@given(tables())
def test_a_table_does_not_differ_from_itself(a: DataFrame) -> None:
    assert differences(a, a) == []


@repeatable
@given(tables(), tables())
def test_swapping_two_tables_swaps_sides_flips_signs_and_keeps_the_order(a: DataFrame, b: DataFrame) -> None:
    there, back = differences(a, b), differences(b, a)
    assert [said(entry) for entry in there] == [said(entry) for entry in back]
    for one, other in zip(there, back, strict=True):
        assert (one.before, one.after) == (other.after, other.before)
        assert (one.relative is None) == (other.relative is None)
        if one.relative is not None and other.relative is not None:
            assert math.copysign(1, one.relative) == -math.copysign(1, other.relative)


@repeatable
@given(tables(), tables(), st.randoms(use_true_random=False))
def test_the_order_of_rows_and_columns_does_not_matter(a: DataFrame, b: DataFrame, random: object) -> None:
    shuffled = b.sample(frac=1, random_state=random.randrange(1000))  # type: ignore[attr-defined]
    assert differences(a, shuffled[sorted(b.columns)]) == differences(a, b)


@repeatable
@given(tables(), tables(), st.floats(0, 2))
def test_a_tolerance_hides_small_changes_and_nothing_else(a: DataFrame, b: DataFrame, tolerance: float) -> None:
    everything = differences(a, b)
    hidden = {said(entry) for entry in everything} - {said(entry) for entry in differences(a, b, tolerance=tolerance)}
    assert hidden == {said(entry) for entry in everything if entry.numbers and entry.size <= tolerance}


@repeatable
@given(tables())
def test_a_table_comes_back_from_csv_to_the_last_bit(tmp_path_factory: pytest.TempPathFactory, a: DataFrame) -> None:
    path = tmp_path_factory.mktemp("table") / "table.csv"
    a.to_csv(path, index=False)
    assert differences(a, read_table(path)) == []


def test_a_table_comes_back_from_parquet(tmp_path: Path) -> None:
    a = table({"makespan_s": 1 / 3}, {"method": "NA", "energy_j": None})
    a.to_parquet(tmp_path / "table.parquet")
    assert differences(a, read_table(tmp_path / "table.parquet")) == []


# --- known answers ---


def test_the_largest_effect_comes_first_with_its_sign_whichever_direction_it_went() -> None:
    before = table({"makespan_s": 2.0, "energy_j": 10.0}, {"method": "pipeline", "makespan_s": 4.0})
    after = table({"makespan_s": 2.2, "energy_j": 2.5}, {"method": "pipeline", "makespan_s": 12.0})
    found = differences(before, after)
    assert [(*said(entry), entry.before, entry.after) for entry in found] == [
        ("pipeline", "makespan_s", 4.0, 12.0),  # 8 s of 12
        ("data", "energy_j", 10.0, 2.5),  # 7.5 J of 30
        ("data", "makespan_s", 2.0, 2.2),
    ]
    assert [entry.relative for entry in found] == pytest.approx([2.0, -0.75, 0.1])


def test_a_second_of_a_minute_weighs_more_than_a_millisecond_that_doubled() -> None:
    def runs(slow_s: float, fast_s: float, bubble: float) -> DataFrame:
        return table({"makespan_s": slow_s, "bubble": bubble}, {"method": "pipeline", "makespan_s": fast_s})

    found = differences(runs(60.0, 0.001, 0.1), runs(61.0, 0.002, 0.9))
    assert [said(entry) for entry in found] == [
        ("data", "makespan_s"),
        ("pipeline", "makespan_s"),
        ("data", "bubble"),  # explains times, however much it moved
    ]


def test_of_two_runs_times_and_energy_stand_above_what_explains_them() -> None:
    def run_of(**values: float) -> DataFrame:
        return DataFrame({"name": [name.replace("__", ".") for name in values], "value": list(values.values())})

    found = differences(
        run_of(simulated__bubble=0.1, simulated__energy_j=20.0, simulated__makespan_s=2.0),
        run_of(simulated__bubble=0.9, simulated__energy_j=21.0, simulated__makespan_s=3.0),
        results={"value"},
    )
    assert [entry.row for entry in found] == ["simulated.makespan_s", "simulated.energy_j", "simulated.bubble"]


def test_a_change_from_zero_is_infinite_and_one_to_zero_is_all() -> None:
    up, down = (differences(table({"energy_j": x}), table({"energy_j": y}))[0] for x, y in ((0.0, 5.0), (5.0, 0.0)))
    assert (up.relative, down.relative) == (math.inf, -1.0)


def test_a_run_that_failed_since_stands_above_all_changes_of_numbers() -> None:
    before = table({"energy_j": 1.0}, {"method": "pipeline"})
    gone = {"makespan_s": None, "samples_per_s": None, "energy_j": None, "status": "failed", "reason": "out of memory"}
    found = differences(before, table({"energy_j": 9.0}, {"method": "pipeline"} | gone))
    assert [entry.column for entry in found] == [
        "energy_j",
        "makespan_s",
        "samples_per_s",
        "reason",  # these are there on one side only
        "energy_j",
        "status",  # a text for a text
    ]
    assert {entry.row for entry in found[:4]} == {"pipeline"}


def test_a_row_of_one_table_only_is_listed_once() -> None:
    found = differences(table({}, {"devices": 4}), table({}, {"devices": 5}))
    assert [(*said(entry), entry.before, entry.after) for entry in found] == [
        ("4 devices", ROW, "there", None),
        ("5 devices", ROW, None, "there"),
    ]


def test_a_row_is_named_by_what_tells_it_from_the_others() -> None:
    rows = [{"bandwidth_bit_per_s": rate, "depth": depth} for rate in (2e7, 1e8) for depth in (1, 2)]
    found = differences(table(*rows), table(*(row | {"energy_j": 1.0} for row in rows)))
    assert {entry.row for entry in found} == {
        "20 Mbit/s, depth 1",
        "20 Mbit/s, depth 2",
        "100 Mbit/s, depth 1",
        "100 Mbit/s, depth 2",
    }


def test_a_result_that_one_table_lacks_is_one_difference() -> None:
    (entry,) = differences(table({}, {"devices": 4}), table({}, {"devices": 4}).drop(columns="energy_j"))
    assert (*said(entry), entry.after) == (COLUMN, "energy_j", None)


def test_an_ignored_column_matches_and_differs_no_more() -> None:
    before, after = table({"study": "old"}), table({"study": "new", "energy_j": 1.0})
    assert strangers(before, after) == ["study"]
    assert differences(before, after, ignore=["study", "energy_j"]) == []


@pytest.mark.parametrize(
    ("after", "options", "message"),
    [
        (table({"depth": 1}), {}, "A has no column 'depth', which identifies the rows of B"),
        (
            table({}, {"energy_j": 1.0}),
            {},
            "B has two rows of the same run: s, demo, bert_small, data, even",
        ),
        (table({}), {"ignore": ["enrgy_j"]}, "no column to ignore: 'enrgy_j' .did you mean 'energy_j'"),
        (table({}), {"tolerance": -0.1}, "the tolerance is -0.1"),
        (table({}), {"tolerance": math.nan}, "the tolerance is nan"),
    ],
)
def test_rows_that_cannot_be_matched_are_refused(after: DataFrame, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        differences(table({}), after, **options)  # type: ignore[arg-type]


# --- files ---


def test_a_file_that_is_no_table_is_refused_with_the_way_out(tmp_path: Path) -> None:
    table({}).to_csv(tmp_path / "table.csv", index=False)
    (tmp_path / "empty.csv").touch()
    (tmp_path / "broken.parquet").write_text("PAR")
    for name, needs, message in [
        ("table.xls", (), r"table.xls does not end like a table"),
        ("tabel.csv", (), r"no such table: .*tabel.csv \(did you mean 'table.csv'"),
        ("empty.csv", (), r"empty.csv cannot be read as a table"),
        ("broken.parquet", (), r"broken.parquet cannot be read as a table"),
        ("table.csv", ["makespan"], r"table.csv has no column 'makespan' \(did you mean 'makespan_s'"),
    ]:
        with pytest.raises(ValueError, match=message):
            read_table(tmp_path / name, needs=needs)


# --- the command ---


def saved(folder: Path, name: str, *rows: dict[str, object]) -> str:
    table(*rows).to_csv(folder / name, index=False)
    return str(folder / name)


def test_the_exit_code_says_whether_tables_are_equal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = saved(tmp_path, "a.csv", {}), saved(tmp_path, "b.csv", {"energy_j": 30.3})
    assert main([a, a]) == 0
    assert "table: equal" in capsys.readouterr().out
    assert main([a, b]) == 1
    said = capsys.readouterr().out
    assert "+0.3 (+1 %)" in said
    assert "by absolute effect, not per cent" in " ".join(said.split())
    assert main([a, b, "--tolerance", "0.01"]) == 0


def test_everything_fits_a_narrow_terminal_and_nothing_is_cut_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    names = [f"{letter * 30}[{letter * 30}]" for letter in "abc"]
    rows = [{"method": name, "model": name.upper()} for name in names]
    before = saved(tmp_path, "before.csv", *rows)
    after = saved(tmp_path, "after.csv", *(row | {"energy_j": 123.456, "reason": "§" * 90} for row in rows))
    assert main([before, after]) == 1
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "123.456" in out
    for letter in "abcABC":
        assert out.count(letter * 3) >= 3
    assert out.count("§") == 3 * 90


def test_numbers_that_six_digits_do_not_tell_apart_are_shown_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([saved(tmp_path, "a.csv", {}), saved(tmp_path, "b.csv", {"energy_j": 30.000000001})]) == 1
    assert "30.000000001" in capsys.readouterr().out


def test_top_shows_so_many_and_counts_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = saved(tmp_path, "a.csv", *({"devices": count} for count in range(1, 6)))
    b = saved(tmp_path, "b.csv", *({"devices": count, "energy_j": 30.0 + count} for count in range(1, 6)))
    assert main([a, b, "--top", "2"]) == 1
    out = capsys.readouterr().out
    assert "5 devices" in out
    assert "3 devices" not in out
    assert "and 3 more (--top 5 shows all)" in out


def test_tables_without_a_common_row_say_which_column_to_ignore(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = saved(tmp_path, "a.csv", {"study": "old"}), saved(tmp_path, "b.csv", {"study": "new"})
    assert main([a, b]) == 1
    assert "--ignore study" in capsys.readouterr().out
    assert main([a, b, "--ignore", "study"]) == 0


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs as the command writes them: data parallelism, and a pipeline."""
    folder = tmp_path_factory.mktemp("results")
    tiny = ("model=bert_tiny_bytes", "workload.batch_samples=8", "workload.micro_batch_samples=4")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("data", "pipeline"):
            GlobalHydra.instance().clear()
            patch.setattr(sys, "argv", ["command", f"results={folder / name}", f"strategy={name}", *tiny])
            run_command(run.run, about="about")
            (made_by,) = (folder / name / "runs").iterdir()
            made_by.rename(folder / f"{name} run")
    return folder


def test_two_runs_are_compared_part_by_part(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(runs / "data run"), str(runs / "pipeline run"), "--top", "1000"]) == 1
    out = capsys.readouterr().out
    titles = [line.rstrip() for line in out.splitlines()]
    assert [title.partition(":")[0] for title in titles if title.endswith((" differ", " differs"))] == [
        "configuration",
        "plan",
        "schedule",
        "metrics",
    ]
    assert "strategy._target_" in out
    assert "rank 0 ALL_REDUCE" in out
    assert "simulated.makespan_s" in out
    assert "versions: equal" in out


def test_a_run_is_equal_to_itself_wherever_and_by_whatever_version_it_was_made(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copytree(runs / "data run", tmp_path / "copy")
    config = (tmp_path / "copy" / "config.yaml").read_text()
    assert str(runs) in config
    (tmp_path / "copy" / "config.yaml").write_text(config.replace(str(runs), "/elsewhere"))
    (tmp_path / "copy" / "versions.json").write_text(json.dumps({"python": "4.0"}))
    assert main([str(runs / "data run"), str(tmp_path / "copy")]) == 0
    assert "4.0" in capsys.readouterr().out


def test_of_several_measured_iterations_the_median_counts(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    path = tmp_path / "measured" / "metrics.json"
    copytree(runs / "data run", path.parent)
    figures = json.loads(path.read_text())
    simulated = figures["iterations"][0]
    figures["iterations"] += [simulated | {"player": "measured", "makespan_s": seconds} for seconds in (7.0, 9.5, 70.0)]
    path.write_text(json.dumps(figures))
    assert main([str(runs / "data run"), str(path.parent), "--top", "1000"]) == 1
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "measured.makespan_s" in line)
    assert "9.5" in line
    assert "only B" in line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data run", "table.csv"], "data run is a folder and"),
        (["data run", "pipelin run"], "pipelin run (did you mean 'pipeline run'"),
        (["study", "study"], "study is no run: it has no config.yaml (a table in it:"),
        (["nothing", "nothing"], "nothing is no run: it has no config.yaml (python -m experiments.run writes runs)"),
        (["damaged", "data run"], "plan.json cannot be read"),
        (["data run", "data run", "--ignore", "seed"], "--ignore seed leaves out a column of a table"),
        (["table.csv", "table.csv", "--top", "0"], "--top is 0"),
        (["table.csv", "table.csv", "--tolerance", "few"], "invalid float value: 'few'"),
        (["table.csv"], "the following arguments are required: B"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    for name in ("data run", "pipeline run"):
        copytree(runs / name, tmp_path / name)
    copytree(runs / "data run", tmp_path / "damaged")
    (tmp_path / "damaged" / "plan.json").write_text("{")
    for name in ("study", "nothing"):
        (tmp_path / name).mkdir()
    saved(tmp_path / "study", "table.csv", {})
    saved(tmp_path, "table.csv", {})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(words)
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert message in error
    assert error.count("\n") == 1


def test_the_kept_tables_of_the_validation_can_be_compared() -> None:
    first, second = (
        Path(__file__).parent.parent / "results/validation" / f"netns_{rate}mbit.csv" for rate in (20, 100)
    )
    a, b = read_table(first), read_table(second)
    assert strangers(a, b) == []
    assert pd.api.types.is_float_dtype(a["measured_s"])
    assert any(entry.column == "measured_s" and entry.relative for entry in differences(a, b))


def test_who_names_no_path_is_told_the_runs_that_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results/runs/strategy=data").mkdir(parents=True)
    with pytest.raises(SystemExit):
        main(["data", "pipeline"])
    assert "no such run or table: data (known: results, results/runs/strategy=data)" in capsys.readouterr().err
