"""Are both phases of fine-tuning together the best there are, and is a cache made where it pays off?"""

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, product

import builders
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.cluster import Cluster, Network, Resource, ResourceKind
from edgesim.errors import InfeasibleError, PlanError
from edgesim.finetuning import cached, parallel_adapters
from edgesim.memory import RankLoad, cache_bytes, held_bytes
from edgesim.model import Model
from edgesim.plan import Depth, Plan, make_stages
from edgesim.planners.cost_models.pipeline_time import iteration_s
from edgesim.planners.enumeration import divide, sums
from edgesim.planners.exact.pipelines.ilp_hybrid_pipeline import ilp_hybrid_pipeline
from edgesim.planners.exact.pipelines.search import SearchOptions
from edgesim.planners.exact.two_phases.cached_phase import CachedPhase, KeptSamples
from edgesim.planners.exact.two_phases.ilp_two_phases import TwoPhases, ilp_two_phases, two_phases
from edgesim.planners.exact.two_phases.redistribution import Redistribution
from edgesim.planners.problem import Problem
from edgesim.profile import Point, estimate
from edgesim.proof import Status
from edgesim.workload import Purpose
from edgesim.zoo.bert import bert
from edgesim.zoo.t5 import t5
from experiments.configuration.command_line import composed
from experiments.configuration.setup import read_setup

repeatable = settings(max_examples=15, deadline=None, derandomize=True, database=None)
TOKENS, HIDDEN = 8, 64
OUTPUT = TOKENS * HIDDEN * 4  # bytes of a layer's output of a sample


def bert_of(layers: int) -> Model:
    return bert(name="b", layers=layers, hidden=HIDDEN, heads=8, columns=128, vocabulary=50, positions=TOKENS)


def a_problem(
    flop_per_s: list[float],
    *,
    layers: int = 1,
    samples: int = 2,
    micro_batches: int = 2,
    epochs: int = 3,
    memory_bytes: list[float] | None = None,
    disk_bytes_per_s: float = 1e9,
    network: Network | None = None,
    model: Model | None = None,
    **more: object,
) -> Problem:
    """Fine-tuning of a small BERT with parallel adapters and a cache."""
    boards = tuple(
        builders.device(
            f"d{speed:g}-{memory:g}", flop_per_s=speed, memory_bytes=memory, disk_bytes_per_s=disk_bytes_per_s
        )
        for speed, memory in zip(flop_per_s, memory_bytes or [1e9] * len(flop_per_s), strict=True)
    )
    net = network or builders.switched(len(boards), bytes_per_s=1e9)
    model = model or parallel_adapters(bert_of(layers))
    return Problem(
        model=model,
        cluster=Cluster(name="boards", devices=boards, network=net),
        profile=estimate(model, boards, samples=range(1, samples + 1), tokens=TOKENS),
        workload=builders.workload(
            micro_batches=micro_batches,
            micro_batch_samples=samples,
            purpose=Purpose.FINE_TUNE,
            tokens=TOKENS,
            epochs=epochs,
            **{"cache": True} | more,
        ),
    )


def a_phase(problem: Problem, iterations: int, disk_bytes: float = float("inf")) -> CachedPhase:
    disks = (disk_bytes,) * len(problem.ranks)
    return CachedPhase(problem=problem, iterations=iterations, disk_bytes=disks, depth=Depth.ONE_F_ONE_B)


def a_plan(problem: Problem, cuts: list[int], groups: list[list[int]], samples: list[list[int]]) -> Plan:
    M = problem.workload.micro_batches
    stages = make_stages(cuts=cuts, groups=groups, samples=samples, depth=Depth.ONE_F_ONE_B, micro_batches=M)
    return builders.plan_of(problem.model, stages, micro_batches=M)


def moving(phase: CachedPhase, shares: tuple[int, ...]) -> Redistribution:
    kept = phase.kept_by_all(shares)
    assert kept
    return Redistribution(phase=phase, shares=shares, kept=kept)


# --- the second phase ---


