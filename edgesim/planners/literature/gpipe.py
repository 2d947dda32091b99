"""GPipe's planner as a baseline (Huang et al., NeurIPS 2019): where are the stages of a pipeline of equal cells?

There is one stage per device in rank order, each with as many layers as any other, and all micro-batches are in flight.
The paper also lets users balance by estimated cost; this is what others compare with.

GPipe recomputes activations, which a forward pass more pays for: of all micro-batches in flight a stage keeps the
inputs. Ours: only stages recompute whose device could not hold everything, since where it can GPipe would be slower for
nothing; ``always`` is the paper to the letter.
"""

from edgesim.plan import Depth, Plan
from edgesim.planners.baselines.even import even
from edgesim.planners.problem import Problem, in_the_name_of
from edgesim.planners.recomputation import Recompute
from edgesim.proof import Objective


def gpipe(problem: Problem, *, recompute: Recompute = "where_needed") -> Plan:
    """Return equal numbers of layers per device, the remainder to the first ones, GPipe's depth. Raises PlanError."""
    plan = even(problem, groups="pipeline", depth=Depth.GPIPE, recompute=recompute)
    longest = max(stage.layers[1] - stage.layers[0] for stage in plan.stages)
    return in_the_name_of("gpipe", plan, objective=Objective.LAYERS_OF_A_STAGE, value=longest)
