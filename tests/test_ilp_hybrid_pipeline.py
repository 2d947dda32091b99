"""Is the integer programme's plan the best there is, and does it say truly how far it can be from that?"""

import random
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, product
from time import perf_counter

import builders
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.cluster import Cluster, Device, Network
from edgesim.errors import InfeasibleError, PlanError
from edgesim.plan import Depth, Plan, make_stages
from edgesim.planners.cost_models.pipeline_time import iteration_s
from edgesim.planners.enumeration import divide, sums
from edgesim.planners.exact.certify import certify, depth_of
from edgesim.planners.exact.pipelines.candidates import PipelineFamily
from edgesim.planners.exact.pipelines.ilp_hybrid_pipeline import ilp_hybrid_pipeline
from edgesim.planners.exact.pipelines.search import PipelineSearch
from edgesim.planners.literature.asteroid import asteroid
from edgesim.planners.literature.pac import pac
from edgesim.planners.problem import Problem
from edgesim.proof import Status
from edgesim.workload import Purpose

repeatable = settings(max_examples=30, deadline=None, derandomize=True, database=None)


def boards(speeds: list[float], memories: list[float]) -> tuple[Device, ...]:
    return tuple(
        builders.device(f"d{speed:g}-{memory:g}", flop_per_s=1e9 * speed, memory_bytes=memory)
        for speed, memory in zip(speeds, memories, strict=True)
    )


def a_problem(
    seed: int,
    *,
    layers: int,
    devices: int,
    samples: int = 3,
    micro_batches: int = 4,
    purpose: Purpose = Purpose.TRAIN,
    memory: float = 1.0,
    topology: str = "switched",
) -> Problem:
    """Uneven layers on uneven devices and NICs; ``memory`` 1 binds here and there."""
    rng = random.Random(seed)
    forward = [rng.uniform(0.5, 2) for _ in range(layers)]
    model = builders.chain(
        layers, output_bytes=rng.choice([1e3, 2e4]), parameter_bytes=rng.choice([4000, 40_000]), stash_bytes=5000
    )
    hosts = boards(
        [rng.choice([1, 2, 4]) for _ in range(devices)],
        [memory * rng.choice([2.5e5, 5e5, 1e6]) for _ in range(devices)],
    )
    cluster = Cluster(name="boards", devices=hosts, network=network(rng, devices, topology))
    speed = [device.flop_per_s / 1e9 for device in hosts]
    profile = builders.table(
        model,
        cluster,
        lambda rank, layer, n: (
            n * forward[layer] * 0.01 / speed[rank] + 0.001,
            2 * (n * forward[layer] * 0.01 / speed[rank] + 0.001),
        ),
        update_s=0.002,
    )
    workload = builders.workload(micro_batches=micro_batches, micro_batch_samples=samples, purpose=purpose)
    return Problem(model=model, cluster=cluster, profile=profile, workload=workload)


def network(rng: random.Random, ranks: int, topology: str) -> Network:
    if topology != "switched":
        return getattr(builders, topology)(ranks, bytes_per_s=1e6, latency_s=0.001)  # type: ignore[no-any-return]
    return Network.switched(
        transmit_bytes_per_s=[rng.choice([5e5, 1e6, 1e7]) for _ in range(ranks)],
        latency_s=0.001,
        goodput=1.0,
        acknowledgement=0.02,
        hand_over_s=0.0003,
        step_s=0.0004,
        origin="assumed",
        source="test",
    )


def every_plan(problem: Problem, depth: Depth, replicas: int) -> Iterator[Plan]:
    """All cuts, groups of devices, some left out, and shares; those that the check refuses are left out."""
    L, B, M = len(problem.model.layers), problem.workload.micro_batch_samples, problem.workload.micro_batches
    for P in range(1, min(L, len(problem.ranks)) + 1):
        for groups in divide(tuple(problem.ranks), P, largest=min(replicas, B), leave_out=True):
            for inner, samples in product(
                combinations(range(1, L), P - 1), product(*(list(sums(B, len(group))) for group in groups))
            ):
                stages = make_stages(cuts=(0, *inner, L), groups=groups, samples=samples, depth=depth, micro_batches=M)
                plan = builders.plan_of(problem.model, stages, micro_batches=M)
                try:
                    yield problem.check(plan)
                except PlanError:
                    continue


def best_s(problem: Problem, depth: Depth, replicas: int) -> float:
    return min((iteration_s(problem, plan) for plan in every_plan(problem, depth, replicas)), default=float("inf"))


