"""How long does one iteration of a pipeline take? The longest of a few families of paths through its schedule.

M micro-batches, stages 0..P-1 with E = F + B seconds per micro-batch, messages between them; K(p) micro-batches in
flight, at most M. ``tot`` is once through everything, there and back; sums over stages hold the messages between. All
but the busiest link's are paths that the schedule really holds, so that their longest is a lower bound.

    tail(p)     A(p) - Σ_{i<p} B(i)              of stage p's all-reduce and update, what stage 0 still waits for
    through     tot + U + max tail, with U the largest of
                (M-1) E(p) - (K(p)-1) min(F, B)  all of stage p, and once around everything behind it
                ((M-1) // K(p)) Σ_{i>=p} E(i)    around everything behind p as often as its depth allows
                (M-1) load                       the busiest link, with all its messages of a micro-batch
    waiting     Σ_{i<p} E(i) + M E(p) + max_{s<=p} tail(s)     stage p from its first to its last task, never idle
    GPipe       U = (M-1) (max F + max B)        forward passes end before backward passes begin; inference has no B

"Waiting" is Asteroid's round with p as its dominant step (arXiv 2408.08015). Unlike there, messages both ways go at
once, a micro-batch is spread over all replicas' links, and messages of one link add up.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from edgesim.cluster import Network
from edgesim.plan import Plan, Stage
from edgesim.planners import Problem
from edgesim.planners.stage_costs import StageCosts
from edgesim.profile import BACKWARD, FORWARD, UPDATE
from edgesim.workload import Purpose

Loads = Mapping[str, float]  # by resource of the network: seconds per micro-batch


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


def iteration_s(problem: Problem, plan: Plan, costs: StageCosts | None = None) -> float:
    """Seconds of one iteration of a plan whose ranks share samples, by the profile and the network."""
    costs = costs or StageCosts(problem)
    stages = [stage_times(costs, stage) for stage in plan.stages]
    messages = [message_times(problem, before, after) for before, after in pairwise(plan.stages)]
    return longest_s(stages, messages, micro_batches=plan.micro_batches)


def stage_times(costs: StageCosts, stage: Stage) -> StageTimes:
    """What a stage takes; inference has neither a backward pass nor an ending."""
    problem, trains = costs.problem, costs.problem.workload.purpose is not Purpose.INFER
    shares = list(zip(stage.ranks, stage.samples, strict=True))

    def slowest_s(op: str) -> float:
        return max(costs.seconds(rank, stage.layers, op, share) for rank, share in shares)

    trained = sum(layer.trainable_bytes for layer in problem.model.layers[slice(*stage.layers)])
    return StageTimes(
        forward_s=slowest_s(FORWARD),
        backward_s=slowest_s(BACKWARD) if trains else 0.0,
        ending_s=ring_s(problem.cluster.network, stage.ranks, trained) + _update_s(costs, stage) if trains else 0.0,
        in_flight=min(stage.in_flight, problem.workload.micro_batches),
    )


def _update_s(costs: StageCosts, stage: Stage) -> float:
    return max(costs.seconds(rank, stage.layers, UPDATE, 0) for rank in stage.ranks)


def ring_s(network: Network, ranks: Sequence[int], nbytes: float) -> float:
    """Of a ring all-reduce of so many bytes: 2(n-1) steps of the n-th part (Patarasuk & Yuan, JPDC 2009)."""
    n = len(ranks)
    if n == 1 or not nbytes:
        return 0.0
    ring = tuple(zip(ranks, (*ranks[1:], ranks[0]), strict=True))
    loads = _loads(network, ((pair, 1.0) for pair in ring))
    latency_s = max(network.latency_s[a][b] for a, b in ring)
    return 2 * (n - 1) * (nbytes / n * max(loads.values(), default=0.0) + latency_s)


def message_times(problem: Problem, before: Stage, after: Stage) -> MessageTimes:
    """What the messages of a micro-batch take from a stage to the next, and back."""
    sent, tokens = problem.model.layers[before.layers[1] - 1], problem.workload.tokens
    network, trains = problem.cluster.network, problem.workload.purpose is not Purpose.INFER
    shared = [(rank, peer, b - a) for rank in before.ranks for peer, (a, b) in before.overlaps(rank, after)]
    there = _loads(network, (((a, b), sent.output_bytes(n, tokens)) for a, b, n in shared))
    forward_s = max(there.values(), default=0.0) + max(network.latency_s[a][b] for a, b, _ in shared)
    if not trains or not sent.returns_gradient:
        return MessageTimes(forward_s=forward_s, backward_s=0.0, forward_loads=there, backward_loads={})
    back = _loads(network, (((b, a), sent.gradient_bytes(n, tokens)) for a, b, n in shared))
    backward_s = max(back.values(), default=0.0) + max(network.latency_s[b][a] for a, b, _ in shared)
    return MessageTimes(forward_s=forward_s, backward_s=backward_s, forward_loads=there, backward_loads=back)


def _loads(network: Network, messages: Iterable[tuple[tuple[int, int], float]]) -> dict[str, float]:
    """Seconds for which each resource is busy: with bytes, and with acknowledgements of those that go the other way."""
    loads: dict[str, float] = defaultdict(float)
    for (source, destination), nbytes in messages:
        for name, seconds_per_byte in network.hops(source, destination):
            loads[name] += seconds_per_byte * nbytes
        for name, seconds_per_byte in network.hops(destination, source):
            if network.acknowledgement:
                loads[name] += seconds_per_byte * nbytes * network.acknowledgement
    return loads


def longest_s(stages: Sequence[StageTimes], messages: Sequence[MessageTimes], *, micro_batches: int) -> float:
    """The longest of the module's paths."""
    M, P = micro_batches, len(stages)
    there = [*(message.forward_s for message in messages), 0.0]
    back = [*(message.backward_s for message in messages), 0.0]
    around = [stage.both_s + there[p] + back[p] for p, stage in enumerate(stages)]  # with the message behind it
    before = list(accumulate(around, initial=0.0))  # Σ_{i<p}
    returned = accumulate((stage.backward_s + back[p] for p, stage in enumerate(stages)), initial=0.0)
    tails = [stage.ending_s - behind for stage, behind in zip(stages, returned, strict=False)]
    worst_tails = list(accumulate(tails, max))
    waiting = (before[p] + M * stage.both_s + worst_tails[p] for p, stage in enumerate(stages))
    return max(before[P] + _repeats_s(stages, messages, M, before) + worst_tails[-1], *waiting)


def _repeats_s(
    stages: Sequence[StageTimes], messages: Sequence[MessageTimes], M: int, before: Sequence[float]
) -> float:
    """U: what the other M - 1 micro-batches add to the first one's way."""
    forward, backward = _sum(m.forward_loads for m in messages), _sum(m.backward_loads for m in messages)
    if stages[-1].in_flight == M or not any(stage.backward_s for stage in stages):
        slowest_f = max([stage.forward_s for stage in stages] + list(forward.values()))
        slowest_b = max([stage.backward_s for stage in stages] + list(backward.values()))
        return (M - 1) * (slowest_f + slowest_b)
    through = [
        (M - 1) * stage.both_s - (stage.in_flight - 1) * min(stage.forward_s, stage.backward_s) for stage in stages
    ]
    cycles = [(M - 1) // stage.in_flight * (before[-1] - before[p]) for p, stage in enumerate(stages)]
    links = [(M - 1) * seconds for seconds in _sum([forward, backward]).values()]
    return max(through + cycles + links)


def _sum(loads: Iterable[Loads]) -> dict[str, float]:
    total: dict[str, float] = defaultdict(float)
    for each in loads:
        for name, seconds in each.items():
            total[name] += seconds
    return total
