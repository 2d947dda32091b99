"""Can the tables be put in a paper: the right cells, the best in bold, every reason and unit, and valid markup?"""

import doctest
import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas import DataFrame
from scipy import stats
from table_builders import made, seeded

from edgesim.metrics import Metrics
from edgesim.plan import Plan, Stage
from experiments.analysis import names, repeats, tidy
from experiments.analysis.placements import in_words
from experiments.tables import latex, markdown, number
from experiments.tables.__main__ import main
from experiments.tables.latex import bold, escape, latex_number
from experiments.tables.methods import MethodsTable, methods_table
from experiments.tables.metrics import metrics_table
from experiments.tables.number import one_unit
from experiments.tables.paper import FORMATS, methods_latex, methods_markdown
from experiments.tables.ranking import RANKING_FORMATS, ranking
from experiments.tables.sources import source

repeatable = settings(max_examples=100, deadline=None, derandomize=True, database=None)


def laid_out(*rows: dict[str, object], value: str = "samples_per_s") -> MethodsTable:
    return methods_table(DataFrame([made(**row) for row in rows]), value=value)


def cells(table: MethodsTable) -> list[list[str]]:
    """The figures as they stand in Markdown, without their headings."""
    lines = [line for line in methods_markdown(table).splitlines() if line.startswith("| ")]
    return [line.strip("| ").split(" | ")[len(table.heads) :] for line in lines[1:]]


# --- what stands where ---


def test_a_row_per_model_cluster_and_bandwidth_and_a_column_per_method() -> None:
    table = laid_out(
        *({"method": method, "bandwidth_bit_per_s": rate} for method in ("pipeline", "data") for rate in (1e8, 2e7)),
        {"cluster": "nanos", "method": "data"},
    )
    assert table.methods == ("data", "pipeline")
    assert table.heads == ("model", "cluster", "bandwidth (Mbit/s)", "origin")
    assert [headings for headings, _ in table.rows] == [
        ("bert_small", "demo", "20", "simulated"),
        ("bert_small", "demo", "100", "simulated"),
        ("bert_small", "nanos", "100", "simulated"),
    ]


@pytest.mark.parametrize(
    ("value", "bold"), [("samples_per_s", 1), ("makespan_s", 0), ("energy_j", 0), ("peak_bytes", 0)]
)
def test_the_best_is_the_highest_throughput_and_the_lowest_of_all_costs(value: str, bold: int) -> None:
    table = laid_out({"method": "a", value: 1.0}, {"method": "b", value: 2.0}, value=value)
    assert [cell.best for cell in table.rows[0][1]] == [place == bold for place in (0, 1)]


def test_what_the_digits_do_not_tell_apart_is_bold_together() -> None:
    table = laid_out(*({"method": name, "samples_per_s": x} for name, x in (("a", 10.01), ("b", 10.02), ("c", 9.9))))
    assert cells(table) == [["**10.0**", "**10.0**", "9.90"]]


def test_a_method_without_a_rival_is_not_the_best() -> None:
    assert cells(laid_out({"method": "a"}, {"method": "b", "status": "failed", "samples_per_s": None})) == [
        ["16.0", "failed<sup>1</sup>"]
    ]


def test_simulated_measured_and_published_numbers_are_never_in_one_row() -> None:
    table = laid_out(
        {"method": "a", "samples_per_s": 1.0},
        {"method": "b", "samples_per_s": 2.0},
        {"method": "a", "samples_per_s": 3.0, "player": "measured"},
        {"method": "b", "samples_per_s": 4.0, "player": "published", "profile_origin": None},
    )
    assert [headings[-1] for headings, _ in table.rows] == ["measured", "published", "simulated"]
    assert cells(table) == [["3.00", "–"], ["–", "4.00"], ["1.00", "**2.00**"]]
    assert "simulated: with profiles that are measured" in table.legend


def test_joules_of_an_executed_run_are_said_to_be_computed_from_its_times() -> None:
    rows = ({}, {"player": "measured"})
    origins = [
        [headings[-1] for headings, _ in laid_out(*rows, value=value).rows] for value in ("energy_j", "makespan_s")
    ]
    assert origins == [["from measured times", "simulated"], ["measured", "simulated"]]


