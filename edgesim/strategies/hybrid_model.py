"""Hybrid model parallelism: attention and MLP by heads and columns, all else by tokens (Galaxy, arXiv 2405.17245)."""

from edgesim.model import Model
from edgesim.plan import Plan
from edgesim.schedule import Schedule
from edgesim.strategies.block_programs.collectives import CollectiveAlgorithm
from edgesim.strategies.block_programs.divide_blocks import BlockStrategy, divide_blocks
from edgesim.workload import Workload


def hybrid_model(
    plan: Plan,
    model: Model,
    workload: Workload,
    *,
    overlap: bool = True,
    exchange: CollectiveAlgorithm = CollectiveAlgorithm.RING,
) -> Schedule:
    """Return the schedule, with an all-gather before and a reduce-scatter after each divided block. Raises PlanError.

    With ``overlap`` these run beside the products, tile by tile; in inference only.
    """
    strategy = BlockStrategy(name="hybrid_model", units=True, tokens=True, exchange=exchange, overlap=overlap)
    return divide_blocks(strategy, plan, model, workload)
