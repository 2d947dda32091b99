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
                 what frozen blocks keep is what edgesim.finetuning made of them. Once where it is recomputed (GPipe)
    kv           K and V of the prompt and of what is generated, of every attention (Workload.new_tokens): of as many
                 tokens as its window has, at Workload.kv_bytes per number
    transient    inference keeps no stash: the input and the output of its largest block
    ring         the spare part of an all-reduce among n replicas: the n-th part of the gradients that it adds up

A rank that has only a Share of a stage holds its part of what is split by heads or columns, and all else in full. What
is not split is computed for its own tokens. Where these are all that is divided (sequence parallelism), its attention
keeps K and V of all tokens. Where all three are (Galaxy), what is split sees all tokens: their gathered input is
transient, beside the own tokens' that it was gathered from.

The messages are what the runtime holds: it posts every receive before an iteration begins, and lets go of received
tensors and sent gradients when it ends; an output lives as long as its micro-batch is in flight (in inference until the
iteration ends: assumed, no runtime plays it yet). gloo sends from the tensors themselves. The terms are counted through
the whole iteration, gradients also before they exist: at most K ``in`` more than lives. But the ring adds up when no
stash is left, so that only the larger of the two counts. Not counted: temporary tensors of training, and the samples
that enter the first layer.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from math import ceil

