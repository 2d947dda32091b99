"""What is a message of weights? A piece of the flat state of consecutive layers, by the numbers that it has in there.

The flat state of a range is layer after layer: the parameters of each, then the optimiser's numbers of those that are
trained. A message's ``layers`` are the range, its ``units`` the half-open range of numbers in that state, of 4 bytes
each, its ``micro_batch`` a running number, so that no two are called the same.
"""

from dataclasses import dataclass

from edgesim.memory import carried_bytes
from edgesim.model import Model
from edgesim.schedule import Op, Payload, Task
from edgesim.units import BYTES_PER_FLOAT32
from edgesim.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Numbers ``units`` of the flat state of ``layers``, from one rank to another; ``number`` counts the messages."""

    sender: int
    receiver: int
    stage: int
    layers: tuple[int, int]
    units: tuple[int, int]
    number: int


def numbers_of(model: Model, layers: tuple[int, int], workload: Workload) -> int:
    """Return how many numbers the flat state of these layers has."""
    return round(sum(carried_bytes(layer, workload) for layer in model.layers[slice(*layers)]) / BYTES_PER_FLOAT32)


def send_of(piece: Piece, *, needs: tuple[str, ...] = ()) -> Task:
    """Return the sender's task, which waits for these tasks."""
    return _end(piece, Op.SEND, piece.sender, piece.receiver, needs)


def receive_of(piece: Piece) -> Task:
    """Return the receiver's task."""
    return _end(piece, Op.RECV, piece.receiver, piece.sender, ())


def _end(piece: Piece, op: Op, rank: int, peer: int, needs: tuple[str, ...]) -> Task:
    return Task(
        op=op,
        rank=rank,
        stage=piece.stage,
        layers=piece.layers,
        micro_batch=piece.number,
        units=piece.units,
        payload=Payload.WEIGHTS,
        peers=(peer,),
        nbytes=BYTES_PER_FLOAT32 * (piece.units[1] - piece.units[0]),
        needs=needs,
    )
