"""When was everything? Moments in an array, of which Python's numbers are made when somebody reads them one by one."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, overload

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
"""An array of numbers with a fraction."""


class Times(Sequence[float]):
    """Seconds, in an order that somebody else knows; equal to any sequence of the same.

    >>> times = Times(np.array([0.0, 0.5]))
    >>> times[1], list(times), times == (0.0, 0.5)
    (0.5, [0.0, 0.5], True)
    """

    def __init__(self, array: Floats) -> None:
        self.array = array

    @cached_property
    def _numbers(self) -> tuple[float, ...]:
        return tuple(self.array.tolist())

    def __len__(self) -> int:
        return len(self.array)

    def __iter__(self) -> Iterator[float]:
        return iter(self._numbers)

    @overload
    def __getitem__(self, place: int) -> float: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[float, ...]: ...
    def __getitem__(self, place: int | slice) -> float | tuple[float, ...]:
        return self._numbers[place]

    def __eq__(self, other: object) -> bool:
        return self._numbers == tuple(other) if isinstance(other, Sequence) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._numbers)

    def __repr__(self) -> str:
        return f"Times({self._numbers})"

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array(self.array, dtype=dtype, copy=copy)
