"""A Hugging Face configuration becomes the library's own model: parameters exact, FLOPs as torch counts them."""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from edgesim.model import Model
from edgesim.zoo.hugging_face import MODEL_TYPES, hugging_face, read_config
from experiments.configuration.command_line import composed
from experiments.configuration.constructors import build

CONFIGS = Path(__file__).parent / "configs"
NAMES = sorted(path.stem for path in CONFIGS.glob("*.json"))
# Parameters of the published checkpoints in millions, as their pages and papers count them.
PUBLISHED = {
    "llama-2-7b": 6738.4,
    "llama-3.2-1b": 1235.8,
    "mistral-7b": 7241.7,
    "mistral-nemo-12b": 12247.8,
    "qwen2.5-0.5b": 494.0,
    "qwen3-0.6b": 596.0,
    "gemma-2b": 2506.2,
    "gemma-2-2b": 2614.3,
    "gemma-3-1b": 999.9,
    "phi-3-mini": 3821.1,
    "gpt2": 124.4,
    "opt-125m": 125.2,
    "bert-base": 109.5,
    "distilbert-base": 67.0,
    "roberta-base": 124.7,
    "t5-small": 60.5,
    "flan-t5-base": 247.6,
    "bart-large-cnn": 406.3,
    "vit-base": 86.6,
}


@lru_cache
def read(name: str) -> Model:
    return read_config(CONFIGS / f"{name}.json")


def fields_of(name: str) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads((CONFIGS / f"{name}.json").read_text())
    return fields


@lru_cache
def library(name: str) -> nn.Module:
    """The library's model without numbers; eager attention, so that every product is counted."""
    config = transformers.AutoConfig.from_pretrained(CONFIGS / f"{name}.json", attn_implementation="eager")
    config.use_cache = False
    (head,) = config.architectures
    with torch.device("meta"):
        return getattr(transformers, head)._from_config(config)


def batch(fields: Mapping[str, Any], samples: int, tokens: int) -> dict[str, torch.Tensor]:
    ids = torch.ones(samples, tokens, dtype=torch.long, device="meta")
    if "image_size" in fields:
        return {"pixel_values": torch.zeros(samples, 3, fields["image_size"], fields["image_size"], device="meta")}
    if fields.get("is_encoder_decoder"):
        return {"input_ids": ids, "decoder_input_ids": ids[:, :1]}
    if fields["model_type"] in ("bert", "distilbert", "opt", "roberta"):
        return {"input_ids": ids}
    # Decoders look into masks of 2 dimensions for packed sequences, which tensors without numbers cannot show.
    mask: Any = torch.zeros(samples, 1, tokens, tokens, device="meta")
    if any(kind == "sliding_attention" for kind in getattr(library_config(fields), "layer_types", None) or ()):
        mask = {"full_attention": mask, "sliding_attention": mask}
    return {"input_ids": ids, "attention_mask": mask}


def library_config(fields: Mapping[str, Any]) -> Any:
    return transformers.AutoConfig.for_model(**fields)


def parameters(name: str) -> int:
    return read(name).parameter_bytes // 4


def test_every_type_that_is_read_is_compared() -> None:
    assert {fields_of(name)["model_type"] for name in NAMES} == set(MODEL_TYPES)
    assert PUBLISHED.keys() == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_configuration_has_the_librarys_parameters(name: str) -> None:
    """But for FLAN-T5's head, which is apart by its file, and tied in the library until a checkpoint is read."""
    counted = sum(weight.numel() for weight in library(name).parameters())
    apart = fields_of(name)["vocab_size"] * fields_of(name)["d_model"] if name.startswith("flan") else 0
    assert parameters(name) == counted + apart
    assert round(parameters(name) / 1e6, 1) == PUBLISHED[name]


@pytest.mark.parametrize("tokens", [32, 200])
@pytest.mark.parametrize("name", NAMES)
def test_a_configuration_has_the_flops_that_torch_counts(name: str, tokens: int) -> None:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        library(name)(**batch(fields_of(name), 2, tokens))
    length = 1 if name.startswith("vit") else tokens
    closed = sum(layer.forward_flop(2, length) for layer in read(name).layers)
    assert closed == pytest.approx(counter.get_total_flops(), rel=1e-9)


