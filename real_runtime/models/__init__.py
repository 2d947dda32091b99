"""Which PyTorch modules are the model's layers? One file per architecture; any cut of layers gets the same weights.

An architecture's file offers ``layer(hyper, index)``, ``sample(hyper, tokens)`` (one input, for shapes) and
``loss(hyper, tokens, output, target)``, the sum over samples of the mean loss of a sample; one whose costs are traced
also ``layer_names(hyper)``. A language model's file offers ``labelled(tokens)``, how many tokens of a sample have a
label, and ``CAUSAL``, whether each token predicts the next; for checkpoints ``WHOLE``, the library's whole model,
``layer_of(whole, hyper, index)``, ``hyper_of(config)``, the zoo's hyper-parameters of it, ``config_of(hyper)``, the way
back, ``DROPOUTS``, settings to zero, and ``ATTENTION``, where that is not one operation. ``loans(hyper, index)`` says
which weights a layer shares with another one, beside the head that is tied. A layer that ``READS_LABELS`` is given them
as well: the decoder's ids.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from importlib import import_module
from importlib.metadata import version
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from edgesim.model import Model
from real_runtime.architectures import known_architectures, refuse_unknown
from real_runtime.weights.checkpoints import read_whole
from real_runtime.weights.drawing import drawn
from real_runtime.weights.loans import Loan, lend, refuse_apart
from real_runtime.weights.plain_layout import read_plain
from real_runtime.weights.precision import keep_at

_OF_TRANSFORMERS = ("transformers.modeling_layers", "transformers.modeling_utils")


class Architecture(Protocol):
    """What a file of this folder offers."""

    def layer(self, hyper: Mapping[str, Any], index: int) -> nn.Module: ...

    def layer_names(self, hyper: Mapping[str, Any]) -> list[str]: ...

    def sample(self, hyper: Mapping[str, Any], tokens: int) -> Tensor: ...

    def loss(self, hyper: Mapping[str, Any], tokens: int, output: Tensor, target: Tensor) -> Tensor: ...

    def labelled(self, tokens: int) -> int: ...

    def layer_of(self, whole: nn.Module, hyper: Mapping[str, Any], index: int) -> nn.Module: ...


class Layers(nn.Sequential):
    """Layers one after the other; those that read labels are given them.

    ``tied`` are trained weights that layers elsewhere have a copy of, or that are such copies, by their owner's index.
    """

    def __init__(self, *layers: Any, tied: Mapping[int, nn.Parameter] | None = None) -> None:
        super().__init__(*layers)
        self.tied = dict(tied or {})

    def forward(self, entered: Any, labels: Tensor | None = None) -> Any:
        for layer in self:
            entered = layer(entered, labels) if reads_labels(layer) else layer(entered)
        return entered


def reads_labels(layer: nn.Module) -> bool:
    """Whether a layer is to be given the labels, beside what the layer before it puts out."""
    return bool(getattr(layer, "READS_LABELS", False))


def load_libraries() -> None:
    """Import what all architectures need, so that no assignment's memory or time holds it.

    Raises ImportError where this PyTorch is none for this version of transformers.
    """
    try:
        for name in _OF_TRANSFORMERS:
            import_module(name)
    except Exception as error:  # of any type: what it lacks shows anywhere
        said = str(error).partition("\n")[0][:200]
        raise ImportError(
            f"transformers {version('transformers')} cannot be loaded with PyTorch {torch.__version__} ({said}): take "
            f"another (for PyTorch 2.4: {sys.executable} -m pip install 'transformers>=5.0,<5.8'), or a newer PyTorch"
        ) from error
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
    model: Model,
    layers: Sequence[int],
    *,
    seed: int,
    checkpoint: str | None = None,
    weight_bytes: int = 4,
    frozen: bool = False,
) -> Layers:
    """The named layers with random weights, each drawn from its own seed, so that every cut agrees.

    With a ``checkpoint``, a local folder, they hold its weights instead. Weights of 2 bytes are BF16; who computes with
    them does so within ``widening``. Where nobody trains the model's own weights they are ``frozen``, and a part of the
    layers holds copies of what it shares with others; so it does where their gradients are exchanged. Raises ValueError
    if the checkpoint is not of this model, and for a part of the layers that shares trained weights else.
    """
    if not model.hyper.get("fused", True):
        raise ValueError(f"the runtime computes attention of {model.name} fused (set model.fused=true)")
    loans = {index: loans_of(model, index) for index in range(len(model.layers))}
    exchanged = any(block.tied_exchanged for layer in model.layers for block in layer.blocks)
    if not frozen and not exchanged:
        refuse_apart(model.name, layers, loans, [layer.name for layer in model.layers])
    read = _reader(model, seed, checkpoint)
    kept = {index: keep_at(layer, weight_bytes) for index, layer in zip(layers, read(list(layers)), strict=True)}

    def elsewhere(index: int) -> nn.Module:
        with drawn():
            return keep_at(read([index])[0], weight_bytes)

    tied = lend(kept, loans, elsewhere, trained=exchanged and not frozen)
    return Layers(*kept.values(), tied=tied)


def _reader(model: Model, seed: int, checkpoint: str | None) -> Callable[[Sequence[int]], list[nn.Module]]:
    """What makes layers, by their indices, before they share any weights."""
    if checkpoint is not None:
        return partial(read_layers, model, folder=checkpoint)
    arch = architecture(model)
    return lambda layers: [_drawn(arch, model, index, seed) for index in layers]


def read_layers(model: Model, layers: Sequence[int], folder: str) -> list[nn.Module]:
    """The named layers with the weights of a folder: a whole model of the library's, or our own layout for others.

    Raises ValueError if they are not of this model, or cannot be read.
    """
    arch = architecture(model)
    if hasattr(arch, "WHOLE"):
        whole = read_whole(arch, model, folder)
        built = [arch.layer_of(whole, model.hyper, index) for index in layers]
        if not model.hyper.get("tied"):
            _untie(built)
        return built
    blank = {index: arch.layer(model.hyper, index) for index in layers}
    read_plain(model, blank, folder)
    return list(blank.values())


def _drawn(arch: Architecture, model: Model, index: int, seed: int) -> nn.Module:
    torch.manual_seed(seed * 1000 + index)
    return arch.layer(model.hyper, index)


def loans_of(model: Model, index: int) -> list[Loan]:
    """Which weights a layer has on loan from another one: a tied head those of the words, and what its family says."""
    known: Any = architecture(model)
    if hasattr(known, "loans"):
        lent: list[Loan] = known.loans(model.hyper, index)
        return lent
    if model.hyper.get("tied") and index == len(model.layers) - 1:
        return [Loan(owner=0, of="word_embeddings.weight", name="decoder.weight")]
    return []


def _untie(layers: Sequence[nn.Module]) -> None:
    """Give the last layer a matrix of its own, with the same numbers, where a tied checkpoint was read."""
    words, decoder = getattr(layers[0], "word_embeddings", None), getattr(layers[-1], "decoder", None)
    if words is not None and decoder is not None and decoder.weight is words.weight:
        decoder.weight = nn.Parameter(words.weight.detach().clone())


def boundary_shapes(model: Model, tokens: int) -> tuple[tuple[int, ...], ...]:
    """[layer] shape of its output for one sample, found on the meta device: nothing is computed."""
    refuse_unknown(model)
    return _shapes(model.architecture, json.dumps(model.hyper, sort_keys=True), len(model.layers), tokens)


@lru_cache(maxsize=8)  # assignments of one model follow each other
def _shapes(name: str, hyper_as_text: str, layers: int, tokens: int) -> tuple[tuple[int, ...], ...]:
    arch, hyper = _file_of(name), json.loads(hyper_as_text)
    shapes: list[tuple[int, ...]] = []
    with torch.device("meta"), torch.no_grad():
        tensor = arch.sample(hyper, tokens).expand(2, *[-1] * (arch.sample(hyper, tokens).dim() - 1))
        made = {index: arch.layer(hyper, index) for index in range(layers)}
        if hasattr(arch, "loans"):
            lend(made, {index: arch.loans(hyper, index) for index in made}, made.__getitem__)
        for layer in made.values():
            tensor = layer(tensor)
            shapes.append(tuple(tensor.shape[1:]))
    return tuple(shapes)
