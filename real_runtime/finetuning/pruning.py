"""Which of a layer's weights does a light layer begin with? Evenly many of every dimension: structural pruning.

The kept places are the same wherever a dimension is as long, so that matrices fit to each other as they did, and what
passes between layers keeps its meaning.
"""

import torch
from torch import Tensor, nn


def kept_places(of: int, count: int) -> Tensor:
    """Which ``count`` of so many places are kept: evenly spread."""
    return torch.arange(count) * of // count


@torch.no_grad()
def prune_into(light: nn.Module, layer: nn.Module) -> None:
    """Give a light layer the kept weights of a layer like it; what that one lacks, it keeps as drawn."""
    weights = dict(layer.named_parameters(remove_duplicate=False)) | dict(layer.named_buffers())
    table = weights.get("table")  # of relative positions, on loan
    for name, weight in light.named_parameters():
        source = weights.get(name, table if name.endswith("relative_attention_bias.weight") else None)
        if source is not None and source.dim() == weight.dim():
            weight.copy_(pruned(source, tuple(weight.shape)))


def pruned(weight: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The kept places of every dimension."""
    for dimension, (of, count) in enumerate(zip(weight.shape, shape, strict=True)):
        weight = weight.index_select(dimension, kept_places(of, count).to(weight.device))
    return weight
