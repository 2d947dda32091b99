"""Is what the runtime trains, block by block, what ``edgesim.finetuning`` counts, and does nothing else learn?"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from tuned_models import FAMILIES, TECHNIQUES, TOKENS, labels_shape, small, tuned

from edgesim.finetuning import cached, lora, parallel_adapters
from edgesim.memory import carried_bytes
from edgesim.model import Layer, Model
from edgesim.plan import Depth, Plan, make_stages
from edgesim.schedule import Schedule
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.workload import Workload
from real_runtime.assignment import Assignment
from real_runtime.carrying.checkpoints import Manifest, finish, read_layers, shard_name, write_shard
from real_runtime.carrying.store import Store
from real_runtime.carrying.trained_stage import TrainedStage
from real_runtime.data import DataSpec
from real_runtime.data.samples import Source
from real_runtime.finetuning.boundary import SideState, boundary_of, message_shapes
from real_runtime.finetuning.parallel_adapters import SideLayer
from real_runtime.finetuning.refusals import refuse_untunable
from real_runtime.finetuning.techniques import build_tuned
from real_runtime.models import Layers, architecture, build_layers, reads_labels
from real_runtime.stages.module import StageModule
from real_runtime.tracing.op_counter import _CORRECTED

SAMPLES = 3
EVERY = [(family, technique) for family in FAMILIES for technique in TECHNIQUES]
WORK = Workload(
    purpose="train", batch_samples=6, micro_batch_samples=SAMPLES, tokens=TOKENS, optimiser="adam", learning_rate=0.01
)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@dataclass
class Counted:
    forward_flop: int
    backward_flop: int
    kept_bytes: int


def eager(layers: Layers) -> Layers:
    """Attention in steps, each of whose products is counted: a fused kernel computes the scores again to go back."""
    for module in layers.modules():
        if hasattr(module, "config"):
            module.config._attn_implementation = "eager"
    return layers


def counted(model: Model, layers: Layers) -> list[Counted]:
    """Layer by layer, in graphs of their own: FLOPs of both passes, and the storages that autograd keeps."""
    text = torch.randint(model.hyper["vocabulary"], (SAMPLES, TOKENS))
    labels = torch.randint(model.hyper["vocabulary"], labels_shape(model, SAMPLES))
    own = {tensor.untyped_storage().data_ptr() for tensor in (*layers.parameters(), *layers.buffers())}
    boundary, inside, rows = boundary_of(model), text, []
    for index, layer in enumerate(layers):
        kept: dict[int, Tensor] = {}

        def pack(tensor: Tensor, kept: dict[int, Tensor] = kept) -> Tensor:
            if (place := tensor.untyped_storage().data_ptr()) not in own:
                kept[place] = tensor
            return tensor

        hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
        with FlopCounterMode(display=False, custom_mapping=_CORRECTED) as forward, hooks:
            made: Any = layer(inside, labels) if reads_labels(layer) else layer(inside)
            root = boundary.root(made)
            if index == len(layers) - 1:
                root = architecture(model).loss(model.hyper, TOKENS, root, labels)
        with FlopCounterMode(display=False, custom_mapping=_CORRECTED) as backward:
            if root.requires_grad:
                root.backward(torch.ones_like(root))
        rows.append(
            Counted(
                forward_flop=forward.get_total_flops(),
                backward_flop=backward.get_total_flops(),
                kept_bytes=sum(tensor.untyped_storage().nbytes() for tensor in kept.values()),
            )
        )
        if index < len(layers) - 1:
            inside = boundary.apart(made)[0] if root.requires_grad else made
    return rows


def ids_of_positions(model: Model, layer: Layer) -> int:
    """What a table of relative positions keeps of where it was looked up: ids of no sample, which no count has."""
    if layer.name in ("embedding", "head") or not model.hyper.get("side", {}).get("own_tables"):
        return 0
    return 8 * (TOKENS if layer.name.startswith("encoder") else model.hyper["decoder_tokens"]) ** 2


@pytest.mark.parametrize(("family", "technique"), EVERY)
def test_each_layer_trains_computes_and_keeps_what_is_counted(family: str, technique: str) -> None:
    """Parameters and FLOPs exactly; what is kept within 3 %: labels and rotary positions are not counted.

    T5's first layers with LoRA keep up to 15 % less: of Q nothing, since K wants no gradient there.
    """
    model = tuned(family, technique)
    layers = build_tuned(model, range(len(model.layers)), seed=0)
    kept = [row.kept_bytes for row in counted(model, layers)]
    rows = zip(model.layers, layers, counted(model, eager(layers)), kept, strict=True)
    for layer, module, row, kept_bytes in rows:
        assert sum(p.nbytes for p in module.parameters() if p.requires_grad) == layer.trainable_bytes, layer.name
        assert row.forward_flop == layer.forward_flop(SAMPLES, TOKENS), layer.name
        assert row.backward_flop == layer.backward_flop(SAMPLES, TOKENS), layer.name
        expected = layer.stash_bytes(SAMPLES, TOKENS) + ids_of_positions(model, layer)
        less = 0.15 if (family, technique) == ("t5", "lora") and layer.name.endswith(".0") else 0.03
        assert (1 - less) * expected <= kept_bytes <= 1.03 * expected, layer.name


@pytest.mark.parametrize(("family", "technique"), EVERY)
def test_the_frozen_model_is_the_one_that_is_trained_in_full(family: str, technique: str) -> None:
    plain = build_layers(small(family), range(len(small(family).layers)), seed=3)
    layers = build_tuned(tuned(family, technique), range(len(plain)), seed=3)
    frozen = {id(p): p for p in layers.parameters() if not p.requires_grad}
    assert sum(p.nbytes for p in frozen.values()) == small(family).parameter_bytes
    for ours, theirs in zip(frozen.values(), plain.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(("family", "technique"), EVERY)
def test_any_cut_of_layers_gets_the_same_weights(family: str, technique: str) -> None:
    model = tuned(family, technique)
    whole = build_tuned(model, range(len(model.layers)), seed=3)
    tail = build_tuned(model, range(2, len(model.layers)), seed=3)
    for ours, theirs in zip(tail, whole[2:], strict=True):
        weights = dict(theirs.named_parameters())
        for name, weight in ours.named_parameters():
            assert torch.equal(weight, weights[name])


def steps(model: Model, stage: StageModule, iterations: int = 2) -> None:
    source = Source(DataSpec(kind="text"), model, WORK, 0)
    for iteration in range(iterations):
        inputs, targets = source.batch(iteration)
        for m, rows in enumerate((slice(0, 3), slice(3, 6))):
            stage.forward(m, inputs[rows], targets[rows])
            stage.backward(m, stage.layers, None)
        stage.update()


@pytest.mark.parametrize(("family", "technique"), EVERY)
def test_what_a_technique_adds_learns_and_the_model_stays_as_it_is(family: str, technique: str) -> None:
    model = tuned(family, technique)
    stage = StageModule(model, WORK, (0, len(model.layers)), seed=0)
    before = {name: weight.detach().clone() for name, weight in stage.module.named_parameters()}
    steps(model, stage)
    for name, weight in stage.module.named_parameters():
        assert torch.equal(weight, before[name]) is not weight.requires_grad, name


@pytest.mark.parametrize("family", FAMILIES)
def test_no_gradient_enters_the_frozen_layers_of_parallel_adapters(family: str) -> None:
    model = tuned(family, "parallel_adapters")
    layers = build_tuned(model, range(len(model.layers)), seed=0)
    calls: list[Any] = []
    for layer in layers[:-1]:
        for module in layer.frozen.modules():
            module.register_forward_hook(lambda module, entered, made: calls.append(torch.is_grad_enabled()))
    text = torch.randint(259, (SAMPLES, TOKENS))
    state = text
    for layer in layers[:-1]:
        state = layer(state, torch.randint(259, labels_shape(model, SAMPLES))) if layer.READS_LABELS else layer(state)
        assert not state.frozen.requires_grad
        assert state.side.requires_grad
    assert calls
    assert not any(calls)


class Learning(nn.Module):
    """A layer that escapes from ``no_grad``."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, entered: Tensor) -> Tensor:
        with torch.enable_grad():
            return entered * self.weight


