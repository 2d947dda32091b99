"""What do techniques learn that are compared? A task, a related one before, and questions to choose rates by."""

from dataclasses import dataclass, replace

from real_runtime.data.tasks.examples import Task
from real_runtime.data.tasks.functions import functions_task
from real_runtime.data.tasks.names import NameTokens
from real_runtime.data.tasks.source import Answers, TaskSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """Tasks in one kind of tokens. Nobody is taught what ``task`` and ``tuning`` ask.

    Attributes:
        task: does the second half of a function belong to the first? Asked about files of their own.
        tuning: what of the same task's taught files is kept apart, to choose learning rates by.
        related: are two functions of the same file?
        tokens: in which all of them are read, ``length`` of them at most.
    """

    task: Task
    tuning: Task
    related: Task
    tokens: NameTokens
    length: int

    @classmethod
    def about_functions(
        cls, *, folder: str | None, common: int, places: int, length: int, most_files: int, dev_every: int, apart: float
    ) -> "Questions":
        """Ask about functions of a folder's files, or of Python's own; ``apart`` is the share to choose rates by."""
        related, task = (
            functions_task(name, folder=folder, most_files=most_files, dev_every=dev_every)
            for name in ("same_module", "halves")
        )
        texts = (f"{example.first} {example.second}" for example in task.train)
        tokens = NameTokens.of_texts(texts, common=common, places=places)
        related, task = tokens.named(related), tokens.named(task)
        taught = round(len(task.train) * (1 - apart))
        tuning = replace(task, train=task.train[:taught], dev=task.train[taught:])
        task = replace(task, train=task.train[:taught])
        return cls(task=task, tuning=tuning, related=related, tokens=tokens, length=length)

    def source(self, task: Task, *, batch_samples: int) -> TaskSource:
        """A task as a model with an encoder alone reads it: it answers at the last place, which is hidden."""
        return TaskSource(task, self.tokens, length=self.length, batch_samples=batch_samples, answers=Answers.HIDDEN)