def test_the_cache_keeps_what_memory_counts_of_the_frozen_model() -> None:
    for plain in (bert_of(2), bert_of(3)):
        phase = a_phase(a_problem([1e9], model=parallel_adapters(plain)), 5)
        assert phase.sample_bytes == cache_bytes(plain, samples=1, tokens=TOKENS)
        assert phase.sample_bytes == len(phase.layer_bytes[:-1]) * OUTPUT


def test_a_rank_keeps_the_outputs_of_the_samples_that_it_will_compute_in_memory_as_long_as_there_is_room() -> None:
    """Three samples of each of two micro-batches, in seven iterations; room for ten samples' outputs."""
    roomy = a_problem([1e9, 1e9], samples=4)
    model = cached(roomy.model)
    held = held_bytes(
        model,
        roomy.workload,
        RankLoad(layers=(0, len(model.layers)), samples=3, in_flight=1, micro_batches=2, replicas=2, context_bytes=0.0),
    )
    sample_bytes = a_phase(roomy, 7).sample_bytes
    tight = a_problem([1e9, 1e9], samples=4, memory_bytes=[held.total_bytes + 10.5 * sample_bytes, 1e9])
    assert a_phase(tight, 7).kept(0, 3, 2) == KeptSamples(rank=0, in_memory=10, on_disk=3 * 2 * 7 - 10)
    assert a_phase(tight, 7).kept(1, 1, 2) == KeptSamples(rank=1, in_memory=1 * 2 * 7, on_disk=0)
    assert a_phase(tight, 7, disk_bytes=32 * sample_bytes).kept(0, 3, 2) is not None
    assert a_phase(tight, 7, disk_bytes=31.9 * sample_bytes).kept(0, 3, 2) is None
    too_small = a_problem([1e9, 1e9], samples=4, memory_bytes=[held.total_bytes - 1, 1e9])
    assert a_phase(too_small, 7).kept(0, 3, 2) is None


def test_an_iteration_computes_the_side_network_and_reads_what_lies_on_disk() -> None:
    problem = a_problem([1e9], micro_batches=4, disk_bytes_per_s=1000.0)
    phase = a_phase(problem, 5)
    alone_s = iteration_s(phase.second, phase_plan(phase, (2,)))
    in_memory, on_disk = KeptSamples(rank=0, in_memory=40, on_disk=0), KeptSamples(rank=0, in_memory=10, on_disk=30)
    assert phase.iteration_s((2,), [in_memory]) == pytest.approx(alone_s)
    read_s = 30 * phase.sample_bytes / 1000.0 / 5
    assert phase.iteration_s((2,), [on_disk]) == pytest.approx(alone_s + read_s)
    assert alone_s < iteration_s(problem, a_plan(problem, [0, 3], [[0]], [[2]]))


def phase_plan(phase: CachedPhase, shares: tuple[int, ...]) -> Plan:
    M = phase.problem.workload.micro_batches
    return builders.plan_of(phase.second.model, [phase.stage_of(shares)], micro_batches=M)


def test_seconds_of_whole_layers_do_not_count_once_their_backbone_is_gone() -> None:
    problem = a_problem([1e9])
    head = problem.model.layers[-1].name
    whole = tuple(
        Point(
            block=layer.name,
            device=problem.cluster.devices[0].name,
            op=op,
            samples=n,
            tokens=TOKENS,
            share=1.0,
            seconds=100.0,
        )
        for layer in problem.model.layers
        if layer.name != head
        for op in "FB"
        for n in (1, 2)
    )
    measured = replace(problem, profile=replace(problem.profile, points=(*problem.profile.points, *whole)))
    kept = KeptSamples(rank=0, in_memory=8, on_disk=0)
    before, after = (a_phase(asked, 2).iteration_s((2,), [kept]) for asked in (problem, measured))
    assert after == pytest.approx(before)


def test_a_head_whose_words_are_tied_to_the_embedding_keeps_a_copy() -> None:
    tied_model = t5(
        name="t",
        encoder_layers=1,
        decoder_layers=1,
        hidden=64,
        heads=8,
        head_size=8,
        columns=128,
        vocabulary=100,
        buckets=32,
        decoder_tokens=1,
    )
    for plain, words in ((tied_model, 100 * 64 * 4), (bert_of(2), 0)):
        second = a_phase(a_problem([1e9], model=parallel_adapters(plain)), 2).second
        load = RankLoad(
            layers=(0, len(second.model.layers)),
            samples=2,
            in_flight=1,
            micro_batches=1,
            replicas=1,
            context_bytes=0,
        )
        assert held_bytes(second.model, second.workload, load).parameter_bytes == second.model.parameter_bytes + words


