"""Does the closed form of an iteration's energy say what the simulated trace says, and has each term its own answer?"""

import random
from dataclasses import replace
from statistics import median

import builders
import pytest
from test_steady_state import a_case

from edgesim.cluster import Cluster
from edgesim.errors import PlanError
from edgesim.metrics import measure
from edgesim.plan import Depth, Plan
from edgesim.planners.cost_models.pipeline_energy import air_s, device_j, iteration_j
from edgesim.planners.cost_models.pipeline_time import iteration_s
from edgesim.planners.exact.energy.ilp_energy import ilp_energy
from edgesim.planners.problem import Problem
from edgesim.simulator import simulate
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.workload import Purpose


def simulated_j(problem: Problem, plan: Plan) -> float:
    schedule = hybrid_pipeline(plan, problem.model, problem.workload)
    trace = simulate(
        schedule, cluster=problem.cluster, model=problem.model, profile=problem.profile, tokens=problem.workload.tokens
    )
    return measure(trace, cluster=problem.cluster, model=problem.model, workload=problem.workload).energy_j


@pytest.mark.parametrize("depth", Depth)
@pytest.mark.parametrize("topology", ["pairs", "switched", "radio"])
def test_it_agrees_with_the_simulated_energy_of_random_plans_in_the_middle(topology: str, depth: Depth) -> None:
    rng = random.Random(7)
    cases = [a_case(rng, depth, topology=topology) for _ in range(60)]
    errors = [abs(iteration_j(problem, plan) / simulated_j(problem, plan) - 1) for problem, plan in cases]
    assert median(errors) <= 0.03


def test_requests_agree_too() -> None:
    rng = random.Random(7)
    cases = [a_case(rng, Depth.ONE_F_ONE_B, topology="switched", purpose=Purpose.INFER) for _ in range(60)]
    assert median(abs(iteration_j(*case) / simulated_j(*case) - 1) for case in cases) <= 0.03


def two_stages(**watts: float) -> tuple[Problem, Plan]:
    """Two boards of one sample; a third has no work. Messages are of 1000 bytes, at 1 MB/s."""
    model = builders.chain(2)
    board = builders.device(power=builders.power(**watts))
    cluster = Cluster(name="3", devices=(board,) * 3, network=builders.switched(3, bytes_per_s=1e6))
    problem = Problem(
        model=model,
        cluster=cluster,
        profile=builders.constant_profile(model, cluster, update_s=0.001),
        workload=builders.workload(micro_batches=4),
    )
    return problem, builders.pipeline_plan(model, micro_batches=4)


NOTHING = {"idle_w": 0.0, "compute_w": 0.0, "transmit_w": 0.0, "receive_w": 0.0}


def test_idle_watts_are_drawn_all_the_time_by_all_ranks_or_by_those_at_work() -> None:
    problem, plan = two_stages(idle_w=2.0, compute_w=2.0, transmit_w=2.0, receive_w=2.0)
    seconds = iteration_s(problem, plan)
    assert iteration_j(problem, plan) == pytest.approx(3 * 2 * seconds)
    assert iteration_j(problem, plan, idle_devices=False) == pytest.approx(2 * 2 * seconds)
    assert device_j(problem, plan, idle_devices=False).keys() == {0, 1}


@pytest.mark.parametrize(
    ("watts", "joules"),
    [
        ({"compute_w": 5.0}, 5 * 2 * (4 * 0.030 + 0.001)),
        ({"transmit_w": 3.0}, 3 * 2 * 4 * 0.001),
        ({"receive_w": 3.0}, 3 * 2 * 4 * 0.001),
        ({"transmit_j_per_byte": 1e-3}, 8 * 1.0),
        ({"receive_j_per_byte": 1e-3}, 8 * 1.0),
        ({"transmit_j_per_message": 0.5}, 8 * 0.5),
        ({"receive_j_per_message": 0.5}, 8 * 0.5),
    ],
)
def test_each_state_alone_draws_its_watts_for_its_seconds(watts: dict[str, float], joules: float) -> None:
    problem, plan = two_stages(**(NOTHING | watts))
    assert iteration_j(problem, plan) == pytest.approx(joules)
    assert simulated_j(problem, plan) == pytest.approx(joules)