def test_memory_is_shown_once_and_energy_for_the_times_of_either_player() -> None:
    simulated = Metrics(
        player="simulated",
        makespan_s=2.0,
        samples_per_s=16.0,
        latency_s=2.0,
        bubble=0.5,
        utilisation=(0.5,),
        sent_bytes=(1000,),
        peak_bytes=(4e6,),
        energy_by_state_j=({},),
        energy_j=30.0,
        energy_per_sample_j=1.0,
        edp_js=60.0,
        samples_per_charge=(None,),
        carbon_g=None,
        energy_source="assumed: a board",
        carbon_source=None,
        profile_hash=None,
    )
    table = metrics_table([simulated, replace(simulated, player="measured", energy_j=31.0)])
    heads = [column.header for column in table.columns]
    assert heads[-2:] == ["computed memory", "computed energy"]
    assert [list(column.cells) for column in table.columns[-2:]] == [["4 MB", ""], ["30 J", "31 J"]]
    assert "1 J from simulated times, 1 J from measured times" in str(table.caption)


def test_failed_runs_share_the_footnote_of_their_reason() -> None:
    failed = {"status": "failed", "samples_per_s": None}
    table = laid_out(
        {"method": "a"} | failed | {"reason": "slow: out of memory"},
        {"method": "b"} | failed | {"reason": "rank 2: cannot be reached"},
        {"method": "c"} | failed | {"reason": "slow: out of memory"},
        {"method": "d"} | failed,
    )
    assert table.reasons == ("slow: out of memory", "rank 2: cannot be reached", "no reason is known")
    assert [cell.note for cell in table.rows[0][1]] == [1, 2, 1, 3]
    assert "- <sup>2</sup> rank 2: cannot be reached\n" in methods_markdown(table)
    assert r"{\footnotesize \textsuperscript{2}rank 2: cannot be reached\par}" in methods_latex(table)


def test_not_run_and_not_known_are_told_apart_and_explained() -> None:
    rows = ({"method": "a", "energy_j": None}, {"method": "b"}, {"method": "b", "cluster": "nanos"})
    table = laid_out(*rows, value="energy_j")
    assert cells(table) == [["n/a", "30.0"], ["–", "30.0"]]
    assert {"–: not run", "n/a: not known"} <= set(table.legend)


def test_what_tells_runs_of_a_method_apart_heads_rows_and_nothing_is_averaged() -> None:
    small = {"batch_samples": 16, "samples_per_s": 8.0}
    table = laid_out(small, {"batch_samples": 32}, {"method": "b", "planner": "x", "samples_per_s": 9.0})
    assert table.heads == ("model", "cluster", "bandwidth (Mbit/s)", "batch samples", "origin")
    assert [headings[3] for headings, _ in table.rows] == ["16", "32"]
    assert cells(table) == [["–", "8.00"], ["9.00", "**16.0**"]]


def test_the_column_stands_in_one_unit_that_its_head_names() -> None:
    table = laid_out({"method": "a"}, {"method": "b", "peak_bytes": 4.0e8}, value="peak_bytes")
    assert cells(table) == [["2.50", "**0.400**"]]
    assert "| a (GB) | b (GB) |" in methods_markdown(table)
    assert r"\multicolumn{2}{c}{peak memory (GB)}" in methods_latex(table)


def test_a_run_without_a_method_goes_by_its_strategy_and_planner() -> None:
    assert laid_out({"method": None}).methods == ("data, even",)


