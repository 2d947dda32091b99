"""Do the figures show what the tables say, each number as what it is, without a label on another or cut off?"""

import json
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from shutil import copytree, ignore_patterns

import matplotlib.pyplot as plt
import numpy as np
import pytest
from block_builders import BERT, GPT2, Seconds, boards, infer, played, train
from builders import switched
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from numpy.typing import NDArray
from pandas import DataFrame
from table_builders import made, seeded

from experiments.analysis.drawn import described
from experiments.analysis.repeats import mean_of
from experiments.analysis.tidy import RunStatus, read_table
from experiments.configuration.places import CODE
from experiments.configuration.provenance import MADE, Tree, recorded
from experiments.configuration.studies import studies
from experiments.figures.__main__ import main
from experiments.figures.any_table import default_figure
from experiments.figures.catalogue import Folders, Request, figure_names, load_figure, requests
from experiments.figures.detransformer import curves
from experiments.figures.marks import means, ranged
from experiments.figures.memory_and_power import binned_max, binned_mean
from experiments.figures.one_run.gantt import gantt_figure
from experiments.figures.panels import figure_of, panels
from experiments.figures.parity import pairs
from experiments.figures.speedup_over_bandwidth import over
from experiments.figures.style import METHODS, OPS, label, looks, save
from experiments.figures.time_energy import pareto

repeatable = settings(max_examples=60, deadline=None, derandomize=True, database=None)
_TOUCH_PX = 1.0  # so much may texts overlap: their boxes hold some air
KEPT = Folders(results=CODE / "results")
ALL_KEPT = list(requests(KEPT))


def table(*rows: dict[str, object]) -> DataFrame:
    return DataFrame([made(**row) for row in rows])


FIVE = table(
    {"bandwidth_bit_per_s": 2e7, "samples_per_s": 4.0, "makespan_s": 8.0, "latency_s": 8.0},
    {},
    {"method": "pipeline", "devices": 5, "samples_per_s": 20.0, "makespan_s": 1.6, "energy_j": 50.0},
    {"player": "measured", "makespan_low_s": 1.9, "makespan_high_s": 2.2},
    {"method": "a user's own", "status": "failed", "samples_per_s": None, "makespan_s": None, "energy_j": None},
)
STEPS = DataFrame(
    [
        {"player": player, "device": device, "time_s": time_s, "memory_bytes": 1e9 * time_s, "power_w": 5.0}
        for player, device, time_s in [
            ("simulated", "0 nano", 0.0),
            ("simulated", "0 nano", 2.0),
            ("simulated", "1 pi", 0.0),
            ("measured", "0 nano", 0.0),
            ("measured", "0 nano", 2.2),
        ]
    ]
)


def five_rows(name: str) -> DataFrame:
    """A table that the figure can draw; most draw a study's."""
    return STEPS if name == "memory_and_power" else FIVE


@pytest.fixture(autouse=True)
def _closed() -> object:
    yield
    plt.close("all")


# --- layout ---


def texts(figure: Figure) -> dict[str, Bbox]:
    """What a reader sees written, and where, in pixels."""
    figure.canvas.draw()
    seen = [text for legend in figure.legends for text in legend.get_texts()]
    for ax in figure.axes:
        seen += [ax.xaxis.label, ax.yaxis.label, *ax.texts]
        seen += [text for text in ax.findobj(Text) if text.get_text() and text.get_text() == ax.get_title("left")]
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            seen += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
        if (legend := ax.get_legend()) is not None:
            seen += legend.get_texts()
    return {
        f"{text.get_text()!r} ({place})": text.get_window_extent()
        for place, text in enumerate(seen)
        if text.get_visible() and text.get_text().strip()
    }


def layout_mistakes(figure: Figure) -> list[str]:
    """Texts on each other or cut off by the edge of the figure, in words."""
    boxes, page = texts(figure), figure.bbox
    assert len(boxes) > 5, "a figure has labels"
    cut = [
        f"{name} is cut off"
        for name, box in boxes.items()
        if box.x0 < page.x0 - _TOUCH_PX
        or box.x1 > page.x1 + _TOUCH_PX
        or box.y0 < page.y0 - _TOUCH_PX
        or box.y1 > page.y1 + _TOUCH_PX
    ]
    return cut + [
        f"{one} is on {other}"
        for (one, a), (other, b) in combinations(boxes.items(), 2)
        if min(a.x1, b.x1) - max(a.x0, b.x0) > _TOUCH_PX and min(a.y1, b.y1) - max(a.y0, b.y0) > _TOUCH_PX
    ]


def test_the_layout_test_finds_what_it_is_for() -> None:
    figure, ax = plt.subplots(figsize=(3, 2))
    ax.text(0.5, 0.5, "one text")
    ax.text(0.52, 0.52, "another")
    ax.text(0.95, 0.2, "a long text at the edge of the page")
    found = " ".join(layout_mistakes(figure))
    assert "'one text'" in found
    assert "is cut off" in found


