"""What does holding layers cost in memory? Every term by name, for a whole iteration of one rank.

For a rank that computes beta samples of each of M micro-batches, K of them in flight, with boundary tensors of ``in``
and ``out`` bytes (0 at the model's ends):

    context      what the framework takes before any model (Device.context_bytes)
    parameter    of its layers, and a copy of weights that are tied to a layer elsewhere
    gradient     as large as what is trained
    optimiser    0, 1 or 2 times that: SGD, momentum, Adam
    cache        activations of a frozen backbone, where they are kept in memory (PAC, arXiv 2408.10746)
    message      M in + K out activations received and sent, M out + M in gradients received and sent, where any travel
    stash        K times what the backward pass keeps (Asteroid's Mem_p, arXiv 2408.08015) beyond the received input;
                 what frozen blocks keep is what edgesim.finetuning made of them
    transient    inference keeps no stash: the input and the output of its largest block
    ring         the spare part of an all-reduce among n replicas: the n-th part of the gradients

The messages are what the runtime holds: it posts every receive before an iteration begins, and lets go of received
tensors and sent gradients when it ends; an output lives as long as its micro-batch is in flight (in inference until the
iteration ends: assumed, no runtime plays it yet). gloo sends from the tensors themselves. The terms are counted through
the whole iteration, gradients also before they exist: at most K ``in`` more than lives. But the ring adds up when no
stash is left, so that only the larger of the two counts. Not counted: temporary tensors of training, and the samples
that enter the first layer.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from math import ceil

from edgesim.model import BlockKind, Layer, Model
from edgesim.units import BYTES_PER_FLOAT32
from edgesim.workload import Purpose, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes by purpose, each at its most within an iteration; the terms stand in the module's docstring."""

    context_bytes: float
    parameter_bytes: float
    gradient_bytes: float
    optimiser_bytes: float
    cache_bytes: float
    message_bytes: float
    stash_bytes: float
    transient_bytes: float
    ring_bytes: float

    @property
    def total_bytes(self) -> float:
        """The most that is held at any time of an iteration."""
        return self.resting_bytes + max(self.stash_bytes + self.transient_bytes, self.ring_bytes)

    @property
    def resting_bytes(self) -> float:
        """What is held from an iteration's first task to its last."""
        return self.static_bytes + self.message_bytes

    @property
    def static_bytes(self) -> float:
        """What stays between iterations."""
        trained = self.parameter_bytes + self.gradient_bytes + self.optimiser_bytes
        return self.context_bytes + trained + self.cache_bytes

    @property
    def largest(self) -> tuple[str, float]:
        """The name of the term that costs most, and its bytes."""
        terms = {field.name: getattr(self, field.name) for field in fields(self)}
        return max(terms.items(), key=lambda term: term[1])


def held_bytes(
    model: Model,
    layers: tuple[int, int],
    *,
    samples: int,
    in_flight: int,
    micro_batches: int,
    replicas: int,
    context_bytes: float,
    workload: Workload,
) -> Memory:
    """Memory of a rank that holds a half-open range of layers, alone or with as many ``replicas`` as share a stage."""
    held, training = model.layers[slice(*layers)], workload.purpose is not Purpose.INFER
    entering, leaving = boundary_bytes(model, layers, samples=samples, tokens=workload.tokens)
    trained = sum(_held_parameters(held, trained_only=True)) if training else 0
    activations = micro_batches * entering + (in_flight if training else micro_batches) * leaving
    gradients = micro_batches * sum(_gradients_bytes(model, layers, samples, workload.tokens)) if training else 0
    cached = workload.cached_in_memory_samples
    return Memory(
        context_bytes=context_bytes,
        parameter_bytes=sum(_held_parameters(held, trained_only=False)),
        gradient_bytes=trained,
        optimiser_bytes=trained * workload.optimiser.state_per_parameter,
        cache_bytes=_outputs_bytes(held, samples=cached, tokens=workload.tokens) if cached else 0,
        message_bytes=activations + gradients,
        stash_bytes=in_flight * _stash_bytes(held, entering, samples, workload) if training else 0,
        transient_bytes=0 if training else _transient_bytes(held, entering, samples, workload.tokens),
        ring_bytes=ring_bytes(trained, replicas=replicas),
    )


def _gradients_bytes(model: Model, layers: tuple[int, int], samples: int, tokens: int) -> tuple[int, int]:
    """What goes back over the same boundaries: nothing to where nothing is trained."""
    start, stop = layers
    sent = model.layers[start - 1].gradient_bytes(samples, tokens) if start else 0
    received = model.layers[stop - 1].gradient_bytes(samples, tokens) if stop < len(model.layers) else 0
    return sent, received


def boundary_bytes(model: Model, layers: tuple[int, int], *, samples: int, tokens: int) -> tuple[int, int]:
    """The tensors that enter and leave a range of layers; 0 at the model's ends, where nothing is sent."""
    start, stop = layers
    entering = model.layers[start - 1].output_bytes(samples, tokens) if start else 0
    leaving = model.layers[stop - 1].output_bytes(samples, tokens) if stop < len(model.layers) else 0
    return entering, leaving


def ring_bytes(trained_bytes: int, *, replicas: int) -> int:
    """The part of the gradients that a ring all-reduce receives beside them: the largest of n, in whole numbers."""
    numbers = trained_bytes / BYTES_PER_FLOAT32
    return ceil(numbers / replicas) * BYTES_PER_FLOAT32 if replicas > 1 else 0


def cache_bytes(model: Model, *, samples: int, tokens: int) -> int:
    """What PAC's activation cache keeps of a frozen backbone: the outputs b_0 .. b_l of all layers but the head.

    ``s h (l + 1)`` numbers per sequence of s tokens, hidden size h and l layers (arXiv 2408.10746). They lie on disk;
    ``Workload.cached_in_memory_samples`` asks for them in memory.
    """
    return _outputs_bytes(model.layers, samples=samples, tokens=tokens)


def _outputs_bytes(layers: Iterable[Layer], *, samples: int, tokens: int) -> int:
    backbone = (layer for layer in layers if layer.blocks[-1].kind is not BlockKind.HEAD)
    return sum(layer.output_bytes(samples, tokens) for layer in backbone)


def _held_parameters(layers: tuple[Layer, ...], *, trained_only: bool) -> Iterable[int]:
    """Bytes of parameters, block by block; a block's tied weights count unless the layer that owns them is here too."""
    names = {layer.name for layer in layers}
    for layer in layers:
        for block in layer.blocks:
            if block.trainable or not trained_only:
                yield block.parameter_bytes
                if block.tied_bytes and block.tied_to not in names:
                    yield block.tied_bytes


def _stash_bytes(layers: Iterable[Layer], entering: int, samples: int, workload: Workload) -> float:
    """Of one micro-batch, without the input that was received: it stands among the messages."""
    kept = sum(layer.stash_bytes(samples, workload.tokens) for layer in layers)
    return kept - min(entering, kept)


def _transient_bytes(layers: Iterable[Layer], entering: int, samples: int, tokens: int) -> float:
    """The largest block's input and output; the received input is counted again, where the first block is largest."""
    largest, before = 0.0, float(entering)
    for layer in layers:
        for block in layer.blocks:
            after = block.output_bytes(samples, tokens)
            largest, before = max(largest, before + after), after
    return largest
