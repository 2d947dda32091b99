"""Is what fine-tuning takes here counted right, and beside it what is predicted?"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from pandas import DataFrame
from tuned_models import FAMILIES, TOKENS, small, tuned

from edgesim.cached_outputs import kept_bytes
from edgesim.finetuning import cached, parallel_adapters
from edgesim.workload import Workload
from edgesim.zoo.t5 import t5
from experiments.pac.measured import in_a_process, main, predicted
from real_runtime.measuring.live_tensors import LiveTensors
from real_runtime.stages.module import StageModule

SIZES = {"encoder_layers": 2, "decoder_layers": 2, "hidden": 64, "heads": 8, "head_size": 8, "columns": 128}
TINY = [f"model.{name}={size}" for name, size in (SIZES | {"vocabulary": 259}).items()]
MATRIX, ROWS, NUMBER = 16 * 16 * 4, 8 * 16 * 4, 4


def test_tensors_count_as_long_as_somebody_needs_them() -> None:
    torch.set_num_threads(1)
    weights, entered = torch.randn(16, 16, requires_grad=True), torch.randn(8, 16)
    live = LiveTensors()
    live.watch(weights)
    live.watch(entered)
    assert live.nbytes == MATRIX + ROWS
    with live:
        made = entered @ weights
        assert live.nbytes == MATRIX + 2 * ROWS
        view = made.view(-1)[3:]
        squared = made * made
        del made, view
        assert live.nbytes == MATRIX + 3 * ROWS, "autograd keeps what was squared"
        loss = squared.sum()
        del squared
        assert live.nbytes == MATRIX + 2 * ROWS + NUMBER
        assert live.peak_bytes == MATRIX + 3 * ROWS + NUMBER
        loss.backward()
        del loss
    assert live.nbytes == 2 * MATRIX + ROWS, "the weights' gradient is new"
    # Backwards both factors' gradients stand beside what was squared, with the loss and its own gradient.
    assert live.peak_bytes == MATRIX + 4 * ROWS + 2 * NUMBER


@pytest.mark.parametrize("family", FAMILIES)
def test_what_stays_between_iterations_is_predicted_exactly_with_a_cache_too(family: str) -> None:
    """Whose frozen embedding is gone has its words once more, for the head."""
    work = Workload(
        purpose="train", batch_samples=2, micro_batch_samples=2, tokens=TOKENS, optimiser="sgd", learning_rate=0.1
    )
    model = cached(tuned(family, "parallel_adapters"))
    stage = StageModule(model, work, (0, len(model.layers)), seed=0)
    held = {p.data_ptr(): p.nbytes for p in stage.module.parameters()}
    memory = predicted(model, work)
    assert sum(held.values()) == memory.parameter_bytes
    assert stage.flat_gradients.nbytes == memory.gradient_bytes
    assert memory.parameter_bytes < predicted(small(family), work).parameter_bytes


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("measured")
    (folder / "scratch").mkdir()
    words = "--techniques cached parallel_adapters full --samples 2 --tokens 16 --threads 1 --iterations 1 --pairs 1"
    where = ["--results", str(folder), "--scratch", str(folder / "scratch")]
    before = [{"model": "measured_before", "technique": "full", "reason": "it was too large"}]
    (folder / "pac_measured").mkdir()
    DataFrame(before).to_csv(folder / "pac_measured" / "table.csv", index=False)
    assert main(["--models", "t5_base", *words.split(), *where, "--override", *TINY]) == 0
    assert not list((folder / "scratch").iterdir())
    return folder / "pac_measured"


def measured(results: Path) -> DataFrame:
    table = pd.read_csv(results / "table.csv")
    return table[table["model"] == "t5_base"]


def row(table: DataFrame, technique: str) -> Any:
    return table[table["technique"] == technique].iloc[0]


def test_every_technique_is_measured_beside_what_is_predicted(results: Path) -> None:
    table = measured(results)
    assert list(table["technique"]) == ["full", "parallel_adapters", "cached"]
    assert (table["resting_error"] == 0).all()
    assert (table["live_peak_bytes"] > table["resting_bytes"]).all()
    assert (table["peak_error"].abs() < 0.2).all(), "temporary tensors weigh more in a small model"
    assert (table["resident_peak_bytes"] > table["live_peak_bytes"]).all()
    assert (table["iteration_s"] > 0).all()


def test_learning_from_the_cache_gives_the_parameters_that_learning_beside_the_model_gives(results: Path) -> None:
    from_cache = row(measured(results), "cached")
    assert from_cache["max_diff"] <= 1e-6
    assert from_cache["moved"] > 1e-3


def test_the_cache_takes_what_is_predicted_and_a_little_for_every_entry(results: Path) -> None:
    model = parallel_adapters(t5(name="t5", **SIZES, vocabulary=259, buckets=32, decoder_tokens=1))
    wanted = kept_bytes(model, (0, len(model.layers)), samples=2, tokens=16)
    found = row(measured(results), "parallel_adapters")["cached_bytes"]
    assert wanted < found < 1.05 * wanted


def test_the_summary_compares_the_cache_with_full_fine_tuning(results: Path) -> None:
    table = measured(results)
    full, from_cache = row(table, "full"), row(table, "cached")
    summary = json.loads((results / "summary.json").read_text())
    found = summary["t5_base"]
    assert found["memory_reduction"] == pytest.approx(
        1 - from_cache["live_peak_bytes"] / full["live_peak_bytes"], rel=1e-4
    )
    assert found["time_reduction"] == pytest.approx(1 - from_cache["iteration_s"] / full["iteration_s"], rel=1e-3)
    assert found["writing_share"] == pytest.approx(row(table, "parallel_adapters")["writing_share"], rel=1e-4)
    assert found["cached_vs_uncached_max_diff"] == from_cache["max_diff"]
    assert summary["measured_before"]["not_measured"] == {"full": "it was too large"}, "other models' rows stay"
    assert json.loads((results / "made.json").read_text()).keys() == {"table.csv", "summary.json"}


class Ended:
    """What ends the process that it is sent to."""

    def __reduce__(self) -> tuple[Callable[[int], object], tuple[int]]:
        return os._exit, (3,)


def test_a_process_that_ends_early_is_told() -> None:
    assert in_a_process(Ended()) == "its process ended with exit code 3"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--techniques", "full", "cached"], "cached learns from what parallel_adapters keeps"),
        (["--iterations", "0"], "--iterations must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_measured_is_refused(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert said in capsys.readouterr().err


def test_an_unknown_model_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--models", "t5_bse", "--results", str(tmp_path)]) == 2
    assert "t5_bse" in capsys.readouterr().err
