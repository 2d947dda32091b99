"""Tensor parallelism: heads and MLP columns on ranks, two all-reduces per layer and direction (Megatron-LM, 2019)."""

from edgesim.model import Model
from edgesim.plan import Plan
from edgesim.schedule import Schedule
from edgesim.strategies.block_programs.collectives import CollectiveAlgorithm
from edgesim.strategies.block_programs.divide_blocks import BlockStrategy, divide_blocks
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.workload import Workload


def tensor(
    plan: Plan, model: Model, workload: Workload, *, exchange: CollectiveAlgorithm = CollectiveAlgorithm.RING
) -> Schedule:
    """Return the schedule in which ranks hold the whole sequence, embedding and norms.

    A rank alone computes whole layers of a model that has nothing to divide, as a CNN. Raises PlanError.
    """
    undivided = not any(block.divisible for layer in model.layers for block in layer.blocks)
    if undivided and len(plan.ranks) == 1 and not plan.stages[0].divides_blocks:
        return hybrid_pipeline(plan, model, workload)
    strategy = BlockStrategy(name="tensor", units=True, tokens=False, exchange=exchange)
    return divide_blocks(strategy, plan, model, workload)