@pytest.mark.parametrize("name", figure_names())
def test_every_figure_is_drawn_from_a_table_of_five_rows_without_a_mistake_in_its_layout(name: str) -> None:
    assert layout_mistakes(figure_of(load_figure(name), five_rows(name))) == []


def test_every_standard_figure_is_kept_of_something() -> None:
    kept = {request.stem.name.partition("_netns")[0].partition("_loopback")[0] for request in requests(KEPT)}
    assert kept >= {*figure_names(), "parity", "gantt"}


# --- what they show ---


def drawn(name: str, *rows: dict[str, object]) -> Axes:
    (ax,) = figure_of(load_figure(name), table(*rows)).axes
    return ax


def heights(ax: Axes) -> list[float]:
    """Of the bars, from left to right."""
    bars = [bar for container in ax.containers if isinstance(container, BarContainer) for bar in container]
    assert {bar.get_y() for bar in bars} <= {0.0}
    return [bar.get_height() for bar in sorted(bars, key=lambda bar: bar.get_x())]


def test_bars_are_as_high_as_the_numbers_and_begin_at_zero() -> None:
    ax = drawn("throughput", {"samples_per_s": 4.0, "bandwidth_bit_per_s": 2e7}, {"method": "pipeline"}, {})
    assert heights(ax) == [4.0, 16.0, 16.0]
    assert ax.get_ylim()[0] == 0
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["20", "100"]
    assert ax.get_yscale() == "linear"


def test_bars_are_grouped_by_cluster_where_bandwidth_does_not_vary() -> None:
    ax = drawn("latency", {}, {"cluster": "nanos", "latency_s": 5.0})
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["3 emulated hosts", "3 Jetson Nanos"]


def test_measured_points_carry_their_range_and_published_ones_are_hollow() -> None:
    ax = drawn(
        "throughput",
        {},
        {"player": "measured", "makespan_low_s": 1.6, "makespan_high_s": 2.5, "iterations": 5},
        {"player": "published", "samples_per_s": 10.0},
    )
    measured, published = (container for container in ax.containers if hasattr(container, "has_yerr"))
    (low, high) = measured.lines[2][0].get_segments()[0][:, 1]
    assert (low, high) == pytest.approx((16.0 * 2 / 2.5, 16.0 * 2 / 1.6))
    assert published.lines[0].get_markerfacecolor() == "white"
    assert measured.lines[0].get_markerfacecolor() == METHODS["data"].colour
    assert {"measured: median and range, n = 5 iterations", "published"} <= set(ax.get_legend_handles_labels()[1])


@pytest.mark.parametrize(
    ("status", "marker", "said"),
    [(RunStatus.FAILED, "+", "failed"), (RunStatus.OUT_OF_MEMORY, "x", "OOM: out of memory")],
)
def test_a_failed_run_is_marked_by_why_it_failed_and_no_bar_of_height_zero(status: str, marker: str, said: str) -> None:
    failed = {"method": "pipeline", "status": str(status), "samples_per_s": None}
    ax = drawn("throughput", {}, failed)
    assert heights(ax) == [16.0]
    assert [line.get_marker() for line in ax.lines if len(line.get_xdata()) == 1] == [marker]
    assert said in ax.get_legend_handles_labels()[1]


def test_where_nothing_ran_there_is_nothing_to_read_off() -> None:
    ax = drawn("throughput", {"status": str(RunStatus.OUT_OF_MEMORY), "samples_per_s": None})
    assert list(ax.get_yticks()) == []


def test_what_is_simulated_is_said_and_only_where_something_is() -> None:
    for figure, said in (("throughput", "bars: simulated"), ("scaling_over_devices", "lines: simulated")):
        assert said in drawn(figure, {}).get_legend_handles_labels()[1]
        assert said not in drawn(figure, {"player": "measured"}).get_legend_handles_labels()[1]


def test_clusters_that_start_alike_say_so_once() -> None:
    def places(*clusters: str) -> tuple[list[str], str]:
        ax = drawn("latency", *({"cluster": cluster} for cluster in clusters))
        return [tick.get_text() for tick in ax.get_xticklabels()], ax.get_xlabel()

    assert places("galaxy-a", "galaxy-b") == (["A", "B"], "environment")
    assert places("pool-0-1", "pool-0-2") == (["1", "2"], "cluster pool-0-…")
    assert places("nanos", "demo") == (["3 emulated hosts", "3 Jetson Nanos"], "cluster")


def test_a_speed_up_is_over_the_first_method_at_the_same_bandwidth_by_the_same_player() -> None:
    rows = table(
        {"samples_per_s": 10.0},
        {"method": "pipeline", "samples_per_s": 30.0},
        {"samples_per_s": 8.0, "player": "measured", "makespan_low_s": 1.0, "makespan_high_s": 4.0},
        {"method": "pipeline", "samples_per_s": 32.0, "player": "measured"},
        {"method": "pipeline", "samples_per_s": 99.0, "bandwidth_bit_per_s": 2e7},
    )
    found = over(ranged(rows, "samples_per_s"), "data")
    assert list(found["value"])[:4] == [1.0, 3.0, 1.0, 4.0]
    assert found["value"].isna()[4]  # nothing to compare it with
    assert found["low"].isna().all()  # pipeline was measured once, and data is no faster than itself


