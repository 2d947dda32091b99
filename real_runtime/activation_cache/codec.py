"""How do rows of numbers become bytes of a cache, how are they read again, and how far off are they then?

FP32 is kept bit by bit. FP16 rounds each number to 11 significant bits. 8 bits are whole numbers from -127 to 127,
times a scale for each row: the row's largest magnitude over 127; the scales stand before the numbers.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from edgesim.cached_outputs import Storage

Rows = NDArray[np.float32]  # [rows, numbers]
Bytes = NDArray[np.uint8]
_LARGEST_INT8 = 127
_LARGEST_FP16, _LARGEST_IN_8_BITS = 65504.0, 3.4e38  # above the latter, 127 times a rounded scale may be infinite
_COUNTED_EVERY = 8  # outputs: to compare takes longer than to convert


@dataclass(slots=True)
class StorageError:
    """How far what is kept is off, over every eighth output so far.

    Attributes:
        max_relative: the largest error of a number, by the largest magnitude of its row.
        numbers: how many numbers were compared, or kept as they are.
        outputs: how many there were, of which every eighth is compared.
    """

    max_relative: float = 0.0
    numbers: int = 0
    outputs: int = 0
    squared_errors: float = 0.0
    squared_values: float = 0.0

    @property
    def rms_relative(self) -> float:
        """The root of the mean squared error, by that of the mean squared number; 0 where all numbers are 0."""
        return sqrt(self.squared_errors / self.squared_values) if self.squared_values else 0.0

    def count(self, rows: Rows, kept: Rows) -> None:
        """Compare what is kept with what it is kept of."""
        off = np.abs(kept - rows)
        largest = np.abs(rows).max(axis=1, initial=0.0)
        worst = off.max(axis=1, initial=0.0)
        relative = np.divide(worst, largest, out=np.zeros_like(worst), where=largest > 0)
        self.max_relative = max(self.max_relative, float(relative.max(initial=0.0)))
        self.squared_errors += float(np.square(off, dtype=np.float64).sum())
        self.squared_values += float(np.square(rows, dtype=np.float64).sum())
        self.numbers += rows.size


def encoded(rows: Rows, storage: Storage, error: StorageError) -> Bytes:
    """Return the bytes of rows, and count how far off they are, of every eighth output.

    Raises ValueError for a number that is none, and for one that FP16 does not reach.
    """
    if not np.isfinite(rows).all():
        raise ValueError("an output that is to be kept holds a number that is none (NaN or infinite)")
    counts, error.outputs = error.outputs % _COUNTED_EVERY == 0, error.outputs + 1
    if storage is Storage.FP32:
        error.numbers += rows.size
        return _bytes(rows)
    largest = np.abs(rows).max(axis=1, initial=0.0, keepdims=True)
    if storage is Storage.FP16:
        _refuse_out_of_reach(largest, _LARGEST_FP16, storage, "int8 or fp32")
        short = rows.astype(np.float16)
        if counts:
            error.count(rows, short.astype(np.float32))
        return _bytes(short)
    _refuse_out_of_reach(largest, _LARGEST_IN_8_BITS, storage, "fp32")
    scales = largest / np.float32(_LARGEST_INT8)
    scaled = np.divide(rows, scales, out=np.zeros_like(rows), where=scales > 0)
    whole = np.clip(np.rint(scaled, out=scaled), -_LARGEST_INT8, _LARGEST_INT8, out=scaled).astype(np.int8)
    if counts:
        error.count(rows, whole * scales)
    return np.concatenate([_bytes(scales), _bytes(whole)])


def decode(kept: Bytes, storage: Storage, into: Rows) -> None:
    """Fill rows with what was kept of them."""
    if storage is Storage.FP32:
        into[:] = kept.view(np.float32).reshape(into.shape)
    elif storage is Storage.FP16:
        into[:] = kept.view(np.float16).reshape(into.shape)
    else:
        split = into.shape[0] * 4
        scales = kept[:split].view(np.float32).reshape(-1, 1)
        np.multiply(kept[split:].view(np.int8).reshape(into.shape), scales, out=into)


def _bytes(numbers: NDArray[np.generic]) -> Bytes:
    return np.ascontiguousarray(numbers).reshape(-1).view(np.uint8)


def _refuse_out_of_reach(largest: Rows, reach: float, storage: Storage, others: str) -> None:
    if (most := float(largest.max(initial=0.0))) > reach:
        raise ValueError(f"{storage} does not reach {most:g}, which is to be kept (choose {others})")
