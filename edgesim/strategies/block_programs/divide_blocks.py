"""Which checked schedule divides the blocks of one stage? That of tensor, sequence and hybrid model parallelism."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from edgesim.block_passes.division import BlockDivision
from edgesim.block_passes.passes import backward, forward, hand_over, tell, update
from edgesim.block_passes.steps import ExchangeStep, Step
from edgesim.model import Model
from edgesim.plan import Plan
from edgesim.schedule import Op, Schedule
from edgesim.strategies.block_programs.checks import check_division
from edgesim.strategies.block_programs.collectives import CollectiveAlgorithm
from edgesim.strategies.block_programs.program import RankProgram, Tasks
from edgesim.strategies.block_programs.rank_share import RankShare, StageShares
from edgesim.strategies.block_programs.sayings import Sayings
from edgesim.strategies.block_programs.writer import StepWriter
from edgesim.strategies.block_programs.written import WrittenTasks
from edgesim.strategies.orders import one_forward_one_backward
from edgesim.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockStrategy:
    """How a strategy divides blocks.

    Attributes:
        name: as messages call it.
        units: whether ranks divide heads and columns.
        tokens: whether ranks divide the tokens of the sequence.
        exchange: the algorithm of its collectives.
        overlap: whether products run beside the exchanges that they feed or are fed by; in inference only.
    """

    name: str
    units: bool
    tokens: bool
    exchange: CollectiveAlgorithm
    overlap: bool = False


def divide_blocks(strategy: BlockStrategy, plan: Plan, model: Model, workload: Workload) -> Schedule:
    """Return the checked schedule of one iteration of training or inference, or of a request that generates tokens.

    Raises PlanError for a plan or a model that is not divided so, and ScheduleError.
    """
    division = BlockDivision(
        model=model,
        workload=workload,
        samples=plan.micro_batch_samples,
        units=strategy.units,
        tokens=strategy.tokens,
        overlap=strategy.overlap,
    )
    check_division(strategy.name, plan, division)
    stage, write = plan.stages[0], _iteration(plan, division)
    tasks = WrittenTasks(stage.ranks, Sayings(StageShares(stage, division)))
    for rank in range(max(stage.ranks) + 1):
        tasks.begin(rank)
        if rank in stage.ranks:
            share = RankShare(stage, rank)
            write(StepWriter(share, RankProgram(tasks, share, CollectiveAlgorithm(strategy.exchange))))
    schedule = Schedule(tasks.columns())
    schedule.check()
    return schedule


def _iteration(plan: Plan, division: BlockDivision) -> Callable[[StepWriter], None]:
    """What writes a whole program; the steps of its passes are the same for all ranks."""
    workload = division.workload
    if workload.trains:
        return partial(_train, plan, _Training.of(division))
    if workload.new_tokens:
        passes = [[*forward(one), *tell(one)] for one in (division, *division.generating())]
        return partial(_generate, passes, [] if division.units else [hand_over(division)])
    return partial(_infer, plan.micro_batches, list(forward(division)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Training:
    """The steps of an iteration of training."""

    forward: Sequence[Step]
    tell: Sequence[ExchangeStep]
    backward: Sequence[Step]
    update: Sequence[Step]

    @classmethod
    def of(cls, division: BlockDivision) -> "_Training":
        return cls(
            forward=list(forward(division)),
            tell=list(tell(division)),
            backward=list(backward(division)),
            update=list(update(division)),
        )


def _train(plan: Plan, steps: _Training, writer: StepWriter) -> None:
    told: dict[int, Tasks] = {}
    in_flight = plan.stages[0].in_flight
    for op, m in one_forward_one_backward(micro_batches=plan.micro_batches, in_flight=in_flight):
        if op is Op.F:
            writer.write(steps.forward, m)
            told[m] = writer.hear(steps.tell, m)
        else:
            writer.program.ready = told.pop(m)  # the loss needs the sums of all columns of the vocabulary
            writer.write(steps.backward, m)
    writer.write(steps.update)


def _infer(micro_batches: int, steps: Sequence[Step], writer: StepWriter) -> None:
    for m in range(micro_batches):
        writer.write(steps, m)


def _generate(passes: Sequence[Sequence[Step]], handed_over: Sequence[Step], writer: StepWriter) -> None:
    """The prompt, then one token at a time, numbered like micro-batches; the rank with most tokens may go on alone."""
    prompt, *others = passes
    writer.write([*prompt, *handed_over], 0)
    if handed_over and writer.share.me != writer.share.alone:
        return
    for m, steps in enumerate(others, start=1):
        writer.write(steps, m)
