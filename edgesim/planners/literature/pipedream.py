"""PipeDream's planner (Narayanan et al., SOSP 2019): where are stages, and how often is each of them replicated?

For the first j layers on m devices, the slowest stage, or message between two, of the best pipeline:

    A(j, m) = min of T(0..j, m)  and  min over i, m' of max(A(i, m - m'), 2 a_i / B, T(i..j, m'))
    T(i..j, m) = max(Σ t_l / m,  2 (m - 1) / m Σ w_l / B)

t_l are the seconds of a micro-batch's forward and backward pass through a layer, a_i the bytes of the activation after
layer i (2 a_i with its gradient), w_l the bytes of trained weights, B bytes per second. The paper takes devices and
links to be equal: here t_l is the mean over all devices, and B over all links. Its replicas take turns and synchronise
weights per micro-batch; here they share every micro-batch evenly, and synchronise per iteration. Its hierarchy of links
has one level here.

Memory is not counted: what does not fit is refused. All devices work, in rank order.
"""

from collections.abc import Sequence
from functools import cache
from itertools import accumulate, pairwise
from math import inf

from edgesim.apportion import even_shares
from edgesim.plan import Depth, Plan
from edgesim.planners.cost_models.stage_costs import Layers, StageCosts
from edgesim.planners.planning_time import require_time
from edgesim.planners.problem import Problem
from edgesim.proof import Objective, Proof
from edgesim.ring import ring_traffic

Pipeline = tuple[float, tuple[int, ...], tuple[int, ...]]  # its slowest seconds, its cuts, and the devices per stage


def pipedream(problem: Problem) -> Plan:
    """Return the pipeline of replicated stages whose slowest is fastest, 1F1B's depth. Raises PlanError."""
    problem.require_training("pipedream", instead="pipeedge or prima")
    problem.let_all_work("pipedream")
    slowest_s, cuts, devices = best_pipeline(EqualDevices(problem), len(problem.model.layers), len(problem.ranks))
    groups = [range(first, stop) for first, stop in pairwise(accumulate(devices, initial=0))]
    proof = Proof(
        method="pipedream",
        objective=Objective.SLOWEST_STAGE_OF_EQUAL_DEVICES,
        value=slowest_s,
    )
    plan = problem.plan(
        planner="pipedream",
        stages=problem.stages(
            cuts=cuts,
            groups=groups,
            depth=Depth.ONE_F_ONE_B,
            samples=[even_shares(problem.workload.micro_batch_samples, len(group)) for group in groups],
        ),
        proof=proof,
    )
    return plan


class EqualDevices:
    """The costs of stages and messages if all devices and links were like the mean of them."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self._costs = problem, StageCosts(problem)
        network, ranks = problem.cluster.network, problem.ranks
        rates = [network.goodput_bytes_per_s(a, b) for a in ranks for b in ranks if a != b]
        self._bytes_per_s = mean(rates) if rates else inf

    def stage_s(self, layers: Layers, devices: int) -> float:
        """Return T: computation, or synchronisation where that takes longer."""
        samples, ranks = self.problem.workload.micro_batch_samples, self.problem.ranks
        compute_s = mean([self._costs.both_s(rank, layers, samples) for rank in ranks]) / devices
        if devices == 1:
            return compute_s
        return max(compute_s, ring_traffic(devices) * self._costs.trained_bytes(layers) / self._bytes_per_s)

    def message_s(self, boundary: int) -> float:
        """Return 2 a_i / B: the activation and its gradient, where there is one."""
        before, workload = self.problem.model.layers[boundary - 1], self.problem.workload
        both = (before.output_bytes, before.gradient_bytes)
        return sum(nbytes(workload.micro_batch_samples, workload.tokens) for nbytes in both) / self._bytes_per_s


def mean(numbers: Sequence[float]) -> float:
    """Return the arithmetic mean."""
    return sum(numbers) / len(numbers)


def best_pipeline(equal: EqualDevices, layers: int, devices: int) -> Pipeline:
    """Return A(layers, devices), where no stage has more devices than samples; ∞ where it cannot be.

    Ties go to fewer stages, then to earlier cuts, then to fewer devices in front.
    """
    most = equal.problem.workload.micro_batch_samples
    stage_s = cache(equal.stage_s)

    @cache
    def best(j: int, m: int) -> Pipeline:
        require_time("pipedream")
        candidates: list[Pipeline] = [(stage_s((0, j), m) if m <= most else inf, (0, j), (m,))]
        for i in range(1, j):
            message_s = equal.message_s(i)
            for own in range(1, min(m - 1, most) + 1):
                before = best(i, m - own)
                slowest_s = max(before[0], message_s, stage_s((i, j), own))
                candidates.append((slowest_s, (*before[1], j), (*before[2], own)))
        return min(candidates, key=lambda chain: (chain[0], len(chain[1]), *chain[1:]))

    return best(layers, devices)
