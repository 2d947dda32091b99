"""How many joules does one iteration of a pipeline take? Watts by state times the seconds that a closed form gives.

    E(d) = (static_w + idle_w) T + (compute_w - idle_w) computing(d) + (transmit_w - idle_w) sending(d)
         + (receive_w - idle_w) receiving(d) + joules of its bytes and messages

Backward passes, updates and kinds of blocks have their own watts, and FLOP joules, where a power model says so
(``computing_power.py``). T is ``pipeline_time.py``; a device
computes its own share of every micro-batch, however long its stage's slowest takes. A message is on the air while its
bytes are: as long as the busiest link that this device's messages of a boundary use, whatever else goes over it. A
ring's members send and receive all through it. The states are those of ``energy.py``, so that this predicts what
``metrics.py`` measures: ranks that hold nothing draw idle watts, and count, unless told.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from edgesim.cluster import Device, PowerModel
from edgesim.errors import PlanError
from edgesim.plan import Plan, Stage
from edgesim.planners.cost_models.pipeline_time import iteration_s, link_loads, ring_s
from edgesim.planners.cost_models.stage_costs import StageCosts
from edgesim.planners.problem import Problem
from edgesim.profile import BACKWARD, FORWARD, UPDATE
from edgesim.ring import ring_steps


@dataclass(frozen=True, slots=True, kw_only=True)
class WireActivity:
    """What a rank has on the wire in an iteration: seconds in each state, bytes and messages either way."""

    sending_s: float = 0.0
    receiving_s: float = 0.0
    sent_bytes: float = 0.0
    received_bytes: float = 0.0
    sent_messages: int = 0
    received_messages: int = 0

    def above_idle_j(self, power: PowerModel) -> float:
        """Return the joules above what an idle device draws all the time."""
        return (
            (power.transmit_w - power.idle_w) * self.sending_s
            + (power.receive_w - power.idle_w) * self.receiving_s
            + power.transmit_j_per_byte * self.sent_bytes
            + power.transmit_j_per_message * self.sent_messages
            + power.receive_j_per_byte * self.received_bytes
            + power.receive_j_per_message * self.received_messages
        )


def iteration_j(problem: Problem, plan: Plan, costs: StageCosts | None = None, *, idle_devices: bool = True) -> float:
    """Return the joules of one iteration of a plan whose ranks share samples; ``idle_devices`` counts idle ranks too.

    The problem's cluster must be in the plan's modes (``Plan.in_modes``).
    """
    return sum(device_j(problem, plan, costs, idle_devices=idle_devices).values())


def device_j(
    problem: Problem, plan: Plan, costs: StageCosts | None = None, *, idle_devices: bool = True
) -> dict[int, float]:
    """Return the joules of one iteration by rank."""
    costs = costs or StageCosts(problem)
    seconds, above = iteration_s(problem, plan, costs), above_idle_j(costs, plan)
    ranks = problem.ranks if idle_devices else plan.ranks
    return {rank: problem.cluster.devices[rank].power.always_w * seconds + above.get(rank, 0.0) for rank in ranks}


def above_idle_j(costs: StageCosts, plan: Plan) -> dict[int, float]:
    """Return, for each rank that works, the joules above its idle power."""
    devices, joules = costs.problem.cluster.devices, defaultdict[int, float](float)
    refuse_tails(devices)
    for stage in plan.stages:
        for rank, samples in zip(stage.ranks, stage.samples, strict=True):
            for op, share, times, seconds in _computing(costs, stage, rank, samples, plan.micro_batches):
                draw = costs.computing.of_layers(rank, stage.layers, op, share)
                joules[rank] += draw.watts * seconds + draw.joules * times
        for rank, activity in _ring(costs, stage):
            joules[rank] += activity.above_idle_j(devices[rank].power)
    for before, after in pairwise(plan.stages):
        for rank, activity in _messages(costs.problem, before, after):
            joules[rank] += plan.micro_batches * activity.above_idle_j(devices[rank].power)
    return dict(joules)


def computing_s(costs: StageCosts, stage: Stage, rank: int, samples: int, micro_batches: int) -> float:
    """Return the seconds of an iteration in which a rank of a stage computes."""
    return sum(seconds for *_, seconds in _computing(costs, stage, rank, samples, micro_batches))


def _computing(
    costs: StageCosts, stage: Stage, rank: int, samples: int, micro_batches: int
) -> Iterable[tuple[str, int, int, float]]:
    """What a rank of a stage computes: passes with their samples, how often, and the seconds of all of them.

    A second forward pass counts as one.
    """
    trains, forward_s = costs.problem.workload.trains, costs.seconds(rank, stage.layers, FORWARD, samples)
    often = 2 if trains and stage.recompute else 1
    yield FORWARD, samples, micro_batches * often, micro_batches * forward_s * often
    if trains:
        yield BACKWARD, samples, micro_batches, micro_batches * costs.seconds(rank, stage.layers, BACKWARD, samples)
        yield UPDATE, 0, 1, costs.seconds(rank, stage.layers, UPDATE, 0)


def refuse_tails(devices: Iterable[Device]) -> None:
    """Raise PlanError for a device whose radio stays awake behind messages: that depends on the gaps between them."""
    for device in devices:
        if device.power.tail_w is not None:
            raise PlanError(
                f"{device.name} has a radio's tail (tail_w={device.power.tail_w}, tail_s={device.power.tail_s}), whose "
                "joules depend on gaps between messages, which no planner of energy knows (plan without a tail)"
            )


def _ring(costs: StageCosts, stage: Stage) -> Iterable[tuple[int, WireActivity]]:
    """The all-reduce, by rank: 2(n-1) messages of the n-th part, each way."""
    problem, n, nbytes = costs.problem, len(stage.ranks), costs.trained_bytes(stage.layers)
    if not problem.workload.trains or n == 1 or not nbytes:
        return
    seconds, steps = ring_s(problem.cluster.network, stage.ranks, nbytes), ring_steps(n)
    for rank in stage.ranks:
        yield (
            rank,
            WireActivity(
                sending_s=seconds,
                receiving_s=seconds,
                sent_bytes=steps * nbytes / n,
                received_bytes=steps * nbytes / n,
                sent_messages=steps,
                received_messages=steps,
            ),
        )


def _messages(problem: Problem, before: Stage, after: Stage) -> Iterable[tuple[int, WireActivity]]:
    """Yield what ranks do for one micro-batch's messages between two stages, there and back."""
    sent, workload = problem.model.layers[before.layers[1] - 1], problem.workload
    shared = [(rank, peer, b - a) for rank, peer, (a, b) in before.overlaps(after)]
    yield from _one_way(problem, [(a, b, sent.output_bytes(n, workload.tokens)) for a, b, n in shared])
    if workload.trains and sent.returns_gradient:
        yield from _one_way(problem, [(b, a, sent.gradient_bytes(n, workload.tokens)) for a, b, n in shared])


