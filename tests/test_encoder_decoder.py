"""Are the runtime's layers of T5 and BART the very models of Hugging Face, and is a chain of stages one device?"""

from pathlib import Path
from typing import Any

import pytest
import torch
from hugging_face import reference
from torch import Tensor, nn

from edgesim.model import Model
from edgesim.workload import Workload
from edgesim.zoo.architectures import BUILDERS
from real_runtime.data import DataSpec
from real_runtime.data.samples import Source
from real_runtime.models import architecture, boundary_shapes, build_layers
from real_runtime.stages.module import StageModule
from real_runtime.tracing.op_counter import count

SAMPLES, TOKENS, TOLERANCE = 3, 13, 1e-5
STACKS = {"encoder_layers": 2, "decoder_layers": 2}
SIZES: dict[str, dict[str, Any]] = {
    "t5": {"hidden": 24, "heads": 3, "head_size": 10, "columns": 37, "vocabulary": 260, "buckets": 8},
    "bart": {"hidden": 24, "heads": 3, "columns": 37, "vocabulary": 260, "positions": 24},
}
START = {"t5": 0, "bart": 2}


def tiny(name: str, decoder_tokens: int = 4, **more: Any) -> Model:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return BUILDERS[name](name=f"tiny-{name}", decoder_tokens=decoder_tokens, **{**SIZES[name], **STACKS, **more})


def texts(model: Model) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(1)
    vocabulary, answered = model.hyper["vocabulary"], model.hyper["decoder_tokens"]
    return tuple(torch.randint(vocabulary, (SAMPLES, n), generator=random) for n in (TOKENS, answered))  # type: ignore[return-value]


def whole_of(model: Model, folder: Path) -> nn.Module:
    """A random whole model of Hugging Face, saved; norms and biases are not left at ones and zeros."""
    whole = reference(model, "eager" if model.architecture == "t5" else "sdpa", "cpu").module
    with torch.no_grad():
        for parameter in whole.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    whole.save_pretrained(folder)
    return whole


def read(model: Model, text: Tensor, answer: Tensor) -> dict[str, Tensor]:
    start = torch.full((SAMPLES, 1), START[model.architecture])
    return {"input_ids": text, "decoder_input_ids": torch.cat([start, answer[:, :-1]], dim=1)}