# --- between the phases ---


def test_data_parallelism_in_both_phases_moves_nothing() -> None:
    phase = a_phase(a_problem([1e9, 1e9], memory_bytes=[3e5, 3e5]), 50)
    to = moving(phase, (1, 1))
    in_memory = to.kept[0].in_memory
    assert 0 < in_memory < 100
    plan = a_plan(phase.problem, [0, 3], [[0, 1]], [[1, 1]])
    assert to.seconds(plan) == pytest.approx(in_memory * phase.sample_bytes / 1e9), "memory is filled from disk"


def test_each_rank_receives_what_it_did_not_compute_of_its_samples_and_the_adapters_that_it_did_not_hold() -> None:
    """Three layers, the embedding and one behind it cached: rank 0 has computed one of them for all 40 samples."""
    phase = a_phase(a_problem([1e9, 1e9], network=builders.switched(2, bytes_per_s=1000.0)), 10)
    weights = [layer.parameter_bytes for layer in cached(phase.problem.model).layers]
    plan = a_plan(phase.problem, [0, 1, 3], [[0], [1]], [[2], [2]])
    everything = moving(phase, (1, 1)).seconds(plan)
    received = {0: 20 * OUTPUT + weights[1] + weights[2], 1: 20 * OUTPUT + weights[0]}
    sent = {0: 20 * OUTPUT + weights[0], 1: 20 * OUTPUT + weights[1] + weights[2]}
    assert everything == pytest.approx(max(*received.values(), *sent.values()) / 1000.0)
    alone = moving(phase, (2, 0)).seconds(plan)
    assert alone == pytest.approx((40 * OUTPUT + weights[1] + weights[2]) / 1000.0)


def test_a_rank_without_a_part_in_the_first_phase_receives_everything() -> None:
    phase = a_phase(a_problem([1e9, 1e9], network=builders.switched(2, bytes_per_s=1000.0)), 10)
    weights = sum(layer.parameter_bytes for layer in cached(phase.problem.model).layers)
    plan = a_plan(phase.problem, [0, 3], [[0]], [[2]])
    assert moving(phase, (1, 1)).seconds(plan) == pytest.approx((20 * 2 * OUTPUT + weights) / 1000.0)
    assert moving(phase, (2, 0)).seconds(plan) == pytest.approx(40 * 2 * OUTPUT / 1e9), "its own, into memory"


def test_disks_that_are_slower_than_the_network_hold_it_up_and_the_first_phase_too() -> None:
    problem = a_problem([1e9, 1e9], disk_bytes_per_s=100.0, network=builders.switched(2, bytes_per_s=1000.0))
    to = moving(a_phase(problem, 10), (1, 1))
    plan = a_plan(problem, [0, 1, 3], [[0], [1]], [[2], [2]])
    moved = 2 * 20 * OUTPUT + 20 * 2 * OUTPUT  # received, sent, and read into memory
    assert to.seconds(plan) == pytest.approx(moved / 100.0)
    written_s = to.written_s(plan)
    disks = [Resource(ResourceKind.DISK, (rank,)) for rank in (0, 1)]
    assert written_s == dict.fromkeys(disks, pytest.approx(2 * OUTPUT / 100.0))
    M, quick_s = problem.workload.micro_batches, iteration_s(problem, plan)
    slow_s = iteration_s(problem, plan, also=written_s)
    assert slow_s > quick_s
    longer = replace(problem, workload=replace(problem.workload, batch_samples=2 * (M + 5)))
    plan_of_more = a_plan(longer, [0, 1, 3], [[0], [1]], [[2], [2]])
    assert iteration_s(longer, plan_of_more, also=written_s) - slow_s == pytest.approx(5 * 2 * OUTPUT / 100.0)


