"""Hybrid pipeline: stages of several ranks with uneven samples (Asteroid, arXiv 2408.08015; PAC, arXiv 2408.10746).

Between two stages every sender sends every receiver the samples that both hold (redistribution by overlapping ranges).
Replicas of a stage add their gradients by one all-reduce; losses are divided by the samples of the whole batch, so that
the sum is weighted by samples. Receives need nothing: they are posted ahead.
"""

from collections.abc import Iterator

from edgesim.errors import PlanError
from edgesim.model import Model
from edgesim.plan import Plan
from edgesim.schedule import Op, Payload, Schedule, Task
from edgesim.strategies.orders import one_forward_one_backward
from edgesim.workload import Workload


def hybrid_pipeline(plan: Plan, model: Model, workload: Workload) -> Schedule:
    """Return the checked schedule of one iteration of training or inference for any plan of stages.

    Raises PlanError where ranks divide blocks or tokens are to be generated, and ScheduleError.
    """
    if any(stage.divides_blocks for stage in plan.stages):
        raise PlanError(
            f"a pipeline's ranks divide samples, the plan says {plan} (take tensor, sequence, hybrid_model)"
        )
    if workload.new_tokens:
        raise PlanError("a pipeline generates no tokens (take tensor, sequence or hybrid_model, or new_tokens=0)")
    if plan.stages[-1].layers[1] != len(model.layers):
        raise PlanError(f"plan covers {plan.stages[-1].layers[1]} layers, {model.name} has {len(model.layers)}")
    writer = _PipelineWriter(plan, model, workload)
    programs = {rank: tuple(writer.program(s, rank)) for s, stage in enumerate(plan.stages) for rank in stage.ranks}
    schedule = Schedule(tuple(programs.get(rank, ()) for rank in range(max(programs) + 1)))
    schedule.check()
    return schedule


class _PipelineWriter:
    """Writes the program of one rank at a time."""

    def __init__(self, plan: Plan, model: Model, workload: Workload) -> None:
        self.plan, self.model, self.tokens = plan, model, workload.tokens
        self.infers = not workload.trains

    def program(self, s: int, rank: int) -> Iterator[Task]:
        stage, micro_batches = self.plan.stages[s], self.plan.micro_batches
        if self.infers:
            for m in range(micro_batches):
                yield from self.forward(s, rank, m)
            return
        for op, m in one_forward_one_backward(micro_batches=micro_batches, in_flight=stage.in_flight):
            yield from self.forward(s, rank, m) if op is Op.F else self.backward(s, rank, m)
        done = f"{s}B{micro_batches - 1}@"
        trainable = sum(layer.trainable_bytes for layer in self.model.layers[slice(*stage.layers)])
        if len(stage.ranks) > 1 and trainable:
            yield Task(
                op=Op.ALL_REDUCE,
                rank=rank,
                stage=s,
                layers=stage.layers,
                peers=stage.ranks,
                nbytes=trainable,
                needs=(f"{done}{rank}",),
            )
            done = f"{s}ALL_REDUCE@"
        yield Task(op=Op.UPDATE, rank=rank, stage=s, layers=stage.layers, needs=(f"{done}{rank}",))

    def forward(self, s: int, rank: int, m: int) -> Iterator[Task]:
        """Receive the input, compute, send the output on."""
        received = [] if s == 0 else list(self.messages(Op.RECV, Payload.ACTIVATION, s, rank, m))
        yield from received
        yield self.compute(Op.F, s, rank, m, needs=tuple(task.name for task in received))
        if s + 1 < len(self.plan.stages):
            yield from self.messages(Op.SEND, Payload.ACTIVATION, s, rank, m)

    def backward(self, s: int, rank: int, m: int) -> Iterator[Task]:
        """Receive the output's gradient, compute, send the input's gradient back."""
        last = s + 1 == len(self.plan.stages)
        received = [] if last else list(self.messages(Op.RECV, Payload.GRADIENT, s, rank, m))
        yield from received
        yield self.compute(Op.B, s, rank, m, needs=(f"{s}F{m}@{rank}", *(task.name for task in received)))
        if s > 0:
            yield from self.messages(Op.SEND, Payload.GRADIENT, s, rank, m)

    def compute(self, op: Op, s: int, rank: int, m: int, needs: tuple[str, ...]) -> Task:
        stage = self.plan.stages[s]
        return Task(
            op=op, rank=rank, stage=s, layers=stage.layers, micro_batch=m, samples=stage.sample_range(rank), needs=needs
        )

    def messages(self, op: Op, payload: Payload, s: int, rank: int, m: int) -> Iterator[Task]:
        """Yield a message for every rank of the other stage that shares samples with this rank.

        Activations come from the stage before and go to the next one; gradients travel the other way.
        """
        other = s + 1 if (op is Op.SEND) == (payload is Payload.ACTIVATION) else s - 1
        boundary = max(self.plan.stages[s].layers[0], self.plan.stages[other].layers[0])
        sent = self.model.layers[boundary - 1]
        if payload is Payload.GRADIENT and not sent.returns_gradient:
            return
        source, nbytes = ("F", sent.output_bytes) if payload is Payload.ACTIVATION else ("B", sent.gradient_bytes)
        for peer, (start, stop) in self.plan.stages[s].overlaps(rank, self.plan.stages[other]):
            yield Task(
                op=op,
                rank=rank,
                stage=s,
                layers=(boundary, boundary),
                micro_batch=m,
                samples=(start, stop),
                payload=payload,
                peers=(peer,),
                nbytes=nbytes(stop - start, self.tokens),
                needs=(f"{s}{source}{m}@{rank}",) if op is Op.SEND else (),
            )
