"""What is a task? Texts or pairs of texts, each with an answer, and how answers are scored."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgesim.since_3_11 import StrEnum


class Score(StrEnum):
    """How answers are compared with what is right."""

    ACCURACY = "accuracy"
    F1 = "f1"
    PEARSON = "pearson"


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A text or a pair, and the number of its answer among the task's answers."""

    first: str
    second: str = ""
    answer: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What there is to learn, and to be asked about.

    Attributes:
        answers: the answers in words, in the order of their numbers.
        values: what answers are as numbers, where they are read off a scale; else ().
        scores: how answers are scored, the one that is reported most first.
        keeps_end: whether a first text that is too long loses its beginning, and not its end.
    """

    name: str
    train: Sequence[Example]
    dev: Sequence[Example]
    answers: tuple[str, ...]
    scores: tuple[Score, ...]
    values: tuple[float, ...] = ()
    keeps_end: bool = False

    def __post_init__(self) -> None:
        for part in ("train", "dev"):
            if not getattr(self, part):
                raise ValueError(f"task {self.name} has no examples in {part}")