@repeatable
@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=12))
def test_the_pareto_front_is_what_no_other_run_beats(points: list[tuple[int, int]]) -> None:
    rows = DataFrame(points, columns=["makespan_s", "energy_j"])
    front = set(pareto(rows).itertuples(index=False, name=None))
    beaten = {a for a in points for b in points if b != a and b[0] <= a[0] and b[1] <= a[1]}
    assert front == set(points) - beaten
    assert len(pareto(rows)) == len(front)


@repeatable
@given(
    st.lists(
        st.tuples(*(st.sampled_from("ab") for _ in range(3)), st.sampled_from([1e7, 1e8]), st.integers(1, 3)),
        unique=True,
        min_size=1,
    )
)
def test_every_run_is_in_one_panel_and_no_panel_has_two_of_a_method_at_one_place(
    keys: list[tuple[object, ...]],
) -> None:
    names = ("model", "cluster", "method", "bandwidth_bit_per_s", "depth")
    rows = table(*(dict(zip(names, key, strict=True)) for key in keys))
    parts = panels(rows, shown=("bandwidth_bit_per_s",))
    assert sorted(index for part in parts.values() for index in part.index) == list(rows.index)
    for part in parts.values():
        assert not part.duplicated(["method", "bandwidth_bit_per_s"]).any()


def test_two_planners_of_one_method_are_two_panels_and_one_each_are_none() -> None:
    both = table({"planner": "even"}, {"planner": "exhaustive", "samples_per_s": 20.0})
    assert list(panels(both)) == ["even", "exhaustive"]
    one_each = table({"planner": "even"}, {"planner": "exhaustive", "method": "pipeline"})
    assert list(panels(one_each)) == ["bert small, 3 emulated hosts"]


@repeatable
@given(st.sets(st.sampled_from([*METHODS, *(f"method {i}" for i in range(14))])))
def test_methods_are_told_apart_without_colour_and_keep_their_look(names: set[str]) -> None:
    found = looks(names)
    assert set(found) == names
    assert len({(look.colour, look.marker) for look in found.values()}) == len(names)
    assert all(found[name] == METHODS[name] for name in names & METHODS.keys())
    assert (
        len({look.marker for look in METHODS.values()})
        == len({look.hatch for look in METHODS.values()})
        == len(METHODS)
    )


@repeatable
@given(st.lists(st.tuples(st.floats(0.01, 2), st.floats(0, 9)), min_size=1, max_size=9), st.integers(1, 7))
def test_bins_keep_the_energy_and_the_peak_of_what_they_sum_up(steps: list[tuple[float, float]], bins: int) -> None:
    lasting_s, amount = np.array(steps).T
    time_s = np.concatenate([[0.0], np.cumsum(lasting_s)])
    amounts = np.append(amount, 0.0)
    edges_s = np.linspace(0, time_s[-1], bins + 1)
    mean, most = (binned(time_s, amounts, edges_s) for binned in (binned_mean, binned_max))
    assert (mean * np.diff(edges_s)).sum() == pytest.approx((amount * lasting_s).sum())
    assert most.max() == amount.max()
    assert (mean <= most + 1e-9).all()


# --- any table ---


def test_repeated_seeds_are_drawn_as_their_mean_with_its_interval_and_said_so() -> None:
    rows = DataFrame([*seeded(1.0, 2.0, 3.0), *seeded(4.0, method="pipeline")])
    figure = figure_of(load_figure("iteration_time"), rows)
    assert layout_mistakes(figure) == []
    (ax,) = figure.axes
    assert heights(ax) == [2.0, 4.0]
    (interval,) = (container for container in ax.containers if hasattr(container, "has_yerr"))
    (low, high) = interval.lines[2][0].get_segments()[0][:, 1]
    assert (low, high) == pytest.approx((2 - 2.484, 2 + 2.484), abs=1e-3)
    assert "mean, 95 % t interval, n = 3" in ax.get_legend_handles_labels()[1]


@repeatable
@given(
    st.lists(
        st.tuples(st.sampled_from([1e7, 1e8]), st.sampled_from("ab"), st.floats(0.5, 2.0), st.booleans()), min_size=1
    )
)
def test_means_of_repeats_are_those_of_each_group_alone(entries: list[tuple[float, str, float, bool]]) -> None:
    rows = table(
        *(
            {"bandwidth_bit_per_s": rate, "method": method, "seed": seed, "value": value if known else None}
            for seed, (rate, method, value, known) in enumerate(entries)
        )
    ).assign(low=0.25, high=np.nan)
    found = means(rows.astype({"value": float}), by="bandwidth_bit_per_s")
    groups: dict[tuple[float, str], list[float | None]] = {}
    for rate, method, value, known in entries:
        groups.setdefault((rate, method), []).append(value if known else None)
    assert list(zip(found["bandwidth_bit_per_s"], found["method"], strict=True)) == list(groups)
    for (_, row), values in zip(found.iterrows(), groups.values(), strict=True):
        assert row["repeats"] == len(values)
        if None in values or len(values) == 1:  # of these no mean is known
            assert row["value"] == values[0] or (np.isnan(row["value"]) and values[0] is None)
            assert row["low"] == 0.25
        else:
            mean = mean_of(values)
            assert row["value"] == pytest.approx(mean.value)
            assert (row["low"], row["high"]) == pytest.approx(
                (mean.value - mean.half_width, mean.value + mean.half_width)
            )


