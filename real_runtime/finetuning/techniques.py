"""Which technique does a model's hyper-parameters name, and what does it make of the model's layers?"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from edgesim.model import Model
from real_runtime.finetuning.houlsby import adapt
from real_runtime.finetuning.lora import add_low_rank
from real_runtime.finetuning.parallel_adapters import beside, without_frozen
from real_runtime.models import Layers, build_layers

Technique = Callable[[Model, int, nn.Module], nn.Module]
_TECHNIQUES: Mapping[str, Technique] = {
    "adapters": lambda model, index, layer: adapt(model, layer),
    "lora": lambda model, index, layer: add_low_rank(model, layer),
    "parallel_adapters": beside,
}
_APART = 500  # what is added to a layer is drawn from another seed than any layer


def is_frozen(model: Model) -> bool:
    """Whether the model's own weights stay as they are: what is trained is what a technique adds."""
    return "technique" in model.hyper


def build_tuned(
    model: Model,
    layers: Sequence[int],
    *,
    seed: int,
    checkpoint: str | None = None,
    weight_bytes: int = 4,
    frozen: bool = True,
) -> Layers:
    """The named layers, with what the model's technique adds to them; what is not trained wants no gradient.

    Of a model that learns from cached outputs the frozen layers are left out. Raises ValueError as
    :func:`build_layers`, and for a technique or a place for it that the runtime does not know.
    """
    built = build_layers(
        model, layers, seed=seed, checkpoint=checkpoint, weight_bytes=weight_bytes, frozen=frozen or is_frozen(model)
    )
    if not is_frozen(model):
        return built
    add = _TECHNIQUES.get(str(model.hyper["technique"]))
    if add is None:
        raise ValueError(
            f"{model.name}: the runtime does not know the technique {model.hyper['technique']!r} "
            f"(known: {', '.join(_TECHNIQUES)})"
        )
    built.requires_grad_(False)
    tuned = []
    for index, layer in zip(layers, built, strict=True):
        torch.manual_seed(seed * 1000 + _APART + index)
        tuned.append(add(model, index, layer))
    made = Layers(*tuned)
    return without_frozen(made) if model.hyper.get("cached") else made
