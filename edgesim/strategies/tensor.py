"""Tensor parallelism: heads and MLP columns on ranks, two all-reduces per layer and direction (Megatron-LM, 2019)."""

from edgesim.model import Model
from edgesim.plan import Plan
from edgesim.schedule import Schedule
from edgesim.strategies.blocks import divide_blocks
from edgesim.strategies.collectives import Exchange
from edgesim.workload import Workload


def tensor(plan: Plan, model: Model, workload: Workload, *, exchange: Exchange = Exchange.RING) -> Schedule:
    """Every rank holds the whole sequence between blocks, and the whole embedding and norms. Raises PlanError."""
    return divide_blocks(plan, model, workload, strategy="tensor", units=True, tokens=False, exchange=exchange)
