"""Which questions does an iteration ask, as token ids, and what did the model answer? Epochs over a task's examples.

A question is padded from the left, so that its last token is where the answer is read. A model that fills in what is
hidden has a mask there; a causal model a separator, behind which the answer comes; a text-to-text model answers with
the decoder's first token. Only that token has a label; its loss is divided by as many tokens as have labels in text.
"""

from collections.abc import Callable, Sequence
from math import ceil

import numpy as np
import torch
from torch import Tensor

from edgesim.since_3_11 import StrEnum
from real_runtime.data.tasks.examples import Example, Score, Task
from real_runtime.data.tasks.scores import scored
from real_runtime.data.tasks.tokens import Tokens

_IGNORED = -100  # the label that torch's cross-entropy leaves out


class Answers(StrEnum):
    """Where a model answers."""

    HIDDEN = "hidden"
    NEXT = "next"
    DECODER = "decoder"


class TaskSource:
    """The examples of a task as tensors; the same seed gives the same order of samples on every rank."""

    def __init__(
        self, task: Task, tokens: Tokens, *, length: int, batch_samples: int, answers: Answers, decoder_tokens: int = 1
    ) -> None:
        if length < 4:
            raise ValueError(f"task {task.name}: a question needs at least 4 tokens, got {length} (raise tokens)")
        self.task, self.tokens, self.length, self.batch_samples = task, tokens, length, batch_samples
        self.where, self.decoder_tokens = answers, decoder_tokens
        self.answer_ids = torch.tensor(tokens.answers(task.answers))
        self.train, self.dev = (self._encoded(part) for part in (task.train, task.dev))

    @property
    def iterations(self) -> int:
        """How many iterations an epoch has; the last one is filled up from the beginning."""
        return ceil(len(self.task.train) / self.batch_samples)

    def samples(self, iteration: int, *, seed: int) -> np.ndarray:
        """[batch] The numbers of the samples that an iteration learns from, among those that are taught."""
        epoch, within = divmod(iteration, self.iterations)
        order = np.random.default_rng([seed, epoch]).permutation(len(self.task.train))
        start = within * self.batch_samples
        return np.take(order, range(start, start + self.batch_samples), mode="wrap")

    def batch(self, iteration: int, *, seed: int) -> tuple[Tensor, Tensor]:
        """An iteration's ids [batch, tokens], and labels: [batch, tokens], or [batch, decoder tokens]."""
        chosen = torch.from_numpy(self.samples(iteration, seed=seed))
        ids, answers = self.train
        return ids[chosen], self._labels(answers[chosen])

    def answered(self, logits: Tensor) -> list[float]:
        """What logits [samples, tokens, vocabulary] answer: numbers of answers, or the mean value on a scale."""
        at = logits[:, 0 if self.where is Answers.DECODER else -1, self.answer_ids]
        if not self.task.values:
            return [float(each) for each in at.argmax(dim=1)]
        values = torch.tensor(self.task.values)
        return [float(each) for each in at.softmax(dim=1) @ values]

    def evaluated(self, forward: Callable[[Tensor, Tensor], Tensor], *, batch_samples: int = 32) -> dict[Score, float]:
        """The task's scores of a model; ``forward`` makes logits of ids and of labels that do not tell the answers."""
        given: list[float] = []
        with torch.no_grad():
            for ids in self.dev[0].split(batch_samples):
                given += self.answered(forward(ids, self._unlabelled(len(ids))))
        return scored(self.task, given, [example.answer for example in self.task.dev])

    def _encoded(self, examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
        ids = np.full((len(examples), self.length), self.tokens.pad, dtype=np.int64)
        for row, example in zip(ids, examples, strict=True):
            question = self._question(example)
            row[self.length - len(question) :] = question
        return torch.from_numpy(ids), torch.tensor([example.answer for example in examples])

    def _question(self, example: Example) -> list[int]:
        """First text, separator, second text, and the place of the answer; the longer text is cut first."""
        first, second = self.tokens.ids(example.first), self.tokens.ids(example.second)
        room = self.length - 1 - (1 if second else 0)
        kept = max(room - len(second), min(len(first), room // 2 + room % 2)) if second else room
        first = (first[-kept:] if self.task.keeps_end else first[:kept]) if kept < len(first) else first
        second = second[: room - len(first)]
        end = self.tokens.mask if self.where is Answers.HIDDEN else self.tokens.separator
        return [*first, *([self.tokens.separator] if second else []), *second, end]

    def _labels(self, answers: Tensor) -> Tensor:
        labels = self._unlabelled(len(answers))
        labels[:, 0 if self.where is Answers.DECODER else -1] = self.answer_ids[answers]
        return labels

    def _unlabelled(self, samples: int) -> Tensor:
        if self.where is Answers.DECODER:
            return torch.full((samples, self.decoder_tokens), self.tokens.pad)
        return torch.full((samples, self.length), _IGNORED)
