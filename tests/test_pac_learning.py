"""The comparison of techniques learns what can be learnt, chooses rates by other questions, and says what came out."""

import json
from pathlib import Path

import pandas as pd
import pytest

from experiments.figures.catalogue import Folders, requests
from experiments.pac.learning import PARALLEL, chosen, main, summary
from real_runtime.data.tasks.examples import Example, Score, Task
from real_runtime.data.tasks.names import NameTokens

SMALL = (
    *("--layers", "1", "--hidden", "16", "--tokens", "16", "--common", "8", "--places", "4", "--samples", "8"),
    *("--related-iterations", "10", "--tuning-epochs", "1", "--epochs", "2", "--seeds", "2", "--k", "4"),
    *("--rates", "1e-3", "1e-2"),
)


@pytest.fixture
def sources(tmp_path: Path) -> str:
    """Few files of functions, which are read in no time."""
    folder = tmp_path / "sources"
    folder.mkdir()
    for file in range(6):
        bodies = ["".join(f"    s{i}{k} = x{i} + {k}\n" for k in range(4)) for i in range(8)]
        (folder / f"m{file}.py").write_text("\n".join(f"def f{i}(x{i}):\n{body}" for i, body in enumerate(bodies)))
    return str(folder)


def test_every_technique_learns_from_every_seed_and_the_figure_is_of_the_table(sources: str, tmp_path: Path) -> None:
    results = tmp_path / "results"
    assert main([*SMALL, "--sources", sources, "--results", str(results)]) == 0
    folder = results / "pac_learning"
    table, tuning = (pd.read_csv(folder / name) for name in ("table.csv", "tuning.csv"))
    found = json.loads((folder / "summary.json").read_text())
    assert len(table) == 4 * 2 * 2
    assert len(tuning) == 4 * 2
    assert set(table["technique"]) == set(found["accuracy_points"]) == set(found["trained_parameters"])
    assert found["trained_parameters"][PARALLEL] < found["trained_parameters"]["full"]
    assert found["asked"] == 2 * 8, "two of the six files are asked about, every function once"
    best = chosen(tuning.to_dict("records"))
    assert all(best[name] == rate for name, rate in zip(table["technique"], table["learning_rate"], strict=True))
    (request,) = [each for each in requests(Folders(results=results)) if each.of == "pac_learning"]
    assert request.stem.name == "learning_curves"
    request.make()


def test_a_rate_is_chosen_by_what_it_answers_and_of_equals_the_smaller_one() -> None:
    rows = [
        {"technique": "a", "learning_rate": rate, "accuracy": right} for rate, right in ((3, 0.7), (1, 0.7), (2, 0.6))
    ]
    assert chosen(rows) == {"a": 1}


def test_the_summary_is_of_the_last_epoch_and_of_the_others_mean() -> None:
    points = {"full": (0.8, 0.82), "LoRA": (0.7, 0.72), PARALLEL: (0.77, 0.77)}
    rows = [
        {"technique": name, "seed": seed, "epoch": epoch, str(Score.ACCURACY): right if epoch == 2 else 0.1}
        for name, of_seeds in points.items()
        for seed, right in enumerate(of_seeds)
        for epoch in (1, 2)
    ]
    found = summary(rows, asked=100, trained={})
    assert found["mean_of_others"] == pytest.approx(76)
    assert found["parallel_adapters_from_mean_of_others"] == pytest.approx(1)
    assert found["is_within"]
    assert found["accuracy_points"]["full"] == {"mean": pytest.approx(81), "spread": pytest.approx(2**0.5), "of": 2}


def test_names_are_told_by_when_they_come_and_by_which_text_has_them() -> None:
    tokens = NameTokens(["return"], places=2)
    pair = Example(first="def f(a): b = a", second="return b + c - d * e", answer=1)
    task = Task(name="t", train=(pair,), dev=(pair,), answers=("no", "yes"), scores=(Score.ACCURACY,))
    (named,) = tokens.named(task).train
    assert named.first == "@known0 @known1 @known1 @known1 @known1", "later names share the last place"
    assert named.second == "return @known1 @new0 @new1 @new1"
    assert tokens.ids(named.second) == [0, 2, 3, 4, 4]
    assert len(
        {*tokens.ids_of.values(), tokens.pad, tokens.separator, tokens.mask, *tokens.answers(("no", "yes"))}
    ) == (tokens.vocabulary)


def test_common_words_are_those_that_most_texts_have() -> None:
    tokens = NameTokens.of_texts(["a a a b", "b c", "b c"], common=2, places=1)
    assert list(tokens.ids_of)[:2] == ["b", "c"]
