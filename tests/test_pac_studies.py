"""Do PAC's studies ask for what was published, and compare what is comparable?"""

from dataclasses import asdict, replace

import matplotlib.pyplot as plt
import pytest
from matplotlib.axes import Axes
from pandas import DataFrame

from edgesim.cached_outputs import Storage
from edgesim.finetuning import lora
from edgesim.ring import ring_traffic
from edgesim.zoo.t5 import t5
from edgesim.zoo.untied import untied
from experiments.configuration.command_line import composed
from experiments.configuration.constructors import build
from experiments.configuration.setup import prepare
from experiments.figures.pac import cache_worth, hours_by_system, hours_over_epochs, throughput_over_nanos
from experiments.figures.panels import Drawing
from experiments.pac.behind import iteration_s
from experiments.pac.claims import of_hours, runs_out_of_memory
from experiments.pac.comparing import attribution, ratios, sources_apart, swapped
from experiments.pac.hours import Row, row_of
from experiments.pac.left_over import evaluation, idle_devices, nearest_error
from experiments.pac.settings import EDDL, PAC, PROVEN, STANDALONE, TASKS, Cell, cells, words
from experiments.pac.worth import worth
from experiments.published.claims import EPOCHS, FILLS_CACHE, HOURS, WITH_CACHE, published
from experiments.published.times import CURVE, fitted_nano, seconds

SMALL = ("model=bert_tiny_bytes", "finetuning=parallel_adapters", "workload.purpose=fine_tune", "planner=even")


def test_tasks_and_methods_are_those_of_the_published_table() -> None:
    table = published()
    rows = table[(table["item"] == HOURS) & (table["model"] == "T5-Base")]
    told = {f"{task.name}, {task.epochs} epochs" for task in TASKS}
    assert {", ".join(setting.split(", ")[:2]) for setting in rows["setting"]} == told
    ours = {cell.method for cell in cells() if cell.model == "T5-Base"}
    assert set(rows["method"]) <= ours


def test_the_device_takes_about_what_a_new_fit_takes_for_the_rows_that_it_was_fitted_to() -> None:
    """What is counted of techniques has changed a little since."""
    kept = build(composed("cluster=pac", "device@devices.nano=jetson_nano_pac_fitted").cluster).devices[0]
    anew = fitted_nano()
    assert kept.efficiency[0].work_flop == anew.efficiency[0].work_flop
    for row in CURVE.rows:
        kept_s, anew_s = (seconds(device, row.model, row.method, row.metric) for device in (kept, anew))
        assert kept_s == pytest.approx(anew_s, rel=0.1 if row.method == WITH_CACHE else 0.02), row


def test_full_fine_tuning_on_one_nano_runs_out_of_memory_as_published_and_says_what_is_needed() -> None:
    row = row_of(Cell("T5-Base", STANDALONE, "Full"), TASKS[0])
    assert (row.status, row.hours) == ("out of memory", None)
    assert "GB" in row.reason


def test_the_terms_of_a_job_are_its_hours() -> None:
    row = row_of(Cell("T5-Base", PAC, FILLS_CACHE), TASKS[0])
    parts = [row.computing_s, row.all_reduce_s, row.waiting_s, row.moving_s]
    assert row.hours is not None
    assert sum(part or 0.0 for part in parts) == pytest.approx(3600 * row.hours)
    assert row.devices_per_stage == "8"  # published: Fig. 10


def test_every_cell_says_what_its_job_needs() -> None:
    for cell in (Cell("BART-Large", STANDALONE, "LoRA"), Cell("T5-Large", PROVEN, FILLS_CACHE)):
        cfg = composed(*words(cell, TASKS[2]))
        assert (cfg.workload.epochs, cfg.job.samples) == (1, 67349)
        assert cfg.workload.cache == (cell.technique == FILLS_CACHE)


# --- all-reduces behind the next backbone pass ---


def test_an_all_reduce_behind_the_next_backbone_pass_takes_the_longer_of_both() -> None:
    """On a slow network it is the all-reduce that an iteration waits for, and the side network's passes."""
    slow, fast = (
        prepare(composed(*SMALL, "strategy=data", f"network.rate={rate}")) for rate in ("1 Mbit/s", "10000 Mbit/s")
    )
    for prepared in (slow, fast):
        plan = replace(
            prepared.plan,
            micro_batches=1,
            micro_batch_samples=prepared.plan.stages[0].samples[0] * 3,
            stages=(replace(prepared.plan.stages[0], samples=(prepared.plan.stages[0].samples[0],) * 3),),
        )
        setup = prepared.setup
        plain_s = setup.simulate(prepared.strategy(plan, setup.model, setup.workload)).makespan_s
        behind_s = iteration_s(plan, setup)
        nbytes = sum(layer.trainable_bytes for layer in setup.model.layers)
        network = setup.cluster.network
        reduce_s = ring_traffic(3) * nbytes / network.goodput_bytes_per_s(0, 1)
        assert reduce_s < behind_s < plain_s if prepared is slow else behind_s <= plain_s