def test_a_published_number_may_have_no_bandwidth() -> None:
    rows = ({"bandwidth_bit_per_s": None, "player": "published"}, {"bandwidth_bit_per_s": float("inf")}, {})
    assert [headings[2] for headings, _ in laid_out(*rows).rows] == ["100", "inf", "–"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{}, {"samples_per_s": 3.0}], "two runs are the same: data, bert_small, demo, 100 Mbit/s, simulated"),
        ([{"status": "faild"}], "unknown status 'faild' of data, .*did you mean 'failed'"),
    ],
)
def test_runs_that_cannot_be_laid_out_are_refused(rows: list[dict[str, object]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        laid_out(*rows)


def test_a_table_without_runs_is_refused() -> None:
    with pytest.raises(ValueError, match="holds no run"):
        methods_table(DataFrame([made()]).iloc[:0], value="energy_j")


RUNS = [made(method=m, cluster=c, energy_j=e) for m, c, e in zip("abcab", "xxxyy", range(5), strict=True)]


@repeatable
@given(st.permutations(RUNS))
def test_the_order_of_runs_does_not_matter(rows: list[dict[str, object]]) -> None:
    one, other = (methods_table(DataFrame(some), value="energy_j") for some in (rows, RUNS))
    assert one == other


# --- repeated seeds ---


def test_repeated_seeds_are_a_mean_and_its_t_interval_and_the_legend_says_of_how_many() -> None:
    table = methods_table(DataFrame([*seeded(1.0, 2.0, 3.0), *seeded(4.0, method="pipeline")]), value="makespan_s")
    assert table.heads == ("model", "cluster", "bandwidth (Mbit/s)", "origin")
    # t(97.5 %, 2) = 4.303 and s = 1, so 4.303 / sqrt(3).
    assert cells(table) == [["**2.00** ± 2.5", "4.00"]]
    assert "±: 95 % t interval of the mean over seeds, n = 3" in table.legend
    assert r"\textbf{2.00} $\pm$ 2.5" in methods_latex(table)


def test_a_single_seed_has_no_interval() -> None:
    table = methods_table(DataFrame(seeded(2.0)), value="makespan_s")
    assert cells(table) == [["2.00"]]
    assert "±" not in methods_markdown(table)


def test_seeds_that_failed_are_told_and_the_mean_is_of_the_others() -> None:
    failed = made(seed=9, status="failed", makespan_s=None, reason="killed")
    table = methods_table(DataFrame([*seeded(1.0, 3.0), failed]), value="makespan_s")
    assert cells(table) == [["2.00 ± 13<sup>1</sup>"]]
    assert table.reasons == ("killed",)
    assert "±: 95 % t interval of the mean over seeds, n = 2" in table.legend


def test_what_differs_in_more_than_its_seed_is_not_averaged() -> None:
    rows = [*seeded(1.0, 2.0, depth=1), *seeded(3.0, 4.0, depth=2)]
    table = methods_table(DataFrame(rows), value="makespan_s")
    assert [headings[3] for headings, _ in table.rows] == ["1", "2"]
    with pytest.raises(ValueError, match="two runs are the same"):
        methods_table(DataFrame([*seeded(1.0), *seeded(2.0)]), value="makespan_s")


@repeatable
@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=8))
def test_the_interval_is_that_of_scipy(values: list[float]) -> None:
    mean = repeats.mean_of(values)
    assert mean.half_width is not None
    if np.std(values) > 1e-6:
        low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
        assert (mean.value - mean.half_width, mean.value + mean.half_width) == pytest.approx((low, high))


# --- the best runs ---


def test_the_best_runs_come_first_and_only_what_varied_heads_them() -> None:
    rows = DataFrame(
        [
            made(),
            made(method="pipeline", strategy="pipeline", planner="ilp", makespan_s=1.0, energy_j=None),
            made(bandwidth_bit_per_s=2e7, makespan_s=9.0),
            made(method="x", status="failed", makespan_s=None, reason="slow: out of memory"),
        ]
    )
    best = ranking(rows, value="makespan_s", top=2)
    assert best.title == "the best 2 of 3, by simulated time per iteration"
    assert best.heads == ("method", "bandwidth", "time (s)", "samples/s", "energy (J)", "memory (GB)")
    assert best.lines == (
        ("pipeline", "100 Mbit/s", "1.00", "16.0", "–", "2.50"),
        ("data parallel", "100 Mbit/s", "2.00", "16.0", "30.0", "2.50"),
    )
    assert best.failures == ("1 of 4 runs failed: slow: out of memory",)
    assert [line[1] for line in ranking(rows, value="samples_per_s", top=3).lines] == ["100 Mbit/s"] * 2 + ["20 Mbit/s"]


def test_failed_runs_are_counted_with_the_most_common_reason() -> None:
    reasons = ["out of memory", "killed", "out of memory"]
    rows = [made(status="failed", makespan_s=None, reason=reason, depth=place) for place, reason in enumerate(reasons)]
    best = ranking(DataFrame([made(depth=9), *rows]), value="makespan_s", top=5)
    assert best.failures == ("3 of 4 runs failed, most often (2): out of memory",)
    assert [line[0] for line in best.lines] == ["data parallel"]
    assert ranking(DataFrame(rows), value="makespan_s", top=5).lines == ()


def test_repeated_seeds_are_one_line_of_the_best() -> None:
    best = ranking(DataFrame([*seeded(1.0, 3.0), *seeded(1.9, method="pipeline")]), value="makespan_s", top=5)
    assert [line[:2] for line in best.lines] == [("pipeline", "1.90"), ("data parallel", "2.00 ± 13")]
    assert best.notes[0] == "±: 95 % t interval of the mean over seeds, n = 2; other columns: means"