@pytest.mark.parametrize("decoder_tokens", [1, 4])
@pytest.mark.parametrize("name", SIZES)
def test_layers_in_sequence_are_the_whole_model_of_a_checkpoint(name: str, decoder_tokens: int, tmp_path: Path) -> None:
    model = tiny(name, decoder_tokens)
    whole, (text, answer) = whole_of(model, tmp_path), texts(model)
    layers = build_layers(model, range(len(model.layers)), seed=0, checkpoint=str(tmp_path))
    expected = whole(**read(model, text, answer)).logits
    torch.testing.assert_close(layers(text, answer), expected, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("more", [{}, {"encoder_layers": 1, "decoder_layers": 1}, {"decoder_layers": 3}], ids=str)
@pytest.mark.parametrize("name", SIZES)
def test_layers_have_the_parameters_and_boundaries_that_the_zoo_counts(name: str, more: dict[str, int]) -> None:
    model = tiny(name, **more)
    layers = build_layers(model, range(len(model.layers)), seed=0)
    assert sum(p.nbytes for p in layers.parameters()) == model.parameter_bytes
    for layer, shape in zip(model.layers, boundary_shapes(model, TOKENS), strict=True):
        assert layer.output_bytes(1, TOKENS) == 4 * torch.Size(shape).numel()


def test_t5_with_gated_mlps_and_a_head_of_its_own_is_as_large_as_the_zoo_says() -> None:
    model = tiny("t5", gated=True, tied=False)
    layers = build_layers(model, range(len(model.layers)), seed=0)
    assert sum(p.nbytes for p in layers.parameters()) == model.parameter_bytes


@pytest.mark.parametrize("name", SIZES)
def test_each_layer_keeps_what_the_zoo_counts(name: str) -> None:
    model = tiny(name)
    layers, (entered, _) = build_layers(model, range(len(model.layers)), seed=0), texts(model)
    for index, layer in enumerate(model.layers[:-1]):
        counts, output = count(layers[index], entered, frozen=False, loss=None)
        assert sum(counts.kept.values()) == pytest.approx(layer.stash_bytes(SAMPLES, TOKENS), rel=0.06), layer.name
        assert counts.forward_flop == layer.forward_flop(SAMPLES, TOKENS), layer.name
        entered = output.detach().requires_grad_()


def trained(stages: list[StageModule], text: Tensor, answer: Tensor) -> dict[str, Tensor]:
    """Weights after one iteration of stages one after the other."""
    for stage in stages:
        stage.forward(0, text, answer if stage.reads_labels else None)
        text = stage.output(0).clone()
    gradient: Tensor | None = None
    for stage in reversed(stages):
        gradient = stage.backward(0, stage.layers, gradient)
        stage.update()
    return {
        f"{index}.{name}": weight
        for stage in stages
        for index, layer in enumerate(stage.module, stage.layers[0])
        for name, weight in layer.named_parameters()
    }


def work(optimiser: str = "momentum") -> Workload:
    return Workload(
        purpose="train",
        batch_samples=SAMPLES,
        micro_batch_samples=SAMPLES,
        tokens=TOKENS,
        optimiser=optimiser,
        learning_rate=0.1,
    )


@pytest.mark.parametrize("name", SIZES)
def test_a_training_step_is_that_of_the_whole_model(name: str, tmp_path: Path) -> None:
    """Tied words get the gradients of embedding, decoder and head; the table of a stack those of all its layers."""
    model = tiny(name)
    whole, (text, answer) = whole_of(model, tmp_path), texts(model)
    stage = StageModule(model, work(), (0, len(model.layers)), seed=0, checkpoint=str(tmp_path))
    trained([stage], text, answer)
    logits = whole(**read(model, text, answer)).logits
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), answer.flatten())
    loss.backward()
    assert stage.loss == pytest.approx(float(loss.detach()), rel=TOLERANCE)
    mine = architecture(model).layer_of(whole, model.hyper, 0)
    ours = dict(stage.module[0].named_parameters())
    for key, weight in mine.named_parameters():
        expected = weight.detach() - 0.1 * weight.grad
        torch.testing.assert_close(ours[key].detach(), expected, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("name", SIZES)
def test_a_pipeline_of_tied_weights_is_refused_where_they_are_trained_and_infers_with_copies(name: str) -> None:
    model, count_of_layers = tiny(name), 6
    with pytest.raises(ValueError, match=r"shares .*word_embeddings.weight with embedding .*finetuning that freezes"):
        StageModule(model, work(), (0, 3), seed=0)
    text, answer = texts(model)
    whole = build_layers(model, range(count_of_layers), seed=0)
    first, last = (build_layers(model, r, seed=0, frozen=True) for r in (range(2), range(2, count_of_layers)))
    assert torch.equal(last(first(text), answer), whole(text, answer))


@pytest.mark.parametrize("name", SIZES)
def test_an_answer_is_the_text_behind_what_the_encoder_reads(name: str) -> None:
    model = tiny(name)
    text, answer = Source(DataSpec(kind="text"), model, work(), 5).batch(3)
    assert text.shape == (SAMPLES, TOKENS)
    assert answer.shape == (SAMPLES, 4)
    again, other = Source(DataSpec(kind="text"), tiny(name, 6), work(), 5).batch(3)
    assert answer.max() < 256
    assert other.shape == (SAMPLES, 6)
    assert again.shape == text.shape


@pytest.mark.parametrize("name", SIZES)
def test_dropout_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=r"without dropout \(set model.dropout=false\)"):
        build_layers(tiny(name, dropout=True), [0], seed=0, frozen=True)
