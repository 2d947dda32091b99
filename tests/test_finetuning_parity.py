"""Does a pipeline that fine-tunes play what is simulated, and learn what one device would?"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from runtime_builders import MICRO_BATCHES, SAMPLES, SEED, TOLERANCE, Case, three_hosts
from tuned_models import TOKENS, small, tuned

from edgesim import Depth, Model, Workload, estimate
from edgesim.schedule import Op, Payload
from edgesim.simulator import simulate
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from real_runtime.assignment import Assignment
from real_runtime.data import DataSpec
from real_runtime.data.samples import Source
from real_runtime.stages.module import StageModule
from real_runtime.testbeds.opening import open_testbed
from real_runtime.testbeds.spec import TestbedSpec
from real_runtime.testbeds.testbed import Testbed
from real_runtime.weights.tensor_files import load_tensors

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("testbed"), pytest.mark.timeout(300)]

ITERATIONS = 2
WORK = Workload(
    purpose="train",
    batch_samples=MICRO_BATCHES * SAMPLES,
    micro_batch_samples=SAMPLES,
    tokens=TOKENS,
    optimiser="momentum",
    learning_rate=0.1,
)
UNEVEN = Case("two then one", (0, 0.4, 1), ((0, 2), (1,)), ((4, 2), (6,)), Depth.ASTEROID)
LATE = Case("one then two", (0, 0.6, 1), ((1,), (2, 0)), ((6,), (1, 5)), Depth.ONE_F_ONE_B)
THREE = Case("three stages, recomputed", (0, 0.2, 0.7, 1), ((1,), (2,), (0,)), ((6,),) * 3, Depth.GPIPE, recompute=True)
BUCKETS = Case("in buckets", (0, 0.4, 1), ((0,), (1, 2)), ((6,), (4, 2)), Depth.ONE_F_ONE_B, 1)
ALONE = Case("data, uneven", (0, 1), ((0, 1, 2),), ((3, 2, 1),), Depth.ONE_F_ONE_B)
EARLY = Case("embedding alone", (0, 0.2, 0.6, 1), ((1,), (2,), (0,)), ((6,),) * 3, Depth.ONE_F_ONE_B)
CASES = [
    ("bert", "lora", EARLY),
    ("t5", "parallel_adapters", UNEVEN),
    ("t5", "parallel_adapters", THREE),
    ("t5", "lora", LATE),
    ("bart", "parallel_adapters", LATE),
    ("bart", "houlsby", THREE),
    ("bert", "parallel_adapters", BUCKETS),
    ("bert", "houlsby", UNEVEN),
    ("llama", "parallel_adapters", UNEVEN),
    ("t5", "", ALONE),
    ("bart", "", ALONE),
    ("t5", "exchanged", UNEVEN),
    ("t5", "exchanged", THREE),
    ("bart", "exchanged", LATE),
    ("gpt2", "exchanged", UNEVEN),
]


def on_one_device(model: Model) -> tuple[dict[str, torch.Tensor], list[float]]:
    """What is trained, and the losses, of a process that has all layers and all samples."""
    torch.set_num_threads(1)
    stage = StageModule(model, WORK, (0, len(model.layers)), seed=SEED)
    before = {name: weight.detach().clone() for name, weight in stage.module.named_parameters()}
    source, losses = Source(DataSpec(kind="text"), model, WORK, SEED), []
    for iteration in range(ITERATIONS):
        inputs, targets = source.batch(iteration)
        stage.loss = 0.0
        for m in range(MICRO_BATCHES):
            rows = slice(m * SAMPLES, (m + 1) * SAMPLES)
            stage.forward(m, inputs[rows], targets[rows])
            stage.backward(m, stage.layers, None)
        stage.update()
        losses.append(stage.loss)
    every = stage.module.named_parameters(remove_duplicate=False)  # of tied weights each stage's copy is compared
    learnt = {name: weight.detach() for name, weight in every if weight.requires_grad}
    assert max(float((learnt[name] - weight).abs().max()) for name, weight in before.items() if name in learnt) > 1e-3
    return learnt, losses


@pytest.fixture(scope="module")
def testbed() -> Iterator[Testbed]:
    with open_testbed(TestbedSpec(kind="loopback", deadline_s=60), three_hosts()) as testbed:
        yield testbed


@pytest.mark.parametrize(("family", "technique", "case"), CASES, ids=lambda value: getattr(value, "name", value))
def test_both_players_play_the_same_tasks_and_learn_what_one_device_would(
    family: str, technique: str, case: Case, testbed: Testbed, tmp_path: Path
) -> None:
    model = tuned(family, technique) if technique else small(family)
    schedule = hybrid_pipeline(case.plan(model), model, WORK, bucket_bytes=case.bucket_bytes)
    profile = estimate(model, testbed.cluster.devices, samples=range(1, SAMPLES + 1), tokens=TOKENS)
    simulated = simulate(schedule, cluster=testbed.cluster, model=model, profile=profile, tokens=TOKENS)
    execution = testbed.execute(
        Assignment(
            schedule=schedule,
            model=model,
            workload=WORK,
            data=DataSpec(kind="text"),
            iterations=ITERATIONS,
            seed=SEED,
            results_folder=str(tmp_path),
        )
    )
    for measured in execution.traces:
        assert measured.order() == simulated.order()
        assert [span.task.nbytes for span in measured] == [span.task.nbytes for span in simulated]
    expected, losses = on_one_device(model)
    assert execution.losses == pytest.approx(losses, rel=TOLERANCE)
    learnt: set[str] = set()
    for file in sorted(tmp_path.glob("rank*.safetensors")):
        for name, weights in load_tensors(file).items():
            if name in expected:
                torch.testing.assert_close(weights, expected[name], rtol=TOLERANCE, atol=TOLERANCE)
                learnt.add(name)
    assert learnt == set(expected)


def test_replicas_add_up_what_is_trained_alone_and_a_boundary_returns_the_side_states_gradient() -> None:
    model = tuned("t5", "parallel_adapters")
    plan = replace(UNEVEN, recompute=False).plan(model)
    tasks = list(hybrid_pipeline(plan, model, WORK))
    (added,) = {task.nbytes for task in tasks if task.op is Op.ALL_REDUCE}
    assert added == sum(layer.trainable_bytes for layer in model.layers[slice(*plan.stages[0].layers)])
    sent = {payload: sum(t.nbytes for t in tasks if t.op is Op.SEND and t.payload is payload) for payload in Payload}
    assert sent[Payload.GRADIENT] * 9 == sent[Payload.ACTIVATION]
