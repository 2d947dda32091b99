"""What is sent between the epoch that fills a cache and those that train from it? Cached outputs, and adapters.

A message of cached outputs has the ``layers`` that put them out, as ``samples`` positions of the batch, as ``units``
the half-open range of the epoch's iterations, as ``micro_batch`` a running number. Its sender reads it from its disk
before, its receiver writes it to its own behind; a disk reads some messages ahead of what it writes, so that neither
end waits for the other. Weights are sent as in any other migration (:mod:`edgesim.recovery.migrations`).
"""

from collections.abc import Iterator, Sequence
from math import ceil
from typing import NamedTuple

from edgesim.apportion import even_shares, ranges
from edgesim.cached_outputs import Storage, kept_bytes
from edgesim.cached_training.lots import Lot, Span, Wanted
from edgesim.job import Held, KeptOutputs, Migration
from edgesim.model import Model
from edgesim.planners.problem import Problem
from edgesim.recovery.migrations import migration, wanted_by
from edgesim.schedule import Op, Payload, Schedule, Task
from edgesim.units import si

NAME = "redistribution"
_LARGEST = si("64 MiB")  # of a message; what is read, sent and written at once
_AHEAD = 2  # messages of every lot that are read before the first one is written


class Parcel(NamedTuple):
    """A lot's outputs of some iterations."""

    lot: Lot
    iterations: Span
    nbytes: int
    number: int


def redistribution(
    wanted: Wanted, held: Held, kept: KeptOutputs, *, version: int, problem: Problem, storage: Storage = Storage.FP32
) -> Migration | None:
    """Return what brings ranks what they train from, and with; None where all is where it is needed.

    ``problem`` is of the model without its backbone, whose layers are in this version. Raises ValueError for outputs of
    other batches, or a model without parallel adapters.
    """
    weights = migration(NAME, wanted_by(wanted.plan), held, version, problem)
    parcels = list(_parcels(list(wanted.lots(kept)), wanted.model, wanted.tokens, storage))
    if weights is None and not parcels:
        return None
    programs: list[list[Task]] = [[] for _ in problem.ranks]
    if weights is not None:
        for program, sent in zip(programs, weights.schedule.programs, strict=False):
            program.extend(sent)
    for program, moved in zip(programs, _programs(parcels, len(problem.ranks)), strict=True):
        program.extend(moved)
    schedule = Schedule(programs)
    schedule.check()
    return Migration(name=NAME, schedule=schedule, arriving=weights.arriving if weights else (), model=problem.model)


def _parcels(moved: Sequence[Lot], tuned: Model, tokens: int, storage: Storage) -> Iterator[Parcel]:
    """Lots in parts that are not too large, in the order of their iterations."""
    parts = []
    for lot in moved:
        samples, (first, end) = lot.positions[1] - lot.positions[0], lot.iterations
        size = kept_bytes(tuned, lot.layers, samples=samples, tokens=tokens, storage=storage)
        count = min(end - first, ceil(size * (end - first) / _LARGEST))
        for start, stop in ranges(even_shares(end - first, count)):
            parts.append(((first + start, first + stop), lot, size * (stop - start)))
    for number, (part, lot, nbytes) in enumerate(sorted(parts)):
        yield Parcel(lot=lot, iterations=part, nbytes=nbytes, number=number)


def _programs(parcels: Sequence[Parcel], ranks: int) -> list[list[Task]]:
    """[rank] its tasks. A message waits for earlier ones only, so that disks never wait in a circle."""
    lag = _AHEAD * len({parcel.lot for parcel in parcels})
    ordered: list[list[tuple[tuple[int, int], list[Task]]]] = [[] for _ in range(ranks)]
    for parcel in parcels:
        sender, receiver, number = parcel.lot.sender, parcel.lot.receiver, parcel.number
        read = _task(parcel, Op.CACHE_READ, sender)
        ordered[sender].append(((number, 2), [read, _end(parcel, Op.SEND, needs=(read.name,))]))
        received = _end(parcel, Op.RECV)
        ordered[receiver].append(((number, 0), [received]))
        written = _task(parcel, Op.CACHE_WRITE, receiver, needs=(received.name,))
        ordered[receiver].append(((number + lag, 1), [written]))
    return [[task for _, tasks in sorted(each, key=lambda entry: entry[0]) for task in tasks] for each in ordered]


def _task(parcel: Parcel, op: Op, rank: int, *, peers: tuple[int, ...] = (), needs: tuple[str, ...] = ()) -> Task:
    """What a rank does with a parcel: at its disk, or with a peer."""
    return Task(
        op=op,
        rank=rank,
        stage=0,
        layers=parcel.lot.layers,
        micro_batch=parcel.number,
        samples=parcel.lot.positions,
        units=parcel.iterations,
        payload=Payload.CACHE if peers else None,
        peers=peers,
        nbytes=parcel.nbytes,
        needs=needs,
    )


def _end(parcel: Parcel, op: Op, *, needs: tuple[str, ...] = ()) -> Task:
    sender, receiver = parcel.lot.sender, parcel.lot.receiver
    rank, peer = (sender, receiver) if op is Op.SEND else (receiver, sender)
    return _task(parcel, op, rank, peers=(peer,), needs=needs)
