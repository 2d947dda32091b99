"""When does who do what, if virtual workers train side by side and meet at a parameter server? HetPipe (ATC 2020).

A stage's n-th replica belongs to the n-th virtual worker, whose pipeline never drains: 1F1B through all iterations.
What HetPipe (Park et al., arXiv 2005.14038) calls a wave is an iteration here. At its end each rank of a worker pushes
its gradients to who serves these weights, takes a step of its own, and goes on. A server adds up the pushes of all
workers and sends the weights back, which is called a pull. Each of a stage's n replicas serves an n-th part of its
weights (the paper's placement "ED-local"), or one rank serves all.

With staleness D a worker may be D iterations ahead of what it has pulled, and of micro-batches those that were under
way when the iteration ended: of K in flight, micro-batch (c + 1 + D) M + K - 1 is the first to need the pull of
iteration c (the paper's waves wait for each other at the same place). All stages of a worker change weights there, so
that a micro-batch meets one version everywhere.

The schedule spans several iterations, of which the steady state counts. Messages are gradients and weights that are
trained; a ``tile`` says whose part it is. What a rank serves to itself is no message, and servers add up in their
sending threads, as an all-reduce does. Not counted: the memory of what is served, and of a second version of weights.
What stale weights do to the loss is not simulated.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from edgesim.apportion import even_shares
from edgesim.errors import PlanError
from edgesim.model import Model
from edgesim.plan import Plan, Stage
from edgesim.schedule import Op, Payload, Schedule, Task
from edgesim.strategies.hybrid_pipeline import Boundary, Span, refuse_others
from edgesim.strategies.orders import one_forward_one_backward
from edgesim.strategies.tied_gradients import refuse_tied
from edgesim.units import BYTES_PER_FLOAT32
from edgesim.workload import Workload


def parameter_server(
    plan: Plan,
    model: Model,
    workload: Workload,
    *,
    staleness: int = 0,
    iterations: int | None = None,
    server: int | None = None,
) -> Schedule:
    """Return the checked schedule of several iterations of training.

    ``iterations`` None: 4 (staleness + 2), enough for a steady state. ``server`` is the rank that serves all weights;
    None: those that hold them. Raises PlanError for what is no pipeline of equal workers, and ScheduleError.
    """
    iterations = 4 * (staleness + 2) if iterations is None else iterations
    refuse_others(plan, model, workload)
    refuse_tied(plan, model, workload, "parameter_server")
    if not workload.trains:
        raise PlanError("parameter_server trains; requests have no weights to exchange (take hybrid_pipeline)")
    for name, value, least in (("staleness", staleness, 0), ("iterations", iterations, 2)):
        if value < least:
            raise PlanError(f"parameter_server: {name} must be at least {least}, got {value}")
    workers = len(plan.stages[0].ranks)
    for stage in plan.stages:
        if stage.samples != plan.stages[0].samples or stage.recompute:
            raise PlanError(
                f"parameter_server needs stages of {workers} workers that share samples alike and recompute nothing, "
                f"the plan says {plan} (take planner=hetpipe)"
            )
    writer = _Writer(plan, model, workload, staleness, iterations, server)
    schedule = Schedule(writer.programs())
    schedule.check()
    return schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seat:
    """A rank of a worker: its stage, its samples, and what it tells the stages before and behind."""

    s: int
    stage: Stage
    rank: int
    samples: Span
    before: Boundary | None
    after: Boundary | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _ServedPart:
    """Some of a stage's trained weights, and who serves them; ``number`` is whose place among the ranks."""

    number: int
    server: int
    nbytes: int


def _parts(stage: Stage, model: Model, server: int | None) -> list[_ServedPart]:
    """The parts of a stage's weights; none where nothing is trained, or where one worker holds them alone."""
    numbers = sum(layer.trainable_bytes for layer in model.layers[slice(*stage.layers)]) // BYTES_PER_FLOAT32
    if len(stage.ranks) == 1 or not numbers:
        return []
    if server is not None:
        return [_ServedPart(number=0, server=server, nbytes=numbers * BYTES_PER_FLOAT32)]
    shares = zip(stage.ranks, even_shares(numbers, len(stage.ranks)), strict=True)
    parts = (_ServedPart(number=n, server=rank, nbytes=own * BYTES_PER_FLOAT32) for n, (rank, own) in enumerate(shares))
    return [part for part in parts if part.nbytes]


