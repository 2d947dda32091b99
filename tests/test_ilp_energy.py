"""Is the energy planner's plan the best there is within its limits, and is its front one of plans worth having?"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, pairwise, product
from math import inf

import builders
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.cluster import Cluster, Device, Network, PowerModel
from edgesim.errors import InfeasibleError, PlanError, ProfileError
from edgesim.model import Model
from edgesim.plan import Depth, Plan, make_stages
from edgesim.planners.cost_models.pipeline_energy import device_j, iteration_j
from edgesim.planners.cost_models.pipeline_time import iteration_s
from edgesim.planners.enumeration import divide, sums
from edgesim.planners.exact.energy.ilp_energy import energy_front, ilp_energy
from edgesim.planners.exact.pipelines.ilp_hybrid_pipeline import ilp_hybrid_pipeline
from edgesim.planners.exact.pipelines.search import SearchOptions
from edgesim.planners.problem import Problem
from edgesim.profile import Profile
from edgesim.proof import Status
from edgesim.workload import Purpose

repeatable = settings(max_examples=30, deadline=None, derandomize=True, database=None)
ON_TWO = SearchOptions(replicas=2)
Modes = Mapping[str, Sequence[Device]]
Case = tuple[Problem, Modes]


def watts(rng: random.Random, *, battery_j: float | None = None) -> PowerModel:
    idle = rng.choice([1.0, 2.0])
    return PowerModel(
        idle_w=idle,
        compute_w=idle + rng.choice([2.0, 5.0, 9.0]),
        transmit_w=idle + 0.5,
        receive_w=idle + 0.25,
        transmit_j_per_byte=1e-6,
        receive_j_per_byte=5e-7,
        battery_j=battery_j,
        source="test",
    )


def low_mode(board: Device, *, clock: float = 0.6, share_of_watts: float = 0.4) -> Device:
    """Slower, and thriftier by more."""
    power = board.power
    saving = replace(power, compute_w=power.idle_w + share_of_watts * (power.compute_w - power.idle_w))
    return replace(board, name=f"{board.name}-low", flop_per_s=clock * board.flop_per_s, power=saving)


def a_case(
    seed: int,
    *,
    layers: int,
    devices: int,
    samples: int = 2,
    micro_batches: int = 4,
    memory: float = 100.0,
    purpose: Purpose = Purpose.TRAIN,
    battery_j: float | None = None,
    network: Network | None = None,
) -> Case:
    """Uneven layers on uneven boards, about half of which have a second mode."""
    rng = random.Random(seed)
    boards = [
        builders.device(
            f"d{rank}",
            flop_per_s=1e9 * rng.choice([1, 2, 4]),
            memory_bytes=memory * rng.choice([2.5e5, 1e6]),
            power=watts(rng, battery_j=battery_j),
        )
        for rank in range(devices)
    ]
    if devices > 2:
        boards[1] = boards[0]
    modes = {board.name: [low_mode(board)] for board in boards[::2]}
    model = builders.chain(layers, output_bytes=2e4, parameter_bytes=rng.choice([4000, 40_000]), stash_bytes=5000)
    cluster = Cluster(
        name="boards",
        devices=tuple(boards),
        network=network or builders.switched(devices, bytes_per_s=1e6 * rng.choice([1, 10]), latency_s=0.001),
    )
    return Problem(
        model=model,
        cluster=cluster,
        profile=profile_of(rng, model, [*boards, *(mode for others in modes.values() for mode in others)]),
        workload=builders.workload(micro_batches=micro_batches, micro_batch_samples=samples, purpose=purpose),
    ), modes


def profile_of(rng: random.Random, model: Model, devices: Sequence[Device]) -> Profile:
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


def every_plan(
    problem: Problem, modes: Modes, *, replicas: int, depth: Depth = Depth.ASTEROID
) -> Iterator[tuple[Problem, Plan]]:
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
                    stages = make_stages(
                        cuts=(0, *inner, L), groups=groups, samples=samples, depth=depth, micro_batches=M
                    )
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
    seed=st.integers(0, 10_000),
    layers=st.integers(1, 3),
    devices=st.integers(1, 3),
    slack=st.sampled_from([1.0, 1.2, 2.0, inf]),
    iterations=st.sampled_from([None, 40, 60, 90]),
    idle_devices=st.booleans(),
    memory=st.sampled_from([1.0, 100.0]),
    depth=st.sampled_from(Depth),
    purpose=st.sampled_from([Purpose.TRAIN, Purpose.TRAIN, Purpose.INFER]),
)
def test_it_equals_trying_every_plan_in_every_mode(
    seed: int,
    layers: int,
    devices: int,
    slack: float,
    iterations: int | None,
    idle_devices: bool,
    memory: float,
    depth: Depth,
    purpose: Purpose,
) -> None:
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


@pytest.mark.parametrize("topology", ["radio", "pairs"])
@pytest.mark.parametrize("seed", range(3))
def test_on_radio_and_on_links_of_pairs_the_bound_holds(topology: str, seed: int) -> None:
    """There links depend on both ends, and candidates count the best of them."""
    network = getattr(builders, topology)(3, bytes_per_s=1e6, latency_s=0.001)
    problem, modes = a_case(seed, layers=3, devices=3, network=network)
    plan = ilp_energy(problem, modes=modes, replicas=2)
    best = min(iteration_j(there, other) for there, other in every_plan(problem, modes, replicas=2))
    assert plan.proof.bound is not None
    assert plan.proof.bound <= best * (1 + 1e-6)
    assert plan.proof.value == pytest.approx(best, rel=1e-4)


def test_nics_that_differ_are_counted_at_both_ends() -> None:
    network = Network.switched(
        transmit_bytes_per_s=[1e5, 1e7, 1e6],
        latency_s=0.001,
        goodput=1.0,
        acknowledgement=0.02,
        hand_over_s=0.0003,
        step_s=0.0004,
        origin="assumed",
        source="test",
    )
    problem, modes = a_case(4, layers=3, devices=3, network=network)
    best = min(iteration_j(there, other) for there, other in every_plan(problem, modes, replicas=2))
    assert ilp_energy(problem, modes=modes, replicas=2).proof.value == pytest.approx(best, rel=1e-4)


def test_a_battery_limits_the_stages_of_its_device_only() -> None:
    """Not a plan that another board makes, though it takes longer than the first one's battery would last."""
    problem, modes = a_case(1, layers=2, devices=2, memory=1.0, battery_j=60.0, purpose=Purpose.INFER)
    best = min(
        iteration_j(there, plan)
        for there, plan in every_plan(problem, modes, replicas=2, depth=Depth.GPIPE)
        if keeps(there, plan, 40, idle_devices=True)
    )
    plan = ilp_energy(problem, modes=modes, replicas=2, depth=Depth.GPIPE, iterations=40)
    assert plan.proof.value == pytest.approx(best)