def test_a_frozen_layer_that_puts_out_a_gradient_is_an_error() -> None:
    layer = SideLayer(Learning(), nn.Linear(4, 2), None, None)
    with pytest.raises(AssertionError, match="a gradient would enter the frozen model"):
        layer(torch.ones(1, 4))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_boundary_of_parallel_adapters_is_as_large_as_the_schedule_says(family: str) -> None:
    model = tuned(family, "parallel_adapters")
    there, back = message_shapes(model, TOKENS)
    for layer, activation, gradient in zip(model.layers, there, back, strict=True):
        assert layer.output_bytes(1, TOKENS) == 4 * torch.Size(activation).numel()
        if layer is not model.layers[-1]:
            assert layer.gradient_bytes(1, TOKENS) == 4 * torch.Size(gradient).numel()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_side_network_begins_as_the_pruned_model(family: str) -> None:
    """Its states begin as the kept places of the embedding, and its matrices are those of the model there."""
    model = tuned(family, "parallel_adapters")
    layers = build_tuned(model, range(2), seed=0)
    text = torch.randint(259, (SAMPLES, TOKENS))
    state = layers[0](text)
    assert isinstance(state, SideState)
    assert torch.equal(state.side, state.frozen[..., ::8])
    columns = {p.shape: p for p in layers[1].frozen.parameters() if p.shape == (64, 32)}
    lights = {p.shape: p for p in layers[1].light.parameters() if p.shape == (8, 4)}
    assert torch.equal(lights[torch.Size([8, 4])], columns[torch.Size([64, 32])][::8, ::8])


