"""How is computed again what nobody has cached any more? Forward through the frozen layers, for these samples alone.

The backbone lies on the ranks of a plan. A part of the missing samples goes forward through one rank of each stage: the
one that trains from it, if it is there, else by turns; as far as anything is missing, which is written where it is
made.
Tasks name positions of the batch as samples; their micro-batches are running numbers.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from edgesim.cached_outputs import Storage, kept_bytes
from edgesim.cached_training.lots import Gap, Span
from edgesim.job import Refill
from edgesim.model import Model
from edgesim.plan import Plan
from edgesim.schedule import Op, Payload, Schedule, Task

NAME = "refill of the cache"


class _Lacking(NamedTuple):
    """Samples that go forward together, and the layers of which outputs are missing."""

    receiver: int
    layers: Span
    positions: Span
    number: int


def refills(
    gaps: Iterable[Gap], backbone: Plan, *, model: Model, tokens: int, storage: Storage = Storage.FP32
) -> Iterator[Refill]:
    """Yield what fills these gaps, by stretches of iterations with the same ones; ``model`` has the backbone."""
    for iterations, missing in groupby(sorted(gaps, key=lambda gap: gap.iterations), key=lambda gap: gap.iterations):
        parts = list(_parts(list(missing), most=max(max(stage.samples) for stage in backbone.stages)))
        schedule = Schedule(_programs(parts, backbone, model, tokens, storage))
        schedule.check()
        yield Refill(name=NAME, schedule=schedule, iterations=iterations)


def _parts(gaps: Sequence[Gap], *, most: int) -> Iterator[_Lacking]:
    """Gaps in parts of at most so many samples; what is missing of the same samples goes forward once."""
    number = 0
    by_samples = sorted(gaps, key=lambda gap: (gap.positions, gap.receiver, gap.layers))
    for (positions, receiver), same in groupby(by_samples, key=lambda gap: (gap.positions, gap.receiver)):
        layers = [gap.layers for gap in same]
        span = min(start for start, _ in layers), max(stop for _, stop in layers)
        first, end = positions
        for start in range(first, end, most):
            yield _Lacking(receiver, span, (start, min(start + most, end)), number)
            number += 1


def _programs(
    parts: Sequence[_Lacking], backbone: Plan, model: Model, tokens: int, storage: Storage
) -> list[list[Task]]:
    """[rank] its tasks, part by part; layers behind the last one that is missing anywhere are left out."""
    last = max(part.layers[1] for part in parts)
    stages = [
        ((stage.layers[0], min(stage.layers[1], last)), stage.ranks)
        for stage in backbone.stages
        if stage.layers[0] < last
    ]
    programs: list[list[Task]] = [[] for _ in range(1 + max(rank for _, ranks in stages for rank in ranks))]
    for part in parts:
        way = [
            (layers, part.receiver if part.receiver in ranks else ranks[part.number % len(ranks)])
            for layers, ranks in stages
            if layers[0] < part.layers[1]
        ]
        for s, (layers, rank) in enumerate(way):
            before, after = (way[at][1] if 0 <= at < len(way) else None for at in (s - 1, s + 1))
            stop = _Stop(part=part, stage=s, layers=layers, rank=rank, before=before, after=after)
            programs[rank] += stop.tasks(model, tokens, storage)
    return programs


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stop:
    """A part at one rank on its way through the stages, and who has it before and after, if anybody."""

    part: _Lacking
    stage: int
    layers: Span
    rank: int
    before: int | None
    after: int | None

    def tasks(self, model: Model, tokens: int, storage: Storage) -> Iterator[Task]:
        """Receive the part, compute, send it on, and write what is missing."""
        (start, stop), samples = self.layers, self.part.positions[1] - self.part.positions[0]
        needs: tuple[str, ...] = ()
        if self.before is not None:
            nbytes = model.layers[start - 1].output_bytes(samples, tokens)
            received = self._task(Op.RECV, (start, start), needs, peer=self.before, nbytes=nbytes)
            needs = (received.name,)
            yield received
        computed = self._task(Op.F, self.layers, needs)
        yield computed
        needs = (computed.name,)
        if self.after is not None:
            nbytes = model.layers[stop - 1].output_bytes(samples, tokens)
            yield self._task(Op.SEND, (stop, stop), needs, peer=self.after, nbytes=nbytes)
        missing = max(start, self.part.layers[0]), min(stop, self.part.layers[1])
        if missing[0] < missing[1]:
            nbytes = kept_bytes(model, missing, samples=samples, tokens=tokens, storage=storage)
            yield self._task(Op.CACHE_WRITE, missing, needs, nbytes=nbytes)

    def _task(self, op: Op, layers: Span, needs: tuple[str, ...], *, peer: int | None = None, nbytes: int = 0) -> Task:
        return Task(
            op=op,
            rank=self.rank,
            stage=self.stage,
            layers=layers,
            micro_batch=self.part.number,
            samples=self.part.positions,
            payload=None if peer is None else Payload.ACTIVATION,
            peers=() if peer is None else (peer,),
            nbytes=nbytes,
            needs=needs,
        )
