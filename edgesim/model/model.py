"""What may a stage boundary separate? A model is a chain of layers, and a layer a chain of blocks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgesim.model.block import CROSS_ATTENTION, Block, Cost
from edgesim.units import BYTES_PER_FLOAT32, show


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """The smallest part that a stage boundary may separate: a chain of blocks."""

    name: str
    blocks: tuple[Block, ...]

    def __post_init__(self) -> None:
        if not self.blocks:
            raise ValueError(f"layer {self.name}: has no blocks")

    def forward_flop(self, samples: float, tokens: int) -> float:
        """Return the FLOP of the forward pass."""
        return sum(block.forward_flop(samples, tokens) for block in self.blocks)

    def backward_flop(self, samples: float, tokens: int) -> float:
        """Return the FLOP of the backward pass."""
        return sum(block.backward_flop(samples, tokens) for block in self.blocks)

    def score_flop(self, samples: float, tokens: int) -> float:
        """Return the FLOP of attention's products of activations with one another in the forward pass."""
        return sum(block.score_flop(samples, tokens) for block in self.blocks)

    def stash_bytes(self, samples: float, tokens: int) -> float:
        """Return the bytes that are kept from the forward for the backward pass."""
        return sum(block.stash_bytes(samples, tokens) for block in self.blocks)

    def output_bytes(self, samples: int, tokens: int) -> int:
        """Return the exact bytes of the boundary tensor after this layer."""
        return round(self.blocks[-1].output_bytes(samples, tokens))

    @property
    def returns_gradient(self) -> bool:
        """Whether anything comes back over the boundary behind this layer; not if nothing before it is trained."""
        return self.blocks[-1].gradient_bytes != Cost()

    def gradient_bytes(self, samples: int, tokens: int) -> int:
        """Return the exact bytes of the boundary's gradient, which come back to this layer."""
        last = self.blocks[-1]
        return round((last.output_bytes if last.gradient_bytes is None else last.gradient_bytes)(samples, tokens))

    @property
    def parameter_bytes(self) -> int:
        """The bytes of all parameters."""
        return sum(block.parameter_bytes for block in self.blocks)

    @property
    def statistics_bytes(self) -> int:
        """The bytes of running means and variances of batches."""
        return sum(block.statistics_bytes for block in self.blocks)

    @property
    def trainable_bytes(self) -> int:
        """The bytes of the parameters that get gradients."""
        return sum(block.parameter_bytes for block in self.blocks if block.trainable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A chain of layers; ``architecture`` and ``hyper`` say how the runtime builds the very same thing in PyTorch.

    ``activation_bytes`` is what each number takes that a block puts out.
    """

    name: str
    architecture: str
    hyper: Mapping[str, Any]
    layers: tuple[Layer, ...]
    activation_bytes: int = BYTES_PER_FLOAT32

    def __str__(self) -> str:
        millions = self.parameter_bytes // BYTES_PER_FLOAT32 / 1e6
        return f"{self.name}: {len(self.layers)} layers, {millions:.2f} M parameters, {show(self.parameter_bytes, 'B')}"

    @property
    def parameter_bytes(self) -> int:
        """The bytes of all parameters."""
        return sum(layer.parameter_bytes for layer in self.layers)

    def decodes(self, layer: Layer) -> bool:
        """Return whether the layer reads an encoder's output, or is the head behind such layers.

        Ranks that divide the tokens of an encoder hold these layers' few tokens whole.
        """
        read_by = self.layers[-2] if layer is self.layers[-1] and len(self.layers) > 1 else layer
        return any(block.name == CROSS_ATTENTION for block in read_by.blocks)

    def block(self, name: str) -> Block:
        """Find the block ``layer/block``, or its part ``layer/block.part``. Raises ValueError for an unknown name."""
        where, _, which = name.partition("/")
        layers = {layer.name: layer for layer in self.layers}
        if where not in layers:
            raise ValueError(f"{self.name} has no layer {where!r} for block {name!r} (it has: {', '.join(layers)})")
        blocks = {part.name: part for block in layers[where].blocks for part in (block, *block.parts)}
        if which not in blocks:
            raise ValueError(f"layer {where} of {self.name} has no block {which!r} (it has: {', '.join(blocks)})")
        return blocks[which]
