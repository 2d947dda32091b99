"""Small models of the families that are fine-tuned, each in every technique."""

from collections.abc import Callable
from typing import Any

from edgesim.finetuning import full, houlsby, lora, parallel_adapters
from edgesim.model import Model
from edgesim.zoo.architectures import BUILDERS

TOKENS, ANSWERED = 16, 3
_SIZES: dict[str, Any] = {"hidden": 32, "heads": 4, "columns": 64, "vocabulary": 259}
_STACKS = {"encoder_layers": 2, "decoder_layers": 2, "decoder_tokens": ANSWERED}
FAMILIES: dict[str, dict[str, Any]] = {
    "bert": {"layers": 3, "positions": 24},
    "llama": {"layers": 3, "positions": 24, "groups": 2, "tied": False},
    "t5": {**_STACKS, "head_size": 10, "buckets": 8},
    "bart": {**_STACKS, "positions": 24},
}
TECHNIQUES: dict[str, Callable[[Model], Model]] = {
    "houlsby": lambda model: houlsby(model, bottleneck=6),
    "lora": lambda model: lora(model, rank=4),
    "parallel_adapters": lambda model: parallel_adapters(model, k=8),
}
TIED = {"gpt2": {"layers": 3, "positions": 24, "tied": True}}


def small(family: str, **more: Any) -> Model:
    return BUILDERS[family](name=f"small-{family}", **{**_SIZES, **(FAMILIES | TIED)[family], **more})


def tuned(family: str, technique: str, **more: Any) -> Model:
    """With ``exchanged``, all is trained, and stages that share weights add up their gradients."""
    model = small(family, **more)
    return full(model, exchange_ties=True) if technique == "exchanged" else TECHNIQUES[technique](model)


def labels_shape(model: Model, samples: int) -> tuple[int, int]:
    """Of a batch: an answer, or a label for every token."""
    return samples, model.hyper.get("decoder_tokens", TOKENS)
