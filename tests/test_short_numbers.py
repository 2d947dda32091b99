"""Are numbers of two bytes kept and sent as BF16, and is what ranks compute with them as good as PyTorch's own BF16?"""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from test_block_executor import played, room
from test_block_runtime import (
    HYBRID,
    NEW_TOKENS,
    OVERLAPPED,
    RINGS,
    SAMPLES,
    SEED,
    SEQUENCE,
    STARS,
    TENSOR,
    TOKENS,
    Way,
    inputs,
    model_of,
    plan_of,
    stages_of,
    workload,
)
from torch import Tensor, nn

from edgesim.model import Model, from_table, with_activation_bytes
from edgesim.schedule import COMPUTE, Op
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.workload import Workload
from experiments.configuration.command_line import composed
from experiments.configuration.setup import prepare
from real_runtime.assignment import Assignment
from real_runtime.chain import Chain, HostClock
from real_runtime.data import DataSpec
from real_runtime.data.samples import Source
from real_runtime.models import build_layers
from real_runtime.stages.executor import StageExecutor
from real_runtime.weights.precision import keep_at, number_type, widening

EXACT = 1e-4  # of FP32 sums in another order
MOBILENET = from_table(table="mobilenet_v2")
LENGTHS = {
    "weights": {"weight_bytes": 2},
    "activations": {"activation_bytes": 2},
    "both": {"weight_bytes": 2, "activation_bytes": 2},
}


def rounded(model: Model) -> nn.Sequential:
    """One device's layers in FP32, whose weights have BF16's digits."""
    layers = build_layers(model, range(len(model.layers)), seed=SEED)
    with torch.no_grad():
        for parameter in layers.parameters():
            parameter.copy_(parameter.bfloat16().float())
    return layers


def native(model: Model, ids: Tensor) -> Tensor:
    """One device's logits, all in PyTorch's BF16."""
    layers = build_layers(model, range(len(model.layers)), seed=SEED).to(torch.bfloat16)
    with torch.no_grad():
        return layers(ids).float()


def error(logits: Tensor, expected: Tensor) -> float:
    return float((logits.float() - expected).detach().norm() / expected.detach().norm())


def short(model: Model, work: Workload) -> Model:
    return with_activation_bytes(model, work.activation_bytes)


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("way", [*RINGS, *STARS], ids=lambda way: way.name)
@pytest.mark.parametrize("name", ["bert", "gpt2", "llama"])
def test_ranks_that_divide_blocks_are_no_farther_from_fp32_than_pytorchs_bf16(
    name: str, way: Way, lengths: Mapping[str, int]
) -> None:
    """Messages have the schedule's bytes: whoever plays it looks."""
    work = workload(batch_samples=SAMPLES, **lengths)
    model = short(model_of(name), work)
    executors, schedule = room(way, model, work)
    played(executors, schedule)
    ids = inputs(model, work)[0]
    logits = torch.cat([executor.results()["logits"] for executor in executors], dim=2 if way.units else 1)
    assert logits.dtype is number_type(work.activation_bytes)
    exact = rounded(model) if work.weight_bytes == 2 else build_layers(model, range(len(model.layers)), seed=SEED)
    with torch.no_grad():
        expected = exact(ids)
    if work.activation_bytes == 4:
        torch.testing.assert_close(logits, expected, rtol=EXACT, atol=EXACT * float(expected.abs().max()))
    else:
        assert EXACT < error(logits, expected) < 1.5 * error(native(model, ids), rounded(model)(ids))


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("model", [model_of("opt"), model_of("distilbert"), MOBILENET], ids=lambda model: model.name)
def test_stages_are_no_farther_from_fp32_than_pytorchs_bf16(model: Model, lengths: Mapping[str, int]) -> None:
    vision = model is MOBILENET
    work = replace(workload(batch_samples=6, **lengths), tokens=1 if vision else TOKENS)
    model = short(model, work)
    plan = plan_of(model, stages_of("pipeline", model, 3, SAMPLES), micro_batches=3)
    schedule, data = hybrid_pipeline(plan, model, work), DataSpec(kind="digits" if vision else "text")
    assignment = Assignment(schedule=schedule, model=model, workload=work, data=data, iterations=1, seed=SEED)
    logits = in_turn(assignment)
    exact = rounded(model) if work.weight_bytes == 2 else build_layers(model, range(len(model.layers)), seed=SEED)
    ids, kept = Source(data, model, work, SEED).batch(0)[0], number_type(work.activation_bytes)
    pieces = []
    with torch.no_grad():
        for tensor in ids.split(SAMPLES):  # statistics of batches are of micro-batches
            for stage in plan.stages:
                tensor = exact[slice(*stage.layers)](tensor.float() if stage.layers[0] else tensor).to(kept)
            pieces.append(tensor)
    assert logits.dtype is kept
    torch.testing.assert_close(logits, torch.cat(pieces), rtol=EXACT, atol=EXACT)
    if not vision:  # PyTorch's batch norms take no BF16 beside statistics of FP32
        assert error(logits, rounded(model)(ids)) < 1.5 * error(native(model, ids), rounded(model)(ids))


