"""What did a frozen backbone put out for a sample? Written once, read in every later epoch, or said to be missing.

A folder holds the outputs of one backbone for the samples of one data set, by sample and by layer. An entry is written
whole or not at all, and read only if its checksum is right. So a process may be killed at any moment: whoever opens the
folder again finds all entries that were written. What the disk or a limit does not take is not kept, and counted.
Nothing is forced onto the disk: if the machine itself fails, what had not reached it is found damaged.
"""

import errno
import shutil
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from edgesim.units import show
from real_runtime.activation_cache.codec import Bytes, StorageError, decode, encoded
from real_runtime.activation_cache.key import NAME, CacheKey, is_there, keep_key
from real_runtime.activation_cache.missing import Missing, MissingOutputsError
from real_runtime.activation_cache.records import HEADER_BYTES, entries, record
from real_runtime.activation_cache.report import CacheReport
from real_runtime.activation_cache.shards import SHARD_BYTES, Place, Shards

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
Outputs = NDArray[np.float32]  # [samples, rows, numbers]


class ActivationCache:
    """The outputs in one folder. Threads may write and read at once; of processes one at a time opens a folder.

    As a context it is cleared at the end unless it is to be kept; after an error it stays, for who goes on.
    """

    def __init__(
        self,
        folder: str | Path,
        key: CacheKey,
        *,
        keep: bool = False,
        limit_bytes: float = inf,
        shard_bytes: int = SHARD_BYTES,
    ) -> None:
        """Open a folder, or make it. Raises ValueError for one that holds anything else, or is in use."""
        self.folder, self.key, self.keep, self.limit_bytes = Path(folder), key, keep, limit_bytes
        is_old = is_there(self.folder, key)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.shards = Shards(self.folder, shard_bytes=shard_bytes)
        if not is_old:
            keep_key(self.folder, key)
        # The last entry counts: what was damaged is written again behind it.
        self.places = {(place.entry.sample, place.entry.layer): place for place in self.shards.found()}
        self.error = StorageError()
        self.nbytes = self.shards.nbytes
        self.refused, self.why_refused, self.is_full = 0, "", False
        self.damaged: set[tuple[int, int]] = set()
        self.writing_s = 0.0
        self.lock = threading.Lock()

    def __enter__(self) -> "ActivationCache":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
        if kind is None and not self.keep:
            self.clear()

    def write(self, samples: Sequence[int], layer: int, outputs: Outputs) -> None:
        """Keep a layer's outputs of these samples; those that there is no room for are counted.

        Raises ValueError for outputs of another width, for numbers that are none or that FP16 does not reach, and
        OSError for a disk that fails.
        """
        if outputs.shape[0] != len(samples) or outputs.ndim != 3 or outputs.shape[2] != self.key.width:
            raise ValueError(
                f"outputs of {len(samples)} samples must be [{len(samples)}, rows, {self.key.width}], "
                f"got {list(outputs.shape)}"
            )
        for sample, rows in zip(samples, outputs, strict=True):
            begin_s = time.perf_counter()
            try:
                kept = encoded(np.ascontiguousarray(rows, dtype=np.float32), self.key.storage, self.error)
            except ValueError as error:
                raise ValueError(f"sample {sample}, layer {layer}: {error}") from error
            self._append(sample, layer, rows.shape[0], kept)
            self.writing_s += time.perf_counter() - begin_s

    def read(self, samples: Sequence[int], layers: Iterable[int]) -> Mapping[int, Outputs]:
        """Return, by layer, the outputs of these samples.

        Raises MissingOutputsError, and returns nothing, where any of them is missing or damaged.
        """
        missing: list[Missing] = []
        outputs: dict[int, Outputs] = {}
        for layer in layers:
            there = [self._kept(sample, layer, missing) for sample in samples]
            found = [each for each in there if each is not None]
            if missing or len(found) < len(samples):
                continue
            rows = {place.entry.rows for place, _ in found}
            if len(rows) != 1:
                raise ValueError(
                    f"layer {layer}: samples {list(samples)} have different numbers of rows {sorted(rows)}"
                )
            made = outputs[layer] = np.empty((len(samples), *rows, self.key.width), dtype=np.float32)
            for into, (place, kept) in zip(made, found, strict=True):
                decode(kept, self.key.storage, into)
                self.shards.release(place)
        if missing:
            raise MissingOutputsError(missing)
        return outputs

    def missing(self, samples: Iterable[int], layers: Sequence[int]) -> tuple[Missing, ...]:
        """Return what is not there of these samples and layers, by what headers say; bytes are checked when read."""
        return tuple(
            Missing(sample, layer, self._why(sample, layer))
            for sample in samples
            for layer in layers
            if (sample, layer) not in self.places
        )

    def kept_bytes(self, sample: int, layer: int) -> tuple[int, Bytes]:
        """Return the rows and the bytes of an entry as they are kept, for whoever takes it over (:meth:`take_over`).

        Raises MissingOutputsError.
        """
        missing: list[Missing] = []
        found = self._kept(sample, layer, missing)
        if found is None:
            raise MissingOutputsError(missing)
        place, kept = found
        return place.entry.rows, kept

    def take_over(self, sample: int, layer: int, rows: int, kept: Bytes) -> None:
        """Keep an entry that another cache of the same key has kept, bit by bit."""
        self._append(sample, layer, rows, kept)

    def report(self) -> CacheReport:
        """What is there and what is not."""
        return CacheReport(
            entries=len(self.places),
            nbytes=self.nbytes,
            refused=self.refused,
            why_refused=self.why_refused,
            damaged=len(self.damaged),
            max_relative_error=self.error.max_relative,
            rms_relative_error=self.error.rms_relative,
            writing_s=self.writing_s,
        )

    def close(self) -> None:
        """Close the files; what is in them stays."""
        self.shards.close()

    def clear(self) -> None:
        """Delete the folder with all that a cache has in it."""
        self.close()
        for path in (*self.shards.paths, self.folder / "lock", self.folder / NAME):
            path.unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            shutil.rmtree(self.folder)

    def _append(self, sample: int, layer: int, rows: int, kept: Bytes) -> None:
        whole = record(sample, layer, rows, kept)
        with self.lock:
            if self.is_full or self.nbytes + len(whole) > self.limit_bytes:
                self._refuse(f"they may take {show(self.limit_bytes, 'B')}")
                return
            try:
                path, start = self.shards.append(whole)
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                self.is_full = True
                self._refuse(f"the disk of {self.folder} is full")
                return
            self.nbytes += len(whole)
            (entry,) = entries(whole)
            self.places[sample, layer] = Place(path, entry._replace(start=start + HEADER_BYTES))
            self.damaged.discard((sample, layer))

    def _refuse(self, why: str) -> None:
        self.refused += 1
        self.why_refused = self.why_refused or why

    def _kept(self, sample: int, layer: int, missing: list[Missing]) -> tuple[Place, Bytes] | None:
        """An entry's place and its bytes; where they are damaged or not there it is among the missing."""
        place = self.places.get((sample, layer))
        kept = None if place is None else self.shards.kept(place)
        if place is not None and kept is not None:
            return place, kept
        if place is not None:
            with self.lock:
                if self.places.get((sample, layer)) == place:  # nobody has written it again meanwhile
                    del self.places[sample, layer]
                    self.damaged.add((sample, layer))
        missing.append(Missing(sample, layer, self._why(sample, layer)))
        return None

    def _why(self, sample: int, layer: int) -> str:
        if (sample, layer) in self.damaged:
            return "its entry is damaged"
        return f"it is not there ({self.why_refused})" if self.why_refused else "it is not there"