# --- the front ---


def front_case() -> Case:
    return a_case(11, layers=6, devices=4, samples=4, micro_batches=8)


def test_a_front_rises_in_seconds_and_falls_in_joules() -> None:
    """So no point beats another in both."""
    problem, modes = front_case()
    front = energy_front(problem, points=5, modes=modes, options=ON_TWO)
    assert 2 <= len(front) <= 5
    values = [(plan.predicted_s, plan.proof.value) for plan in front]
    assert all(a[0] < b[0] and a[1] > b[1] for a, b in pairwise(values))  # type: ignore[operator]


def test_every_point_of_a_front_fits_and_is_proven_and_is_what_it_says() -> None:
    problem, modes = front_case()
    for plan in energy_front(problem, points=4, modes=modes, options=ON_TWO):
        there = replace(problem, cluster=plan.in_modes(problem.cluster, modes))
        there.check(plan)
        assert plan.proof.status is Status.OPTIMAL
        assert plan.proof.value == pytest.approx(iteration_j(there, plan))
        assert plan.predicted_s == pytest.approx(iteration_s(there, plan))


def test_a_front_begins_with_the_fastest_plan_and_ends_with_the_least_energy() -> None:
    problem, modes = front_case()
    front = energy_front(problem, points=3, modes=modes, options=ON_TWO)
    assert front[0].predicted_s == pytest.approx(ilp_hybrid_pipeline(problem, replicas=2).predicted_s, rel=1e-5)
    assert front[-1].proof.value == pytest.approx(ilp_energy(problem, modes=modes, replicas=2).proof.value)