from edgesim.model import Block, BlockKind, Layer, Model, SplitBy, divided
from edgesim.units import BYTES_PER_FLOAT32
from edgesim.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes by purpose, each at its most within an iteration; the terms stand in the module's docstring."""

    context_bytes: float
    parameter_bytes: float
    gradient_bytes: float
    optimiser_bytes: float
    cache_bytes: float
    message_bytes: float
    kv_bytes: float
    stash_bytes: float
    transient_bytes: float
    ring_bytes: float

    @property
    def total_bytes(self) -> float:
        """The most bytes held at any time of an iteration."""
        return self.resting_bytes + max(self.stash_bytes + self.transient_bytes, self.ring_bytes)

    @property
    def resting_bytes(self) -> float:
        """The bytes held from an iteration's first task to its last."""
        return self.static_bytes + self.message_bytes + self.kv_bytes

    @property
    def static_bytes(self) -> float:
        """The bytes that stay from one iteration to the next."""
        trained = self.parameter_bytes + self.gradient_bytes + self.optimiser_bytes
        return self.context_bytes + trained + self.cache_bytes

    @property
    def largest(self) -> tuple[str, float]:
        """The name of the term that costs most, and its bytes."""
        terms = {field.name: getattr(self, field.name) for field in fields(self)}
        return max(terms.items(), key=lambda term: term[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What of a stage a rank has: shares of attention's heads and of the MLP's and the head's columns; own tokens.

    ``tokens`` is None where the rank computes all of them.
    """

    heads: float = 1.0
    columns: float = 1.0
    tokens: int | None = None

    @property
    def splits_blocks(self) -> bool:
        """Whether blocks are cut by heads or columns."""
        return self.heads != 1 or self.columns != 1

    def of(self, block: Block) -> Block:
        """Return the block as the rank holds it."""
        share = {SplitBy.HEADS: self.heads, SplitBy.COLUMNS: self.columns}.get(block.split_by, 1.0)
        return block if share == 1 else divided(block, share)  # what is remembered is found by a long hash

    def computed(self, block: Block, tokens: int) -> int:
        """Return how many of all tokens the rank computes in this block."""
        everywhere = self.splits_blocks and block.split_by in (SplitBy.HEADS, SplitBy.COLUMNS)
        return tokens if self.tokens is None or everywhere else self.tokens


WHOLE = Share()
"""All of it: the rank is alone, or a replica."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankLoad:
    """What a rank is given: layers, and how much of a batch it has of them in memory.

    Attributes:
        layers: half-open range.
        samples: of each micro-batch.
        in_flight: micro-batches forwarded and not yet backwarded, at most.
        micro_batches: of an iteration.
        replicas: ranks that add up their gradients of these layers, this one included.
        context_bytes: what the framework takes on the device before any model.
        share: what of the layers' blocks it has.
        recompute: whether a micro-batch keeps only its input until it goes back, and then computes forward again.
    """

    layers: tuple[int, int]
    samples: int
    in_flight: int
    micro_batches: int
    replicas: int
    context_bytes: float
    share: Share = WHOLE
    recompute: bool = False


def held_bytes(model: Model, workload: Workload, load: RankLoad) -> Memory:
    """Return the memory of a rank that holds a half-open range of layers, or a share of it.

    Raises ValueError for own tokens that the workload does not have, for an attention without parts where its K and V
    are asked for, and for a model whose activations are not as long as the workload's.
    """
    if model.activation_bytes != workload.activation_bytes:
        raise ValueError(
            f"workload: activation_bytes={workload.activation_bytes}, those of {model.name} take "
            f"{model.activation_bytes} (give it with_activation_bytes(model, {workload.activation_bytes}))"
        )
    training, layers, samples, share = workload.trains, load.layers, load.samples, load.share
    held = model.layers[slice(*layers)]
    needs = [nbytes for _, nbytes in block_bytes(model, layers, samples=samples, workload=workload, share=share)]
    entering, leaving = boundary_bytes(model, layers, samples=samples, tokens=workload.tokens)
    trained = sum(_held_parameters(held, share, trained_only=True)) if training else 0
    activations = load.micro_batches * entering + (load.in_flight if training else load.micro_batches) * leaving
    returned = sum(_gradients_bytes(model, layers, samples, workload.tokens)) if training else 0
    cached = workload.cached_in_memory_samples
    parameters = sum(_held_parameters(held, share, trained_only=False)) // BYTES_PER_FLOAT32
    kv = _cached_kv_bytes(held, share, samples, workload) if workload.new_tokens else 0
    return Memory(
        context_bytes=load.context_bytes,
        parameter_bytes=parameters * workload.weight_bytes,
        gradient_bytes=trained,
        optimiser_bytes=trained * workload.optimiser.state_per_parameter,
        cache_bytes=_outputs_bytes(held, samples=cached, tokens=workload.tokens) if cached else 0,
        message_bytes=activations + load.micro_batches * returned,
        kv_bytes=kv / model.activation_bytes * workload.kv_bytes,
        stash_bytes=(1 if load.recompute else load.in_flight) * sum(needs) if training else 0,
        transient_bytes=0 if training else max(needs),
        ring_bytes=ring_bytes(_added_up(model, held, share) if training else 0, replicas=load.replicas),
    )


def _gradients_bytes(model: Model, layers: tuple[int, int], samples: int, tokens: int) -> tuple[int, int]:
    """What goes back over the same boundaries: nothing to where nothing is trained."""
    start, stop = layers
    sent = model.layers[start - 1].gradient_bytes(samples, tokens) if start else 0
    received = model.layers[stop - 1].gradient_bytes(samples, tokens) if stop < len(model.layers) else 0
    return sent, received


def boundary_bytes(model: Model, layers: tuple[int, int], *, samples: int, tokens: int) -> tuple[int, int]:
    """Return the bytes that enter and leave a range of layers; 0 at the model's ends, where nothing is sent."""
    start, stop = layers
    entering = model.layers[start - 1].output_bytes(samples, tokens) if start else 0
    leaving = model.layers[stop - 1].output_bytes(samples, tokens) if stop < len(model.layers) else 0
    return entering, leaving


def ring_bytes(trained_bytes: int, *, replicas: int) -> int:
    """Return the bytes that an all-reduce receives beside the gradients: the largest of n parts, in whole numbers."""
    return ceil(trained_bytes / BYTES_PER_FLOAT32 / replicas) * BYTES_PER_FLOAT32 if replicas > 1 else 0


def carried_bytes(layer: Layer, workload: Workload) -> float:
    """Return the bytes that move with a layer: weights, statistics of batches, optimiser's state of what is trained."""
    held = layer.parameter_bytes / BYTES_PER_FLOAT32 * workload.weight_bytes + layer.statistics_bytes
    return held + (layer.trainable_bytes * workload.optimiser.state_per_parameter if workload.trains else 0)


def cache_bytes(model: Model, *, samples: int, tokens: int) -> int:
    """Return the bytes that PAC's activation cache keeps: the outputs b_0 .. b_l of all frozen layers but the head.

    ``s h (l + 1)`` numbers per sequence of s tokens, hidden size h and l layers (arXiv 2408.10746). They lie on disk;
    ``Workload.cached_in_memory_samples`` asks for them in memory.
    """
    return _outputs_bytes(model.layers, samples=samples, tokens=tokens)


def _outputs_bytes(layers: Iterable[Layer], *, samples: int, tokens: int) -> int:
    backbone = (layer for layer in layers if layer.blocks[-1].kind is not BlockKind.HEAD)
    return sum(layer.output_bytes(samples, tokens) for layer in backbone)


def _held_parameters(layers: tuple[Layer, ...], share: Share, *, trained_only: bool) -> Iterable[int]:
    """Bytes of parameters by block; tied ones count unless their owner is here, with more left than a side network."""
    names = {layer.name for layer in layers if any(block.kind is not BlockKind.SIDE for block in layer.blocks)}
    for layer in layers:
        for block in map(share.of, layer.blocks):
            if block.trainable or not trained_only:
                yield block.parameter_bytes
                if block.tied_bytes and block.tied_to not in names:
                    yield block.tied_bytes


def _added_up(model: Model, layers: tuple[Layer, ...], share: Share) -> int:
    """Bytes of gradients that an all-reduce adds up: of weights that all have, and each used for its own samples or
    tokens. Where blocks are split and tokens are not, or in a decoder, all used them for all tokens.
    """
    if share.tokens is not None:
        layers = tuple(layer for layer in layers if not model.decodes(layer))
    if not share.splits_blocks:
        return sum(_held_parameters(layers, share, trained_only=True))
    blocks = [block for layer in layers for block in layer.blocks if block.trainable and share.tokens is not None]
    return sum(block.unsplit.parameter_bytes if block.divisible else block.parameter_bytes for block in blocks)


def block_bytes(
    model: Model, layers: tuple[int, int], *, samples: int, workload: Workload, share: Share = WHOLE
) -> list[tuple[str, float]]:
    """Return what each ``layer/block`` needs for one micro-batch: its stash in training, else its transient.

    The input that was received stands among the messages, not in the stash; but it is transient again, where the first
    block is largest.
    """
    if share.tokens is not None and not 0 < share.tokens <= workload.tokens:
        raise ValueError(f"a share of {share.tokens} tokens must lie in 1..{workload.tokens}, the workload's tokens")
    entering, _ = boundary_bytes(model, layers, samples=samples, tokens=workload.tokens)
    held = model.layers[slice(*layers)]
    needs = _stashes_bytes if workload.trains else _transients_bytes
    of = {layer.name: replace(share, tokens=None) if model.decodes(layer) else share for layer in held}
    blocks = [(block, of[layer.name]) for layer in held for block in layer.blocks]
    nbytes = needs(blocks, entering, samples, workload)
    return list(zip((f"{layer.name}/{block.name}" for layer in held for block in layer.blocks), nbytes, strict=True))


def _stashes_bytes(
    blocks: Iterable[tuple[Block, Share]], entering: float, samples: int, workload: Workload
) -> Iterable[float]:
    """Block by block, without the input that was received."""
    for block, share in blocks:
        kept = share.of(block).stash_bytes(samples, share.computed(block, workload.tokens), workload.tokens)
        received = min(entering, kept)
        entering -= received
        yield kept - received


def _transients_bytes(
    blocks: Iterable[tuple[Block, Share]], entering: float, samples: int, workload: Workload
) -> Iterable[float]:
    """Block by block, the input and the output; with own tokens, what is gathered of the others' as well."""
    own = whole = entering  # what enters a block, of the own tokens and of all
    for block, share in blocks:
        computed = share.computed(block, workload.tokens)
        gathered = whole if own < whole and computed == workload.tokens else 0.0
        if block.kind is BlockKind.ATTENTION and computed < workload.tokens and not workload.new_tokens:
            gathered = kv_bytes(block, samples=samples, tokens=workload.tokens)
        yield own + gathered + share.of(block).output_bytes(samples, computed)
        own, whole = (
            block.output_bytes(samples, count) for count in (share.tokens or workload.tokens, workload.tokens)
        )


def kv_bytes(block: Block, *, samples: int, tokens: int) -> float:
    """Return the bytes of an attention's K and V: what it makes of its input beside Q, which is as large as its output.

    Raises ValueError for an attention without parts.
    """
    if not block.parts:
        raise ValueError(f"{block.name} has no parts, so its K and V are unknown (take a transformer of edgesim.zoo)")
    making, weighing, _ = block.parts
    return making.output_bytes(samples, tokens) - weighing.output_bytes(samples, tokens)


def _cached_kv_bytes(layers: Iterable[Layer], share: Share, samples: int, workload: Workload) -> float:
    """Return the bytes of K and V of the prompt and of all that is generated, as activations, for the own heads."""
    tokens, total = workload.tokens + workload.new_tokens, 0.0
    for layer in layers:
        for block in layer.blocks:
            if block.kind is BlockKind.ATTENTION:
                if layer.name.startswith("encoder."):
                    raise ValueError(f"{layer.name} is an encoder, which generates nothing (say workload.new_tokens=0)")
                total += kv_bytes(share.of(block), samples=samples, tokens=block.keys_within(tokens))
    return total
