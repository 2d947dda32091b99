"""How wide is a transformer, and how many tokens does each of its layers work on?"""

from edgesim.model import BlockKind, Cost, Layer, Model
from edgesim.units import BYTES_PER_FLOAT32


def hidden_of(model: Model, **sizes: int) -> int:
    if "hidden" not in model.hyper:
        raise ValueError(f"{model.name} has no hidden size: this technique is for transformers (fine-tune it in full)")
    if too_small := [f"{name}={size}" for name, size in sizes.items() if size < 1]:
        raise ValueError(f"{model.name}: {too_small[0]} must be at least 1 (or take finetuning=full)")
    return int(model.hyper["hidden"])


def length_of(layer: Layer, hidden: int) -> Cost:
    """How many tokens the layer works on: those that its first attention puts out."""
    first = next(part for part in layer.blocks if part.kind is BlockKind.ATTENTION)
    return first.output_bytes * (1 / (hidden * BYTES_PER_FLOAT32))


def length_out(layer: Layer, hidden: int) -> Cost:
    """How many tokens the layer passes on."""
    return layer.blocks[-1].output_bytes * (1 / (hidden * BYTES_PER_FLOAT32))
