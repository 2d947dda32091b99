"""Do both players play the same score, and does the real one compute what one device would?"""

import copy
from collections.abc import Iterator
from math import inf
from pathlib import Path

import pytest
import torch
from runtime_builders import (
    BERT,
    CASES,
    ITERATIONS,
    MICRO_BATCHES,
    MOBILENET,
    SAMPLES,
    SEED,
    TOLERANCE,
    Case,
    data,
    three_hosts,
    workload,
)

from edgesim import Model, Plan, Workload, estimate
from edgesim.simulator import simulate
from edgesim.strategies.gradient_buckets import gradient_buckets
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from real_runtime.assignment import Assignment
from real_runtime.data.samples import Source
from real_runtime.models import architecture, build_layers
from real_runtime.stages.module import flatten_gradients, make_optimiser
from real_runtime.testbeds.opening import open_testbed
from real_runtime.testbeds.spec import TestbedSpec
from real_runtime.testbeds.testbed import Testbed
from real_runtime.weights.tensor_files import load_tensors

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("testbed"), pytest.mark.timeout(300)]


def trained_on_one_device(
    model: Model, plan: Plan, work: Workload, bucket_bytes: float | None
) -> tuple[dict[str, torch.Tensor], list[float]]:
    """Parameters and losses of one process that computes each stage's samples in the plan's pieces: batch norm.

    ReLU6 makes the vision model chaotic: parameters off by one part in 10^7, as sums in another order leave them, flip
    a few units and change the next gradient by 0.6 % (seen in float64, where 10^-9 changes it by 10^-7 only). So there
    the replicas' gradients are added in the ring's order; the language model accumulates all samples in one gradient.
    """
    torch.set_num_threads(1)  # as the ranks do: sums in the same order
    arch = architecture(model)
    whole = build_layers(model, range(len(model.layers)), seed=SEED)
    start = {name: p.detach().clone() for name, p in whole.named_parameters()}
    stages = [whole[stage.layers[0] : stage.layers[1]] for stage in plan.stages]
    ordered = model is MOBILENET
    replicas = [
        [stage, *(copy.deepcopy(stage) if ordered else stage for _ in p.ranks[1:])]
        for stage, p in zip(stages, plan.stages, strict=True)
    ]
    modules = {id(module): module for stage in replicas for module in stage}
    flats = {key: flatten_gradients(module.parameters()) for key, module in modules.items()}
    optimisers = [make_optimiser(module.parameters(), work) for module in modules.values()]
    source = Source(data(model), model, work, SEED)
    losses = []
    for iteration in range(ITERATIONS):
        inputs, targets = source.batch(iteration)
        losses.append(0.0)
        for m in range(MICRO_BATCHES):
            x, y = inputs[m * SAMPLES : (m + 1) * SAMPLES], targets[m * SAMPLES : (m + 1) * SAMPLES]
            for stage, held in zip(plan.stages, replicas, strict=True):
                rows = [slice(*stage.sample_range(rank)) for rank in stage.ranks]
                pieces = [part(x[piece]) for part, piece in zip(held, rows, strict=True)]
                if stage is not plan.stages[-1]:
                    x = torch.cat(pieces)
            loss = sum(
                arch.loss(model.hyper, work.tokens, output, y[piece]) / work.batch_samples
                for output, piece in zip(pieces, rows, strict=True)
            )
            loss.backward()
            losses[-1] += float(loss.detach())
        for held, stage in zip(replicas, plan.stages, strict=True):
            alike = [flats[key] for key in dict.fromkeys(map(id, held))]
            for layers, _ in gradient_buckets(model, stage.layers, inf if bucket_bytes is None else bucket_bytes):
                part = slice(*(numbers_of(whole[stage.layers[0] : layer]) for layer in layers))
                add_in_ring_order([flat[part] for flat in alike])
        for optimiser in optimisers:
            optimiser.step()
        for flat in flats.values():
            flat.zero_()
    statistics = {name for name, _ in whole.named_buffers()}
    learnt = {name: each for name, each in whole.state_dict().items() if name not in statistics}
    assert max(float((learnt[name] - start[name]).abs().max()) for name in start) > 100 * TOLERANCE, (
        "it must have moved"
    )
    return learnt, losses


def numbers_of(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def add_in_ring_order(flats: list[torch.Tensor]) -> None:
    """Part k of n travels the ring from member k: its sum begins there."""
    n = len(flats)
    parts = [flat.tensor_split(n) for flat in flats]
    for k in range(n):
        total = parts[k][k].clone()
        for step in range(1, n):
            total += parts[(k + step) % n][k]
        for member in range(n):
            parts[member][k].copy_(total)


@pytest.fixture(scope="module")
def testbed() -> Iterator[Testbed]:
    with open_testbed(TestbedSpec(kind="loopback", deadline_s=30), three_hosts()) as testbed:
        yield testbed


@pytest.mark.parametrize("model", [BERT, MOBILENET], ids=lambda model: model.name)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_both_players_play_the_same_tasks_and_learn_what_one_device_would(
    case: Case, model: Model, testbed: Testbed, tmp_path: Path
) -> None:
    plan, work = case.plan(model), workload(model)
    schedule = hybrid_pipeline(plan, model, work, bucket_bytes=case.bucket_bytes)
    profile = estimate(model, testbed.cluster.devices, samples=range(1, SAMPLES + 1), tokens=work.tokens)
    simulated = simulate(schedule, cluster=testbed.cluster, model=model, profile=profile, tokens=work.tokens)
    assignment = Assignment(
        schedule=schedule,
        model=model,
        workload=work,
        data=data(model),
        iterations=ITERATIONS,
        seed=SEED,
        results_folder=str(tmp_path),
    )
    execution = testbed.execute(assignment)

    for measured in execution.traces:
        assert measured.order() == simulated.order()
        assert [span.task.nbytes for span in measured] == [span.task.nbytes for span in simulated]
    expected, losses = trained_on_one_device(model, plan, work, case.bucket_bytes)
    assert execution.losses == pytest.approx(losses, rel=TOLERANCE)
    learnt: set[str] = set()
    for file in sorted(tmp_path.glob("rank*.safetensors")):
        for name, weights in load_tensors(file).items():
            if name in expected:  # each replica has statistics of its own batches
                torch.testing.assert_close(weights, expected[name], rtol=TOLERANCE, atol=TOLERANCE)
                learnt.add(name)
    assert learnt == set(expected)


def test_a_rank_refuses_a_schedule_that_differs_from_the_others(testbed: Testbed) -> None:
    plan, work = CASES[0].plan(BERT), workload(BERT)
    assignments = [
        Assignment(
            schedule=hybrid_pipeline(p, BERT, work), model=BERT, workload=work, data=data(BERT), iterations=1, seed=SEED
        )
        for p in (plan, plan, CASES[2].plan(BERT))
    ]
    with pytest.raises(
        Exception, match=r"ranks hold different schedules: rank 0 has \w+, rank 1 has \w+, rank 2 has \w+"
    ):
        testbed.coordinator.ask(
            {
                rank: {"do": "play", "assignment": assignment.to_dict(), "rehearsed": []}
                for rank, assignment in enumerate(assignments)
            }
        )
