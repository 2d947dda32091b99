"""Do the figures of energy show what their tables say, and call no joule measured?"""

from types import ModuleType
from typing import Any, cast

import matplotlib.pyplot as plt
import pytest
from matplotlib.axes import Axes
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.text import Text
from pandas import DataFrame

from experiments.analysis.names import DP, EVEN, EVEN_AS_ASKED, PP, SP, TP
from experiments.analysis.tidy import read_table
from experiments.configuration.command_line import composed
from experiments.configuration.places import CODE
from experiments.configuration.setup import read_setup
from experiments.energy_study.break_even import break_even_tokens
from experiments.figures.energy import (
    energy_by_state,
    energy_fronts,
    energy_over_bandwidth,
    energy_over_batches,
    executed_by_state,
    order_over_watts,
)
from experiments.figures.energy.ways import as_ways, in_order
from experiments.figures.panels import Drawing, figure_of

STATES = {"idle_j": 30.0, "waiting_j": 10.0, "compute_j": 40.0, "transmit_j": 15.0, "receive_j": 5.0}


def run(method: str, **changes: Any) -> dict[str, Any]:
    row = {"cluster": "energy-study-gpu", "model": "bert-base-untied", "method": method, "bandwidth_bit_per_s": 1e8}
    more = {"batch_samples": 10, "status": "done", "energy_j": 100.0, "energy_per_sample_j": 10.0, **STATES}
    return row | more | changes


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def test_a_bar_is_as_high_as_its_states_together_and_what_did_not_fit_says_so() -> None:
    rows = DataFrame([run(PP), run(DP, status="out_of_memory", energy_j=None)])
    (rows,) = energy_by_state.panels(rows).values()
    _, ax = plt.subplots()
    energy_by_state.draw(rows, ax)
    tops = [bar.get_y() + bar.get_height() for container in ax.containers for bar in container]
    assert max(tops) == pytest.approx(10.0)
    said = {text.get_text() for text in ax.texts}
    assert {"10", " out of memory"} == said
    plt.close()


def test_an_even_cut_in_the_workloads_micro_batches_is_a_way_of_its_own() -> None:
    rows = as_ways(DataFrame([run(EVEN) | {"planner.micro_batch": each} for each in ("workload", "best")]))
    assert list(rows["way"]) == [EVEN_AS_ASKED, EVEN]
    assert in_order({EVEN, PP, DP}) == [DP, EVEN, PP]


def test_a_way_that_never_fits_is_named_beside_the_lines_of_the_others() -> None:
    rows = DataFrame(
        [run(way, bandwidth_bit_per_s=rate) for way in (PP, TP) for rate in (1e8, 1e9)]
        + [run(DP, bandwidth_bit_per_s=rate, status="out_of_memory", energy_per_sample_j=None) for rate in (1e8, 1e9)]
    )
    (rows,) = energy_over_bandwidth.panels(rows).values()
    _, ax = plt.subplots()
    energy_over_bandwidth.draw(rows, ax)
    assert [text.get_text() for text in ax.texts] == ["out of memory: DP"]
    assert len([line for line in ax.lines if line.get_label() in ("PP", "TP")]) == 2
    plt.close()


def test_the_dashed_line_is_where_the_bytes_of_sequence_and_tensor_parallelism_cross() -> None:
    model = read_setup(composed("model=bert_base_untied", "workload.tokens=128")).model
    assert pytest.approx(break_even_tokens(model) / 128, rel=1e-5) == energy_over_batches.CROSSING_SAMPLES


def test_fronts_are_stairs_that_say_what_is_saved_in_equal_time() -> None:
    place = {"model": "resnet50", "cluster": "energy_study_mixed", "rate": "100 Mbit/s"}
    points = [
        ("scaled", 1.0, 5.0, 0.0),
        ("scaled", 2.0, 4.0, 0.25),
        ("planned", 1.0, 5.0, None),
        ("planned", 1.5, 3.0, None),
    ]
    told = [dict(zip(energy_fronts.COLUMNS[3:], point, strict=True)) | place for point in points]
    rows = DataFrame([*told, told[0] | {"rate": "50 Mbit/s", "saving_at_equal_time": 0.5}])  # no part of the figure
    (rows,) = energy_fronts.panels(rows).values()
    _, ax = plt.subplots()
    energy_fronts.draw(rows, ax)
    assert [text.get_text() for text in ax.texts] == ["up to 25 % less\nin equal time"]
    plt.close()


def test_a_ratio_over_a_watt_goes_through_what_the_files_say() -> None:
    place = {"cluster": "energy-study-cpu", "bandwidth_bit_per_s": 1e8, "batch_samples": 32, "first": SP, "second": TP}
    rows = DataFrame(
        [
            place | {"watt": watt, "factor": factor, "ratio": 1 + factor / 10}
            for watt in ("idle_w", "compute_w", "transmit_w", "receive_w")
            for factor in (0.5, 1.0, 2.0)
        ]
    )
    ((title, rows),) = order_over_watts.panels(rows).items()
    assert title == "SP / TP, CPU, 100 Mbit/s"
    _, ax = plt.subplots()
    order_over_watts.draw(rows, ax)
    (dot,) = [line for line in ax.lines if line.get_label() == "as in the files"]
    assert list(dot.get_ydata()) == [pytest.approx(1.1)]
    plt.close()


