"""What does the Vision Transformer cost? Pre-norm encoders over an image's patches (Dosovitskiy et al., 2021)."""

from dataclasses import replace

from edgesim.apportion import refuse_remainder
from edgesim.model import Block, BlockKind, Cost, Model, SplitBy
from edgesim.zoo.chains import chain
from edgesim.zoo.parts import (
    EMBEDDING,
    Activation,
    always,
    attention,
    block,
    floats,
    head_size_of,
    layer_norm,
    mlp,
    unsplit,
)


def vit(
    *,
    name: str,
    layers: int,
    hidden: int,
    heads: int,
    columns: int,
    resolution: int,
    patch: int,
    channels: int,
    classes: int,
    dropout: bool = False,
) -> Model:
    """ViT as ``transformers.ViTForImageClassification``: the patches' embedding, encoder layers, final norm and head.

    Its tokens are fixed, (resolution / patch)² + 1: costs are per sample, and ``workload.tokens`` is 1. Published
    checkpoints are not dropped.
    """
    refuse_remainder(name, divided=("resolution", resolution), by=("patch", patch))
    size = head_size_of(name, hidden=hidden, heads=heads)
    patches = (resolution // patch) ** 2
    length = always(patches + 1)
    encoder = (
        layer_norm("norm_attention", hidden=hidden, length=length),
        attention(hidden=hidden, heads=heads, head_size=size, queries=length, dropout=dropout),
        layer_norm("norm_mlp", hidden=hidden, length=length),
        mlp(hidden=hidden, columns=columns, activation=Activation.GELU, length=length, dropout=dropout),
    )
    head = (layer_norm("norm_final", hidden=hidden, length=length), _head(hidden, classes, length))
    hyper = {
        "layers": layers,
        "hidden": hidden,
        "heads": heads,
        "columns": columns,
        "resolution": resolution,
        "patch": patch,
        "channels": channels,
        "classes": classes,
        "dropout": dropout,
    }
    patched = _patches(hidden, patches, channels * patch * patch, dropout)
    made = chain(patched, encoder=[encoder] * layers, head=head)
    return Model(name=name, architecture="vit", hyper=hyper, layers=made)


def _patches(hidden: int, patches: int, numbers: int, dropout: bool) -> Block:
    """A convolution of ``numbers`` per patch, a class token, positions. Saved: the image; images need no gradient."""
    output, image = always(patches + 1) * hidden, floats(always(patches) * numbers)
    part = block(
        EMBEDDING,
        BlockKind.EMBEDDING,
        parameters=numbers * hidden + hidden + hidden + (patches + 1) * hidden,
        output=output,
        stash=image + output * dropout,
        split_by=SplitBy.TOKENS,
        weights=always(patches) * (2 * numbers * hidden),
        weight_stash=image,
        # The convolution, the class token put before it, positions added.
        moved=always(patches) * (numbers + hidden) + output * (5 + 2.25 * dropout),
        moved_back=always(patches) * (numbers + hidden) + output * (3 + 2.25 * dropout),
    )
    return replace(part, backward_flop=part.weight_flop)


def _head(hidden: int, classes: int, length: Cost) -> Block:
    """A matrix for the class token, and cross-entropy.

    Saved: that token, a view that keeps the norm's whole output, for the weights; and the log-probabilities.
    """
    return block(
        "head",
        BlockKind.HEAD,
        parameters=hidden * classes + classes,
        output=always(classes),
        stash=floats(length * hidden + always(classes)),
        split_by=SplitBy.COLUMNS,
        splits=classes,
        weights=always(2 * hidden * classes),
        weight_stash=floats(length * hidden),
        moved=always(hidden + 3 * classes),
        moved_back=always(2 * hidden + 7 * classes) + length * hidden,
        unsplit=unsplit(
            stash=floats(length * hidden),
            weight_stash=floats(length * hidden),
            moved=always(hidden),
            moved_back=always(2 * hidden) + length * hidden,
        ),
    )
