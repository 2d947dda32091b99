"""Where in a file lies what of which sample? Records one after the other, each with a header that checks itself.

A file only grows, and a record is there or is not: what was cut off at the end is not, and behind a damaged header the
next whole one is looked for. Headers begin at multiples of 64 bytes.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from real_runtime.activation_cache.codec import Bytes

_MAGIC = b"edge-act"
_HEADER = struct.Struct("<8sqIIQI")  # magic, sample, layer, rows, bytes, checksum of the bytes; then one of all that
_CHECKSUM = struct.Struct("<I")
HEADER_BYTES = 64
"""What a header takes, and what records begin at multiples of."""


class Entry(NamedTuple):
    """What a header says, and where what it is of begins."""

    sample: int
    layer: int
    rows: int
    nbytes: int
    checksum: int
    start: int

    @property
    def stop(self) -> int:
        """Where its bytes end."""
        return self.start + self.nbytes


def record_bytes(nbytes: int) -> int:
    """Return what a record of so many bytes takes in a file."""
    return HEADER_BYTES + _aligned(nbytes)


def record(sample: int, layer: int, rows: int, kept: Bytes) -> bytes:
    """Return a record of what is kept of one output of one sample."""
    head = _HEADER.pack(_MAGIC, sample, layer, rows, kept.nbytes, zlib.crc32(kept.data))
    head += _CHECKSUM.pack(zlib.crc32(head))
    padding = bytes(_aligned(kept.nbytes) - kept.nbytes)
    return b"".join((head.ljust(HEADER_BYTES, b"\0"), kept.data, padding))


def entries(file: "bytes | memoryview") -> Iterator[Entry]:
    """Yield what whole records of a file say; whether their bytes are whole, only their checksums tell."""
    position = 0
    while position + HEADER_BYTES <= len(file):
        entry = _read(file, position)
        if entry is None:
            position += HEADER_BYTES
        elif entry.stop > len(file):
            return
        else:
            yield entry
            position = entry.start + _aligned(entry.nbytes)


def _read(file: "bytes | memoryview", position: int) -> Entry | None:
    """The header that begins there; None where none does."""
    head = bytes(file[position : position + _HEADER.size])
    (checksum,) = _CHECKSUM.unpack_from(file, position + _HEADER.size)
    if not head.startswith(_MAGIC) or checksum != zlib.crc32(head):
        return None
    _, sample, layer, rows, nbytes, of_bytes = _HEADER.unpack(head)
    return Entry(sample, layer, rows, nbytes, of_bytes, position + HEADER_BYTES)


def _aligned(nbytes: int) -> int:
    return -(-nbytes // HEADER_BYTES) * HEADER_BYTES