@pytest.mark.parametrize("family", FAMILIES)
def test_training_from_cached_outputs_gives_what_training_beside_the_model_gives(family: str) -> None:
    """The outputs are taken once, in the first epoch; then the frozen layers are gone."""
    model = tuned(family, "parallel_adapters")
    layers = (0, len(model.layers))
    beside, alone = (StageModule(each, WORK, layers, seed=0) for each in (model, cached(model)))
    frozen_bytes = sum(p.nbytes for layer in alone.module[:-1] for p in layer.parameters() if not p.requires_grad)
    assert frozen_bytes == 0
    (inputs, targets), kept = Source(DataSpec(kind="text"), model, WORK, 0).batch(0), list[Tensor]()
    hooks = [
        layer.register_forward_hook(lambda layer, _, made: kept.append(layer.read_of(made.frozen).clone()))
        for layer in beside.module[:-1]
    ]
    with torch.no_grad():
        beside.module(inputs, targets)
    for hook in hooks:
        hook.remove()
    for _ in range(3):
        for m, rows in enumerate((slice(0, 3), slice(3, 6))):
            beside.forward(m, inputs[rows], targets[rows])
            alone.forward(m, [output[rows] for output in kept], targets[rows])
            for stage in (beside, alone):
                stage.backward(m, layers, None)
        for stage in (beside, alone):
            stage.update()
    assert alone.loss == pytest.approx(beside.loss, rel=1e-6)
    ours = {name: weight for name, weight in beside.module.named_parameters() if weight.requires_grad}
    theirs = {name: weight for name, weight in alone.module.named_parameters() if weight.requires_grad}
    assert ours.keys() == theirs.keys()
    for name, weight in ours.items():
        torch.testing.assert_close(theirs[name], weight, rtol=0, atol=1e-6)