def test_a_file_chooses_the_model_by_itself() -> None:
    file = CONFIGS / "qwen3-0.6b.json"
    assert build(composed(f"model.from={file}").model) == read("qwen3-0.6b")
    assert build(composed("model=hugging_face", f"model.from={file}").model) == read("qwen3-0.6b")
    untied = build(composed(f"model.from={file}", "model.tied=false").model)  # as messages about tied weights advise
    assert untied.parameter_bytes == read("qwen3-0.6b").parameter_bytes + 4 * 151_936 * 1024


def test_a_folder_of_a_checkpoint_is_read_and_gives_its_name(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text((CONFIGS / "gpt2.json").read_text())
    assert read_config(tmp_path / "mine").name == read_config(tmp_path / "mine" / "config.json").name == "mine"
    assert read_config(tmp_path / "mine", name="other").name == "other"


def test_arguments_take_the_place_of_the_files() -> None:
    file = CONFIGS / "flan-t5-base.json"
    short = read_config(file, encoder_layers=2, decoder_tokens=7, tied=True)
    assert short.hyper["encoder_layers"] == 2
    assert short.hyper["decoder_tokens"] == 7
    # With its head tied, as the library has it until a checkpoint says otherwise.
    counted = sum(weight.numel() for weight in library("flan-t5-base").parameters())
    assert read_config(file, tied=True).parameter_bytes == 4 * counted


@pytest.mark.parametrize(
    ("name", "windows"),
    [
        ("llama-3.2-1b", []),
        ("mistral-7b", [4096] * 32),
        ("mistral-nemo-12b", []),  # the file says null
        ("qwen2.5-0.5b", []),  # switched off
        ("phi-3-mini", [2047] * 32),
        ("gemma-2-2b", [4096, 0] * 13),
        ("gemma-3-1b", ([512] * 5 + [0]) * 4 + [512] * 2),
    ],
)
def test_sliding_windows_are_those_of_the_librarys_layers(name: str, windows: list[int]) -> None:
    blocks = [layer.blocks[1] for layer in read(name).layers[1:-1]]
    assert [block.window_tokens for block in blocks] == (windows or [0] * len(blocks))
    config = library(name).config
    if hasattr(config, "layer_types"):
        own = [config.sliding_window if kind == "sliding_attention" else 0 for kind in config.layer_types]
        assert own == (windows or [0] * len(own))


def test_qwens_windows_begin_at_the_layer_that_the_file_says(tmp_path: Path) -> None:
    changes = {"use_sliding_window": True, "sliding_window": 64, "max_window_layers": 20}
    model = changed(tmp_path, "qwen2.5-0.5b", **changes)
    assert [layer.blocks[1].window_tokens for layer in model.layers[1:-1]] == [0] * 20 + [64] * 4


def changed(folder: Path, name: str, **changes: Any) -> Model:
    """The model of a file with other fields; None leaves a field out."""
    fields = {key: value for key, value in (fields_of(name) | changes).items() if value is not ...}
    (folder / "changed.json").write_text(json.dumps(fields))
    return read_config(folder / "changed.json")


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("llama-2-7b", {"num_local_experts": 8}, "num_local_experts is not supported"),
        ("qwen3-0.6b", {"model_type": "qwen3_moe", "num_experts": 64}, "num_experts is not supported .*experts"),
        ("llama-2-7b", {"model_type": "mixtral", "num_local_experts": 8}, "mixtures of experts are not counted yet"),
        ("llama-2-7b", {"quantization_config": {"bits": 4}}, "quantization_config .*workload.weight_bytes"),
        ("llama-2-7b", {"model_type": "lama"}, "unknown model_type 'lama' .did you mean 'llama'"),
        ("llama-2-7b", {"model_type": ...}, "model_type is missing"),
        ("llama-2-7b", {"architectures": ["LlamaForSequenceClassification"]}, "LlamaForSequenceClassification"),
        ("llama-2-7b", {"hidden_act": "relu2"}, "hidden_act='relu2' is not supported .known: silu"),
        ("llama-2-7b", {"attention_bias": True}, "attention_bias is not supported"),
        ("llama-2-7b", {"hidden_size": "4096"}, "hidden_size must be a whole number of at least 1, got '4096'"),
        ("llama-2-7b", {"num_hidden_layers": 0}, "num_hidden_layers must be a whole number of at least 1, got 0"),
        ("llama-2-7b", {"num_hidden_layers": True}, "num_hidden_layers must be a whole number"),
        ("llama-2-7b", {"tie_word_embeddings": "no"}, "tie_word_embeddings must be true or false, got 'no'"),
        ("llama-2-7b", {"hidden_size": ..., "hiden_size": 4096}, "hidden_size is missing .*'hiden_size'"),
        ("qwen3-0.6b", {"num_key_value_heads": ..., "num_key_value_head": 8}, "did you mean 'num_key_value_heads'"),
        ("llama-2-7b", {"num_key_value_heads": 5}, "heads=32 is not a multiple of groups=5"),
        ("gemma-3-1b", {"model_type": "gemma3", "text_config": {"hidden_size": 1}}, "text_config is not supported"),
        ("gemma-2-2b", {"layer_types": ["full_attention"]}, "layer_types must be a list of 26 names"),
        ("gemma-2-2b", {"layer_types": ["chunked_attention"] * 26}, "'chunked_attention', which is not supported"),
        ("opt-125m", {"word_embed_proj_dim": 512}, "word_embed_proj_dim=512 is not supported .known: 768"),
        ("opt-125m", {"do_layer_norm_before": False}, "do_layer_norm_before=False is not supported"),
        ("bert-base", {"position_embedding_type": "relative_key"}, "position_embedding_type='relative_key'"),
        ("bert-base", {"pruned_heads": {"1": [0]}}, "pruned_heads is not supported"),
        ("bert-base", {"is_decoder": True}, "is_decoder is not supported"),
        ("bart-large-cnn", {"decoder_ffn_dim": 2048}, "encoder_ffn_dim=4096, decoder_ffn_dim=2048 must be equal"),
        ("t5-small", {"feed_forward_proj": "gated-silu"}, "feed_forward_proj='gated-silu' is not supported"),
        ("vit-base", {"qkv_bias": False}, "qkv_bias=False is not supported"),
        ("vit-base", {"patch_size": 15}, "resolution=224 is not a multiple of patch=15"),
    ],
)
def test_a_wrong_or_unsupported_field_is_named(tmp_path: Path, name: str, changes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        changed(tmp_path, name, **changes)
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value), "which file"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON: .*line 1"),
        ("[]", "must hold an object of fields, got a list"),
        ("{}", "model_type is missing"),
    ],
)
def test_a_file_that_is_no_configuration_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "broken.json").write_text(text)
    with pytest.raises(ValueError, match=rf"broken.json: {message}"):
        read_config(tmp_path / "broken.json")


def test_a_missing_file_and_a_mistyped_argument_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"config.json: no such file"):
        read_config(tmp_path)
    with pytest.raises(ValueError, match=r"gpt2.json: gpt2 has no 'dropuot' \(did you mean 'dropout'"):
        read_config(CONFIGS / "gpt2.json", dropuot=True)
    for wrong in ({"layers": 2.5}, {"layers": True}, {"dropout": "yes"}, {"heads": "12"}):
        with pytest.raises(ValueError, match=rf"gpt2 has {next(iter(wrong))}=.*, which must be"):
            read_config(CONFIGS / "gpt2.json", **wrong)
    with pytest.raises(ValueError, match=r"windows=\['a'\], which must be whole numbers"):
        read_config(CONFIGS / "mistral-7b.json", windows=["a"])
    with pytest.raises(ValueError, match=r"model.from must name a config.json"):
        hugging_face(name="mine")
