"""Sequence parallelism: tokens on ranks, K and V gathered in every attention; every rank holds all weights."""

from edgesim.model import Model
from edgesim.plan import Plan
from edgesim.schedule import Schedule
from edgesim.strategies.block_programs.collectives import CollectiveAlgorithm
from edgesim.strategies.block_programs.divide_blocks import BlockStrategy, divide_blocks
from edgesim.workload import Workload


def sequence(
    plan: Plan, model: Model, workload: Workload, *, exchange: CollectiveAlgorithm = CollectiveAlgorithm.RING
) -> Schedule:
    """Return the schedule in which ranks hold their own tokens and training adds up gradients. Raises PlanError."""
    strategy = BlockStrategy(name="sequence", units=False, tokens=True, exchange=exchange)
    return divide_blocks(strategy, plan, model, workload)