def test_on_a_radio_all_that_is_received_takes_air() -> None:
    phase = a_phase(a_problem([1e9, 1e9], network=builders.radio(2, bytes_per_s=1000.0)), 10)
    weights = sum(layer.parameter_bytes for layer in cached(phase.problem.model).layers)
    plan = a_plan(phase.problem, [0, 1, 3], [[0], [1]], [[2], [2]])
    assert moving(phase, (1, 1)).seconds(plan) == pytest.approx((2 * 20 * OUTPUT + weights) / 1000.0)


# --- both ---


def test_for_one_epoch_no_cache_is_worth_it() -> None:
    problem = a_problem([1e9, 2e9], epochs=1)
    answer = two_phases(problem, samples=40)
    assert answer.second is None
    assert answer.first.stages == ilp_hybrid_pipeline(problem, depth=Depth.ONE_F_ONE_B).stages
    assert answer.total_s == pytest.approx(10 * iteration_s(problem, answer.first))


def test_more_epochs_make_a_cache_worth_it_and_its_dear_redistribution() -> None:
    """Disks are so slow that the cache takes longer to write and to move than one epoch without it."""
    few, many = (
        two_phases(a_problem([1e9, 1e9], epochs=epochs, disk_bytes_per_s=1e6), samples=40) for epochs in (2, 20)
    )
    assert few.second is None
    assert many.second is not None
    assert many.first.predicted_s > few.first.predicted_s
    assert few.proof.status is many.proof.status is Status.OPTIMAL
    assert many.total_s < 20 * 10 * few.first.predicted_s


def test_without_leave_to_cache_none_is_made() -> None:
    problem = a_problem([1e9, 1e9], epochs=20, cache=False)
    assert two_phases(problem, samples=40).second is None
    assert two_phases(replace(problem, workload=replace(problem.workload, cache=True)), samples=40).second is not None


def test_the_last_batch_is_taken_for_full() -> None:
    problem = a_problem([1e9, 1e9], epochs=4)
    assert [two_phases(problem, samples=n).iterations for n in (4, 5, 8, 9)] == [1, 2, 2, 3]


def test_who_keeps_what_adds_up_to_the_data_set() -> None:
    answer = two_phases(a_problem([1e9, 2e9, 3e9], samples=3, epochs=9, memory_bytes=[3e5] * 3), samples=60)
    assert answer.second is not None
    assert sum(kept.samples for kept in answer.kept) == 60
    assert tuple(kept.rank for kept in answer.kept) == answer.second.ranks


def test_disks_without_room_for_a_cache_make_none_and_small_ones_change_who_trains_from_it() -> None:
    problem = a_problem([1e9, 4e9], samples=4, epochs=9, memory_bytes=[3e5] * 2)
    free = two_phases(problem, samples=80)
    assert free.second is not None
    largest = max(kept.on_disk for kept in free.kept)
    sample_bytes = a_phase(problem, 10).sample_bytes
    tight = two_phases(problem, samples=80, disk_bytes=(largest - 1) * sample_bytes)
    assert tight.second is None or tight.second.stages != free.second.stages
    assert tight.total_s > free.total_s
    assert two_phases(problem, samples=80, disk_bytes=0.0).second is None


def test_a_device_that_only_hinders_the_first_phase_may_train_from_the_cache() -> None:
    """Its memory holds the adapters and the head, and neither the embedding nor a frozen layer with or without it."""
    plain = bert(name="b", layers=1, hidden=HIDDEN, heads=8, columns=1024, vocabulary=50, positions=4000)
    model, workload = parallel_adapters(plain), a_problem([1e9]).workload
    second = held_bytes(
        cached(model),
        workload,
        RankLoad(layers=(0, 3), samples=1, in_flight=1, micro_batches=2, replicas=2, context_bytes=0.0),
    )
    problem = a_problem(
        [1e8, 4e7],
        model=model,
        samples=4,
        epochs=50,
        memory_bytes=[1e9, second.total_bytes],
        network=builders.switched(2, bytes_per_s=1e7),
    )
    answer = two_phases(problem, samples=400)
    assert answer.first.ranks == (0,)
    assert answer.second is not None
    assert answer.second.ranks == (0, 1)
    assert answer.total_s == pytest.approx(best_s(problem, float("inf"), 50))
    assert answer.proof.status is Status.OPTIMAL


