"""Tensor parallelism: heads and MLP columns on ranks, two all-reduces per layer and direction (Megatron-LM, 2019)."""

from edgesim.model import Model
from edgesim.plan import Plan
from edgesim.schedule import Schedule
from edgesim.strategies.block_programs.collectives import CollectiveAlgorithm
from edgesim.strategies.block_programs.divide_blocks import BlockStrategy, divide_blocks
from edgesim.workload import Workload


def tensor(
    plan: Plan, model: Model, workload: Workload, *, exchange: CollectiveAlgorithm = CollectiveAlgorithm.RING
) -> Schedule:
    """Return the schedule in which ranks hold the whole sequence, embedding and norms. Raises PlanError."""
    strategy = BlockStrategy(name="tensor", units=True, tokens=False, exchange=exchange)
    return divide_blocks(strategy, plan, model, workload)
