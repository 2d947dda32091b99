"""Which layers' gradients are added up together, while earlier layers still go back?

Replicas add their gradients in buckets of consecutive layers, from the last one on: as soon as all of a bucket are
there, its all-reduce begins beside the rest of the backward pass (PyTorch's DistributedDataParallel, VLDB 2020).
"""

from edgesim.errors import PlanError
from edgesim.model import Model

Layers = tuple[int, int]


def gradient_buckets(model: Model, layers: Layers, bucket_bytes: float) -> list[tuple[Layers, int]]:
    """Return buckets of a stage's layers and the bytes of their gradients, from the last layer to the first.

    A bucket is full with the layer that brings it to ``bucket_bytes``; it ends only where a gradient goes back, so that
    what is left has something to do, and what holds nothing that is trained belongs to the bucket behind it. Raises
    PlanError for ``bucket_bytes`` that no gradient could fill.
    """
    if not bucket_bytes > 0:
        raise PlanError(f"bucket_bytes must be > 0, got {bucket_bytes:g} (null: one all-reduce for all)")
    start, stop = layers
    buckets: list[tuple[Layers, int]] = []
    nbytes = 0
    for i in reversed(range(start, stop)):
        nbytes += model.layers[i].trainable_bytes
        left = sum(layer.trainable_bytes for layer in model.layers[start:i])
        if i == start or (nbytes >= bucket_bytes and left and model.layers[i - 1].returns_gradient):
            buckets.append(((i, stop), nbytes))
            stop, nbytes = i, 0
    return buckets
