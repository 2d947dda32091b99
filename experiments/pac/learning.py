"""How well does a model learn with parallel adapters, beside full fine-tuning, Houlsby's adapters and LoRA?

    python -m experiments.pac.learning              # results/pac_learning/: table, tuning, summary

A small BERT is first trained on a related question about Python's own sources (are two functions of the same file?),
then fine-tuned by each technique to tell whether the second half of a function belongs to the first. Techniques choose
their learning rates from the same few, by questions that are kept apart; then each learns from several seeds, and
answers after every epoch about files that nobody has learnt from. One core; the result does not depend on its speed.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from pandas import DataFrame
from rich.console import Console

from edgesim.finetuning import full, houlsby, lora, parallel_adapters
from edgesim.model import Model
from edgesim.scratch import scratch_folder
from edgesim.workload import Optimiser, Purpose, Workload
from edgesim.zoo.bert import bert
from experiments.commands import command_parser
from experiments.configuration.command_line import told
from experiments.configuration.provenance import command, made, record
from experiments.configuration.result_folders import json_text, refuse_unwritable, write_text
from experiments.published.__main__ import to_csv
from real_runtime.data.tasks.examples import Score, Task
from real_runtime.learning.learner import Learner, draw, on_one_core
from real_runtime.learning.questions import Questions

FOLDER = "pac_learning"
PARALLEL = "parallel adapters"
WITHIN_POINTS = 1.5  # that parallel adapters may end from the mean of the others; published: 0.37 at most
_HEADS = 4
Tell = Callable[[str], object]


def techniques(hidden: int, k: int) -> Mapping[str, Callable[[Model], Model]]:
    """What is made of a model of this width, by name; a bottleneck of a fourth of it, and a rank of an eighth."""
    return {
        "full": full,
        "adapters (Houlsby)": lambda model: houlsby(model, bottleneck=hidden // 4),
        "LoRA": lambda model: lora(model, rank=hidden // 8),
        PARALLEL: lambda model: parallel_adapters(model, k=k),
    }


class Study:
    """A backbone, and how techniques learn from it."""

    def __init__(self, options: argparse.Namespace, folder: Path, tell: Tell) -> None:
        self.options, self.tell, self.folder = options, tell, folder
        self.questions = Questions.about_functions(
            folder=options.sources,
            common=options.common,
            places=options.places,
            length=options.tokens,
            most_files=options.files,
            dev_every=options.dev_every,
            apart=options.apart,
        )
        self.model = bert(
            name="bert-small-names",
            layers=options.layers,
            hidden=options.hidden,
            heads=_HEADS,
            columns=2 * options.hidden,
            vocabulary=self.questions.tokens.vocabulary,
            positions=options.tokens,
        )
        self.techniques = techniques(options.hidden, options.k)
        self.trained: dict[str, int] = {}

    def backbone(self) -> dict[str, float]:
        """Train the model on the related question, and keep it; how well it answers that, and the task's own."""
        options, questions = self.options, self.questions
        draw(self.model, self.folder / "drawn", seed=0)
        learner = self._learner(self.model, options.related_rate, questions.related, seed=0, read="drawn")
        for _ in range(10):
            loss = learner.learn(options.related_iterations // 10)
            self.tell(f"related question, {learner.done} iterations: loss {loss:.4f}")
        related = learner.scores()[Score.ACCURACY]
        learner.save(self.folder / "backbone")
        learner.source = questions.source(questions.task, batch_samples=options.samples)
        found = {"related": related, "task_before": learner.scores()[Score.ACCURACY]}
        self.tell(f"right: {related:.1%} of the related questions, {found['task_before']:.1%} of the task's")
        return found

    def tuning(self) -> Iterator[dict[str, Any]]:
        """Every technique at every rate, and how well it answers what is kept apart."""
        for technique, tune in self.techniques.items():
            for rate in self.options.rates:
                learner = self._learner(tune(self.model), rate, self.questions.tuning, seed=0)
                for _ in learner.epochs(self.options.tuning_epochs):
                    pass
                self.trained[technique] = learner.trained_parameters
                accuracy = learner.scores()[Score.ACCURACY]
                self.tell(f"{technique}, rate {rate:g}: {accuracy:.1%} of what is kept apart")
                yield {"technique": technique, "learning_rate": rate, "accuracy": accuracy}

    def learning(self, rates: Mapping[str, float]) -> Iterator[dict[str, Any]]:
        """Every technique at its rate, from every seed: scores after every epoch."""
        for technique, tune in self.techniques.items():
            for seed in range(1, self.options.seeds + 1):
                learner = self._learner(tune(self.model), rates[technique], self.questions.task, seed=seed)
                for epoch, loss in learner.epochs(self.options.epochs):
                    scores = learner.scores()
                    yield {
                        "technique": technique,
                        "learning_rate": rates[technique],
                        "seed": seed,
                        "epoch": epoch,
                        "loss": loss,
                        **{str(score): value for score, value in scores.items()},
                    }
                self.tell(f"{technique}, seed {seed}: {scores[Score.ACCURACY]:.1%}")

    def _learner(self, model: Model, rate: float, task: Task, *, seed: int, read: str = "backbone") -> Learner:
        options = self.options
        workload = Workload(
            purpose=Purpose.TRAIN,
            batch_samples=options.samples,
            micro_batch_samples=options.samples,
            tokens=options.tokens,
            optimiser=Optimiser.ADAM,
            learning_rate=rate,
        )
        return Learner(
            model=model,
            workload=workload,
            source=self.questions.source(task, batch_samples=options.samples),
            seed=seed,
            checkpoint=self.folder / read,
        )


def chosen(tuning: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """By technique, the rate with which it answers most; of equal ones the smaller."""
    best: dict[str, Mapping[str, Any]] = {}
    for row in sorted(tuning, key=lambda row: row["learning_rate"]):
        if row["technique"] not in best or row["accuracy"] > best[row["technique"]]["accuracy"]:
            best[row["technique"]] = row
    return {technique: row["learning_rate"] for technique, row in best.items()}


def summary(rows: Sequence[Mapping[str, Any]], *, asked: int, trained: Mapping[str, int]) -> dict[str, Any]:
    """Accuracy behind the last epoch: mean and spread over seeds, and how far parallel adapters are from the others."""
    last = max(row["epoch"] for row in rows)
    by: dict[str, list[float]] = {}
    for row in rows:
        if row["epoch"] == last:
            by.setdefault(row["technique"], []).append(100 * row[Score.ACCURACY])
    means = {technique: mean(points) for technique, points in by.items()}
    others = mean(points for technique, points in means.items() if technique != PARALLEL)
    share = means[PARALLEL] / 100
    return {
        "accuracy_points": {
            technique: {
                "mean": means[technique],
                "spread": stdev(points) if len(points) > 1 else None,
                "of": len(points),
            }
            for technique, points in by.items()
        },
        "mean_of_others": others,
        "parallel_adapters_from_mean_of_others": means[PARALLEL] - others,
        "within_points": WITHIN_POINTS,
        "is_within": abs(means[PARALLEL] - others) <= WITHIN_POINTS,
        "asked": asked,
        "standard_error_of_asking": 100 * sqrt(share * (1 - share) / asked),
        "trained_parameters": dict(trained),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the tables and name them; 2 for a mistake."""
    parser = command_parser("experiments.pac.learning", __doc__)
    for name, default, what in (
        ("--layers", 2, "of the BERT"),
        ("--hidden", 64, "size of the BERT"),
        ("--tokens", 48, "of a question"),
        ("--common", 300, "words that are tokens of their own"),
        ("--places", 30, "tokens each for names that both texts have, and for others"),
        ("--samples", 32, "of a batch"),
        ("--related-iterations", 1500, "in which the backbone learns the related question"),
        ("--tuning-epochs", 1, "in which a rate shows how good it is"),
        ("--epochs", 3, "of the task"),
        ("--seeds", 3, "from which each technique learns"),
        ("--k", 8, "by which parallel adapters divide all sizes"),
        ("--files", 400, "of functions, at most"),
        ("--dev-every", 3, "one file in so many is asked about"),
    ):
        parser.add_argument(name, type=int, default=default, help=f"{what} (default: {default})")
    rates = [3e-4, 1e-3, 3e-3, 1e-2]
    parser.add_argument("--rates", type=float, nargs="+", default=rates, help=f"to choose from (default: {rates})")
    parser.add_argument("--related-rate", type=float, default=1e-3, help="of the related question (default: 0.001)")
    parser.add_argument("--apart", type=float, default=0.2, help="share of questions to choose rates by (default: 0.2)")
    parser.add_argument("--sources", help="folder of Python files (default: Python's own)")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the tables (default: results)")
    options = parser.parse_args(arguments)
    given = list(sys.argv[1:] if arguments is None else arguments)
    return told(lambda: _played(options, given))


def _played(options: argparse.Namespace, given: Sequence[str]) -> int:
    folder = options.results / FOLDER
    refuse_unwritable(folder)
    on_one_core()
    console = Console()
    with scratch_folder() as scratch:
        study = Study(options, scratch, lambda text: console.print(text, soft_wrap=True))
        backbone = study.backbone()
        tuning = list(study.tuning())
        rows = list(study.learning(chosen(tuning)))
    found = summary(rows, asked=len(study.questions.task.dev), trained=study.trained) | {"backbone": backbone}
    write_text(folder / "table.csv", to_csv(DataFrame(rows)))
    write_text(folder / "tuning.csv", to_csv(DataFrame(tuning)))
    write_text(folder / "summary.json", json_text(found))
    entry = made(command("experiments.pac.learning", given), settings={k: str(v) for k, v in vars(options).items()})
    record(folder, ["table.csv", "tuning.csv", "summary.json"], entry)
    for technique, points in found["accuracy_points"].items():
        console.print(f"{technique}: {points['mean']:.1f} % of {found['asked']} questions")
    print(f"{len(rows)} rows in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