def test_the_planner_gives_the_first_of_both_phases_with_their_proof() -> None:
    problem = a_problem([1e9, 2e9], epochs=5)
    both, plan = two_phases(problem, samples=40), ilp_two_phases(problem, samples=40)
    assert plan.stages == both.first.stages
    assert plan.planner == "ilp_two_phases"
    assert plan.proof.value == pytest.approx(both.total_s)
    assert both.second is not None
    assert both.second.model == "b+parallel_adapters+cache"


def test_stopped_early_the_bound_still_holds() -> None:
    problem = a_problem([1e8, 2e8, 3e8], layers=2, samples=4, epochs=20)
    best = two_phases(problem, samples=400)
    assert best.second is not None
    early = two_phases(problem, samples=400, options=SearchOptions(depth=Depth.ONE_F_ONE_B, time_limit_s=0.0))
    assert early.proof.status is Status.FEASIBLE
    assert early.proof.bound is not None
    assert early.proof.bound <= best.total_s <= early.total_s
    check(problem, early)


@pytest.mark.parametrize(("model", "groups"), [("t5_base", [8]), ("bart_large", [4, 4])])
def test_on_eight_nanos_it_groups_devices_as_published_and_redistributes_for_less_than_a_tenth_of_the_time(
    model: str, groups: list[int]
) -> None:
    """MRPC, three epochs, as many samples in a batch as devices; about 8 % for BART-Large (arXiv 2408.10746)."""
    sizes = ("workload.batch_samples=8", "workload.micro_batch_samples=8", "workload.tokens=128")
    cache = ("workload.purpose=fine_tune", "+workload.epochs=3", "+workload.cache=true")
    setup = read_setup(composed(f"model={model}", "finetuning=parallel_adapters", "cluster=pac", *sizes, *cache))
    problem = Problem(model=setup.model, cluster=setup.cluster, profile=setup.profile, workload=setup.workload)
    answer = two_phases(problem, samples=3668)
    assert [len(stage.ranks) for stage in answer.first.stages] == groups
    assert answer.second is not None
    assert len(answer.second.ranks) == 8
    assert 0.01 < answer.redistribution_s / answer.total_s < 0.1
    assert answer.total_s < 3 * answer.iterations * ilp_hybrid_pipeline(problem, depth=Depth.ONE_F_ONE_B).predicted_s


def test_what_it_is_not_for_is_refused() -> None:
    problem = a_problem([1e9, 1e9])
    with pytest.raises(PlanError, match=r"decides itself .* cached_in_memory_samples=3"):
        two_phases(a_problem([1e9], cached_in_memory_samples=3), samples=4)
    with pytest.raises(PlanError, match="a cache needs parallel adapters, b has none"):
        two_phases(a_problem([1e9], model=bert_of(1)), samples=4)
    with pytest.raises(PlanError, match="samples=0"):
        two_phases(problem, samples=0)
    with pytest.raises(PlanError, match="one for each of 2 ranks"):
        two_phases(problem, samples=4, disk_bytes=[1.0])
    with pytest.raises(PlanError, match="purpose is infer"):
        two_phases(replace(problem, workload=replace(problem.workload, purpose=Purpose.INFER)), samples=4)
    with pytest.raises(InfeasibleError, match=r"out of memory: layer .* rank 0 \(d1e\+09-1000\)"):
        two_phases(a_problem([1e9, 1e9], memory_bytes=[1000.0, 1000.0]), samples=4)


# --- against all pairs of phases ---


