"""How well does a model answer a task after every epoch? Trained by one device, by the runtime's own stage."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgesim.model import Model
from edgesim.schedule import Op, Schedule, Task
from edgesim.scratch import scratch_folder
from edgesim.workload import Workload
from real_runtime.assignment import Assignment, results_file
from real_runtime.data.spec import DataSpec
from real_runtime.data.tasks.examples import Score
from real_runtime.data.tasks.source import TaskSource
from real_runtime.models import architecture
from real_runtime.saving.whole_model import save
from real_runtime.stages.module import StageModule
from real_runtime.weights.checkpoints import in_silence
from real_runtime.weights.tensor_files import named_by_layer, save_tensors


@dataclass(slots=True)
class Learner:
    """A model that learns from a checkpoint on; ``seed`` draws what is added to it, and the order of samples."""

    model: Model
    workload: Workload
    source: TaskSource
    seed: int
    checkpoint: Path
    stage: StageModule = field(init=False)
    done: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        layers, read = (0, len(self.model.layers)), str(self.checkpoint)
        self.stage = StageModule(self.model, self.workload, layers, seed=self.seed, checkpoint=read)

    @property
    def trained_parameters(self) -> int:
        """How many numbers are trained."""
        return sum(weight.numel() for weight in self.stage.module.parameters() if weight.requires_grad)

    def learn(self, iterations: int) -> float:
        """Learn from so many more batches; return their mean loss."""
        total = 0.0
        for number in range(self.done, self.done + iterations):
            ids, labels = self.source.batch(number, seed=self.seed)
            self.stage.loss = 0.0
            self.stage.forward(0, ids, labels)
            self.stage.backward(0, self.stage.layers, None)
            self.stage.update()
            total += self.stage.loss
        self.done += iterations
        return total / iterations

    def scores(self) -> dict[Score, float]:
        """How well the questions are answered that it is asked, and never taught."""

        def forward(ids: Tensor, labels: Tensor) -> Tensor:
            logits: Tensor = self.stage.module(ids, labels)
            return logits

        return self.source.evaluated(forward, batch_samples=128)

    def epochs(self, count: int) -> Iterator[tuple[int, float]]:
        """Learn epoch by epoch; yield its number, from 1 on, and its mean loss."""
        for epoch in range(1, count + 1):
            yield epoch, self.learn(self.source.iterations)

    def save(self, folder: Path) -> None:
        """Write the model as the library does."""
        with scratch_folder() as parts:
            save_tensors(results_file(parts, 0), named_by_layer(self.stage.module, 0))
            save(_assigned(self.model, self.workload, self.seed), parts, folder)


def on_one_core() -> None:
    """Let all that is computed from now on be computed by one core."""
    torch.set_num_threads(1)


def draw(model: Model, folder: Path, *, seed: int) -> None:
    """Write a BERT as the library draws one, which learns sooner than layers drawn one by one.

    Weights spread by half of the root of what they add up, as those of the published size about do.
    """
    arch: Any = architecture(model)
    config = arch.config_of(model.hyper)
    config.initializer_range = 0.5 * model.hyper["hidden"] ** -0.5
    torch.manual_seed(seed)
    with in_silence():
        arch.WHOLE(config).save_pretrained(folder)


def _assigned(model: Model, workload: Workload, seed: int) -> Assignment:
    """What one rank that holds all layers plays."""
    forward = Task(op=Op.F, rank=0, stage=0, layers=(0, len(model.layers)), micro_batch=0)
    return Assignment(
        schedule=Schedule([[forward]]),
        model=model,
        workload=workload,
        data=DataSpec(kind="text"),
        iterations=1,
        seed=seed,
    )