def test_only_data_parallelism_adds_up_behind_the_next_pass() -> None:
    prepared = prepare(composed(*SMALL, "strategy=pipeline"))
    with pytest.raises(ValueError, match="only data parallelism with one micro-batch"):
        iteration_s(prepared.plan, prepared.setup)


# --- comparing ---


def a_row(system: str, technique: str, hours: float | None, **terms: float) -> Row:
    return Row(
        model="T5-Base", system=system, technique=technique, task="MRPC", epochs=3, status="", hours=hours, **terms
    )


def rows_of(pac_h: float, standalone_h: float, eddl_h: float) -> list[Row]:
    """As published MRPC takes PAC 0.14 h, one device with adapters 1.21 h, EDDL with adapters 0.34 h."""
    table = published()
    methods = dict.fromkeys(table[(table["item"] == HOURS)]["method"])
    given = {
        f"{PAC}, {FILLS_CACHE}": pac_h,
        f"{STANDALONE}, Adapters": standalone_h,
        f"{EDDL}, Adapters": eddl_h,
    }
    return [
        replace(a_row(*method.split(", "), given.get(method)), task=task.name) for method in methods for task in TASKS
    ]


def test_ratios_are_of_hours_over_those_of_pac_in_the_same_task() -> None:
    claims = [claim for claim in of_hours(rows_of(0.28, 2.42, 0.34)) if claim.row.metric == "time, MRPC"]
    found = ratios(claims)
    by_method = {row["method"]: row for row in found["rows"]}
    assert by_method["Standalone, Adapters"]["error"] == pytest.approx(0.0)
    assert by_method["EDDL, Adapters"]["error"] == pytest.approx(-0.5)
    assert (found["ratios"], found["within_30_percent"]) == (2, 1)


def test_a_ratio_is_compared_with_all_that_round_to_the_published_digits() -> None:
    """1.21 h over 0.14 h are between 1.205 / 0.145 and 1.215 / 0.135."""
    assert nearest_error(1.21, 0.14, 1.21 / 0.14) == nearest_error(1.21, 0.14, 8.99) == 0
    assert nearest_error(1.21, 0.14, 18.0) == pytest.approx(1.0)
    assert nearest_error(1.21, 0.14, 1.205 / 0.145 / 2) == pytest.approx(-0.5)


def test_hours_of_short_and_long_epochs_leave_no_room_for_evaluation() -> None:
    """Nothing of ours is in it: published hours are in proportion to samples."""
    found = evaluation(list(of_hours(rows_of(0.14, 1.21, 0.34))))
    assert found["methods"] > 0
    assert found["methods_that_exclude_it"] == found["methods"]
    assert found["would_be"] == pytest.approx(1.039, abs=1e-3)


def test_a_factor_for_whole_models_makes_the_row_to_which_it_is_fitted() -> None:
    """MRPC of 230 iterations, and QNLI of 6547, which was published to take 2.12 h."""
    steps = 6547
    iteration = {"iteration_s": 0.6, "computing_s": 0.3 * steps, "all_reduce_s": 0.3 * steps, "waiting_s": 0.0}
    qnli = replace(a_row(PAC, FILLS_CACHE, 0.6 * steps / 3600, moving_s=0.0, **iteration), task="QNLI", epochs=1)
    cached = {"cached_iteration_s": 0.35, "waiting_s": 0.0, "all_reduce_s": 0.3 * 690, "moving_s": 0.0}
    mrpc = a_row(PAC, FILLS_CACHE, 0.1, iteration_s=0.6, computing_s=230 * (0.3 + 2 * 0.05), **cached)
    rows = [qnli, mrpc, replace(a_row(EDDL, "Adapters", 1.0, **iteration), task="QNLI")]
    found = idle_devices(rows, list(of_hours(rows_of(0.14, 1.21, 0.34))))
    slowed_s = 2.12 * 3600 / steps - 0.3
    assert found["times_as_slow"] == pytest.approx(slowed_s / 0.3)
    assert found["errors_of_hours"][f"{PAC}, {FILLS_CACHE}"] == pytest.approx(0, abs=1e-12)


def test_methods_in_another_order_than_published_are_named() -> None:
    assert swapped([claim for claim in of_hours(rows_of(0.14, 1.21, 0.34))]) == {}
    found = swapped(list(of_hours(rows_of(0.5, 1.21, 0.34))))
    assert found["MRPC: PAC, Parallel Adapters before EDDL, Adapters"] == pytest.approx(0.34 / 0.14 - 1)


def test_published_items_are_further_apart_than_any_device_could_be() -> None:
    found = sources_apart()
    assert found["one_sample_s"] == pytest.approx(8 / 22.54)
    assert found["two_samples_s"] == pytest.approx(1.34 * 3600 / 4210)
    assert found["beyond_twice"] == pytest.approx(0.614, abs=1e-3)


