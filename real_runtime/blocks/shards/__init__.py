"""Which part of a model's weights does a rank hold, and what does it compute with them? One file per family of models.

A rank has all layers, and of each its own heads, columns and vocabulary. A family's file names the weights of every
block of the zoo in the library's layers (``BLOCKS``); the parts themselves are the same for all.
"""

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any

from torch import nn

from edgesim.model import BlockKind, Model
from real_runtime.blocks.shards.parts import (
    APART,
    AttentionShard,
    ConnectiveShard,
    EmbeddingShard,
    HeadShard,
    Holding,
    MlpShard,
    Range,
)

FAMILIES = ("bert", "distilbert", "gpt2", "llama", "opt")


def cut(
    model: Model,
    layers: Iterable[nn.Module],
    *,
    heads: Range | None,
    columns: Range | None,
    vocabulary: Range | None,
    holding: Holding = APART,
) -> dict[str, nn.Module]:
    """The parts of all the model's blocks, by "layer/block", as the zoo names them; None is not split.

    ``heads`` are in units of the attention's splits: groups of keys and values, with the queries that look at them.
    Parts have parameters of their own, copies where they are slices, unless they are to be ``VIEWS``. Those of a tied
    model only infer (nothing has a gradient), and its head is a view of the embedding. Raises ValueError for an unknown
    architecture or block, and for a range that is empty or not within the block.
    """
    blocks, parts = _blocks(model), dict[str, nn.Module]()
    pre_norm = model.layers[1].blocks[0].kind is BlockKind.CONNECTIVE
    bias = None  # of the last exiting matrix, which the next connective adds
    for layer, module in zip(model.layers, layers, strict=True):
        for block in layer.blocks:
            name = f"{layer.name}/{block.name}"
            if block.name not in blocks:
                raise ValueError(f"{model.name}: the runtime cannot cut {name} (it knows: {', '.join(blocks)})")
            weights = blocks[block.name](module)
            match block.kind:
                case BlockKind.EMBEDDING:
                    parts[name] = EmbeddingShard(weights, holding)
                case BlockKind.ATTENTION:
                    bias = weights.out.bias
                    parts[name] = AttentionShard(weights, _within(heads, block.splits, name), holding)
                case BlockKind.MLP:
                    bias = weights.out.bias
                    parts[name] = MlpShard(weights, _within(columns, block.splits, name), holding)
                case BlockKind.CONNECTIVE:
                    parts[name] = ConnectiveShard(weights, bias, holding, pre_norm=pre_norm)
                case BlockKind.HEAD:
                    parts[name] = HeadShard(weights, _within(vocabulary, block.splits, name), holding)
    if model.hyper["tied"]:
        _tie(parts, vocabulary)
    return parts


def _blocks(model: Model) -> Mapping[str, Callable[[Any], Any]]:
    """The weights of every block, as the family's file names them."""
    if model.architecture not in FAMILIES:
        raise ValueError(
            f"the runtime cannot cut {model.name} by heads, columns or tokens: it is a {model.architecture} "
            f"(known: {', '.join(FAMILIES)})"
        )
    blocks: Mapping[str, Callable[[Any], Any]] = import_module(f"{__name__}.{model.architecture}").BLOCKS
    return blocks


def _within(units: Range | None, splits: int, name: str) -> Range | None:
    if units is not None and not 0 <= units[0] < units[1] <= splits:
        raise ValueError(
            f"{name}: {units[0]} .. {units[1]} is not a range within 0 .. {splits} (give the rank a share of the block)"
        )
    return units


def _tie(parts: Mapping[str, nn.Module], vocabulary: Range | None) -> None:
    """Ranks would have to add up the gradients of the one weight, which no strategy does: nothing is trained."""
    embedding, head = parts["embedding/embedding"], parts["head/head"]
    assert isinstance(embedding, EmbeddingShard)
    assert isinstance(head, HeadShard)
    words = embedding.words.detach()
    first, last = vocabulary or (0, len(words))
    head.decoder.weight = nn.Parameter(words[first:last])
    for part in parts.values():
        part.requires_grad_(False)
