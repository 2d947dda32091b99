"""How many bytes do activations take on the wire and in memory? A model of FP32 numbers becomes one of shorter ones."""

from dataclasses import replace

from edgesim.model.block import Block, Unsplit
from edgesim.model.model import Model


def with_activation_bytes(model: Model, activation_bytes: int) -> Model:
    """Return the model with so many bytes for each number that a block puts out, sends or receives.

    Weights, stashes and the bytes that computing touches stay as they are: activations are kept and sent at this
    length, and computed with in FP32.
    """
    if activation_bytes == model.activation_bytes:
        return model
    factor = activation_bytes / model.activation_bytes
    layers = tuple(
        replace(layer, blocks=tuple(_scaled(block, factor) for block in layer.blocks)) for layer in model.layers
    )
    return replace(model, layers=layers, activation_bytes=activation_bytes)


def _scaled(block: Block, factor: float) -> Block:
    unsplit: Unsplit = replace(block.unsplit, output_bytes=block.unsplit.output_bytes * factor)
    return replace(
        block,
        output_bytes=block.output_bytes * factor,
        gradient_bytes=None if block.gradient_bytes is None else block.gradient_bytes * factor,
        unsplit=unsplit,
        parts=tuple(_scaled(part, factor) for part in block.parts),
    )
