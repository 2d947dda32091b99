"""How long does one iteration of a pipeline take? Once through everything, then the slowest thing again and again.

With M micro-batches, stages 0..P-1 of E = F + B seconds per micro-batch, K(p) of them in flight, messages between:

    iteration = Σ E and messages, there and back  +  (M - 1) T  +  tail

    T      the longest of  E(p)                      a stage computes one micro-batch after the other
                           load                      a link carries all its messages of a micro-batch, both ways
           Σ_{i>=p} / K(p)           around everything from stage p on, where K(p) < 2(P - p) - 1
    tail   max over p of   A(p) - Σ_{i<p} B(i)       all-reduce and update of stage p, behind the last backward pass
    GPipe  T = max F + max B                         forward passes end before backward passes begin; inference has no B

Sums over stages hold the messages between them. Where stages are balanced this is what the schedule takes; it is too
long where a slow stage has little behind it, whose time it hides. Unlike in ``asteroid_latency.py``, messages
go both ways at once, a micro-batch is spread over all replicas' links, and the messages of one link add up. Where
activations are recomputed, B holds the second forward pass as well: an upper estimate, since that need not wait for the
gradient.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise, zip_longest

from edgesim.cluster import Network, Resource
from edgesim.plan import Plan, Stage
from edgesim.planners.cost_models.stage_costs import StageCosts
from edgesim.planners.problem import Problem
from edgesim.profile import BACKWARD, FORWARD, UPDATE
from edgesim.ring import all_reduce_s

Loads = Mapping[Resource, float]  # seconds of a micro-batch for which each is busy


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTimes:
    """Seconds per micro-batch of a stage's slowest replica, and once per iteration of its all-reduce and update."""

    forward_s: float
    backward_s: float
    ending_s: float
    in_flight: int

    @property
    def both_s(self) -> float:
        """There and back."""
        return self.forward_s + self.backward_s


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageTimes:
    """Seconds of a micro-batch's activations over a boundary and of their gradients back, and what links they load."""

    forward_s: float
    backward_s: float
    forward_loads: Loads
    backward_loads: Loads

    @property
    def both_s(self) -> float:
        """There and back."""
        return self.forward_s + self.backward_s


def iteration_s(problem: Problem, plan: Plan, costs: StageCosts | None = None, also: Loads | None = None) -> float:
    """Return the seconds of one iteration of a plan whose ranks share samples, by the profile and the network.

    ``also`` are loads beside messages, such as of disks that write what forward passes make.
    """
    costs = costs or StageCosts(problem)
    stages = [stage_times(costs, stage) for stage in plan.stages]
    messages = [message_times(problem, before, after) for before, after in pairwise(plan.stages)]
    return steady_s(stages, messages, micro_batches=plan.micro_batches, also=also or {})


def stage_times(costs: StageCosts, stage: Stage) -> StageTimes:
    """Return what a stage takes; inference has neither a backward pass nor an ending."""
    problem, trains = costs.problem, costs.problem.workload.trains
    shares = list(zip(stage.ranks, stage.samples, strict=True))

    def slowest_s(op: str) -> float:
        ops = (FORWARD, op) if stage.recompute and op == BACKWARD else (op,)
        return max(sum(costs.seconds(rank, stage.layers, each, share) for each in ops) for rank, share in shares)

    trained = costs.trained_bytes(stage.layers)
    return StageTimes(
        forward_s=slowest_s(FORWARD),
        backward_s=slowest_s(BACKWARD) if trains else 0.0,
        ending_s=ring_s(problem.cluster.network, stage.ranks, trained) + _update_s(costs, stage) if trains else 0.0,
        in_flight=min(stage.in_flight, problem.workload.micro_batches),
    )


def _update_s(costs: StageCosts, stage: Stage) -> float:
    return max(costs.seconds(rank, stage.layers, UPDATE, 0) for rank in stage.ranks)


def ring_s(network: Network, ranks: Sequence[int], nbytes: float) -> float:
    """Return the seconds of a ring all-reduce of this many bytes among these ranks, whose hops share links."""
    n = len(ranks)
    if n == 1 or not nbytes:
        return 0.0
    ring = tuple(zip(ranks, (*ranks[1:], ranks[0]), strict=True))
    loads = link_loads(network, ((pair, 1.0) for pair in ring))
    slowest_s = max(loads.values(), default=0.0)
    return all_reduce_s(nbytes, n, slowest_s, network.step_delay_s(ring)) + 2 * network.hand_over_s