def executed(method: str, player: str, energy_j: float) -> dict[str, Any]:
    states = {name: joules * energy_j / 100 for name, joules in STATES.items()}
    times = {"makespan_s": 2.0, "makespan_low_s": None, "makespan_high_s": None}
    if player == "measured":
        times |= {"makespan_low_s": 1.8, "makespan_high_s": 2.4}
    return (
        run(method, player=player, energy_j=energy_j, energy_per_sample_j=energy_j / 10, iterations=3) | states | times
    )


def whiskers(ax: Axes) -> list[tuple[float, float, float]]:
    """Place, low and high of each that is seen."""
    lines = [line for each in ax.containers if isinstance(each, ErrorbarContainer) for line in each.lines[2]]
    ends = [segment for line in lines for segment in line.get_segments()]
    return [(float(low[0]), float(low[1]), float(high[1])) for low, high in ends if low[1] != high[1]]


def test_executed_ways_are_bars_from_measured_times_beside_diamonds_from_simulated_ones() -> None:
    joules = {"one_device": (90.0, 85.0), DP: (100.0, 95.0), SP: (120.0, 130.0), TP: (110.0, 140.0)}
    table = DataFrame(
        [
            executed(method, player, each)
            for method, both in joules.items()
            for player, each in zip(("measured", "simulated"), both, strict=True)
        ]
    )
    (rows,) = executed_by_state.panels(table).values()
    _, ax = plt.subplots()
    executed_by_state.draw(rows, ax)
    bars = [bar for container in ax.containers if isinstance(container, BarContainer) for bar in container]
    tops = {round(bar.get_x() + bar.get_width() / 2): bar.get_y() + bar.get_height() for bar in bars}
    assert tops == pytest.approx({0: 9.0, 1: 10.0, 2: 12.0, 3: 11.0})  # alone, DP, SP, TP: the last state is on top
    (diamonds,) = [line for line in ax.lines if line.get_marker() == "D"]
    assert list(diamonds.get_ydata()) == [8.5, 9.5, 13.0, 14.0]
    said = "5 of 6 pairs in the simulated order\nmedian of n = 3 iterations"
    assert f"{said}\nwhiskers: in proportion to the range of their times" in {text.get_text() for text in ax.texts}
    ranges = [(place, 0.9 * top, 1.2 * top) for place, top in tops.items()]
    assert whiskers(ax) == [pytest.approx(each) for each in ranges]
    assert ax.get_ylabel() == "J per sample (computed\nfrom measured times)"
    plt.close()


def test_executed_ways_of_several_seeds_are_means_with_their_t_interval_and_say_of_how_many() -> None:
    joules = {DP: (100.0, 110.0, 120.0), SP: (200.0, 200.0, 200.0)}
    table = DataFrame(
        [
            executed(method, player, each) | {"seed": seed}
            for method, seeds in joules.items()
            for seed, each in enumerate(seeds)
            for player in ("measured", "simulated")
        ]
    )
    (rows,) = executed_by_state.panels(table).values()
    _, ax = plt.subplots()
    executed_by_state.draw(rows, ax)
    half = 4.302653 / 3**0.5  # t(97.5 %, 2), and a standard deviation of 1 J per sample
    assert whiskers(ax) == [pytest.approx((0, 11.0 - half, 11.0 + half))] * 2  # measured and simulated; SP has none
    assert {text.get_text() for text in ax.texts} >= {"11", "20", "1 of 1 pairs in the simulated order"}
    assert "mean, 95 % t interval, n = 3" in ax.get_legend_handles_labels()[1]
    plt.close()


def test_executed_ways_of_a_single_iteration_have_no_whiskers_and_none_are_said() -> None:
    rows = DataFrame([executed(DP, player, 100.0) for player in ("measured", "simulated")])
    _, ax = plt.subplots()
    executed_by_state.draw(
        as_ways(rows.assign(makespan_low_s=float("nan"), makespan_high_s=float("nan"), iterations=1)), ax
    )
    assert whiskers(ax) == []
    assert "0 of 0 pairs in the simulated order\nmedian of n = 1 iterations" in {text.get_text() for text in ax.texts}
    plt.close()


KEPT = {
    energy_by_state: "energy_parallelisms/table.csv",
    energy_over_bandwidth: "energy_parallelisms/table.csv",
    energy_over_batches: "energy_batches/table.csv",
    energy_fronts: "energy/fronts.csv",
    order_over_watts: "energy/watts.csv",
}


@pytest.mark.parametrize("module", KEPT, ids=lambda module: module.__name__.rpartition(".")[2])
def test_no_figure_of_energy_calls_a_joule_measured_and_every_one_says_computed(module: ModuleType) -> None:
    table = read_table(CODE / "results" / KEPT[module], needs=module.COLUMNS)
    said = texts(figure_of(cast(Drawing, module), table))
    assert "computed" in said
    assert "measured" not in said
    plt.close("all")


@pytest.mark.parametrize("name", sorted(set(KEPT.values())))
def test_no_column_of_these_tables_is_called_measured(name: str) -> None:
    table = read_table(CODE / "results" / name)
    assert not [column for column in table.columns if "measured" in column]
    if "player" in table.columns:
        assert set(table["player"]) == {"simulated"}
