"""Which PyTorch modules are the model's layers? One file per architecture; any cut of layers gets the same weights.

An architecture's file offers ``layer(hyper, index)``, ``sample(hyper, tokens)`` (one input, for shapes) and
``loss(hyper, tokens, output, target)``, the sum over samples of the mean loss of a sample; one whose costs are traced
also ``layer_names(hyper)``. A language model's file offers ``labelled(tokens)``, how many tokens of a sample have a
label, and ``CAUSAL``, whether each token predicts the next; for checkpoints ``WHOLE``, the library's whole model,
``layer_of(whole, index)``, ``hyper_of(config)``, the zoo's hyper-parameters of it, ``config_of(hyper)``, the way back,
and ``DROPOUTS``, settings to zero.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from edgesim.model import Model
from real_runtime.architectures import known_architectures, refuse_unknown
from real_runtime.weights.checkpoints import read_whole
from real_runtime.weights.plain_layout import read_plain
from real_runtime.weights.precision import keep_at


class Architecture(Protocol):
    """What a file of this folder offers."""

    def layer(self, hyper: Mapping[str, Any], index: int) -> nn.Module: ...

    def layer_names(self, hyper: Mapping[str, Any]) -> list[str]: ...

    def sample(self, hyper: Mapping[str, Any], tokens: int) -> Tensor: ...

    def loss(self, hyper: Mapping[str, Any], tokens: int, output: Tensor, target: Tensor) -> Tensor: ...

    def labelled(self, tokens: int) -> int: ...

    def layer_of(self, whole: nn.Module, index: int) -> nn.Module: ...


def load_libraries() -> None:
    """Import what all architectures need, so that no job's memory or time holds it."""
    for name in known_architectures():
        import_module(f"{__name__}.{name}")


def architecture(model: Model) -> Architecture:
    """The file that builds the model. Raises ValueError for an unknown architecture."""
    refuse_unknown(model)
    return _file_of(model.architecture)


def _file_of(name: str) -> Architecture:
    return cast(Architecture, import_module(f"{__name__}.{name}"))


def is_causal(model: Model) -> bool:
    """Whether every token predicts the next one and sees only those before it."""
    return getattr(architecture(model), "CAUSAL", False)


def build_layers(
    model: Model, layers: Sequence[int], *, seed: int, checkpoint: str | None = None, weight_bytes: int = 4
) -> nn.Sequential:
    """The named layers with random weights, each drawn from its own seed, so that every cut agrees.

    With a ``checkpoint``, a local folder, they hold its weights instead. Weights of 2 bytes are BF16; who computes with
    them does so within ``widening``. Raises ValueError if it is not of this model,
    and for a part of a tied model: only where all its layers live together is the head's weight the embedding's.
    """
    if not model.hyper.get("fused", True):
        raise ValueError(f"the runtime computes attention of {model.name} fused (set model.fused=true)")
    tied = bool(model.hyper.get("tied"))
    if tied and list(layers) != list(range(len(model.layers))):
        raise ValueError(
            f"the runtime builds {model.name} without tied weights where a stage holds only some of its layers "
            f"(set model.tied=false)"
        )
    if checkpoint is None:
        arch = architecture(model)
        built = [keep_at(_drawn(arch, model, index, seed), weight_bytes) for index in layers]
    else:
        built = [keep_at(layer, weight_bytes) for layer in read_layers(model, layers, checkpoint)]
    if tied:
        tie(built)
    return nn.Sequential(*built)


def read_layers(model: Model, layers: Sequence[int], folder: str) -> list[nn.Module]:
    """The named layers with the weights of a folder: a whole model of the library's, or our own layout for others.

    Raises ValueError if they are not of this model, or cannot be read.
    """
    arch = architecture(model)
    if hasattr(arch, "WHOLE"):
        whole = read_whole(arch, model, folder)
        built = [arch.layer_of(whole, index) for index in layers]
        _untie(built)
        return built
    blank = {index: arch.layer(model.hyper, index) for index in layers}
    read_plain(model, blank, folder)
    return list(blank.values())


def _drawn(arch: Architecture, model: Model, index: int, seed: int) -> nn.Module:
    torch.manual_seed(seed * 1000 + index)
    return arch.layer(model.hyper, index)


def tie(layers: Sequence[Any]) -> None:
    """Make the last layer's matrix onto the vocabulary the very weight of the first one's word embedding."""
    layers[-1].decoder.weight = layers[0].word_embeddings.weight


def _untie(layers: Sequence[nn.Module]) -> None:
    """Give the last layer a matrix of its own, with the same numbers, where a tied checkpoint was read."""
    words, decoder = getattr(layers[0], "word_embeddings", None), getattr(layers[-1], "decoder", None)
    if words is not None and decoder is not None and decoder.weight is words.weight:
        decoder.weight = nn.Parameter(words.weight.detach().clone())


def boundary_shapes(model: Model, tokens: int) -> tuple[tuple[int, ...], ...]:
    """[layer] shape of its output for one sample, found on the meta device: nothing is computed."""
    refuse_unknown(model)
    return _shapes(model.architecture, json.dumps(model.hyper, sort_keys=True), len(model.layers), tokens)


@lru_cache(maxsize=8)  # jobs of one model follow each other
def _shapes(name: str, hyper_as_text: str, layers: int, tokens: int) -> tuple[tuple[int, ...], ...]:
    arch, hyper = _file_of(name), json.loads(hyper_as_text)
    shapes: list[tuple[int, ...]] = []
    with torch.device("meta"), torch.no_grad():
        tensor = arch.sample(hyper, tokens).expand(2, *[-1] * (arch.sample(hyper, tokens).dim() - 1))
        for index in range(layers):
            tensor = arch.layer(hyper, index)(tensor)
            shapes.append(tuple(tensor.shape[1:]))
    return tuple(shapes)