def planned(model: Model, cuts: tuple[int, ...]) -> Plan:
    stages = make_stages(
        cuts=cuts,
        groups=tuple((rank,) for rank in range(len(cuts) - 1)),
        samples=((SAMPLES,),) * (len(cuts) - 1),
        depth=Depth.ONE_F_ONE_B,
        micro_batches=2,
    )
    return Plan(model=model.name, stages=stages, micro_batches=2, micro_batch_samples=SAMPLES, planner="test")


def one_stage(model: Model) -> Plan:
    return planned(model, (0, len(model.layers)))


def two_stages(model: Model) -> Schedule:
    return hybrid_pipeline(planned(model, (0, 2, len(model.layers))), model, WORK)


def test_what_the_runtime_cannot_tune_is_refused_by_name_before_it_starts() -> None:
    dropping = lora(small("bert"), rank=4, dropout=True)
    with pytest.raises(ValueError, match=r"LoRA without dropout.*finetuning.dropout=false"):
        refuse_untunable(dropping, two_stages(dropping))
    from_cache = cached(parallel_adapters(small("bert")))
    with pytest.raises(ValueError, match=r"small-bert\+parallel_adapters\+cache learns from cached outputs"):
        refuse_untunable(from_cache, two_stages(from_cache))


@pytest.mark.parametrize(("family", "technique"), [("t5", "parallel_adapters"), ("bart", "lora"), ("bert", "houlsby")])
def test_a_stage_of_a_job_is_taken_up_with_what_it_trains_and_what_it_has_on_loan(family: str, technique: str) -> None:
    """What is on loan from another stage is frozen: it does not move, but is drawn, or read, again."""
    model = tuned(family, technique)
    whole = Assignment(
        schedule=two_stages(model), model=model, workload=WORK, data=DataSpec(kind="text"), iterations=1, seed=4
    )
    program = whole.schedule.programs[1]
    trained, store = TrainedStage.new(whole, program, 0), Store(model, WORK)
    for layer, numbers in trained.states():
        assert numbers.nbytes == carried_bytes(model.layers[layer], WORK)
    trained.module.flat_gradients.normal_()
    trained.module.update()
    trained.version = 1
    store.keep(trained.states(), 1)
    taken = TrainedStage.taken_up(whole, program, 1, store)
    shape = message_shapes(model, TOKENS)[0][1]
    entered, labels = torch.randn(SAMPLES, *shape), torch.randint(259, labels_shape(model, SAMPLES))
    for stage in (trained, taken):
        stage.module.forward(0, entered.clone(), labels)
    assert torch.equal(taken.module.output(0), trained.module.output(0))


def test_a_checkpoint_of_a_tuned_stage_is_read_by_a_stage_of_other_layers(tmp_path: Path) -> None:
    model = tuned("t5", "parallel_adapters")
    whole = Assignment(
        schedule=two_stages(model), model=model, workload=WORK, data=DataSpec(kind="text"), iterations=1, seed=4
    )
    stages = [TrainedStage.new(whole, program, 0) for program in whole.schedule.programs]
    for stage in stages:
        stage.module.flat_gradients.normal_()
        stage.module.update()
        stage.version = 1
        write_shard(tmp_path, stage)
    shards = tuple((shard_name(stage.layers), *stage.layers) for stage in stages)
    finish(
        tmp_path,
        Manifest(
            version=1,
            model=model.name,
            layers=len(model.layers),
            optimiser="adam",
            seed=4,
            batch_samples=6,
            shards=shards,
        ),
    )
    alone = replace(whole, schedule=hybrid_pipeline(one_stage(model), model, WORK))
    read = TrainedStage.new(alone, alone.schedule.programs[0], 0)
    read_layers(tmp_path / "version-1", read)
    expected = {layer: numbers for stage in stages for layer, numbers in stage.states()}
    for layer, numbers in read.states():
        assert torch.equal(numbers, expected[layer])