@repeatable
@given(
    seed=st.integers(0, 10_000),
    layers=st.integers(1, 4),
    devices=st.integers(1, 3),
    depth=st.sampled_from(Depth),
    memory=st.sampled_from([1.0, 100.0]),
    purpose=st.sampled_from([Purpose.TRAIN, Purpose.INFER]),
)
def test_it_equals_trying_every_plan(
    seed: int, layers: int, devices: int, depth: Depth, memory: float, purpose: Purpose
) -> None:
    problem = a_problem(seed, layers=layers, devices=devices, memory=memory, purpose=purpose)
    best = best_s(problem, depth, replicas=3)
    try:
        plan = ilp_hybrid_pipeline(problem, depth=depth, replicas=3)
    except InfeasibleError:
        plan = None
    if plan is None:
        assert best == float("inf")
        return
    assert plan.predicted_s == pytest.approx(best, rel=1e-6)
    assert plan.proof.status is Status.OPTIMAL
    assert plan.predicted_s == pytest.approx(iteration_s(problem, plan))


@pytest.mark.parametrize("topology", ["radio", "pairs"])
@pytest.mark.parametrize("seed", range(4))
def test_on_radio_and_on_links_of_pairs_the_bound_holds(topology: str, seed: int) -> None:
    problem = a_problem(seed, layers=3, devices=3, topology=topology)
    best, plan = best_s(problem, Depth.ASTEROID, replicas=2), ilp_hybrid_pipeline(problem, replicas=2)
    assert plan.proof.bound is not None
    assert plan.proof.bound <= best * (1 + 1e-6)
    assert plan.predicted_s == pytest.approx(best, rel=0.05)


@repeatable
@given(seed=st.integers(0, 10_000), devices=st.integers(1, 4), memory=st.sampled_from([1.5, 100.0]))
def test_published_planners_never_beat_the_bound(seed: int, devices: int, memory: float) -> None:
    problem = a_problem(seed, layers=5, devices=devices, samples=4, memory=memory)
    for planner in (asteroid, pac):
        try:
            theirs = planner(problem)
        except InfeasibleError:
            continue
        depth = depth_of(theirs)
        assert depth is not None
        ours, judged = ilp_hybrid_pipeline(problem, depth=depth, replicas=4), certify(problem, theirs)
        assert ours.proof.bound is not None
        assert judged.proof.value == iteration_s(problem, theirs) >= ours.proof.bound * (1 - 1e-6)
        assert judged.proof.bound == pytest.approx(ours.predicted_s, rel=1e-6)
        assert (judged.proof.status is Status.OPTIMAL) == (judged.proof.value <= ours.predicted_s * (1 + 1e-4))


def test_a_plan_with_a_depth_of_its_own_gets_a_bound_of_all_depths() -> None:
    problem = a_problem(4, layers=4, devices=3, samples=4, memory=100.0)
    plan = pac(problem)
    odd = replace(plan, stages=tuple(replace(stage, in_flight=3) for stage in plan.stages))
    judged = certify(problem, odd)
    assert judged.proof.bound is not None
    bounds = [ilp_hybrid_pipeline(problem, depth=depth).proof.bound or 0.0 for depth in Depth]
    assert judged.proof.bound <= min(bounds) * (1 + 1e-6)
    assert judged.stages == odd.stages


def test_the_same_problem_gives_the_same_plan() -> None:
    problem = a_problem(3, layers=6, devices=4, samples=4)
    first, second = (ilp_hybrid_pipeline(problem) for _ in range(2))
    assert first.stages == second.stages


def test_a_device_that_would_only_slow_the_others_stays_out() -> None:
    model, fast = builders.chain(2), boards([4, 4, 0.001], [1e9] * 3)
    cluster = Cluster(name="boards", devices=fast, network=builders.switched(3, bytes_per_s=1e9))
    speed = [device.flop_per_s / 1e9 for device in fast]
    profile = builders.table(model, cluster, lambda rank, _, n: (n / speed[rank], 2 * n / speed[rank]))
    workload = builders.workload(micro_batches=4, micro_batch_samples=2)
    plan = ilp_hybrid_pipeline(Problem(model=model, cluster=cluster, profile=profile, workload=workload))
    assert set(plan.ranks) == {0, 1}


