"""Does the planners' closed form say what the simulator says, and has each term an answer that only it can change?"""

import random
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

import builders
import pytest

from edgesim.cluster import Cluster
from edgesim.model import Model
from edgesim.plan import Depth, Plan, make_stages
from edgesim.planners.cost_models.pipeline_time import MessageTimes, StageTimes, iteration_s, ring_s, steady_s
from edgesim.planners.problem import Problem
from edgesim.profile import Profile
from edgesim.simulator import simulate
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.workload import Purpose

Case = tuple[Problem, Plan]


def a_case(rng: random.Random, depth: Depth, *, topology: str, purpose: Purpose = Purpose.TRAIN) -> Case:
    """A random model on a random cluster, and a random plan: uneven layers, devices, groups, shares and links."""
    L, D, M, B = rng.randint(2, 16), rng.randint(1, 8), rng.choice([4, 8, 16, 32]), rng.choice([4, 8])
    network = getattr(builders, topology)(D, bytes_per_s=1e6 * rng.choice([1, 10]), latency_s=0.001)
    cluster = builders.named(D, network=network)
    model = builders.chain(
        L, output_bytes=rng.choice([1e3, 1e4, 1e5, 3e5]), parameter_bytes=rng.choice([4000, 400_000, 4_000_000])
    )
    profile = _uneven(rng, model, cluster)
    groups = _groups(rng, D, most=min(L, D), replicas=min(3, B))
    plan = builders.plan_of(
        model,
        make_stages(
            cuts=(0, *sorted(rng.sample(range(1, L), len(groups) - 1)), L),
            groups=groups,
            samples=[_shares(rng, B, len(group)) for group in groups],
            depth=depth,
            micro_batches=M,
        ),
        micro_batches=M,
    )
    workload = builders.workload(micro_batches=M, micro_batch_samples=B, purpose=purpose)
    return Problem(model=model, cluster=cluster, profile=profile, workload=workload), plan


def _uneven(rng: random.Random, model: Model, cluster: Cluster) -> Profile:
    forward = [rng.uniform(0.5, 2) for _ in model.layers]
    backward = [rng.uniform(1.2, 2.5) * seconds for seconds in forward]
    speeds = [rng.choice([1, 2, 4]) for _ in cluster.devices]
    return builders.table(
        model,
        cluster,
        lambda rank, layer, samples: (
            samples * forward[layer] * 0.01 / speeds[rank] + 0.002,
            samples * backward[layer] * 0.01 / speeds[rank] + 0.002,
        ),
        update_s=0.001,
    )


def _groups(rng: random.Random, ranks: int, *, most: int, replicas: int) -> list[tuple[int, ...]]:
    order, groups = rng.sample(range(ranks), ranks), list[tuple[int, ...]]()
    while order and len(groups) < most:
        size = rng.randint(1, replicas)
        groups.append(tuple(order[:size]))
        order = order[size:]
    return groups


def _shares(rng: random.Random, total: int, parts: int) -> tuple[int, ...]:
    inner = sorted(rng.sample(range(1, total), parts - 1))
    return tuple(b - a for a, b in pairwise((0, *inner, total)))


def simulated_s(problem: Problem, plan: Plan) -> float:
    trace = simulate(
        hybrid_pipeline(plan, problem.model, problem.workload),
        cluster=problem.cluster,
        model=problem.model,
        profile=problem.profile,
        tokens=problem.workload.tokens,
    )
    return trace.makespan_s


def errors(depth: Depth, *, topology: str, count: int, purpose: Purpose = Purpose.TRAIN) -> list[float]:
    rng = random.Random(7)
    cases = (a_case(rng, depth, topology=topology, purpose=purpose) for _ in range(count))
    return sorted(iteration_s(problem, plan) / simulated_s(problem, plan) - 1 for problem, plan in cases)