def test_of_executed_runs_the_measured_ones_are_ranked() -> None:
    rows = [
        made(method=method, player=player, makespan_s=seconds)
        for method, player, seconds in (
            ("a", "simulated", 1.0),
            ("a", "measured", 3.0),
            ("b", "simulated", 2.0),
            ("b", "measured", 2.5),
        )
    ]
    best = ranking(DataFrame(rows), value="makespan_s", top=5)
    assert best.title.endswith("by measured time per iteration")
    assert [line[0] for line in best.lines] == ["b", "a"]


# --- numbers ---


@repeatable
@given(st.floats(1e-300, 1e300) | st.floats(-1e300, -1e-300))
def test_a_number_in_a_table_is_within_half_of_its_third_digit(value: float) -> None:
    assert float(number.number(value)) == pytest.approx(value, rel=0.005, abs=0)


@repeatable
@given(st.lists(st.floats(1e-9, 1e14), min_size=1), st.sampled_from(["s", "B", "J", "bit/s"]))
def test_the_unit_suits_the_middle_of_the_values(values: list[float], base: str) -> None:
    unit, worth = one_unit(values, base)
    assert unit.endswith(base)
    assert min(values) / worth < 1000
    assert max(values) / worth >= 0.9


@pytest.mark.parametrize("module", [latex, markdown, names, number, repeats, tidy], ids=lambda module: module.__name__)
def test_the_examples_in_docstrings_are_true(module: ModuleType) -> None:
    outcome = doctest.testmod(module)
    assert outcome.attempted
    assert not outcome.failed


# --- markup ---

COMMANDS = {
    r"\textbackslash{}": "\\",
    r"\textasciitilde{}": "~",
    r"\textasciicircum{}": "^",
    r"\textless{}": "<",
    r"\textgreater{}": ">",
    r"\textbar{}": "|",
    "{[}": "[",
    "{*}": "*",
    **{f"\\{special}": special for special in "&%$#_{}"},
}
COMMAND = re.compile("|".join(map(re.escape, COMMANDS)))
awkward = st.text(st.sampled_from("ab \n\t\\{}[]&%$#_~^<>|*-é\x1b") | st.characters())


@repeatable
@given(awkward)
def test_escaping_for_latex_leaves_no_bare_special_character(text: str) -> None:
    assert not set(COMMAND.sub("", escape(text))) & set("\\{}[*&%$#_~^<>|\n")


@repeatable
@given(awkward)
def test_what_is_escaped_for_latex_can_be_read_back(text: str) -> None:
    shown = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    assert COMMAND.sub(lambda command: COMMANDS[command[0]], escape(text)) == shown


@repeatable
@given(awkward, awkward, awkward)
def test_whatever_the_names_every_line_has_its_cells_and_every_brace_its_end(a: str, b: str, reason: str) -> None:
    table = laid_out({"model": a, "cluster": b}, {"method": f"x{a}", "status": "failed", "reason": reason})
    text = methods_latex(table)
    columns = len(table.heads) + len(table.methods)
    body = text[text.index(r"\cmidrule") : text.index(r"\bottomrule")].replace(r"\&", "")
    assert {line.count("&") for line in body.splitlines() if line.endswith(r"\\")} == {columns - 1}
    bare = text.replace(r"\{", "").replace(r"\}", "")
    assert bare.count("{") == bare.count("}")
    lines = [re.sub(r"\\.", "", line) for line in methods_markdown(table).splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(table.rows)
    assert {line.count("|") for line in lines} == {columns + 1}


def test_a_number_in_latex_has_its_minus_its_power_and_its_infinity_in_mathematics() -> None:
    assert [latex_number(text) for text in ("-1.50e7", "-3.00", "inf", "0.120")] == [
        r"$-1.50 \times 10^{7}$",
        "$-3.00$",
        r"$\infty$",
        "0.120",
    ]
    assert bold("1") == r"\textbf{1}"
    assert bold("$-1$") == r"\textbf{\boldmath $-1$}"


def test_a_latex_table_is_what_booktabs_expects() -> None:
    rows = ({"method": "a_1"}, {"method": "b", "samples_per_s": 9.0}, {"model": "vgg", "method": "b"})
    assert methods_latex(laid_out(*rows)) == (
        r"""% needs \usepackage{booktabs}
\begin{table}
  \centering
  \caption{Throughput (samples/s) by method; the highest of each row in bold.}
  \label{tab:samples-per-s}
  \begin{tabular}{llllrr}
    \toprule
    & & & & \multicolumn{2}{c}{throughput (samples/s)} \\
    \cmidrule(lr){5-6}
    model & cluster & bandwidth (Mbit/s) & origin & a\_1 & b \\
    \midrule
    bert\_small & demo & 100 & simulated & \textbf{16.0} & 9.00 \\
    \addlinespace
    vgg & demo & 100 & simulated & – & 16.0 \\
    \bottomrule
  \end{tabular}
  \par\smallskip{\footnotesize –: not run\par}
  \par\smallskip{\footnotesize simulated: with profiles that are measured\par}
\end{table}
"""
    )


# --- the command ---


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_command_prints_the_table_of_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, ending: str
) -> None:
    frame = DataFrame([made(), made(method="pipeline", energy_j=20.0)])
    path = tmp_path / f"table.{ending}"
    frame.to_csv(path, index=False) if ending == "csv" else frame.to_parquet(path)
    main([str(path), "--value", "energy_j", "--format", name])
    assert capsys.readouterr().out == FORMATS[name](methods_table(frame, value="energy_j"))


