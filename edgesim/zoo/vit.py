"""What does the Vision Transformer cost? Pre-norm encoders over an image's patches (Dosovitskiy et al., 2021)."""

from dataclasses import replace

from edgesim.apportion import refuse_remainder
from edgesim.model import Block, BlockKind, Cost, Model, SplitBy
from edgesim.zoo.chains import chain, refuse_counts
from edgesim.zoo.parts.attention import AttentionStyle, Lengths, attention
from edgesim.zoo.parts.costs import (
    BY_TOKENS,
    DROPPED,
    EMBEDDING,
    PartCosts,
    Split,
    TransformerWidths,
    always,
    block,
    floats,
)
from edgesim.zoo.parts.mlp import Activation, MlpStyle, mlp
from edgesim.zoo.parts.norms import layer_norm


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
    refuse_counts(name, layers=layers)
    refuse_remainder(name, divided=("resolution", resolution), by=("patch", patch))
    widths = TransformerWidths.of(name, hidden=hidden, heads=heads, columns=columns)
    patches = (resolution // patch) ** 2
    length = always(patches + 1)
    encoder = (
        layer_norm("norm_attention", hidden=hidden, length=length),
        attention(widths, AttentionStyle(dropout=dropout), Lengths(queries=length)),
        layer_norm("norm_mlp", hidden=hidden, length=length),
        mlp(widths, MlpStyle(activation=Activation.GELU, dropout=dropout), length),
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
    costs = PartCosts(
        parameters=numbers * hidden + hidden + hidden + (patches + 1) * hidden,
        output=output,
        stash=image + output * dropout,
        weights=always(patches) * (2 * numbers * hidden),
        weight_stash=image,
        # The convolution, the class token put before it, positions added.
        moved=always(patches) * (numbers + hidden) + output * (5 + DROPPED * dropout),
        moved_back=always(patches) * (numbers + hidden) + output * (3 + DROPPED * dropout),
    )
    part = block(EMBEDDING, BlockKind.EMBEDDING, BY_TOKENS, costs)
    return replace(part, backward_flop=part.weight_flop)


def _head(hidden: int, classes: int, length: Cost) -> Block:
    """A matrix for the class token, and cross-entropy.

    Saved: that token, a view that keeps the norm's whole output, for the weights; and the log-probabilities.
    """
    kept, read = floats(length * hidden), always(2 * hidden) + length * hidden
    costs = PartCosts(
        parameters=hidden * classes + classes,
        output=always(classes),
        stash=floats(length * hidden + always(classes)),
        weights=always(2 * hidden * classes),
        weight_stash=kept,
        moved=always(hidden + 3 * classes),
        moved_back=always(2 * hidden + 7 * classes) + length * hidden,
    )
    alike = PartCosts(stash=kept, weight_stash=kept, moved=always(hidden), moved_back=read)
    return block("head", BlockKind.HEAD, Split(by=SplitBy.COLUMNS, units=classes), costs, alike)