class _Writer:
    """Writes the programs of all ranks."""

    def __init__(
        self, plan: Plan, model: Model, workload: Workload, staleness: int, iterations: int, server: int | None
    ) -> None:
        self.plan, self.M = plan, plan.micro_batches
        self.total = iterations * self.M
        self.parts = [_parts(stage, model, server) for stage in plan.stages]
        self.between = [Boundary(*stages, model, workload.tokens) for stages in pairwise(plan.stages)]
        depth = min(plan.stages[0].in_flight, self.M)
        # The micro-batch that is the first to need the pull of an iteration, told by that iteration's last one.
        ends = range(self.M - 1, self.total, self.M)
        self.pulled_by = {end: end + staleness * self.M + depth for end in ends}
        self.pulled = {first: end for end, first in self.pulled_by.items() if first < self.total}

    def programs(self) -> list[list[Task]]:
        """[rank] All that it does."""
        servers = [part.server for parts in self.parts for part in parts]
        of: list[list[Task]] = [[] for _ in range(max((*self.plan.ranks, *servers)) + 1)]
        for s, stage in enumerate(self.plan.stages):
            before = self.between[s - 1] if s else None
            after = self.between[s] if s < len(self.between) else None
            for rank, samples in zip(stage.ranks, stage.sample_ranges, strict=True):
                seat = _Seat(s=s, stage=stage, rank=rank, samples=samples, before=before, after=after)
                of[rank].extend(self.works(seat))
            for server in {part.server for part in self.parts[s]} - set(stage.ranks):
                of[server].extend(task for m in self.pulled_by for task in self.exchanges(s, server, m))
        return of

    def works(self, seat: _Seat) -> Iterator[Task]:
        """What a worker's rank does, in order."""
        forwards: dict[int, str] = {}
        depth = min(seat.stage.in_flight, self.M)
        for op, m in one_forward_one_backward(micro_batches=self.total, in_flight=depth):
            if op is Op.F:
                got = list(self.messages(seat, Op.RECV, Payload.ACTIVATION, seat.before, m, ()))
                yield from got
                arrived = self.exchanges(seat.s, seat.rank, self.pulled[m]) if m in self.pulled else ()
                needs = [task.name for task in (*got, *arrived) if task.op is Op.RECV]
                done = self.computes(Op.F, seat, m, needs)
                forwards[m] = done.name
                yield done
                yield from self.messages(seat, Op.SEND, Payload.ACTIVATION, seat.after, m, (done.name,))
                continue
            got = list(self.messages(seat, Op.RECV, Payload.GRADIENT, seat.after, m, ()))
            yield from got
            done = self.computes(Op.B, seat, m, [forwards.pop(m), *(task.name for task in got)])
            yield done
            yield from self.messages(seat, Op.SEND, Payload.GRADIENT, seat.before, m, (done.name,))
            if m in self.pulled_by:
                yield from self.exchanges(seat.s, seat.rank, m)
                yield self.computes(Op.UPDATE, seat, m, [done.name])

    def exchanges(self, s: int, rank: int, m: int) -> Iterator[Task]:
        """A rank's ends of all pushes and pulls of a stage, at the end of the iteration whose last micro-batch this is.

        Between two ranks a push comes before a pull. Of weights that nobody will need no pull is made.
        """
        stage, pulls = self.plan.stages[s], self.pulled_by[m] < self.total
        own = [f"{s}{Op.B}{m}@{rank}"] if rank in stage.ranks else []
        elsewhere = [part for part in self.parts[s] if part.server != rank and own]
        for part in elsewhere:
            yield self.weights(Op.SEND, rank, part.server, s, m, part, own)
        for part in self.parts[s]:
            if part.server == rank:
                others = [other for other in stage.ranks if other != rank]
                pushed = [self.weights(Op.RECV, rank, other, s, m, part, ()) for other in others]
                yield from pushed
                needs = [*own, *(task.name for task in pushed)]
                yield from (self.weights(Op.SEND, rank, other, s, m, part, needs) for other in others if pulls)
        yield from (self.weights(Op.RECV, rank, part.server, s, m, part, ()) for part in elsewhere if pulls)

    def weights(self, op: Op, rank: int, peer: int, s: int, m: int, part: _ServedPart, needs: Sequence[str]) -> Task:
        """One end of a push or of a pull."""
        return Task(
            op=op,
            rank=rank,
            stage=s,
            layers=self.plan.stages[s].layers,
            micro_batch=m,
            tile=part.number,
            payload=Payload.WEIGHTS,
            peers=(peer,),
            nbytes=part.nbytes,
            needs=tuple(needs),
        )

    def computes(self, op: Op, seat: _Seat, m: int, needs: list[str]) -> Task:
        """A computation of a whole stage; an update is of no samples."""
        return Task(
            op=op,
            rank=seat.rank,
            stage=seat.s,
            layers=seat.stage.layers,
            micro_batch=m,
            samples=(0, 0) if op is Op.UPDATE else seat.samples,
            needs=tuple(needs),
        )

    def messages(
        self, seat: _Seat, op: Op, payload: Payload, boundary: Boundary | None, m: int, needs: tuple[str, ...]
    ) -> Iterator[Task]:
        """One end of each message over a boundary, within the worker."""
        for kind in boundary.messages(op, payload, seat.s, seat.rank) if boundary else ():
            yield Task(micro_batch=m, needs=needs, **kind._asdict())
