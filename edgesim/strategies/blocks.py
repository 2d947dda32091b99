"""When does each rank run what, where ranks divide the blocks of one stage? Tensor, sequence and hybrid parallelism.

Between blocks a rank holds the sequence *whole*, or only the *tokens* that are its own. Blocks are of three sorts:

    units     attention, MLP and the head's vocabulary, of which each rank computes its heads or columns:
              whole: an all-reduce behind each; own tokens: an all-gather before and a reduce-scatter behind
    own       blocks that each rank computes for what it holds
    sequence  attention over own tokens only: K and V of all tokens are gathered within it

                  between blocks    attention    MLP, vocabulary   else
    tensor        whole             units        units             own
    sequence      own tokens        sequence     own               own
    hybrid_model  own tokens        units        units             own

A decoder that reads an encoder's output runs with the sequence whole: its own tokens are few. Backward passes mirror
forward ones: what was gathered is scattered, and the other way round. Generation goes on token by token with the
sequence whole; where weights are not divided (sequence) by one rank alone, since all have K and V.
"""

from collections.abc import Sequence

from edgesim.errors import PlanError
from edgesim.model import Block, BlockKind, Layer, Model
from edgesim.plan import Plan, Stage
from edgesim.schedule import Op, Schedule, Task
from edgesim.strategies.backward import backward, update
from edgesim.strategies.collectives import Exchange
from edgesim.strategies.forward import DIVIDED, forward, tell
from edgesim.strategies.generation import generate
from edgesim.strategies.orders import one_forward_one_backward
from edgesim.strategies.program import Names, Program
from edgesim.strategies.rank_view import RankView
from edgesim.workload import Workload

_KNOWN = (*DIVIDED, BlockKind.EMBEDDING, BlockKind.CONNECTIVE, BlockKind.HEAD)


def divide_blocks(
    plan: Plan,
    model: Model,
    workload: Workload,
    *,
    strategy: str,
    units: bool,
    tokens: bool,
    exchange: Exchange,
    overlap: bool = False,
) -> Schedule:
    """The checked schedule of one iteration: of training, of inference, or of a request with the tokens it generates.

    ``units`` and ``tokens`` say what ranks divide, ``overlap`` whether products run beside the exchanges they feed or
    are fed by, which they do in inference only. Raises PlanError for a plan or a model that is not divided so,
    ScheduleError.
    """
    stage = _checked(plan, model, workload, strategy, units, tokens)
    programs: dict[int, tuple[Task, ...]] = {}
    for rank in stage.ranks:
        view = RankView(
            plan=plan,
            model=model,
            workload=workload,
            rank=rank,
            units=units,
            overlap=overlap and not workload.trains,
        )
        programs[rank] = tuple(_tasks(view, Program(stage, rank, Exchange(exchange))))
    schedule = Schedule(tuple(programs.get(rank, ()) for rank in range(max(programs) + 1)))
    schedule.check()
    return schedule


def _tasks(view: RankView, program: Program) -> Sequence[Task]:
    """One rank's whole program."""
    if view.workload.trains:
        told: dict[int, Names] = {}
        for op, m in one_forward_one_backward(micro_batches=view.plan.micro_batches, in_flight=view.stage.in_flight):
            if op is Op.F:
                forward(view, program, m)
                told[m] = tell(view, program, m) if view.units else ()
            else:
                backward(view, program, m, told.pop(m))
        update(view, program)
    elif view.workload.new_tokens:
        generate(view, program)
    else:
        for m in range(view.plan.micro_batches):
            forward(view, program, m)
    return program.tasks


def _checked(plan: Plan, model: Model, workload: Workload, strategy: str, units: bool, tokens: bool) -> Stage:
    stage = plan.stages[0]
    if len(plan.stages) != 1:
        raise PlanError(f"{strategy}: the plan has {len(plan.stages)} stages, blocks are divided in one")
    if stage.layers[1] != len(model.layers):
        raise PlanError(f"plan covers {stage.layers[1]} layers, {model.name} has {len(model.layers)}")
    if (bool(stage.heads), bool(stage.tokens)) != (units, tokens):
        wanted = " and ".join([*(["heads and columns"] if units else []), *(["tokens"] if tokens else [])])
        raise PlanError(f"{strategy} divides {wanted}; the plan says {plan} (take a planner that divides these)")
    trains_units = units and workload.trains
    for layer in model.layers:
        for block in layer.blocks:
            _check_block(strategy, model, layer, block, trains_units=trains_units)
    if workload.new_tokens:
        _check_generation(strategy, plan, model)
    return stage


def _check_block(strategy: str, model: Model, layer: Layer, block: Block, *, trains_units: bool) -> None:
    if block.kind not in _KNOWN or (block.kind in DIVIDED and not block.parts):
        raise PlanError(f"{strategy} divides transformers; {model.name} has {layer.name}/{block.name}")
    if block.tied_bytes and block.trainable and trains_units:
        raise PlanError(
            f"{strategy}: {layer.name} of {model.name} trains weights tied to {block.tied_to}, of which each "
            "rank would change its columns only (untie them: model.tied=false)"
        )


def _check_generation(strategy: str, plan: Plan, model: Model) -> None:
    for layer in model.layers:
        if layer.name.startswith("encoder."):
            raise PlanError(
                f"{strategy}: {model.name} has {layer.name}, and only models of decoders alone generate token by token "
                "(say workload.new_tokens=0)"
            )
    if plan.micro_batches > 1:
        raise PlanError(
            f"{strategy}: tokens are generated for one micro-batch, the plan has {plan.micro_batches} "
            f"(say workload.micro_batch_samples={plan.batch_samples})"
        )
