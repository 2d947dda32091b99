"""What does a heartbeat say, and how is it known to be a rank's own? A few numbers, signed with the testbed's token.

The token goes to the ranks over their pipes, and never over the network: nobody else can say that a rank is there. The
number only rises, so that nobody can say it again.
"""

import hmac
import secrets
import struct
from dataclasses import dataclass
from hashlib import blake2b

_NUMBERS = struct.Struct("<IIQ")
_SIGNATURE_BYTES = 16
DATAGRAM_BYTES = _NUMBERS.size + _SIGNATURE_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """One heartbeat: of whom, in which generation of ranks, and a number that is higher than all before."""

    rank: int
    generation: int
    number: int


def new_token() -> bytes:
    """A secret that nobody guesses."""
    return secrets.token_bytes(32)


def written(beat: Beat, token: bytes) -> bytes:
    """The heartbeat as it is sent."""
    numbers = _NUMBERS.pack(beat.rank, beat.generation, beat.number)
    return numbers + _signature(numbers, token)


def read(datagram: bytes, token: bytes) -> Beat | None:
    """The heartbeat that arrived; None for what nobody with this token has written."""
    if len(datagram) != DATAGRAM_BYTES:
        return None
    numbers, signature = datagram[: _NUMBERS.size], datagram[_NUMBERS.size :]
    if not hmac.compare_digest(signature, _signature(numbers, token)):
        return None
    rank, generation, number = _NUMBERS.unpack(numbers)
    return Beat(rank=rank, generation=generation, number=number)


def _signature(numbers: bytes, token: bytes) -> bytes:
    return blake2b(numbers, key=token, digest_size=_SIGNATURE_BYTES).digest()