def test_stopped_early_it_says_how_far_it_can_be_from_the_best_and_nobody_calls_it_optimal() -> None:
    problem = a_problem(5, layers=24, devices=8, samples=8, micro_batches=16, memory=100.0)
    search = PipelineSearch(problem, PipelineFamily(depth=Depth.ASTEROID, replicas=4), planner="test")
    for limit_s in (0.0, 0.2):
        search.began_s = perf_counter()
        found = search.run(time_limit_s=limit_s)
        assert found.choice, "there is a plan however short the time"
        assert not found.proven
    plan = search.plan(found.choice, found)
    assert plan.proof.status is Status.FEASIBLE
    assert plan.proof.gap is not None
    assert plan.proof.gap > 1e-4


def test_a_layer_that_fits_nowhere_is_named_with_the_device_and_both_numbers() -> None:
    problem = a_problem(1, layers=3, devices=2, memory=0.02)
    with pytest.raises(InfeasibleError, match=r"out of memory: layer l\d of chain3 alone needs [\d.]+ kB, and rank \d"):
        ilp_hybrid_pipeline(problem)


def test_memory_that_would_do_is_said_and_does() -> None:
    tight = [a_problem(seed, layers=3, devices=2, memory=0.2) for seed in range(50)]
    nothing = [seed for seed, problem in enumerate(tight) if best_s(problem, Depth.ASTEROID, 2) == float("inf")]
    said = {seed: refusal(tight[seed]) for seed in nothing}
    seed = next(seed for seed in nothing if "With about" in said[seed])
    factor = float(said[seed].split("With about ")[1].split(" times")[0])
    assert re.search(r"rank \d \(d\d-\d+\) then has [\d.]+ kB, now [\d.]+ kB", said[seed])
    assert factor > 1
    roomier = a_problem(seed, layers=3, devices=2, memory=0.2 * factor * 1.3)
    assert best_s(roomier, Depth.ASTEROID, 2) < float("inf")


def refusal(problem: Problem) -> str:
    with pytest.raises(InfeasibleError) as caught:
        ilp_hybrid_pipeline(problem)
    return str(caught.value)


@pytest.mark.parametrize("seed", range(3))
def test_the_best_few_are_the_best_few(seed: int) -> None:
    """On two devices that cannot be swapped; plans of equal time in any order."""
    problem = a_problem(seed, layers=4, devices=2, samples=2, memory=100.0)
    everything = sorted(iteration_s(problem, plan) for plan in every_plan(problem, Depth.ASTEROID, 1))
    search = PipelineSearch(problem, PipelineFamily(depth=Depth.ASTEROID, replicas=1), planner="test")
    found = search.run(time_limit_s=30, keep=4)
    assert len(search.candidates.kinds) == 2
    assert [seconds for seconds, _ in found.pool[:4]] == pytest.approx(everything[:4])


@pytest.mark.parametrize("seed", range(4))
def test_what_labels_leave_open_is_decided_by_solvers(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    problem = a_problem(seed, layers=4, devices=3)
    plan = ilp_hybrid_pipeline(problem, replicas=2)
    for limit in ("LABELS", "MOST_LABELS"):
        monkeypatch.setattr(f"edgesim.planners.exact.pipelines.branch_and_bound.{limit}", 0)
    monkeypatch.setattr("edgesim.planners.exact.pipelines.branch_and_bound.NARROW", 1e9)
    solved = ilp_hybrid_pipeline(problem, replicas=2)
    assert plan.proof.solver == "labels"
    assert "CBC" in solved.proof.solver or "HiGHS" in solved.proof.solver
    assert solved.predicted_s == pytest.approx(plan.predicted_s, rel=1e-6)
    assert solved.proof.status is Status.OPTIMAL


def test_without_highs_cbc_decides_them_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = a_problem(6, layers=4, devices=3)
    plan = ilp_hybrid_pipeline(problem)

    def absent(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    for limit in ("LABELS", "MOST_LABELS"):
        monkeypatch.setattr(f"edgesim.planners.exact.pipelines.branch_and_bound.{limit}", 0)
    monkeypatch.setattr("edgesim.planners.solvers.highs.import_module", absent)
    with pytest.warns(RuntimeWarning, match="solver HiGHS is left out: No module named 'highspy'"):
        without = ilp_hybrid_pipeline(problem)
    assert without.predicted_s == pytest.approx(plan.predicted_s)
    assert without.proof.status is Status.OPTIMAL
    assert "HiGHS" not in without.proof.solver
