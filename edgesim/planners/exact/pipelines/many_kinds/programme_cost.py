"""What does a choice of stages cost by the integer programme alone, whatever devices a plan of it would have?

Candidates of merged kinds cost what their best devices would. No plan of a choice costs less than this, but a plan that
takes other devices of the same kinds may cost less than the one that is drafted first: bounds are made of these costs.
"""

import numpy as np

from edgesim.planners.exact.pipelines.candidate_links import Floats, Ints
from edgesim.planners.exact.pipelines.label_setting import Choice
from edgesim.planners.exact.pipelines.milp import StageMilp


def programme_s(milp: StageMilp, choice: Choice) -> float:
    """Seconds of an iteration by the rows of ``milp.py``: once through everything, repeats and tail."""
    chosen = np.array(choice)
    c = milp.columns.take(chosen)
    there_s = np.append(np.maximum(c.sent_s[:-1], c.received_s[1:]), 0.0)
    back_s = np.append(np.maximum(c.taken_back_s[:-1], c.returned_s[1:]), 0.0)
    ways_s = c.both_s + there_s + back_s
    hidden_s = np.cumsum([0.0, *(c.backward_s + back_s)[:-1]])
    return float(np.sum(ways_s) + _repeats_s(milp, chosen, ways_s) + np.max(c.ending_s - hidden_s))


def _repeats_s(milp: StageMilp, chosen: Ints, ways_s: Floats) -> float:
    """U: what all micro-batches but the first add."""
    c, shape = milp.columns.take(chosen), milp.shape
    rounds, forward_s, backward_s = shape.micro_batches - 1, np.sum(c.air_forward_s), np.sum(c.air_backward_s)
    if shape.phases:
        slowest_s = max(np.max(np.maximum(c.forward_s, c.link_forward_s)), forward_s)
        return float(rounds * (slowest_s + max(np.max(np.maximum(c.backward_s, c.link_backward_s)), backward_s)))
    around_s = [
        rounds / K * way_s
        for q, (way_s, K) in enumerate(zip(np.cumsum(ways_s[::-1]), shape.depths, strict=False))
        if min(shape.micro_batches, 2 * q + 1) > K
    ]
    return float(max([np.max(milp.repeats[chosen]), rounds * (forward_s + backward_s), *around_s]))