def message_times(problem: Problem, before: Stage, after: Stage) -> MessageTimes:
    """Return what the messages of a micro-batch take from a stage to the next, and back."""
    sent, tokens = problem.model.layers[before.layers[1] - 1], problem.workload.tokens
    network, trains = problem.cluster.network, problem.workload.trains
    shared = [(rank, peer, b - a) for rank, peer, (a, b) in before.overlaps(after)]
    there = link_loads(network, (((a, b), sent.output_bytes(n, tokens)) for a, b, n in shared))
    forward_s = max(there.values(), default=0.0) + max(network.message_delay_s(a, b) for a, b, _ in shared)
    if not trains or not sent.returns_gradient:
        return MessageTimes(forward_s=forward_s, backward_s=0.0, forward_loads=there, backward_loads={})
    back = link_loads(network, (((b, a), sent.gradient_bytes(n, tokens)) for a, b, n in shared))
    backward_s = max(back.values(), default=0.0) + max(network.message_delay_s(b, a) for a, b, _ in shared)
    return MessageTimes(forward_s=forward_s, backward_s=backward_s, forward_loads=there, backward_loads=back)


def link_loads(network: Network, messages: Iterable[tuple[tuple[int, int], float]]) -> dict[Resource, float]:
    """Return the seconds for which each resource is busy, acknowledgements of bytes the other way included."""
    loads: dict[Resource, float] = defaultdict(float)
    for (source, destination), nbytes in messages:
        for resource, seconds_per_byte in network.hops(source, destination):
            loads[resource] += seconds_per_byte * nbytes
        for resource, seconds_per_byte in network.hops(destination, source):
            if network.acknowledgement:
                loads[resource] += seconds_per_byte * nbytes * network.acknowledgement
    return loads


def steady_s(
    stages: Sequence[StageTimes],
    messages: Sequence[MessageTimes],
    *,
    micro_batches: int,
    also: Loads | None = None,
) -> float:
    """Add up once through everything, the repeats and the tail; ``also`` loads links in forward passes."""
    returned = accumulate(
        (stage.backward_s + message.backward_s for stage, message in zip(stages, messages, strict=False)), initial=0.0
    )
    tail_s = max(stage.ending_s - before_s for stage, before_s in zip(stages, returned, strict=True))
    once_s = sum(stage.both_s for stage in stages) + sum(message.both_s for message in messages)
    return once_s + (micro_batches - 1) * _period_s(stages, messages, micro_batches, also or {}) + tail_s


def _period_s(stages: Sequence[StageTimes], messages: Sequence[MessageTimes], micro_batches: int, also: Loads) -> float:
    """T: from one micro-batch to the next."""
    forward, backward = _sum([also, *(m.forward_loads for m in messages)]), _sum(m.backward_loads for m in messages)
    if in_phases(stages, micro_batches):
        slowest_f = max([stage.forward_s for stage in stages] + list(forward.values()))
        slowest_b = max([stage.backward_s for stage in stages] + list(backward.values()))
        return slowest_f + slowest_b
    around_s, ways = 0.0, []
    for q, (stage, message) in enumerate(reversed(list(zip_longest(stages, messages)))):
        around_s += stage.both_s + (message.both_s if message else 0.0)
        if stage.in_flight < min(micro_batches, 2 * q + 1):  # a slot for each stage and message behind is enough
            ways.append(around_s / stage.in_flight)
    return max([stage.both_s for stage in stages] + ways + list(_sum([forward, backward]).values()))


def in_phases(stages: Sequence[StageTimes], micro_batches: int) -> bool:
    """Return whether all forward passes end before the first backward pass: all are in flight, or none returns."""
    return stages[-1].in_flight >= micro_batches or not any(stage.backward_s for stage in stages)


def _sum(loads: Iterable[Loads]) -> dict[Resource, float]:
    total: dict[Resource, float] = defaultdict(float)
    for each in loads:
        for resource, seconds in each.items():
            total[resource] += seconds
    return total
