"""Which family is a configuration of, and what of it can no family say?"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_type_hints

from edgesim.model import Model
from edgesim.zoo.architectures import BUILDERS
from edgesim.zoo.hugging_face import decoders, encoders
from edgesim.zoo.hugging_face.fields import Fields


@dataclass(frozen=True, slots=True, kw_only=True)
class _ConfigReader:
    """How a ``model_type`` is read: into which of the zoo's architectures, and with which head."""

    architecture: str
    arguments: Callable[[Fields], Mapping[str, Any]]
    heads: tuple[str, ...]


def _reader(architecture: str, arguments: Callable[[Fields], Mapping[str, Any]], *heads: str) -> _ConfigReader:
    return _ConfigReader(architecture=architecture, arguments=arguments, heads=heads)


_READERS: Mapping[str, _ConfigReader] = {
    "llama": _reader("llama", decoders.llama, "LlamaForCausalLM"),
    "mistral": _reader("llama", decoders.mistral, "MistralForCausalLM"),
    "qwen2": _reader("llama", decoders.qwen2, "Qwen2ForCausalLM"),
    "qwen3": _reader("llama", decoders.qwen3, "Qwen3ForCausalLM"),
    "phi3": _reader("llama", decoders.phi3, "Phi3ForCausalLM"),
    "gemma": _reader("gemma", decoders.gemma, "GemmaForCausalLM"),
    "gemma2": _reader("gemma", decoders.gemma2, "Gemma2ForCausalLM"),
    "gemma3_text": _reader("gemma", decoders.gemma3, "Gemma3ForCausalLM"),
    "gpt2": _reader("gpt2", decoders.gpt2, "GPT2LMHeadModel"),
    "opt": _reader("opt", decoders.opt, "OPTForCausalLM"),
    "bert": _reader("bert", encoders.bert, "BertForMaskedLM"),
    "distilbert": _reader("distilbert", encoders.distilbert, "DistilBertForMaskedLM"),
    "roberta": _reader("roberta", encoders.roberta, "RobertaForMaskedLM"),
    "vit": _reader("vit", encoders.vit, "ViTForImageClassification"),
    "t5": _reader("t5", encoders.t5, "T5ForConditionalGeneration", "T5WithLMHeadModel"),
    "bart": _reader("bart", encoders.bart, "BartForConditionalGeneration"),
}
MODEL_TYPES = tuple(_READERS)
"""What a configuration may say as its ``model_type``."""

# Fields by which mixtures of experts give themselves away, whatever the model's type.
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_intermediate_size", "num_experts_per_tok")


def hugging_face(**arguments: Any) -> Model:
    """Return the model of the configuration ``from``, a file or its folder, for YAML: see :func:`read_config`."""
    if not arguments.get("from"):
        raise ValueError("model.from must name a config.json or its folder (say model.from=PATH)")
    return read_config(arguments.pop("from"), **arguments)


def read_config(path: str | Path, *, name: str | None = None, **arguments: Any) -> Model:
    """Return the model of a Hugging Face configuration, a local ``config.json`` or the folder of it.

    It is called ``name``, or else as the file is, or the folder of a ``config.json``. Further arguments of the zoo's
    function take the place of the file's, or say what no file does: ``decoder_tokens``, ``dropout``, ``fused``. Raises
    ValueError that names the field which is wrong, or which the zoo cannot count.
    """
    file = Path(config_file(path))
    fields = Fields(_read(file), str(file))
    reader = _reader_of(fields)
    read = reader.arguments(fields)
    fields.refuse_slips()
    build = BUILDERS[reader.architecture]
    try:
        _check_arguments(build, arguments)
    except ValueError as error:
        raise fields.mistake(f"{reader.architecture} {error}") from error
    try:
        return build(name=name or name_of(file), **{**read, **arguments})
    except ValueError as error:  # sizes that do not go together
        raise fields.mistake(str(error)) from error


def config_file(path: str | Path) -> str:
    """Return the file that a path means: itself, or the ``config.json`` of a folder."""
    given = Path(path)
    return str(given / "config.json" if given.is_dir() else given)


def name_of(file: str | Path) -> str:
    """Return what a model is called that was given no name: as its file is, or the folder of a ``config.json``."""
    given = Path(file)
    return given.resolve().parent.name if given.stem == "config" else given.stem


def _check_arguments(build: Callable[..., Model], arguments: Mapping[str, Any]) -> None:
    """Raise ValueError for an argument that the zoo's function lacks, or that is of another type."""
    known = {name: hint for name, hint in get_type_hints(build).items() if name not in ("name", "return")}
    for name, value in arguments.items():
        if name not in known:
            near = get_close_matches(name, known, n=1)
            meant = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"has no {name!r} ({meant}known: {', '.join(known)})")
        if known[name] is bool and not isinstance(value, bool):
            raise ValueError(f"has {name}={value!r}, which must be true or false")
        many = known[name] == Sequence[int]
        for number in value if many and isinstance(value, list | tuple) else [value]:
            if known[name] is not bool and (isinstance(number, bool) or not isinstance(number, int)):
                raise ValueError(f"has {name}={value!r}, which must be {'whole numbers' if many else 'a whole number'}")


def _read(file: Path) -> Mapping[str, Any]:
    try:
        data = json.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise ValueError(f"{file}: no such file (save the checkpoint's config.json there)") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: is no JSON: {error} (take the checkpoint's config.json)") from error
    if not isinstance(data, dict):
        raise ValueError(f"{file}: must hold an object of fields, got a {type(data).__name__}")
    return data


def _reader_of(fields: Fields) -> _ConfigReader:
    """By the type of model, once nothing speaks against all of them."""
    for name in _EXPERTS:
        fields.absent(name, "mixtures of experts are not counted yet; take a dense model")
    fields.absent("quantization_config", "remove it: workload.weight_bytes says what a weight takes in memory")
    kind = fields.value("model_type")
    for part in ("text_config", "vision_config"):
        fields.absent(part, f"a {kind} has several parts; save the object text_config as a file of its own")
    if kind is None:
        raise fields.mistake("model_type is missing (take the checkpoint's own config.json)")
    if not isinstance(kind, str):
        raise fields.mistake(f"model_type must be a text, like 'llama', got {kind!r}")
    if kind not in _READERS:
        near = get_close_matches(kind, _READERS, n=1)
        meant = f"did you mean {near[0]!r}? " if near else ""
        raise fields.mistake(f"unknown model_type {kind!r} ({meant}known: {', '.join(_READERS)})")
    reader = _READERS[kind]
    heads = fields.value("architectures") or ()
    if not isinstance(heads, list | tuple):
        raise fields.mistake(f"architectures must be a list of names, got {heads!r}")
    for head in heads:
        if head not in reader.heads:
            raise fields.mistake(
                f"architectures has {head!r}, whose head the zoo lacks (known: {', '.join(reader.heads)}; "
                "remove the field to take that)"
            )
    return reader
