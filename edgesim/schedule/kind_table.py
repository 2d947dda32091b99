"""What do many kinds of tasks say, field by field? Numbers, and what each number stands for; kinds when asked for."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgesim.schedule.kind import Kind

Numbers = npt.NDArray[np.int64]
_MOST = 2**62


class Field(NamedTuple):
    """One field of many kinds: [kind] a number, and what each number stands for; no two stand for the same."""

    values: Sequence[Any]
    numbers: Numbers

    @classmethod
    def of(cls, said: Iterable[Hashable]) -> "Field":
        """Number what kinds say."""
        found: dict[Hashable, int] = {}
        numbers = [found.setdefault(value, len(found)) for value in said]
        return cls(list(found), np.array(numbers, dtype=np.int64))

    def each(self, value: Callable[[Any], int]) -> Numbers:
        """Return [kind] a number that depends on this field alone, asked for once per value."""
        return np.array([value(said) for said in self.values], dtype=np.int64)[self.numbers]


class KindTable:
    """Kinds of tasks: ``fields`` are those of :class:`Kind`, in its order."""

    def __init__(self, fields: Iterable[Field]) -> None:
        self.fields = tuple(fields)

    @classmethod
    def of(cls, kinds: Sequence[Kind]) -> "KindTable":
        """Return the table of kinds that are there already."""
        said = zip(*kinds, strict=True) if kinds else [()] * len(Kind._fields)
        table = cls([Field.of(each) for each in said])
        table.__dict__["kinds"] = kinds
        return table

    def __len__(self) -> int:
        return len(self.fields[0].numbers)

    def __getitem__(self, number: int) -> Kind:
        return Kind._make(values[numbers[number]] for values, numbers in self.fields)

    @cached_property
    def kinds(self) -> Sequence[Kind]:
        """All kinds, one by one."""
        said = ([values[number] for number in numbers.tolist()] for values, numbers in self.fields)
        return list(map(Kind._make, zip(*said, strict=True)))


def combined(*columns: tuple[Numbers, int]) -> tuple[Numbers, int]:
    """Number rows of numbers, the same for equal rows, and return how many such numbers there may be.

    Of each column it is said how many numbers it may hold.

    >>> combined((np.array([1, 0, 1]), 2), (np.array([4, 2, 4]), 5))
    (array([9, 2, 9]), 10)
    """
    (rows, most), *others = columns
    for numbers, count in others:
        if most * count > _MOST:
            rows = dense(rows)
            most = int(rows.max(initial=0)) + 1
        rows, most = rows * count + numbers, most * count
    return rows, most


def dense(numbers: Numbers) -> Numbers:
    """Return numbers from 0 on without gaps, the same for equal ones.

    >>> dense(np.array([7, 3, 7]))
    array([1, 0, 1])
    """
    return np.unique(numbers, return_inverse=True)[1]