def test_more_panels_than_a_figure_can_hold_are_refused_with_a_way_out_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [
        {"bandwidth_bit_per_s": rate, "w.depth": depth, "w.width": width}
        for rate in (1e7, 1e8)
        for depth in range(70)
        for width in (1, 2)
    ]
    table(*rows).to_csv("mine.csv", index=False)
    assert main(["mine.csv"]) == 2
    said = capsys.readouterr().err
    assert "140 panels, one for each w.depth, w.width, are more than a figure can hold (60)" in said
    way_out = re.search(r"--only (\S+=\S+)\)", said)[1]
    assert way_out == "w.depth=0"
    assert main(["mine.csv", "--only", way_out, "--only", "bandwidth_bit_per_s=10 Mbit/s"]) == 0
    assert len(described(tmp_path / "mine_iteration_time.png")["panels"]) == 1


@pytest.mark.soak
def test_a_hundred_thousand_rows_are_drawn_in_20_seconds_and_400_mb(tmp_path: Path) -> None:
    rates, seeds = range(1, 101), range(1, 251)
    one = table({}, {"method": "pipeline"}, {"method": "tensor"}, {"method": "sequence"})
    rows = one.loc[one.index.repeat(len(rates) * len(seeds))].assign(
        bandwidth_bit_per_s=np.tile(np.repeat(np.array(rates) * 1e6, len(seeds)), len(one)),
        seed=np.tile(seeds, len(one) * len(rates)),
    )
    rows.assign(makespan_s=1 + np.random.default_rng(0).random(len(rows))).to_parquet(tmp_path / "mine.parquet")
    script = """
import resource
from experiments.figures.__main__ import main
assert main(["mine.parquet", "--draw", "iteration_time", "--draw", "time_energy"]) == 0
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True, text=True, timeout=500
    )
    cpu_s, mib = map(float, done.stdout.splitlines()[-1].split())
    assert cpu_s < 20
    assert mib < 400


def test_a_single_seed_is_drawn_without_an_interval() -> None:
    ax = drawn("iteration_time", *seeded(2.0), *seeded(3.0, method="pipeline"))
    assert heights(ax) == [2.0, 3.0]
    assert not [container for container in ax.containers if hasattr(container, "has_yerr")]
    assert not [text for text in ax.get_legend_handles_labels()[1] if "interval" in text]


@pytest.mark.parametrize("name", ["throughput", "speedup_over_bandwidth", "scaling_over_devices", "time_energy"])
def test_every_figure_of_a_study_draws_repeated_seeds_in_one_panel_without_a_mistake_in_its_layout(name: str) -> None:
    rows = [
        row
        for method in ("data", "pipeline")
        for rate in (2e7, 1e8)
        for row in seeded(1.0, 1.1, 1.3, method=method, bandwidth_bit_per_s=rate if "devices" not in name else 1e8)
        if rate == 2e7 or "devices" not in name
    ]
    figure = figure_of(load_figure(name), DataFrame(rows))
    assert len(figure.axes) == 1
    assert layout_mistakes(figure) == []
    assert "mean, 95 % t interval, n = 3" in figure.axes[0].get_legend_handles_labels()[1]


def test_a_speed_up_is_reckoned_seed_by_seed() -> None:
    rows = DataFrame([*seeded(1.0, 2.0), *seeded(2.0, 8.0, method="pipeline")])
    found = over(ranged(rows, "samples_per_s"), "data")
    assert list(found["value"]) == [1.0, 1.0, 0.5, 0.25]


@pytest.mark.parametrize(
    ("rows", "value", "figure", "label"),
    [
        ([{}, {"bandwidth_bit_per_s": 2e7}], "makespan_s", "iteration_time", "bandwidth (Mbit/s)"),
        ([{}, {"cluster": "nanos"}], "latency_s", "latency", "cluster"),
        ([{"w.micro_batch": 4}, {"w.micro_batch": 16}], "makespan_s", "iteration_time", "micro batch"),
        ([{"w.depth": f"a{i}"} for i in range(3)], "makespan_s", "iteration_time", "depth"),
        ([{"devices": count} for count in (2, 3, 4)], "makespan_s", "scaling_over_devices", "devices"),
    ],
)
def test_the_default_figure_suits_what_varied(
    rows: list[dict[str, object]], value: str, figure: str, label: str
) -> None:
    assert default_figure(table(*rows), value) == figure
    (ax,) = figure_of(load_figure(figure), table(*rows)).axes
    assert ax.get_xlabel() == label


def test_many_numbers_are_an_axis_and_no_groups_of_bars() -> None:
    rows = [{"bandwidth_bit_per_s": 1e7 * step, "makespan_s": 1.0 / step} for step in range(1, 10)]
    ax = drawn("iteration_time", *rows)
    assert heights(ax) == []
    assert ax.lines[0].get_xdata()[0] == 10
    assert ax.get_xlabel() == "bandwidth (Mbit/s)"


@pytest.mark.parametrize("word", ["mine", "results/mine", "results/mine/table.csv"])
def test_a_table_without_a_study_is_drawn_where_the_user_is_or_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], word: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results" / "mine").mkdir(parents=True)
    FIVE.to_csv("results/mine/table.csv", index=False)
    assert main([word]) == 0
    assert capsys.readouterr().out == "mine_iteration_time.pdf\n"
    assert Path("mine_iteration_time.png").exists()
    assert main([word, "--draw", "throughput", "--draw", "latency", "--out", "plots"]) == 0
    assert {path.name for path in Path("plots").glob("*.png")} == {"mine_throughput.png", "mine_latency.png"}
    assert not list(Path("results").rglob("*.png"))


# --- the command ---


def study(folder: Path, *, figures: str, more: str = "") -> list[str]:
    """A study ``mine`` with a table, in folders of a user's; the words of the command that draws it."""
    (folder / "conf" / "experiment").mkdir(parents=True)
    (folder / "conf" / "experiment" / "mine.yaml").write_text(f"study: {{name: mine, figures: [{figures}]{more}}}")
    (folder / "results" / "mine").mkdir(parents=True)
    FIVE.to_csv(folder / "results" / "mine" / "table.csv", index=False)
    return ["mine", "--results", str(folder / "results"), "--config-dir", str(folder / "conf")]


