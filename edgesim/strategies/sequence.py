"""Sequence parallelism: tokens on ranks, K and V gathered in every attention; every rank holds all weights."""

from edgesim.model import Model
from edgesim.plan import Plan
from edgesim.schedule import Schedule
from edgesim.strategies.blocks import divide_blocks
from edgesim.strategies.collectives import Exchange
from edgesim.workload import Workload


def sequence(plan: Plan, model: Model, workload: Workload, *, exchange: Exchange = Exchange.RING) -> Schedule:
    """Every rank holds its own tokens between blocks; training adds all gradients up. Raises PlanError."""
    return divide_blocks(plan, model, workload, strategy="sequence", units=False, tokens=True, exchange=exchange)