def uneven(seed: int, *, layers: int, devices: int, samples: int, topology: str) -> tuple[Problem, float]:
    """Devices of which some are equal, where memory, disks and links bind here and there."""
    rng = random.Random(seed)
    rates = [rng.choice([1e5, 1e6, 1e8]) for _ in range(devices)]
    network = (
        Network.switched(
            transmit_bytes_per_s=rates,
            latency_s=0.0,
            goodput=1.0,
            acknowledgement=0.02,
            origin="assumed",
            source="test",
        )
        if topology == "switched"
        else getattr(builders, topology)(devices, bytes_per_s=rng.choice([1e5, 1e7]))
    )
    problem = a_problem(
        [rng.choice([1e8, 2e8, 2e8]) for _ in range(devices)],
        layers=layers,
        samples=samples,
        memory_bytes=[rng.choice([2e5, 4e5, 1e9]) for _ in range(devices)],
        network=network,
        epochs=rng.choice([2, 6]),
        disk_bytes_per_s=rng.choice([1e5, 1e6, 1e9]),
    )
    return problem, rng.choice([1e5, float("inf")])


def every_first(problem: Problem) -> Iterator[Plan]:
    """All cuts, groups of devices, some left out, and shares; those that the check refuses are left out."""
    L, B = len(problem.model.layers), problem.workload.micro_batch_samples
    for P in range(1, min(L, len(problem.ranks)) + 1):
        for groups in divide(tuple(problem.ranks), P, largest=B, leave_out=True):
            for inner, samples in product(
                combinations(range(1, L), P - 1), product(*(list(sums(B, len(group))) for group in groups))
            ):
                plan = a_plan(problem, [0, *inner, L], [list(g) for g in groups], [list(s) for s in samples])
                try:
                    yield problem.check(plan)
                except PlanError:
                    continue


def best_s(problem: Problem, disk_bytes: float, iterations: int) -> float:
    """Of all first phases, without a cache and with every second phase."""
    epochs, B = problem.workload.epochs, problem.workload.micro_batch_samples
    firsts, phase = list(every_first(problem)), a_phase(problem, iterations, disk_bytes)
    found = [epochs * iterations * iteration_s(problem, plan) for plan in firsts]
    for shares in product(range(B + 1), repeat=len(problem.ranks)):
        if sum(shares) == B and (kept := phase.kept_by_all(shares)):
            to = Redistribution(phase=phase, shares=shares, kept=kept)
            later_s = (epochs - 1) * iterations * phase.iteration_s(shares, kept)
            for plan in firsts:
                if all(
                    to.fits_on_disk(rank, share, stage.layers)
                    for stage in plan.stages
                    for rank, share in zip(stage.ranks, stage.samples, strict=True)
                ):
                    first_s = iterations * iteration_s(problem, plan, also=to.written_s(plan))
                    found.append(first_s + to.seconds(plan) + later_s)
    return min(found, default=float("inf"))


@repeatable
@given(
    seed=st.integers(0, 10_000),
    layers=st.integers(1, 2),
    devices=st.integers(1, 3),
    samples=st.integers(1, 4),
    topology=st.sampled_from(["switched", "switched", "radio", "pairs"]),
)
def test_it_equals_trying_every_pair_of_phases(
    seed: int, layers: int, devices: int, samples: int, topology: str
) -> None:
    samples = min(samples, 3) if devices == 3 else samples
    problem, disk_bytes = uneven(seed, layers=layers, devices=devices, samples=samples, topology=topology)
    best = best_s(problem, disk_bytes, 5)
    try:
        answer = two_phases(problem, samples=10 * samples, disk_bytes=disk_bytes)
    except InfeasibleError:
        assert best == float("inf")
        return
    check(problem, answer)
    tolerance = 1e-6 if topology == "switched" else 0.05
    assert answer.total_s == pytest.approx(best, rel=tolerance)
    assert answer.proof.bound is not None
    assert answer.proof.bound <= best * (1 + 1e-6)
    assert topology != "switched" or answer.proof.status is Status.OPTIMAL
    again = two_phases(problem, samples=10 * samples, disk_bytes=disk_bytes)
    assert (again.first.stages, again.kept) == (answer.first.stages, answer.kept)


def check(problem: Problem, answer: TwoPhases) -> None:
    problem.check(answer.first)
    assert answer.proof.value == pytest.approx(answer.total_s)
    if answer.second is not None:
        phase = a_phase(problem, answer.iterations)
        phase.second.check(answer.second)
        assert sum(kept.samples for kept in answer.kept) == phase.samples(problem.workload.micro_batch_samples)