def test_a_ring_sends_and_receives_on_every_member() -> None:
    model = builders.chain(2, parameter_bytes=100_000)
    cluster = builders.homogeneous(
        2, network=builders.switched(2, bytes_per_s=1e6), power=builders.power(**(NOTHING | {"transmit_w": 3.0}))
    )
    problem = Problem(
        model=model,
        cluster=cluster,
        profile=builders.constant_profile(model, cluster),
        workload=builders.workload(micro_batch_samples=2),
    )
    plan = builders.data_plan(model, [1, 1])
    assert iteration_j(problem, plan) == pytest.approx(3 * 2 * 0.2)  # two steps of half of 200 kB each
    assert simulated_j(problem, plan) == pytest.approx(3 * 2 * 0.2)


def test_a_slow_receiver_keeps_its_sender_on_the_air() -> None:
    problem, plan = two_stages(**(NOTHING | {"transmit_w": 3.0}))
    network = replace(problem.cluster.network, bytes_per_s=((1e6, 1e6, 1e6), (1e6, 1e5, 1e6)))
    slower = replace(problem, cluster=replace(problem.cluster, network=network))
    assert iteration_j(slower, plan) == pytest.approx(3 * 4 * (0.01 + 0.001))
    assert simulated_j(slower, plan) == pytest.approx(3 * 4 * (0.01 + 0.001))


def test_the_channel_carries_every_message_of_an_iteration() -> None:
    problem, plan = two_stages()
    on_air = replace(problem, cluster=replace(problem.cluster, network=builders.radio(3, bytes_per_s=1e6)))
    assert air_s(on_air, plan) == pytest.approx(8 * 0.001)


def test_backward_passes_and_updates_with_watts_of_their_own_are_counted_as_simulated() -> None:
    for watts in ({"backward_w": 5.0}, {"update_w": 5.0}):
        problem, plan = two_stages(idle_w=1.0, compute_w=3.0, transmit_w=1.0, receive_w=1.0)
        own = replace(problem.cluster.devices[0], power=replace(problem.cluster.devices[0].power, **watts))
        changed = replace(problem, cluster=replace(problem.cluster, devices=(own,) * 3))
        assert iteration_j(changed, plan) != pytest.approx(iteration_j(problem, plan))
        assert iteration_j(changed, plan) - iteration_j(problem, plan) == pytest.approx(
            simulated_j(changed, plan) - simulated_j(problem, plan)
        )


def test_the_planner_of_energy_counts_the_watts_of_every_kind_of_work_exactly() -> None:
    problem, _ = two_stages(idle_w=1.0, compute_w=3.0, transmit_w=1.0, receive_w=1.0)
    own = problem.cluster.devices[0]
    eager = replace(own, power=replace(own.power, backward_w=9.0, update_w=2.0))
    changed = replace(problem, cluster=replace(problem.cluster, devices=(eager,) * 3))
    plan = ilp_energy(changed)
    assert plan.proof is not None
    assert plan.proof.value == pytest.approx(iteration_j(changed, plan))
    assert plan.proof.value > ilp_energy(problem).proof.value  # type: ignore[union-attr]


def test_a_radio_that_stays_awake_is_refused_by_name() -> None:
    problem, plan = two_stages()
    own = problem.cluster.devices[0]
    awake = replace(own, power=replace(own.power, tail_w=50.0, tail_s=0.1))
    changed = replace(problem, cluster=replace(problem.cluster, devices=(awake,) * 3))
    for plans in (lambda: iteration_j(changed, plan), lambda: ilp_energy(changed)):
        with pytest.raises(PlanError, match=f"{own.name} has a radio's tail .* gaps between messages"):
            plans()
