"""Are the runtime's layers the very models of Hugging Face? One after the other, from a seed or from a checkpoint."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hugging_face import reference
from safetensors.torch import load_file, save_file
from torch import Tensor

from edgesim.model import Model
from edgesim.workload import Optimiser, Purpose, Workload
from edgesim.zoo.architectures import BUILDERS, rebuilt
from real_runtime.assignment import Assignment
from real_runtime.data import DataSpec
from real_runtime.data.samples import Source
from real_runtime.models import architecture, boundary_shapes, build_layers, is_causal
from real_runtime.models.language import IGNORED
from real_runtime.sources import refuse_unusable
from real_runtime.testbeds.network_fit import message_schedule

SIZES: Mapping[str, Any] = {"layers": 2, "hidden": 20, "heads": 5, "columns": 37, "vocabulary": 41, "positions": 24}
MORE: Mapping[str, Mapping[str, Any]] = {"llama": {"hidden": 24, "heads": 6, "groups": 3, "head_size": 6}}
LANGUAGE = ("bert", "distilbert", "gpt2", "opt", "llama")
ANSWERING = ("t5", "bart")
CAUSAL = ("gpt2", "opt", "llama")
TOLERANCE = 1e-5


def tiny(architecture: str, **more: Any) -> Model:
    """A model whose sizes do not divide evenly."""
    return BUILDERS[architecture](
        name=f"tiny-{architecture}", **{**SIZES, "tied": False, **MORE.get(architecture, {}), **more}
    )


def ids(model: Model, samples: int = 3, tokens: int = 13) -> Tensor:
    return torch.randint(model.hyper["vocabulary"], (samples, tokens), generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def saved(model: Model, folder: Path) -> transformers.PreTrainedModel:
    """A random whole model of Hugging Face, saved; norms and biases are not left at ones and zeros."""
    whole = reference(model, "sdpa", "cpu").module
    if model.architecture == "bert" and not model.hyper["tied"]:  # as the library saves it, with a spare bias
        whole.cls.predictions.bias = torch.nn.Parameter(torch.zeros(model.hyper["vocabulary"]))
    with torch.no_grad():
        for parameter in whole.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    whole.save_pretrained(folder)
    return whole


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("name", LANGUAGE)
def test_layers_in_sequence_are_the_whole_model_of_a_checkpoint(name: str, tied: bool, tmp_path: Path) -> None:
    model = tiny(name, tied=tied)
    whole = saved(model, tmp_path)
    layers = build_layers(model, range(len(model.layers)), seed=0, checkpoint=str(tmp_path))
    torch.testing.assert_close(layers(ids(model)), whole(ids(model)).logits, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("name", LANGUAGE)
def test_any_cut_of_a_checkpoint_holds_the_same_weights(name: str, tmp_path: Path) -> None:
    model = tiny(name)
    saved(model, tmp_path)
    build = partial(build_layers, model, seed=0, checkpoint=str(tmp_path))
    whole, first, last = build(range(4)), build(range(2)), build([2, 3])
    assert torch.equal(whole(ids(model)), last(first(ids(model))))


@pytest.mark.parametrize("name", LANGUAGE)
def test_a_tied_checkpoint_fills_an_untied_model_whose_head_gets_a_copy(name: str, tmp_path: Path) -> None:
    tied = saved(tiny(name, tied=True), tmp_path)
    model = tiny(name)
    layers = build_layers(model, range(4), seed=0, checkpoint=str(tmp_path))
    torch.testing.assert_close(layers(ids(model)), tied(ids(model)).logits, rtol=TOLERANCE, atol=TOLERANCE)
    assert layers[-1].decoder.weight is not layers[0].word_embeddings.weight


@pytest.mark.parametrize("name", LANGUAGE)
def test_a_model_has_as_many_parameters_as_the_zoo_counts(name: str) -> None:
    for tied in (False, True):
        model = tiny(name, tied=tied)
        numbers = sum(p.numel() for p in build_layers(model, range(4), seed=0).parameters())
        assert numbers * 4 == model.parameter_bytes


@pytest.mark.parametrize("name", LANGUAGE)
def test_a_token_sees_what_comes_after_it_unless_the_model_is_causal(name: str) -> None:
    model = tiny(name)
    layers, text = build_layers(model, range(4), seed=0), ids(model)
    other = text.clone()
    other[:, -1] = (other[:, -1] + 1) % model.hyper["vocabulary"]
    same = torch.equal(layers(text)[:, :-1], layers(other)[:, :-1])
    assert same is is_causal(model) is (name in CAUSAL)


@pytest.mark.parametrize("name", LANGUAGE)
def test_boundaries_are_as_wide_as_the_model_and_the_last_is_the_vocabulary(name: str) -> None:
    model = tiny(name)
    hidden, vocabulary = model.hyper["hidden"], model.hyper["vocabulary"]
    assert boundary_shapes(model, 13) == ((13, hidden),) * 3 + ((13, vocabulary),)


@pytest.mark.parametrize("name", LANGUAGE)
def test_the_loss_is_the_sum_over_samples_of_means_and_slices_of_tokens_add_up_to_it(name: str) -> None:
    model = tiny(name, vocabulary=259)
    arch, tokens = architecture(model), 16
    work = Workload(
        purpose=Purpose.TRAIN,
        batch_samples=3,
        micro_batch_samples=3,
        tokens=tokens,
        optimiser=Optimiser.SGD,
        learning_rate=0.1,
    )
    _, labels = Source(DataSpec(kind="text"), model, work, 0).batch(0)
    assert ((labels != IGNORED).sum(dim=1) == arch.labelled(tokens)).all()
    logits = torch.randn(3, tokens, 259)
    loss = arch.loss(model.hyper, tokens, logits, labels)
    means = [torch.nn.functional.cross_entropy(row, target) for row, target in zip(logits, labels, strict=True)]
    assert float(loss) == pytest.approx(float(sum(means)), rel=TOLERANCE)
    slices = [arch.loss(model.hyper, tokens, logits[:, a:b], labels[:, a:b]) for a, b in ((0, 5), (5, 16))]
    assert float(sum(slices)) == pytest.approx(float(loss), rel=TOLERANCE)


@pytest.mark.parametrize("name", CAUSAL)
def test_a_causal_model_learns_the_next_byte_of_every_token(name: str) -> None:
    model = tiny(name, vocabulary=259)
    work = Workload(
        purpose=Purpose.TRAIN,
        batch_samples=4,
        micro_batch_samples=4,
        tokens=16,
        optimiser=Optimiser.SGD,
        learning_rate=0.1,
    )
    text, labels = Source(DataSpec(kind="text"), model, work, 5).batch(3)
    assert text.shape == labels.shape == (4, 16)
    assert torch.equal(text[:, 1:], labels[:, :-1])
    assert labels.max() < 256


def test_a_text_of_just_one_sample_and_the_byte_after_it_is_enough(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(bytes(range(65, 82)))
    work = Workload(
        purpose=Purpose.TRAIN,
        batch_samples=1,
        micro_batch_samples=1,
        tokens=16,
        optimiser=Optimiser.SGD,
        learning_rate=0.1,
    )
    text, labels = Source(DataSpec(kind="text", folder=str(tmp_path)), tiny("gpt2", vocabulary=259), work, 0).batch(0)
    assert text.tolist() == [list(range(65, 81))]
    assert labels.tolist() == [list(range(66, 82))]


def test_a_part_of_a_tied_model_is_refused() -> None:
    with pytest.raises(ValueError, match=r"trains tiny-gpt2 without tied weights .* \(set model.tied=false"):
        build_layers(tiny("gpt2", tied=True), range(3), seed=0)


@pytest.mark.parametrize("name", LANGUAGE)
def test_a_tied_head_is_the_embedding_and_learns_as_one_weight(name: str, tmp_path: Path) -> None:
    model = tiny(name, tied=True)
    whole = saved(model, tmp_path)
    layers = build_layers(model, range(4), seed=0, checkpoint=str(tmp_path))
    words = layers[0].word_embeddings.weight
    assert layers[-1].decoder.weight is words
    layers(ids(model)).square().sum().backward()
    whole(ids(model)).logits.square().sum().backward()
    expected = whole.get_input_embeddings().weight.grad
    torch.testing.assert_close(words.grad, expected, rtol=0, atol=TOLERANCE * float(expected.abs().max()))


@pytest.mark.parametrize(
    ("more", "way_out"),
    [({"biases": True}, "false"), ({"qk_norms": True}, "false"), ({"windows": [8]}, r"\[\]")],
    ids=["biases", "qk_norms", "windows"],
)
def test_a_llama_that_the_library_has_not_is_refused_by_name(more: Mapping[str, Any], way_out: str) -> None:
    (name,) = more
    with pytest.raises(ValueError, match=rf"builds Llama without {name} \(set model.{name}={way_out}"):
        build_layers(tiny("llama", **more), [1], seed=0)


def test_attention_that_is_not_fused_and_gemma_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"computes attention of tiny-bert fused \(set model.fused=true\)"):
        build_layers(tiny("bert", fused=False), [1], seed=0)
    with pytest.raises(ValueError, match=r"unknown architecture 'gemma' of model tiny-gemma .*llama"):
        build_layers(tiny("gemma", groups=1, head_size=8), [1], seed=0)


@pytest.mark.parametrize("name", [name for name in LANGUAGE if name != "llama"])
def test_dropout_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=r"without dropout \(set model.dropout=false\)"):
        build_layers(tiny(name, dropout=True), [0], seed=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": 3}, "has layers=2, tiny-gpt2 has layers=3"),
        ({"heads": 4}, "has heads=5, tiny-gpt2 has heads=4"),
        ({"columns": 80}, "has columns=37, tiny-gpt2 has columns=80"),
        ({"vocabulary": 259}, "has vocabulary=41, tiny-gpt2 has vocabulary=259"),
        ({"tied": True}, "has tied=False, tiny-gpt2 has tied=True"),
    ],
)
def test_a_checkpoint_of_another_model_is_refused_by_what_differs(
    changes: Mapping[str, Any], message: str, tmp_path: Path
) -> None:
    model = tiny("gpt2")
    saved(model, tmp_path)
    asked = rebuilt(model, **changes)
    with pytest.raises(ValueError, match=message):
        build_layers(asked, range(len(asked.layers)), seed=0, checkpoint=str(tmp_path))


def test_a_checkpoint_of_another_family_or_none_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no checkpoint, config\.json is missing"):
        build_layers(tiny("opt"), range(4), seed=0, checkpoint=str(tmp_path))
    saved(tiny("gpt2"), tmp_path)
    with pytest.raises(ValueError, match="is a checkpoint of gpt2, tiny-opt is opt"):
        build_layers(tiny("opt"), range(4), seed=0, checkpoint=str(tmp_path))


def test_a_checkpoint_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    """Without the refusal the library would draw them at random."""
    saved(tiny("bert"), tmp_path / "whole")
    transformers.BertModel.from_pretrained(tmp_path / "whole", add_pooling_layer=False).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"lacks cls\.predictions\..* \(save the whole BertForMaskedLM\)"):
        build_layers(tiny("bert"), range(4), seed=0, checkpoint=str(tmp_path))


def cut_short(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def of_another_shape(folder: Path) -> None:
    weights = folder / "model.safetensors"
    named = load_file(weights)
    save_file(named | {"transformer.wpe.weight": torch.zeros(3, 3)}, weights, {"format": "pt"})


def without_a_part(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": {"transformer.wpe.weight": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def no_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_text("no pickle")


def torn_configuration(folder: Path) -> None:
    (folder / "config.json").write_text("{")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (cut_short, r"its weights cannot be read: .* not fully covered \(save the whole model there anew\)"),
        (of_another_shape, r"transformer\.wpe\.weight is \(3, 3\), in tiny-gpt2 it is \(24, 20\)"),
        (without_a_part, r"its weights cannot be read: .*model-00001-of-00002\.safetensors"),
        (no_pickle, r"its weights cannot be read: Weights only load failed"),
        (torn_configuration, r"its config\.json cannot be read: "),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_damaged_checkpoint_is_refused_in_a_sentence_before_any_rank_starts(
    damage: Callable[[Path], None], told: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = tiny("gpt2", vocabulary=259)
    work = Workload(
        purpose=Purpose.INFER,
        batch_samples=1,
        micro_batch_samples=1,
        tokens=16,
        optimiser=Optimiser.SGD,
        learning_rate=0.0,
    )
    assignment = Assignment(
        schedule=message_schedule([(0, 1)], 64),
        model=model,
        workload=work,
        data=DataSpec(kind="text"),
        iterations=1,
        seed=0,
        checkpoint=str(tmp_path),
    )
    saved(model, tmp_path)
    capfd.readouterr()
    refuse_unusable(assignment)
    damage(tmp_path)
    with pytest.raises(ValueError, match=f"^{tmp_path}: {told}"):
        refuse_unusable(assignment)
    assert capfd.readouterr() == ("", "")
