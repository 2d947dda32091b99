"""exo's planner (github.com/exo-explore/exo, "memory-weighted"): where do layers live if only memory counts?

Kept: one stage per device, with layers in proportion to the device's share of all memory. Not kept: exo orders devices
by memory and leaves out those that would get no whole layer; here they are in rank order, and each gets at least one.
"""

from itertools import accumulate

from edgesim.apportion import at_least_one
from edgesim.plan import Depth, Plan
from edgesim.planners.problem import Problem
from edgesim.proof import Objective, Proof


def exo(problem: Problem) -> Plan:
    """Return layers by memory, the largest remainders rounded up, at least one each; 1F1B's depth. Raises PlanError."""
    groups = problem.group("pipeline")
    memory_bytes = [device.memory_bytes for device in problem.cluster.devices]
    layers = at_least_one(len(problem.model.layers), memory_bytes)
    fullest = max(held / memory for held, memory in zip(layers, memory_bytes, strict=True))
    proof = Proof(
        method="exo",
        objective=Objective.LAYERS_PER_BYTE,
        value=fullest,
    )
    plan = problem.plan(
        planner="exo",
        stages=problem.stages(
            cuts=(0, *accumulate(layers)),
            groups=groups,
            samples=[[problem.workload.micro_batch_samples]] * len(groups),
            depth=Depth.ONE_F_ONE_B,
        ),
        proof=proof,
    )
    return plan