_CELL_PX = 8  # images are compared in cells of this size, so that another machine's smoothing of edges is no difference
_CELL_OFF = 0.12  # of the range from black to white: what a cell may differ by, and
_CELLS = 0.02  # what share of the cells may differ by more


def cells(path: Path) -> NDArray[np.float64]:
    """The mean colour of every cell."""
    image = plt.imread(path)[..., :3]
    rows, columns = (size // _CELL_PX for size in image.shape[:2])
    cut = image[: rows * _CELL_PX, : columns * _CELL_PX]
    return cut.reshape(rows, _CELL_PX, columns, _CELL_PX, 3).mean(axis=(1, 3))


def share_off(one: Path, other: Path) -> float:
    """The share of cells in which two images differ; all, if their sizes do."""
    a, b = cells(one), cells(other)
    return 1.0 if a.shape != b.shape else float((np.abs(a - b).max(axis=2) > _CELL_OFF).mean())


def unlike(one: object, other: object) -> bool:
    """Whether what two figures show differs by more than another machine's last digits."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() != other.keys() or any(unlike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) != len(other) or any(unlike(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, float) and isinstance(other, float):
        return one != pytest.approx(other, rel=1e-4, abs=1e-12)
    return one != other


@pytest.mark.parametrize("request_", ALL_KEPT, ids=lambda request: f"{request.of} {request.stem.name}")
def test_a_kept_figure_is_what_its_kept_table_gives_without_a_mistake_in_its_layout(
    request_: Request, tmp_path: Path
) -> None:
    figure = request_.make()
    assert layout_mistakes(figure) == []
    kept, now = request_.stem.with_suffix(".png"), save(figure, tmp_path / "now").with_suffix(".png")
    assert not unlike(described(kept), described(now))
    assert share_off(kept, now) < _CELLS
    assert kept.with_suffix(".pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("column", ["samples_per_s", "method"])
def test_that_test_fails_where_one_cell_of_the_table_is_another(tmp_path: Path, column: str) -> None:
    path = tmp_path / "scaling" / "table.csv"
    path.parent.mkdir()
    kept = read_table(KEPT.results / "scaling" / "table.csv")
    (last, *_) = kept.index[(kept["devices"] == 8) & (kept["method"] == "pipeline_ilp")]
    kept.loc[last, column] = "a method" if column == "method" else 1.001 * kept.loc[last, column]
    kept.to_csv(path, index=False)
    assert main(["scaling", "--results", str(tmp_path)]) == 0
    name = "scaling_over_devices.png"
    assert unlike(described(path.with_name(name)), described(KEPT.results / "scaling" / name))


def test_an_image_of_another_figure_is_told_from_it_also_by_its_looks() -> None:
    one, other = (KEPT.results / "parallelisms" / f"{name}.png" for name in ("throughput", "iteration_time"))
    assert share_off(one, other) > _CELLS
    assert share_off(one, one) == 0


def test_every_kept_figure_is_drawn_by_the_command_and_every_one_that_it_draws_is_kept() -> None:
    drawn_by_it = {request.stem for request in ALL_KEPT}
    for ending in (".png", ".pdf"):
        kept = {path.with_suffix("") for path in KEPT.results.glob(f"*/*{ending}") if path.parent.name != "demo"}
        assert kept == drawn_by_it


def test_drawing_twice_gives_the_same_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("scaling", "hybrid_run"):
        copytree(KEPT.results / folder, tmp_path / folder, ignore=ignore_patterns("*.pdf", "*.png"))
    seen = []
    for _ in range(2):
        assert main(["--results", str(tmp_path)]) == 0
        paths = [Path(line) for line in capsys.readouterr().out.split()]
        seen.append({path: path.read_bytes() for path in (*paths, *(path.with_suffix(".png") for path in paths))})
    assert seen[0] == seen[1]
    assert len(seen[0]) == 6


# --- what made the tables ---

READ = {"published/published.csv"}  # read from papers: nothing makes it


def kept_tables() -> list[str]:
    """Tables and summaries that are kept; profiles are measurements that say themselves where they come from."""
    files = {path for ending in ("csv", "md", "json") for path in KEPT.results.glob(f"*/*.{ending}")}
    runs = {path.parent for path in KEPT.results.glob("*/schedule.txt")}
    of_runs = {path for path in files if path.parent in runs and path.suffix == ".json"}
    beside = {path for path in files if path.name == MADE or path.parent.name in ("profiles", "demo")}
    return sorted(path.relative_to(KEPT.results).as_posix() for path in files - of_runs - beside)


@pytest.mark.parametrize("name", [name for name in kept_tables() if name not in READ])
def test_a_kept_table_says_which_command_made_it_from_which_commit_and_that_the_tree_was_clean(name: str) -> None:
    folder, _, file = name.partition("/")
    entry = recorded(KEPT.results / folder)[file]
    for command in entry["command"].split(" && "):
        python, minus_m, module, *words = shlex.split(command)
        assert (python, minus_m) == ("python", "-m")
        assert find_spec(module) is not None
        assert {study.name for study in studies()} >= {word for word in words if word == folder}
    assert re.fullmatch(r"[0-9a-f]{40}", entry["commit"])
    assert entry["tree"] in (Tree.CLEAN, Tree.NOT_RECORDED, Tree.EARLIER)
    assert entry["tree"] == Tree.NOT_RECORDED or entry["versions"]["python"]


def test_the_commits_that_made_kept_tables_are_in_the_history() -> None:
    def git(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", *words], cwd=CODE, capture_output=True, text=True, check=False)

    if git("rev-parse", "--is-shallow-repository").stdout.strip() != "false":
        pytest.skip("no repository, or one without its history")
    entries = (recorded(KEPT.results / name.partition("/")[0]) for name in kept_tables())
    commits = {entry["commit"] for each in entries for entry in each.values()}
    assert [commit for commit in commits if git("merge-base", "--is-ancestor", commit, "HEAD").returncode] == []


def test_every_entry_is_of_a_file_that_is_kept() -> None:
    entries = {
        f"{made.parent.name}/{name}" for made in KEPT.results.glob(f"*/{MADE}") for name in json.loads(made.read_text())
    }
    assert {name for name in entries if not (KEPT.results / name).exists()} == set()


def test_a_new_figure_is_one_file(tmp_path: Path) -> None:
    words = study(tmp_path, figures="mine_too, latency")
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "mine_too.py").write_text(
        'def draw(rows, ax):\n    ax.plot(rows["bandwidth_bit_per_s"], rows["energy_j"], "o")\n    ax.set_ylabel("J")\n'
    )
    assert main([*words, "--figures", str(tmp_path / "figures")]) == 0
    assert (tmp_path / "results" / "mine" / "mine_too.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "results" / "mine" / "latency.png").exists()


def drawn_with(folder: Path, *rows: dict[str, object]) -> Axes:
    """The study ``mine``, drawn with another one of these rows."""
    study(folder, figures="throughput", more=", with: [other]")
    (folder / "results" / "other").mkdir()
    table(*rows).to_csv(folder / "results" / "other" / "table.csv", index=False)
    (request,) = requests(Folders(results=folder / "results", conf=(folder / "conf",)))
    (ax,) = request.make().axes
    return ax


def points(ax: Axes) -> list[float]:
    """What is drawn as measured or published."""
    marks = (container for container in ax.containers if hasattr(container, "has_yerr"))
    return [float(value) for mark in marks for value in mark.lines[0].get_ydata()]


def test_what_another_study_measured_of_the_same_plan_is_drawn_in_and_what_it_simulated_is_not(tmp_path: Path) -> None:
    same = {"samples_per_s": 15.5, "player": "measured"}
    ax = drawn_with(tmp_path, {"samples_per_s": 14.0}, same)
    assert points(ax) == [16.0, 15.5]  # one of its own, and the other's
    assert main(["mine", "--results", str(tmp_path / "results"), "--config-dir", str(tmp_path / "conf")]) == 0


@pytest.mark.parametrize(
    "unlike",
    [{"placement": "another plan"}, {"profile_hash": "another profile"}, {"method": "tensor"}, {"devices": 5}],
    ids=lambda change: next(iter(change)),
)
def test_what_was_measured_of_another_plan_or_is_predicted_from_another_profile_is_left_out(
    tmp_path: Path, unlike: dict[str, object]
) -> None:
    assert points(drawn_with(tmp_path, {"samples_per_s": 15.5, "player": "measured"} | unlike)) == [16.0]


def test_what_others_published_is_drawn_in_whatever_their_plan_was(tmp_path: Path) -> None:
    published = {"samples_per_s": 12.0, "player": "published", "placement": "unknown", "profile_hash": None}
    assert points(drawn_with(tmp_path, published)) == [16.0, 12.0]


def test_a_panel_in_which_nothing_ran_is_said_in_words_instead() -> None:
    too_large = {
        "model": "opt-2.7b",
        "status": "out_of_memory",
        "latency_s": None,
        "reason": "out of memory: rank 0 needs more",
    }
    figure = figure_of(load_figure("latency"), table({"model": "distilbert"}, too_large))
    assert [ax.get_title("left") for ax in figure.axes] == ["DistilBERT"]
    (legend,) = figure.legends
    assert "OPT-2.7B: out of memory everywhere" in [text.get_text() for text in legend.get_texts()]


@pytest.mark.parametrize(("slowest", "scale"), [(1.0, "linear"), (0.7, "log")])
def test_bars_of_which_one_is_20_times_the_smallest_stand_on_a_logarithmic_axis(slowest: float, scale: str) -> None:
    rows = table({"samples_per_s": 16.0}, {"method": "pipeline", "samples_per_s": slowest}, {"cluster": "nanos"})
    figure = figure_of(load_figure("throughput"), rows)
    assert {ax.get_yscale() for ax in figure.axes} == {scale}
    for ax in figure.axes:
        bottom, top = ax.get_ylim()
        assert bottom < min(heights(ax)) <= max(heights(ax)) < top


def test_planned_in_another_way_a_method_looks_alike_unless_both_stand_in_one_figure() -> None:
    assert looks(["pipeline_ilp"])["pipeline_ilp"] == METHODS["pipeline"]
    both = looks(["pipeline_ilp", "pipeline_exhaustive", "one_device"])
    assert both["pipeline_ilp"] != both["pipeline_exhaustive"]
    assert next(iter(both)) == "one_device"  # what speed-ups are over


@pytest.mark.parametrize(
    ("name", "said"),
    [("time_energy", "from measured times"), ("memory_and_power", "memory, from measured times")],
)
def test_what_is_computed_from_measured_times_is_not_called_measured(name: str, said: str) -> None:
    figure = figure_of(load_figure(name), five_rows(name))
    figure.canvas.draw()
    seen = [text.get_text() for text in figure.findobj(Text)]
    assert said in seen
    assert "measured" not in seen
    assert {ax.get_ylabel() for ax in figure.axes} <= {
        "computed energy (J)",
        "computed memory (MB)",
        "computed power (W)",
        "",
    }


# --- parity ---


def test_every_run_that_both_players_made_is_a_point_with_its_error() -> None:
    rows = table(
        {"makespan_s": 2.0},
        {"makespan_s": 2.5, "player": "measured", "makespan_low_s": 2.4, "makespan_high_s": 2.6},
        {"method": "pipeline", "makespan_s": 3.0},
    )
    (pair,) = pairs(rows)
    assert (pair.strategy, pair.simulated_s, pair.measured_s) == ("data", 2.0, 2.5)
    assert pair.error == pytest.approx(-0.2)
    assert pair.spread == pytest.approx(0.08)
    figure = figure_of(load_figure("parity"), rows)
    above, below = figure.axes
    assert (above.get_xscale(), above.get_yscale()) == ("log", "log")
    drawn_at = [container.lines[0].get_xydata().tolist() for ax in (above, below) for container in ax.containers]
    assert drawn_at == [[[2.5, 2.0]], [[2.5, pytest.approx(-20)]]]


def test_two_runs_of_one_plan_and_none_of_both_players_are_refused() -> None:
    with pytest.raises(ValueError, match="two simulated runs are the same"):
        pairs(table({}, {}))
    with pytest.raises(ValueError, match="no run was made by both players"):
        figure_of(load_figure("parity"), table({}))


def test_the_parity_of_the_rehearsed_runs_says_what_their_summary_says() -> None:
    (request,) = (each for each in requests(KEPT) if each.of == "galaxy_measured")
    (verdict,) = request.make().axes[0].texts
    kept = json.loads((KEPT.results / "galaxy" / "summary.json").read_text())["validation"]
    assert verdict.get_text() == (
        f"n = {kept['runs']} plans\nmedian |error| {100 * kept['median_abs_error']:.1f} %\n"
        f"worst {100 * kept['worst_abs_error']:.1f} %\nKendall's τ {kept['kendall_tau']:.2f}"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mien"], "no results of 'mien' in .* .did you mean 'mine'"),
        (["--results", "nowhere"], "no such results folder: nowhere"),
        (
            ["parallelisms", "--results", "empty"],
            "no table empty/parallelisms/table.csv .run python -m experiments.run -m ",
        ),
        (["--results", "empty"], "empty holds no table to draw .run a study, then collect it"),
        (["--results", "swept"], "swept holds no table to draw .name a sweep: mine"),
        (["broken"], "broken/table.csv has no column 'samples_per_s' .did you mean 'samples_s'"),
        (["lonely"], "drawn with results/absent/table.csv, which is not there"),
        (["broken", "--draw", "throghput"], "unknown figure 'throghput' .did you mean 'throughput'"),
        (["--draw", "throughput"], "--draw, --only and --out need a table to draw"),
        (["broken", "--only", "batch_samples"], "--only 'batch_samples' is no COLUMN=VALUE"),
        (["broken", "--only", "btch_samples=8"], "has no column 'btch_samples' .did you mean 'batch_samples'"),
        (["broken", "--only", "bandwidth_bit_per_s=2 Mbit/s"], "has no run of bandwidth_bit_per_s 2 Mbit/s .did you"),
        (["misspelt"], "unknown figure 'throughputs' .did you mean 'throughput'"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    study(tmp_path, figures="throughput")
    (tmp_path / "empty").mkdir()
    (tmp_path / "swept" / "sweeps" / "mine").mkdir(parents=True)
    (tmp_path / "swept" / "sweeps" / "mine" / "runs.parquet").touch()
    for name, entries in {
        "broken": "figures: [throughput]",
        "lonely": "figures: [throughput], with: [absent]",
        "misspelt": "figures: [throughputs]",
    }.items():
        if name in words:
            (tmp_path / "conf" / "experiment" / f"{name}.yaml").write_text(f"study: {{name: {name}, {entries}}}")
            (tmp_path / "results" / name).mkdir()
            FIVE.rename(columns={"samples_per_s": "samples_s"} if name == "broken" else {}).to_csv(
                tmp_path / "results" / name / "table.csv", index=False
            )
    assert main([*words, "--config-dir", "conf"]) == 2
    error = capsys.readouterr().err
    assert re.search(said, error), error
    assert error.count("\n") == 1


# --- what ranks that divide blocks do ---


def test_whatever_travels_between_blocks_has_a_look_of_its_own() -> None:
    figure = gantt_figure(
        [
            (name, [played(schedule, GPT2, boards(3, switched(3, bytes_per_s=1e5)))])
            for name, schedule in {
                "tensor": infer(GPT2, "tensor", 3, new_tokens=2),
                "sequence": train(GPT2, "sequence", 3),
                "hybrid": train(GPT2, "hybrid_model", 3),
            }.items()
        ]
    )
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "forward",
        "backward",
        "update",
        "gradient",
        "tile",
        "partial sum",
        "keys and values",
        "vocabulary",
        "all-reduce",
    ]
    assert len(set(OPS.values())) == len(OPS)


def test_a_bar_tells_its_tile_or_its_block_where_there_is_room() -> None:
    """Exiting products and MLPs take all the time here."""
    seconds = Seconds(
        lambda block, _op, tokens, _share: tokens * (block[:3] == "enc" and block.endswith((".out", "/mlp")))
    )
    for overlap, expected in ((True, {"0", "1", "2"}), (False, {"mlp"})):
        trace = played(infer(BERT, "hybrid_model", 3, overlap=overlap), BERT, boards(3), seconds)
        (ax,) = gantt_figure([("hybrid", [trace])]).axes
        *labels, _ = (text.get_text() for text in ax.texts)
        assert set(labels) == expected


def test_published_curves_stand_hollow_beside_what_is_simulated_for_them() -> None:
    table = curves(CODE / "results" / "published" / "costs.csv")
    rates = [125, 250, 500, 750, 1000]
    assert {(row.method, row.player) for row in table.itertuples()} == {
        (method, player) for method in ("tensor", "sequence") for player in ("simulated", "published")
    }
    for _, each in table.groupby(["method", "player"]):
        assert sorted(each["mbit_per_s"]) == rates
    figure = figure_of(load_figure("detransformer"), table)
    assert layout_mistakes(figure) == []
    hollow = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "white" and len(line.get_xdata())]
    published = {round(value, 2) for line in hollow for value in line.get_ydata()}
    assert published == {0.43, 0.48, 0.59, 0.91, 1.56, 0.4, 0.44, 0.53, 0.78, 1.29}


def test_over_one_device_seeds_are_a_mean_with_its_interval_of_each_seeds_speed_up() -> None:
    """Half and twice as fast as one device: a mean of 1.25, of two seeds."""
    rows = [
        {
            "cluster": "demo",
            "model": "bert",
            "bandwidth_bit_per_s": 1e8,
            "method": method,
            "player": "simulated",
            "status": "done",
            "seed": seed,
            "samples_per_s": speed,
        }
        for seed, one, other in ((0, 1.0, 0.5), (1, 4.0, 8.0))
        for method, speed in (("one_device", one), ("data", other))
    ]
    figure = figure_of(load_figure("over_one_device"), DataFrame(rows), source="test")
    (ax,) = figure.axes
    marks = [line.get_ydata().tolist() for line in ax.lines if line.get_label() == label("data")]
    assert marks == [[1.25]]
    texts = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert "mean, 95 % t interval, n = 2" in texts
