"""Hybrid pipeline: stages of several ranks with uneven samples (Asteroid, arXiv 2408.08015; PAC, arXiv 2408.10746).

Between two stages every sender sends every receiver the samples that both hold (redistribution by overlapping ranges).
Replicas of a stage add their gradients by one all-reduce, or in buckets beside the last micro-batch's backward pass;
those of tied weights that stages have apart are added up by all of their ranks (tied_gradients.py);
losses are divided by the samples of the whole batch, so that the sum is weighted by samples. Receives need nothing:
they are posted ahead. A stage that recomputes computes each micro-batch forward again just before it goes back, while
its gradient may still be on its way. What a frozen backbone puts out may be kept on disks (``activation_cache.py``).
"""

from collections.abc import Sequence
from itertools import pairwise

from edgesim.errors import PlanError
from edgesim.model import Model
from edgesim.plan import Plan, Stage
from edgesim.schedule import NONE, Kind, Op, Payload, Peers, Schedule
from edgesim.strategies.activation_cache import NO_CACHE, CacheTasks
from edgesim.strategies.gradient_buckets import Layers, gradient_buckets
from edgesim.strategies.orders import one_forward_one_backward
from edgesim.strategies.task_templates import TaskTemplates, Template, Uses
from edgesim.strategies.tied_gradients import TiedGradients, refuse_tied, tied_gradients
from edgesim.workload import Workload

Span = tuple[int, int]


def hybrid_pipeline(
    plan: Plan, model: Model, workload: Workload, *, bucket_bytes: float | None = None, cache: CacheTasks = NO_CACHE
) -> Schedule:
    """Return the checked schedule of one iteration of training or inference for any plan of stages.

    With ``bucket_bytes``, replicas add their gradients up in :func:`gradient_buckets`; None adds all of them at once,
    behind the backward pass, which is what planners and their formulas count. ``cache`` writes or reads what a frozen
    backbone puts out.

    Raises PlanError where ranks divide blocks or tokens are to be generated, for a cache without parallel adapters, and
    ScheduleError.
    """
    refuse_others(plan, model, workload)
    cache.check(model)
    schedule = _written(plan, model, workload, bucket_bytes, cache)
    schedule.check()
    return schedule


def refuse_others(plan: Plan, model: Model, workload: Workload) -> None:
    """Raise PlanError for what is no pipeline of this model: divided blocks, generated tokens, missing layers."""
    if any(stage.divides_blocks for stage in plan.stages):
        raise PlanError(
            f"a pipeline's ranks divide samples, the plan says {plan} (take tensor, sequence, hybrid_model)"
        )
    if workload.new_tokens:
        raise PlanError("a pipeline generates no tokens (take tensor, sequence or hybrid_model, or new_tokens=0)")
    if plan.stages[-1].layers[1] != len(model.layers):
        raise PlanError(f"plan covers {plan.stages[-1].layers[1]} layers, {model.name} has {len(model.layers)}")


class Boundary:
    """What two stages tell each other, found once for all their ranks and micro-batches."""

    def __init__(self, first: Stage, second: Stage, model: Model, tokens: int) -> None:
        self.layers, self.tokens = (second.layers[0], second.layers[0]), tokens
        self.sent = model.layers[second.layers[0] - 1]
        self.shared: dict[int, list[tuple[int, Span]]] = {rank: [] for rank in (*first.ranks, *second.ranks)}
        for rank, peer, samples in first.overlaps(second):
            self.shared[rank].append((peer, samples))
            self.shared[peer].append((rank, samples))

    def messages(self, op: Op, payload: Payload, stage: int, rank: int) -> list[Kind]:
        """Return a message for every rank of the other stage that shares samples with this rank."""
        if payload is Payload.GRADIENT and not self.sent.returns_gradient:
            return []
        nbytes = self.sent.output_bytes if payload is Payload.ACTIVATION else self.sent.gradient_bytes
        return [
            Kind(
                op=op,
                rank=rank,
                stage=stage,
                layers=self.layers,
                samples=(start, stop),
                payload=payload,
                peers=(peer,),
                nbytes=nbytes(stop - start, self.tokens),
            )
            for peer, (start, stop) in self.shared[rank]
        ]


