"""How long does a block take by its FLOPs, its bytes and the description of a device?"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgesim.cluster import Device
from edgesim.errors import ProfileError
from edgesim.model import Block, Model, divided
from edgesim.profile.point import FORWARD, UPDATE, Portion
from edgesim.units import MOST

# Bytes an update moves per byte of parameters: read parameter and gradient, write parameter (plain SGD).
_UPDATE_TOUCHES = 3
# FLOP per FP32 parameter of an SGD step: one multiply and one add.
_UPDATE_FLOP_PER_PARAMETER = 2


def estimated_s(device: Device, block: Block, op: str, portion: Portion) -> float:
    """Estimate the seconds of a block, or of a share of its heads or columns: its arithmetic, and then what it moves.

    ``FLOP / (efficiency(FLOP) flop_per_s) + bytes / memory_bytes_per_s``

    Raises ValueError for a share of what is not split.

    A single kernel takes the longer of the two (Williams et al., CACM 2009). A block is several, one after the other:
    products bound by arithmetic; norms, activations and copies by memory.
    """
    flop, touched = flop_and_bytes(block, op, portion)
    return flop / (device.flop_per_s * device.efficiency_at(block.kind, flop)) + touched / device.memory_bytes_per_s


def flop_and_bytes(block: Block, op: str, portion: Portion) -> tuple[float, float]:
    """Return the FLOP of a block, or of a share of its heads or columns, and the bytes that it moves.

    Raises ValueError for a share of what is not split.
    """
    samples, tokens, share, keys = portion
    block = block if share == 1 else divided(block, share)  # what is remembered is found by a long hash
    if op == UPDATE:
        trainable = block.parameter_bytes if block.trainable else 0
        return _UPDATE_FLOP_PER_PARAMETER * trainable / 4, float(_UPDATE_TOUCHES * trainable)
    if op == FORWARD:
        return block.forward_flop(samples, tokens, keys), block.forward_bytes(samples, tokens, keys)
    return block.backward_flop(samples, tokens, keys), block.backward_bytes(samples, tokens, keys)


@dataclass(frozen=True, kw_only=True, eq=False)
class Estimates:
    """The formula behind an estimated profile, for what its table leaves out; answers are remembered."""

    model: Model
    devices: Mapping[str, Device]
    _answers: dict[tuple[object, ...], float] = field(default_factory=dict, repr=False)
    _shares: dict[tuple[str, float], Block] = field(default_factory=dict, repr=False)

    def block_s(self, device: str, block: str, op: str, portion: Portion) -> float:
        """Ask :func:`estimated_s`, once. Raises ProfileError for a block, or a share of it, that the model lacks."""
        asked = (device, block, op, *portion)  # flat, so that the garbage collector need not look at it
        seconds = self._answers.get(asked)
        if seconds is None:
            try:
                seconds = estimated_s(self.devices[device], self._part(block, portion.share), op, _all_of(portion))
            except ValueError as error:
                raise ProfileError(f"no estimate of {block} on {device}: {error}") from None
            if not seconds <= MOST:
                raise ProfileError(
                    f"no estimate of {block} on {device}: {seconds:g} s are more than can be reckoned with "
                    "(less work, or a faster device)"
                )
            self._answers[asked] = seconds
        return seconds

    def _part(self, block: str, share: float) -> Block:
        """The share of a block as a block of its own."""
        if (block, share) not in self._shares:
            self._shares[block, share] = divided(self.model.block(block), share)
        return self._shares[block, share]


def _all_of(portion: Portion) -> Portion:
    """The portion of a part that is already cut out of its block."""
    return portion if portion.share == 1.0 else Portion(portion.samples, portion.tokens, 1.0, portion.keys)
