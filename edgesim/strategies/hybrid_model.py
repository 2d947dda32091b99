"""Hybrid model parallelism: attention and MLP by heads and columns, all else by tokens (Galaxy, arXiv 2405.17245)."""

from edgesim.model import Model
from edgesim.plan import Plan
from edgesim.schedule import Schedule
from edgesim.strategies.blocks import divide_blocks
from edgesim.strategies.collectives import Exchange
from edgesim.workload import Workload


def hybrid_model(
    plan: Plan, model: Model, workload: Workload, *, overlap: bool = True, exchange: Exchange = Exchange.RING
) -> Schedule:
    """An all-gather before and a reduce-scatter behind what is divided. Raises PlanError.

    With ``overlap`` these run beside the products, tile by tile; in inference only.
    """
    return divide_blocks(
        plan, model, workload, strategy="hybrid_model", units=True, tokens=True, exchange=exchange, overlap=overlap
    )
