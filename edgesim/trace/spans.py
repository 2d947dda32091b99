"""When did each task start and end? One span, and those of a rank as columns."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgesim.schedule import NONE, Kind, Op, Task
from edgesim.trace.times import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One task, from start to end. Of a message: from when both ends were ready until its bytes had passed."""

    task: Task
    start_s: float
    end_s: float

    @property
    def seconds(self) -> float:
        """The length of the span."""
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RankSpans:
    """The spans of one rank as columns, in the order of its program.

    ``kinds`` are what its tasks say, ``kind`` and ``micro_batch`` are [span] numbers as in a schedule's columns.
    """

    kinds: Sequence[Kind]
    kind: npt.NDArray[np.int64]
    micro_batch: npt.NDArray[np.int64]
    start_s: Floats
    end_s: Floats

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def intervals(self) -> Floats:
        """[span, 2] When each starts and ends."""
        return np.stack([self.start_s, self.end_s], axis=1)

    def each(self, value: Callable[[Kind], Any], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return [span] a value that depends on its kind alone, asked for once per kind."""
        return np.array([value(kind) for kind in self.kinds], dtype=dtype)[self.kind]

    def counts(self) -> Iterator[tuple[Kind, int]]:
        """Yield every kind, and how many of the spans are of it."""
        return zip(self.kinds, np.bincount(self.kind, minlength=len(self.kinds)).tolist(), strict=True)

    def does(self, *ops: Op) -> npt.NDArray[np.bool_]:
        """Return [span] whether it is one of these operations."""
        return self.each(lambda kind: kind.op in ops, bool)

    def chosen(self, spans: npt.NDArray[np.bool_]) -> "RankSpans":
        """Return those of the spans for which [span] it is true."""
        return RankSpans(
            kinds=self.kinds,
            kind=self.kind[spans],
            micro_batch=self.micro_batch[spans],
            start_s=self.start_s[spans],
            end_s=self.end_s[spans],
        )

    def said(self, spans: npt.NDArray[np.int64]) -> list[Kind]:
        """Return the kinds of these spans, in their order."""
        return [self.kinds[kind] for kind in self.kind[spans].tolist()]

    def first(self, spans: npt.NDArray[np.int64]) -> list[Kind]:
        """Return the kinds of these spans, each once, in the order in which they come first."""
        return [self.kinds[kind] for kind in dict.fromkeys(self.kind[spans].tolist())]

    @classmethod
    def of(cls, spans: Sequence[Span]) -> "RankSpans":
        """Return the columns of spans that are already there."""
        kinds: dict[Kind, int] = {}
        micro_batches = [NONE if span.task.micro_batch is None else span.task.micro_batch for span in spans]
        return cls(
            kind=np.array([kinds.setdefault(span.task.kind, len(kinds)) for span in spans], dtype=np.int64),
            kinds=list(kinds),
            micro_batch=np.array(micro_batches, dtype=np.int64),
            start_s=np.array([span.start_s for span in spans], dtype=np.float64),
            end_s=np.array([span.end_s for span in spans], dtype=np.float64),
        )