@pytest.mark.parametrize("word", ["mine", "results/mine", "results/mine/table.csv"])
def test_a_table_is_known_by_its_name_its_folder_or_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], word: str
) -> None:
    monkeypatch.chdir(tmp_path)
    frame = DataFrame([made(), made(method="pipeline", makespan_s=1.0)])
    (tmp_path / "results" / "mine").mkdir(parents=True)
    frame.to_csv("results/mine/table.csv", index=False)
    assert source(word).name == "mine"
    main([word])
    assert capsys.readouterr().out == methods_markdown(methods_table(frame, value="makespan_s"))
    for form in FORMATS:
        main([word, "--best", "1", "--format", form])
        best = ranking(frame, value="makespan_s", top=1)
        assert capsys.readouterr().out == RANKING_FORMATS[form](best)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mien"], "no sweep, folder or table 'mien' (did you mean 'mine'"),
        (["results"], "results holds no sweep and no table.csv (in it: results/mine)"),
        (["empty"], "empty holds no sweep and no table.csv"),
        (["table.csv", "--best", "0"], "0 best runs cannot be shown (at least one)"),
        (["table.csv", "--value", "energy"], "unknown value 'energy' (did you mean 'energy_j'"),
        (["table.csv", "--format", "latx"], "unknown format 'latx' (did you mean 'latex'"),
        (["table.csv", "--value", "peak_bytes"], "table.csv has no column 'peak_bytes'"),
        (["tabel.csv"], "no such table: tabel.csv (did you mean 'table.csv'"),
        ([], "the following arguments are required: table"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    DataFrame([made()]).drop(columns="peak_bytes").to_csv("table.csv", index=False)
    Path("empty").mkdir()
    Path("results/mine").mkdir(parents=True)
    DataFrame([made()]).to_csv("results/mine/table.csv", index=False)
    with pytest.raises(SystemExit) as ended:
        main(words)
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert message in error
    assert error.count("\n") == 1


def test_a_plan_in_words_tells_what_ranks_share() -> None:
    def words(**shares: tuple[int, ...]) -> str:
        ranks = tuple(range(len(next(iter(shares.values())))))
        fields = {"samples": (4,) * len(ranks)} | shares
        stage = Stage(layers=(0, 6), ranks=ranks, in_flight=1, **fields)  # type: ignore[arg-type]
        plan = Plan(
            model="m",
            stages=(stage,),
            micro_batches=1,
            planner="by hand",
            micro_batch_samples=4 if len(shares) > 1 or "tokens" in shares else sum(stage.samples),
        )
        return in_words(plan, ["fast", "slow"])

    assert words(samples=(5, 3)) == "layers 0–5 on fast (5), slow (3)"
    assert words(samples=(4,)) == "layers 0–5 on fast"
    assert words(tokens=(20, 12)) == "layers 0–5 on fast (20 tokens), slow (12 tokens)"
    assert words(heads=(8, 4), columns=(300, 100), tokens=(16, 16)) == (
        "layers 0–5 on fast (8 heads, 300 columns, 16 tokens), slow (4 heads, 100 columns, 16 tokens)"
    )