class _StageWriter:
    """Writes what the ranks of one stage do at a stretch: to forward a micro-batch, to go back, and to update."""

    def __init__(
        self, templates: TaskTemplates, s: int, stage: Stage, before: Boundary | None, after: Boundary | None
    ) -> None:
        self.templates, self.s, self.layers = templates, s, stage.layers
        self.before, self.after, self.ring = before, after, Peers(stage.ranks)

    def forward(
        self, rank: int, samples: Span, cache: CacheTasks, model: Model, tokens: int
    ) -> tuple[Template, int, list[int]]:
        """Receive the input, read what is cached, compute, send the output on, write what is to be cached.

        Return the template, the computation, and what is sent.
        """
        forward = Kind(Op.F, rank, self.s, self.layers, samples=samples)
        needs = self.messages(Op.RECV, Payload.ACTIVATION, self.before, rank)
        if read := cache.read(forward, model, tokens):
            needs.append(self.templates.write(read, lagging=((self.templates.next + 1, cache.ahead),)))
        done = self.templates.write(forward, needs)
        sent = self.messages(Op.SEND, Payload.ACTIVATION, self.after, rank, needs=(done,))
        if written := cache.written(forward, model, tokens):
            self.templates.write(written, (done,))
        return self.templates.end(), done, sent

    def again(self, rank: int, samples: Span, forward: int, sent: Sequence[int]) -> tuple[Template, int]:
        """Compute forward a second time, from the input that is still there, when the first output has been sent."""
        again = Kind(Op.RECOMPUTE, rank, self.s, self.layers, samples=samples)
        done = self.templates.write(again, (forward, *sent))
        return self.templates.end(), done

    def backward(self, rank: int, samples: Span, forward: int) -> tuple[Template, int]:
        """Receive the output's gradient, compute, send the input's gradient back; ``forward`` left what it needs."""
        received = self.messages(Op.RECV, Payload.GRADIENT, self.after, rank)
        done = self.templates.write(Kind(Op.B, rank, self.s, self.layers, samples=samples), [forward, *received])
        self.messages(Op.SEND, Payload.GRADIENT, self.before, rank, needs=(done,))
        return self.templates.end(), done

    def end_in_buckets(
        self, rank: int, samples: Span, forward: int, buckets: Sequence[tuple[Layers, int]]
    ) -> list[tuple[Template, int]]:
        """Compute the last micro-batch's backward bucket by bucket, add up each one's gradients meanwhile, and step."""
        m = self.templates.micro_batches - 1
        needs = [forward, *self.messages(Op.RECV, Payload.GRADIENT, self.after, rank)]
        written, added = [], []
        for number, (layers, nbytes) in enumerate(buckets):
            done = self.templates.write(Kind(Op.B, rank, self.s, layers, samples=samples, bucket=number), needs)
            if number == len(buckets) - 1:
                self.messages(Op.SEND, Payload.GRADIENT, self.before, rank, needs=(done,))
            written.append((self.templates.end(), m))
            ring = Kind(Op.ALL_REDUCE, rank, self.s, layers, peers=self.ring, nbytes=nbytes, bucket=number)
            added.append(self.templates.write(ring, (done,)))
            written.append((self.templates.end(), NONE))
            needs = [done]
        return [*written, (self.step(rank, added), NONE)]

    def update(self, rank: int, backward: int, trainable_bytes: int, tied: Sequence[TiedGradients]) -> Template:
        """Add the replicas' gradients up after the last micro-batch, then those of tied weights, and take a step."""
        trainable_bytes -= sum(each.nbytes for each in tied if each.stage == self.s)
        if len(self.ring) > 1 and trainable_bytes:
            ring = Kind(Op.ALL_REDUCE, rank, self.s, self.layers, peers=self.ring, nbytes=trainable_bytes)
            backward = self.templates.write(ring, (backward,))
        for each in tied:
            if rank in each.ranks.ranks:
                backward = self.templates.write(each.kind(rank), (backward,))
        return self.step(rank, (backward,))

    def step(self, rank: int, needs: Sequence[int]) -> Template:
        """Take the optimiser's step."""
        self.templates.write(Kind(Op.UPDATE, rank, self.s, self.layers), needs)
        return self.templates.end()

    def messages(
        self, op: Op, payload: Payload, boundary: Boundary | None, rank: int, needs: Sequence[int] = ()
    ) -> list[int]:
        kinds = boundary.messages(op, payload, self.s, rank) if boundary else ()
        return [self.templates.write(kind, needs) for kind in kinds]


def _written(plan: Plan, model: Model, workload: Workload, bucket_bytes: float | None, cache: CacheTasks) -> Schedule:
    templates = TaskTemplates(plan.micro_batches)
    uses: dict[int, Uses] = {}
    tied = tied_gradients(plan, model, workload)
    if bucket_bytes is not None:
        refuse_tied(plan, model, workload, "hybrid_pipeline in buckets")
    between = [Boundary(*stages, model, workload.tokens) for stages in pairwise(plan.stages)]
    for s, (stage, before, after) in enumerate(zip(plan.stages, [None, *between], [*between, None], strict=True)):
        writer = _StageWriter(templates, s, stage, before, after)
        order = list(one_forward_one_backward(micro_batches=plan.micro_batches, in_flight=stage.in_flight))
        trainable_bytes = sum(layer.trainable_bytes for layer in model.layers[slice(*stage.layers)])
        buckets = [] if bucket_bytes is None else gradient_buckets(model, stage.layers, bucket_bytes)
        for rank, samples in zip(stage.ranks, stage.sample_ranges, strict=True):
            forward, computed, sent = writer.forward(rank, samples, cache, model, workload.tokens)
            if not workload.trains:
                uses[rank] = [(forward, m) for m in range(plan.micro_batches)]
                continue
            back = []
            if stage.recompute:
                again, computed = writer.again(rank, samples, computed, sent)
                back.append(again)
            backward, done = writer.backward(rank, samples, computed)
            back.append(backward)
            passes = [(each, m) for op, m in order for each in ((forward,) if op is Op.F else back)]
            if len(stage.ranks) > 1 and len(buckets) > 1:
                passes.pop()  # the last micro-batch's backward
                uses[rank] = [*passes, *writer.end_in_buckets(rank, samples, computed, buckets)]
            else:
                uses[rank] = [*passes, (writer.update(rank, done, trainable_bytes, tied), NONE)]
    return templates.schedule([uses.get(rank, ()) for rank in range(max(uses) + 1)])