def _one_way(problem: Problem, messages: list[tuple[int, int, int]]) -> Iterable[tuple[int, WireActivity]]:
    """Messages of (source, destination, bytes) that begin together."""
    for end, sends in ((0, True), (1, False)):
        by_rank = defaultdict[int, list[tuple[int, int, int]]](list)
        for message in messages:
            by_rank[message[end]].append(message)
        for rank, own in by_rank.items():
            loads = link_loads(problem.cluster.network, (((a, b), nbytes) for a, b, nbytes in own))
            seconds, nbytes = max(loads.values(), default=0.0), sum(nbytes for *_, nbytes in own)
            if sends:
                yield rank, WireActivity(sending_s=seconds, sent_bytes=nbytes, sent_messages=len(own))
            else:
                yield rank, WireActivity(receiving_s=seconds, received_bytes=nbytes, received_messages=len(own))


def air_s(problem: Problem, plan: Plan) -> float:
    """Return the seconds for which an iteration's messages occupy a shared channel that is theirs alone."""
    costs, network, messages_s = StageCosts(problem), problem.cluster.network, 0.0
    for before, after in pairwise(plan.stages):
        messages_s += plan.micro_batches * sum(activity.sending_s for _, activity in _messages(problem, before, after))
    trains = problem.workload.trains
    return messages_s + sum(
        ring_s(network, stage.ranks, costs.trained_bytes(stage.layers)) for stage in plan.stages if trains
    )