@pytest.mark.parametrize("depth", Depth)
def test_without_contention_it_agrees_with_the_simulator_on_two_hundred_random_plans(depth: Depth) -> None:
    """On independent links; nine in ten within 15 %, too."""
    found = errors(depth, topology="pairs", count=200)
    assert median(map(abs, found)) <= 0.03
    assert sum(abs(error) <= 0.15 for error in found) >= 0.9 * len(found)


@pytest.mark.parametrize("depth", Depth)
def test_with_nics_that_messages_share_it_still_agrees_in_the_middle(depth: Depth) -> None:
    assert median(map(abs, errors(depth, topology="switched", count=100))) <= 0.03


def test_requests_agree_too() -> None:
    found = errors(Depth.ONE_F_ONE_B, topology="pairs", count=60, purpose=Purpose.INFER)
    assert median(map(abs, found)) <= 0.03


# --- each term alone ---


def stage(forward_s: float = 1.0, backward_s: float = 2.0, *, ending_s: float = 0.0, in_flight: int = 1) -> StageTimes:
    return StageTimes(forward_s=forward_s, backward_s=backward_s, ending_s=ending_s, in_flight=in_flight)


def message(forward_s: float, backward_s: float, *, link: str = "") -> MessageTimes:
    loads = ({link: forward_s}, {link: backward_s}) if link else ({}, {})
    return MessageTimes(forward_s=forward_s, backward_s=backward_s, forward_loads=loads[0], backward_loads=loads[1])


def alike(stages: Sequence[StageTimes], messages: Sequence[MessageTimes] = (), micro_batches: int = 4) -> float:
    between = messages or [message(0, 0)] * (len(stages) - 1)
    return steady_s(stages, between, micro_batches=micro_batches)


def test_equal_stages_take_the_time_of_a_perfect_pipeline() -> None:
    """(M + P - 1)(f + b)."""
    assert alike([stage(in_flight=3 - p) for p in range(3)]) == pytest.approx((4 + 3 - 1) * 3)


def test_the_slowest_stage_sets_the_pace() -> None:
    assert alike([stage(10, 20, in_flight=3), stage(1, 2)]) == pytest.approx(33 + 3 * 30)


def test_with_one_micro_batch_in_flight_every_one_pays_the_whole_way() -> None:
    assert alike([stage(in_flight=1), stage(in_flight=1)]) == pytest.approx(4 * 6)


def test_gpipe_pays_the_slowest_forward_and_the_slowest_backward() -> None:
    stages = [stage(3, 2, in_flight=4), stage(1, 5, in_flight=4)]
    assert alike(stages) == pytest.approx(3 + 2 + 1 + 5 + 3 * (3 + 5))


def test_one_micro_batch_pays_every_message_once_each_way() -> None:
    assert alike([stage(), stage()], [message(5, 7, link="up")], 1) == pytest.approx(6 + 12)


def test_messages_that_share_a_link_add_up() -> None:
    stages = [stage(in_flight=5), stage(in_flight=3), stage()]
    apart = alike(stages, [message(5, 5, link="a"), message(5, 5, link="b")])
    shared = alike(stages, [message(5, 5, link="a"), message(5, 5, link="a")])
    assert shared - apart == pytest.approx(3 * 10)


def test_an_all_reduce_of_a_late_stage_hides_behind_the_backward_passes_before_it() -> None:
    plain = alike([stage(in_flight=2), stage()])
    assert alike([stage(in_flight=2), stage(ending_s=1.5)]) == plain
    assert alike([stage(in_flight=2), stage(ending_s=2.5)]) == pytest.approx(plain + 0.5)
    assert alike([stage(in_flight=2, ending_s=1.5), stage()]) == pytest.approx(plain + 1.5)


def test_a_ring_takes_two_rounds_of_parts_and_acknowledgements_slow_it() -> None:
    network = builders.switched(4, bytes_per_s=1e6, latency_s=0.01)
    assert ring_s(network, (0, 1, 2, 3), 4e6) == pytest.approx(6 * (1.0 + 0.01))
    assert ring_s(network, (0,), 4e6) == 0.0
