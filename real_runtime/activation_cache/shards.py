"""How do records get into files and out of them again? Appended to the last file, and mapped into memory to be read."""

import fcntl
import mmap
import os
import zlib
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgesim.whole_files import append
from real_runtime.activation_cache.codec import Bytes
from real_runtime.activation_cache.records import HEADER_BYTES, Entry, entries, record_bytes

SHARD_BYTES = 256 * 2**20
"""A file that has grown beyond this is followed by another."""


class Place(NamedTuple):
    """An entry, and the file that holds it."""

    shard: Path
    entry: Entry


class Shards:
    """The files of one folder, of which one process at a time may write any."""

    def __init__(self, folder: Path, *, shard_bytes: int = SHARD_BYTES) -> None:
        self.folder, self.shard_bytes = folder, shard_bytes
        self.lock = (folder / "lock").open("a")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.lock.close()
            raise ValueError(f"the activation cache in {folder} is in use (choose another folder)") from error
        self.maps: dict[Path, mmap.mmap] = {}
        self.file: FileIO | None = None

    @property
    def paths(self) -> list[Path]:
        """All files, in the order in which they were begun."""
        return sorted(self.folder.glob("*.shard"))

    @property
    def nbytes(self) -> int:
        """What all files take."""
        return sum(path.stat().st_size for path in self.paths)

    def found(self) -> list[Place]:
        """Return all whole entries in the order in which they were written; they end where the next may begin."""
        places = []
        for path in self.paths:
            whole = 0
            if mapped := self._mapped(path):
                own = [Place(path, entry) for entry in entries(memoryview(mapped))]
                places += own
                whole = own[-1].entry.start - HEADER_BYTES + record_bytes(own[-1].entry.nbytes) if own else 0
            if whole != path.stat().st_size:
                self._forget(path)
                os.truncate(path, whole)
        return places

    def append(self, record: bytes) -> tuple[Path, int]:
        """Add a record, whole or not at all; return its file and where in it. Raises OSError where the disk is full."""
        if self.file is None or self.file.tell() > self.shard_bytes:
            self._begin()
        assert self.file is not None
        start = self.file.tell()
        append(self.file, record)
        return Path(str(self.file.name)), start

    def kept(self, place: Place) -> Bytes | None:
        """Return the bytes of an entry as they were written; None where they are damaged or cut off."""
        path, entry = place
        if not path.exists() or path.stat().st_size < entry.stop or (mapped := self._mapped(path, entry.stop)) is None:
            return None
        kept = np.frombuffer(mapped, dtype=np.uint8, count=entry.nbytes, offset=entry.start)
        return kept if zlib.crc32(kept.data) == entry.checksum else None

    def release(self, place: Place) -> None:
        """Let go of the memory into which an entry was mapped; the system keeps what it likes."""
        start = place.entry.start // mmap.PAGESIZE * mmap.PAGESIZE
        if mapped := self.maps.get(place.shard):
            mapped.madvise(mmap.MADV_DONTNEED, start, place.entry.stop - start)

    def close(self) -> None:
        """Close all files; others may use the folder."""
        if self.file is not None:
            self.file.close()
            self.file = None
        self.maps.clear()  # whoever still reads keeps the file open
        self.lock.close()

    def _begin(self) -> None:
        """Begin a file, or go on with the last."""
        paths = self.paths
        last = paths[-1] if paths else None
        if last is None or last.stat().st_size > self.shard_bytes:
            number = 0 if last is None else int(last.stem) + 1
            last = self.folder / f"{number:06d}.shard"
        if self.file is not None:
            self.file.close()
        self.file = FileIO(str(last), "ab")
        self.file.seek(0, os.SEEK_END)

    def _mapped(self, path: Path, reaching: int = 0) -> mmap.mmap | None:
        """The file in memory, as far as it has grown; None where it is empty."""
        mapped = self.maps.get(path)
        if mapped is None or len(mapped) < reaching:
            with path.open("rb") as file:
                if not os.fstat(file.fileno()).st_size:
                    return None
                mapped = self.maps[path] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return mapped

    def _forget(self, path: Path) -> None:
        self.maps.pop(path, None)
