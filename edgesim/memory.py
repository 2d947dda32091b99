"""What does holding layers cost in memory? Parameters, gradients, optimiser state, stashes in flight."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgesim.model import Layer
from edgesim.workload import Purpose, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes by purpose; ``stash_bytes`` is for all micro-batches in flight."""

    parameter_bytes: float
    gradient_bytes: float
    optimiser_bytes: float
    stash_bytes: float

    @property
    def total_bytes(self) -> float:
        """All of it."""
        return self.static_bytes + self.stash_bytes

    @property
    def static_bytes(self) -> float:
        """What stays between iterations."""
        return self.parameter_bytes + self.gradient_bytes + self.optimiser_bytes


def held_bytes(layers: Sequence[Layer], *, samples: int, in_flight: int, workload: Workload) -> Memory:
    """Memory of a rank: ``parameters + gradients + optimiser + K stash(samples)`` (Asteroid's Mem_p, K in flight)."""
    training = workload.purpose is not Purpose.INFER
    trainable = sum(layer.trainable_bytes for layer in layers) if training else 0
    stash = sum(layer.stash_bytes(samples, workload.tokens) for layer in layers) if training else 0.0
    return Memory(
        parameter_bytes=sum(layer.parameter_bytes for layer in layers),
        gradient_bytes=trainable,
        optimiser_bytes=trainable * workload.optimiser.state_per_parameter,
        stash_bytes=in_flight * stash,
    )