def test_what_runs_out_of_memory_is_told_beside_what_was_published() -> None:
    found = runs_out_of_memory(rows_of(0.14, 1.21, 0.34))
    assert found["Standalone, Full, MRPC"] == (True, True)
    assert found["Eco-FL, LoRA, QNLI"] == (False, True)


def test_shares_of_a_difference_add_up() -> None:
    terms = {"computing_s": 1.0, "all_reduce_s": 2.0, "waiting_s": 3.0, "moving_s": 4.0}
    rows = [
        a_row(PAC, FILLS_CACHE, 1.0, **terms),
        a_row(STANDALONE, "LoRA", 2.0, **(terms | {"computing_s": 31.0, "all_reduce_s": 0.0, "moving_s": 0.0})),
    ]
    (found,) = attribution(rows, model="T5-Base", task="MRPC").values()
    assert found["times_as_long"] == pytest.approx(3.4)
    assert found["computing"] == pytest.approx(30 / 24)
    assert sum(found[term] for term in ("computing", "all_reduce", "waiting", "moving")) == pytest.approx(1.0)


# --- a cache and its disk ---


@pytest.mark.parametrize("disk_bytes_per_s", [2e6, 1e9])
def test_a_cache_saves_time_from_the_epoch_on_in_which_it_pays(disk_bytes_per_s: float) -> None:
    prepared = prepare(composed(*SMALL, "strategy=hybrid_pipeline", "planner=pac", "workload.tokens=32"))
    found = worth(prepared, model="b", rate="1 Mbit/s", disk_bytes_per_s=disk_bytes_per_s, storage=Storage.FP16)
    for epochs in (2, 3, 5, 10):
        assert (getattr(found, f"saved_in_{epochs}") > 0) == (epochs > found.pays_after_epochs)


def test_untied_layers_own_what_they_read() -> None:
    model = t5(
        name="t",
        encoder_layers=1,
        decoder_layers=1,
        hidden=8,
        heads=2,
        head_size=4,
        columns=16,
        vocabulary=10,
        buckets=4,
        decoder_tokens=1,
    )
    shared = sum(block.tied_bytes for layer in model.layers for block in layer.blocks)
    assert shared > 0
    apart = untied(model)
    assert sum(layer.parameter_bytes for layer in apart.layers) == (
        sum(layer.parameter_bytes for layer in model.layers) + shared
    )
    assert not any(block.tied_bytes for layer in untied(lora(apart, rank=2)).layers for block in layer.blocks)


# --- figures ---


def drawn(figure: Drawing, table: DataFrame) -> dict[str, Axes]:
    """The axes of every panel."""
    axes = {}
    for title, rows in figure.panels(table).items():
        _, axes[title] = plt.subplots()
        figure.draw(rows, axes[title])
    return axes


def test_bars_are_as_long_as_hours_and_published_ones_are_marked() -> None:
    table = DataFrame([asdict(row) for row in rows_of(0.2, 1.0, 0.3)])
    table["status"] = ["done" if hours == hours else "out of memory" for hours in table["hours"]]
    (ax,) = drawn(hours_by_system, table).values()
    assert sorted(bar.get_width() for bar in ax.patches) == pytest.approx([0.2, 0.3, 1.0])
    marked = [float(line.get_xdata()[0]) for line in ax.lines if len(line.get_xdata())]
    assert {0.14, 1.21, 0.34} <= set(marked)
    assert "out of memory" in [text.get_text() for text in ax.texts]


def test_lines_over_nanos_and_epochs_hold_what_the_tables_say() -> None:
    rate = {"model": "T5-Base", "system": "EDDL", "published": 6.0, "player": "as its schedule"}
    (ax,) = drawn(
        throughput_over_nanos, DataFrame([rate | {"nanos": n, "predicted": 2.0 * n} for n in (2, 4)])
    ).values()
    assert [list(line.get_ydata()) for line in ax.lines] == [[6.0, 6.0], [4.0, 8.0]]
    hours = {"item": EPOCHS, "model": "T5-Base", "method": "PAC with cache", "published": 3.0}
    rows = [hours | {"metric": f"time, {n} epochs", "predicted": float(n)} for n in (1, 2)]
    (ax,) = drawn(hours_over_epochs, DataFrame(rows)).values()
    assert [list(line.get_ydata()) for line in ax.lines] == [[1.0, 2.0], [3.0, 3.0]]


def test_a_cache_is_drawn_by_model_and_bandwidth_in_percent() -> None:
    row = {"model": "b", "bandwidth_bit_per_s": 1e9, "storage": "fp16", "saved_in_3": 0.1, "saved_in_10": 0.2}
    ((title, ax),) = drawn(cache_worth, DataFrame([row | {"disk_bytes_per_s": d} for d in (1e6, 1e7)])).items()
    assert title == "b, 1000 Mbit/s"
    assert [list(line.get_ydata()) for line in ax.lines[:2]] == [[10.0, 10.0], [20.0, 20.0]]