def test_points_between_are_what_the_planner_says_within_their_seconds() -> None:
    problem, modes = front_case()
    for plan in energy_front(problem, points=4, modes=modes, options=ON_TWO)[1:-1]:
        alone = ilp_energy(problem, modes=modes, replicas=2, latency_s=plan.predicted_s)
        assert alone.proof.value == pytest.approx(plan.proof.value, rel=1e-4)


def test_a_thrifty_mode_is_taken_where_there_is_time_and_not_where_there_is_none() -> None:
    problem, modes = front_case()
    front = energy_front(problem, points=3, modes=modes, options=ON_TWO)
    assert not front[0].modes
    assert front[-1].modes
    without = ilp_energy(problem, replicas=2)
    assert front[-1].proof.value < without.proof.value  # type: ignore[operator]


def test_the_same_problem_gives_the_same_front() -> None:
    problem, modes = front_case()
    one, other = (energy_front(problem, points=3, modes=modes, options=ON_TWO) for _ in range(2))
    assert [plan.stages for plan in one] == [plan.stages for plan in other]


# --- refusals ---


def refusal(problem: Problem, **asked: object) -> str:
    with pytest.raises(InfeasibleError) as caught:
        ilp_energy(problem, replicas=2, **asked)  # type: ignore[arg-type]
    return str(caught.value)


def test_a_latency_that_nobody_keeps_is_answered_with_one_that_would_do() -> None:
    problem, modes = a_case(3, layers=3, devices=3)
    said = refusal(problem, modes=modes, latency_s=0.01)
    assert "takes at most 0.01 s" in said
    would_do = float(said.split("the fastest takes ")[1].split(" s ")[0])
    assert ilp_energy(problem, modes=modes, replicas=2, latency_s=would_do).predicted_s <= would_do  # type: ignore[operator]


def test_a_battery_that_is_too_small_is_named_with_iterations_that_it_would_last() -> None:
    problem, modes = a_case(3, layers=3, devices=3, battery_j=60.0)
    said = refusal(problem, modes=modes, iterations=1_000_000)
    assert "of rank" in said
    assert "of the 60 J in its battery" in said
    lasts = int(said.split("(with iterations=")[1].split(" ")[0])
    plan = ilp_energy(problem, modes=modes, replicas=2, iterations=lasts)
    there = replace(problem, cluster=plan.in_modes(problem.cluster, modes))
    assert keeps(there, plan, lasts, idle_devices=True)


def test_memory_that_is_too_small_is_said_as_ever() -> None:
    problem, modes = a_case(1, layers=3, devices=2, memory=0.02)
    assert "out of memory: layer" in refusal(problem, modes=modes)


def test_options_that_make_no_sense_are_refused_by_name() -> None:
    problem, modes = a_case(1, layers=2, devices=2)
    for asked, words in (
        ({"latency_s": 0.0}, "latency_s=0.0"),
        ({"iterations": 0}, "iterations=0"),
        ({"replicas": 0}, "replicas=0"),
        ({"modes": {"nobody": modes["d0"]}}, "modes name 'nobody'"),
        ({"modes": {"d0": [*modes["d0"], replace(modes["d0"][0], flop_per_s=1.0)]}}, "two modes of d0 are called"),
    ):
        with pytest.raises(PlanError, match=words):
            ilp_energy(problem, **asked)  # type: ignore[arg-type]
    with pytest.raises(PlanError, match="points=1"):
        energy_front(problem, points=1)


def test_a_profile_that_lacks_a_mode_refuses_it_by_name() -> None:
    problem, modes = a_case(1, layers=2, devices=2)
    unknown = {"d0": [replace(modes["d0"][0], name="d0-turbo")]}
    with pytest.raises(ProfileError, match="d0-turbo"):
        ilp_energy(problem, modes=unknown)


def test_a_board_is_never_in_two_modes_at_once() -> None:
    problem, modes = a_case(5, layers=4, devices=2, samples=4)
    for plan in energy_front(problem, points=4, modes=modes):
        assert len(set(plan.ranks)) == len(plan.ranks)
        assert set(plan.ranks) <= {0, 1}
