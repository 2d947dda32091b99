"""Where are the stages of a pipeline of equal cells? GPipe as a baseline (Huang et al., NeurIPS 2019).

A stage per device in rank order, as many layers in each as in any other, and all micro-batches in flight. The paper
also lets users balance by estimated cost; what others compare with is this.
"""

from edgesim.plan import Depth, Plan
from edgesim.planners.baselines.even import even
from edgesim.planners.problem import Problem, in_the_name_of


def gpipe(problem: Problem) -> Plan:
    """Equal numbers of layers per device, what is left to the first, GPipe's depth. Raises PlanError."""
    plan = even(problem, groups="pipeline", depth=Depth.GPIPE)
    longest = max(stage.layers[1] - stage.layers[0] for stage in plan.stages)
    return in_the_name_of("gpipe", plan, objective="layers of the longest stage", value=longest)
