"""Is the energy planner's plan the best there is within its limits, and is its front one of plans worth having?"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, pairwise, product
from math import floor, inf

import builders
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.cluster import Cluster, Device, Network, PowerModel
from edgesim.errors import InfeasibleError, PlanError, ProfileError
from edgesim.plan import Depth, Plan, Status, make_stages
from edgesim.planners import Problem
from edgesim.planners.candidates import divide, sums
from edgesim.planners.ilp_energy import energy_front, ilp_energy
from edgesim.planners.ilp_hybrid_pipeline import ilp_hybrid_pipeline
from edgesim.planners.iteration_energy import device_j, iteration_j
from edgesim.planners.steady_state import iteration_s
from edgesim.workload import Purpose

repeatable = settings(max_examples=30, deadline=None, derandomize=True, database=None)
Modes = Mapping[str, Sequence[Device]]
Case = tuple[Problem, Modes]


def watts(rng: random.Random, *, battery_j: float | None = None) -> PowerModel:
    idle = rng.choice([1.0, 2.0])
    return PowerModel(
        idle_w=idle, compute_w=idle + rng.choice([2.0, 5.0, 9.0]), transmit_w=idle + 0.5, receive_w=idle + 0.25,
        transmit_j_per_byte=1e-6, receive_j_per_byte=5e-7, battery_j=battery_j, source="test",
    )  # fmt: skip


def low_mode(board: Device, *, clock: float = 0.6, share_of_watts: float = 0.4) -> Device:
    """Slower, and thriftier by more."""
    power = board.power
    saving = replace(power, compute_w=power.idle_w + share_of_watts * (power.compute_w - power.idle_w))
    return replace(board, name=f"{board.name}-low", flop_per_s=clock * board.flop_per_s, power=saving)


def a_case(
    seed: int, *, layers: int, devices: int, samples: int = 2, micro_batches: int = 4, memory: float = 100.0,
    purpose: Purpose = Purpose.TRAIN, battery_j: float | None = None, network: Network | None = None,
) -> Case:  # fmt: skip
    """Uneven layers on uneven boards, about half of which have a second mode."""
    rng = random.Random(seed)
    boards = [
        builders.device(
            f"d{rank}", flop_per_s=1e9 * rng.choice([1, 2, 4]), memory_bytes=memory * rng.choice([2.5e5, 1e6]),
            power=watts(rng, battery_j=battery_j),
        )
        for rank in range(devices)
    ]  # fmt: skip
    if devices > 2:
        boards[1] = boards[0]
    modes = {board.name: [low_mode(board)] for board in boards[::2]}
    model = builders.chain(layers, output_bytes=2e4, parameter_bytes=rng.choice([4000, 40_000]), stash_bytes=5000)
    cluster = Cluster(
        name="boards", devices=tuple(boards),
        network=network or builders.switched(devices, bytes_per_s=1e6 * rng.choice([1, 10]), latency_s=0.001),
    )  # fmt: skip
    return Problem(
        model=model, cluster=cluster, profile=profile_of(rng, model, [*boards, *(m for ms in modes.values() for m in ms)]),
        workload=builders.workload(micro_batches=micro_batches, micro_batch_samples=samples, purpose=purpose),
    ), modes  # fmt: skip


def profile_of(rng: random.Random, model, devices):  # type: ignore[no-untyped-def]
    forward = [rng.uniform(0.5, 2) for _ in model.layers]
    everything = Cluster(name="all", devices=tuple(devices), network=builders.switched(len(devices)))
    return builders.table(
        model,
        everything,
        lambda rank, layer, n: (
            n * forward[layer] * 1e7 / devices[rank].flop_per_s + 0.001,
            2 * (n * forward[layer] * 1e7 / devices[rank].flop_per_s + 0.001),
        ),
        update_s=0.002,
    )


def every_plan(problem: Problem, modes: Modes, *, replicas: int, depth: Depth = Depth.ASTEROID) -> Iterator[tuple[Problem, Plan]]:
    """All cuts, groups, shares and modes that fit, with the problem in their modes."""
    L, B, M = len(problem.model.layers), problem.workload.micro_batch_samples, problem.workload.micro_batches
    names = [["", *(mode.name for mode in modes.get(board.name, ()))] for board in problem.cluster.devices]
    for P in range(1, min(L, len(problem.ranks)) + 1):
        for groups in divide(tuple(problem.ranks), P, largest=min(replicas, B), leave_out=True):
            ways = product(*(product(*(names[rank] for rank in group)) for group in groups))
            for chosen in ways:
                for inner, samples in product(
                    combinations(range(1, L), P - 1), product(*(list(sums(B, len(group))) for group in groups))
                ):
                    stages = make_stages(cuts=(0, *inner, L), groups=groups, samples=samples, depth=depth, micro_batches=M)
                    stages = tuple(replace(s, modes=m if any(m) else ()) for s, m in zip(stages, chosen, strict=True))
                    plan = builders.plan_of(problem.model, stages, micro_batches=M)
                    there = replace(problem, cluster=plan.in_modes(problem.cluster, modes))
                    try:
                        yield there, there.check(plan)
                    except PlanError:
                        continue


def keeps(problem: Problem, plan: Plan, iterations: int | None, idle_devices: bool) -> bool:
    """Whether all batteries last."""
    taken = device_j(problem, plan, idle_devices=idle_devices)
    return iterations is None or all(
        taken.get(rank, 0.0) * iterations <= (board.power.battery_j or inf) * (1 + 1e-9)
        for rank, board in enumerate(problem.cluster.devices)
    )


@repeatable
@given(
    seed=st.integers(0, 10_000), layers=st.integers(1, 3), devices=st.integers(1, 3), slack=st.sampled_from([1.0, 1.2, 2.0, inf]),
    iterations=st.sampled_from([None, 40, 60, 90]), idle_devices=st.booleans(), memory=st.sampled_from([1.0, 100.0]),
    depth=st.sampled_from(Depth), purpose=st.sampled_from([Purpose.TRAIN, Purpose.TRAIN, Purpose.INFER]),
)  # fmt: skip
def test_it_equals_trying_every_plan_in_every_mode(
    seed: int, layers: int, devices: int, slack: float, iterations: int | None, idle_devices: bool, memory: float,
    depth: Depth, purpose: Purpose,
) -> None:  # fmt: skip
    problem, modes = a_case(seed, layers=layers, devices=devices, memory=memory, battery_j=60.0, purpose=purpose)
    there_are = [
        (iteration_s(there, plan), iteration_j(there, plan, idle_devices=idle_devices))
        for there, plan in every_plan(problem, modes, replicas=2, depth=depth)
        if keeps(there, plan, iterations, idle_devices)
    ]
    limit_s = min((seconds for seconds, _ in there_are), default=1.0) * slack
    best = min((joules for seconds, joules in there_are if seconds <= limit_s * (1 + 1e-9)), default=inf)
    asked = {"latency_s": limit_s if limit_s < inf else None, "iterations": iterations, "idle_devices": idle_devices}
    try:
        plan = ilp_energy(problem, modes=modes, replicas=2, depth=depth, **asked)  # type: ignore[arg-type]
    except InfeasibleError:
        assert best == inf
        return
    there = replace(problem, cluster=plan.in_modes(problem.cluster, modes))
    assert plan.proof.value == pytest.approx(iteration_j(there, plan, idle_devices=idle_devices))
    assert plan.proof.value == pytest.approx(best, rel=1e-4)
    assert plan.proof.bound is not None
    assert plan.proof.bound <= best * (1 + 1e-6)
    assert plan.predicted_s == pytest.approx(iteration_s(there, plan))
    assert plan.predicted_s <= limit_s * (1 + 1e-6)
    assert keeps(there, plan, iterations, idle_devices)
    assert plan.proof.status is Status.OPTIMAL
