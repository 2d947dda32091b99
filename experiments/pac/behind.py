"""What if adapters are added up behind the next iteration's frozen layers? No schedule of ours, and allowed.

The backbone's forward pass of an iteration needs nothing that the iteration before has learnt; its side network does.
So the all-reduce of one iteration may run while the backbone computes the next. PyTorch's data parallelism waits for
it; the paper does not say what its engine does.
"""

from collections.abc import Iterator

from edgesim.plan import Plan
from edgesim.schedule import Op, Peers, Schedule, Task
from experiments.configuration.setup import Setup

_ITERATIONS = (3, 6)  # of the schedules whose difference is what an iteration takes in the end


def iteration_s(plan: Plan, setup: Setup) -> float:
    """Return the seconds of an iteration of data parallelism over parallel adapters, one after many.

    Raises ValueError for a plan of several stages or micro-batches.
    """
    if len(plan.stages) > 1 or plan.micro_batches > 1:
        raise ValueError(f"only data parallelism with one micro-batch adds up behind the next forward pass, got {plan}")
    few, many = (setup.simulate(_schedule(plan, setup, count)).makespan_s for count in _ITERATIONS)
    return (many - few) / (_ITERATIONS[1] - _ITERATIONS[0])


def _schedule(plan: Plan, setup: Setup, iterations: int) -> Schedule:
    (stage,) = plan.stages
    programs: list[list[Task]] = [[] for _ in range(max(stage.ranks) + 1)]
    for rank, samples in zip(stage.ranks, stage.sample_ranges, strict=True):
        programs[rank] = list(_program(rank, samples, Peers(stage.ranks), setup, iterations))
    schedule = Schedule(programs)
    schedule.check()
    return schedule


def _program(rank: int, samples: tuple[int, int], ring: Peers, setup: Setup, iterations: int) -> Iterator[Task]:
    layers = setup.model.layers
    blocks = [(i, block.name) for i, layer in enumerate(layers) for block in layer.blocks]
    # What the head reads has passed the side network: all of it waits.
    frozen = [(i, name) for i, name in blocks if i < len(layers) - 1 and not name.startswith("side_")]
    side = [each for each in blocks if each not in frozen]
    nbytes = sum(layer.trainable_bytes for layer in layers)
    updated: tuple[str, ...] = ()

    def task(op: Op, iteration: int, block: tuple[int, str], needs: tuple[str, ...]) -> Task:
        i, name = block
        named = f"{layers[i].name}/{name}"
        return Task(
            op=op,
            rank=rank,
            stage=0,
            layers=(i, i + 1),
            block=named,
            micro_batch=iteration,
            samples=samples,
            needs=needs,
        )

    for iteration in range(iterations):
        yield from (task(Op.F, iteration, block, ()) for block in frozen)
        for number, block in enumerate(side):
            yield task(Op.F, iteration, block, () if number else updated)
        last = [task(Op.B, iteration, block, ()) for block in reversed(side)]
        yield from last
        added = Task(
            op=Op.ALL_REDUCE,
            rank=rank,
            stage=0,
            layers=(0, len(layers)),
            micro_batch=iteration,
            peers=ring,
            nbytes=nbytes,
            needs=(last[-1].name,),
        )
        yield added
        updated = (added.name,)