def in_turn(assignment: Assignment) -> Tensor:
    """The logits of a pipeline whose stages take turns; a message is a copy, as long as the schedule says."""
    carried: dict[int | None, Tensor] = {}  # by micro-batch
    for program in assignment.schedule.programs:
        executor = StageExecutor(assignment, program)
        executor.begin(0)
        for task in program:
            if task.op in COMPUTE:
                executor.compute(task)
            elif task.op is Op.SEND:
                carried[task.micro_batch] = executor.outgoing(task)
                assert carried[task.micro_batch].nbytes == task.nbytes
            else:
                into = executor.incoming(task)
                assert into.nbytes == task.nbytes
                assert into.dtype is carried[task.micro_batch].dtype
                into.copy_(carried[task.micro_batch])
    return executor.results()["logits"]


@pytest.mark.parametrize("kv_bytes", [4, 2])
@pytest.mark.parametrize("way", [TENSOR, SEQUENCE, HYBRID, OVERLAPPED], ids=lambda way: way.name)
def test_tokens_are_generated_from_a_cache_of_short_keys_and_values(way: Way, kv_bytes: int) -> None:
    """All ranks choose the same tokens, and those are among the likeliest by FP32."""
    work = workload(new_tokens=NEW_TOKENS, weight_bytes=2, activation_bytes=2, kv_bytes=kv_bytes)
    model = short(model_of("gpt2"), work)
    executors, schedule = room(way, model, work)
    played(executors, schedule)
    cached = [c.cache for executor in executors for c in executor.computations.values() if getattr(c, "cache", None)]
    assert cached
    assert {tensor.dtype for pair in cached for tensor in pair} == {number_type(kv_bytes)}
    results = [executor.results() for executor in executors]
    chosen = [each["chosen"] for each in results if "chosen" in each]
    assert all(torch.equal(tokens, chosen[0]) for tokens in chosen)
    exact, text = rounded(model), inputs(model, work)[0]
    with torch.no_grad():
        for token in chosen[0].split(1, dim=1):
            logits = exact(text)[:, -1]
            lost = logits.max(dim=1).values - logits.gather(1, token)[:, 0]
            assert float(lost.max()) < 0.05 * float(logits.abs().max())
            text = torch.cat([text, token], dim=1)


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama"])
def test_short_weights_take_half_of_the_bytes(name: str) -> None:
    held = []
    for weight_bytes in (4, 2):
        executors, _ = room(TENSOR, model_of(name), workload(weight_bytes=weight_bytes))
        shards = [c.shard for executor in executors for c in executor.computations.values()]  # type: ignore[attr-defined]
        held.append(sum(p.nbytes for shard in shards for p in shard.parameters()))
    assert held[0] == 2 * held[1]


def test_what_is_timed_is_computed_with_short_weights_as_in_a_run() -> None:
    work = workload(weight_bytes=2)
    chain = Chain(model_of("bert"), work, HostClock(1.0))
    assert {parameter.dtype for parameter in chain.layers.parameters()} == {torch.bfloat16}
    assert all(seconds > 0 for seconds in chain.inference(chain.samples(2)))


class Own(nn.Module):
    """What a user may write: a product as an operator, a table that is looked up, a buffer that is written to."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.table = nn.Parameter(torch.randn(6, 5)), nn.Parameter(torch.randn(9, 6))
        self.scale, self.norm = nn.Parameter(torch.randn(5)), nn.LayerNorm(5)
        self.convolution = nn.Conv1d(2, 3, 2)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.table[ids] + nn.functional.embedding(ids, self.table)
        x = self.norm(x @ self.weight) * self.scale
        kept = torch.empty(x.shape, dtype=torch.bfloat16)
        kept[:] = x
        return self.convolution(kept.float() + torch.einsum("bth,h->bth", x, self.scale))


def test_whatever_a_module_does_with_short_weights_it_does_in_fp32() -> None:
    torch.manual_seed(0)
    own, ids = Own(), torch.tensor([[1, 2], [3, 8]])
    with torch.no_grad():
        for parameter in own.parameters():
            parameter.copy_(parameter.bfloat16().float())
        expected = own(ids)
        with widening(2):
            found = keep_at(own, 2)(ids)
    assert found.dtype is torch.float32
    torch.testing.assert_close(found, expected)


def test_large_weights_are_widened_some_rows_at_a_time() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(700, 4001)
    x = torch.randn(2, 3, 700)
    with torch.no_grad(), widening(2):
        found = keep_at(layer, 2)(x)
        expected = nn.functional.linear(x, layer.weight.float(), layer.bias.float())
    torch.testing.assert_close(found, expected)


def test_lengths_that_no_number_here_has_are_refused_before_any_rank_starts() -> None:
    words = ("model=distilbert", "workload=request", "execute=true")
    prepare(composed(*words, "+workload.kv_bytes=2", "+workload.activation_bytes=2"))
    with pytest.raises(ValueError, match=r"keeps K and V in FP32 or BF16, got workload.kv_bytes=1 \(set workload.kv_b"):
        prepare(composed(*words, "+workload.kv_bytes=1"))
    with pytest.raises(ValueError, match="keeps numbers of 2 or 4 bytes, got 1"):
        number_type(1)
