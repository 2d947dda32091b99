"""How do blocks become a model's chain of layers? An embedding, encoder and decoder layers, and a head."""

from collections.abc import Sequence
from dataclasses import replace

from edgesim.model import Block, Layer, Unsplit
from edgesim.zoo.parts.costs import EMBEDDING, TOKENS, floats

MOST_LAYERS = 10_000  # ten times the deepest Transformer that was published (DeepNet, Wang et al., arXiv 2203.00555)


def chain(
    embedding: Block,
    *,
    encoder: Sequence[Sequence[Block]] = (),
    decoder: Sequence[Sequence[Block]] = (),
    head: Sequence[Block],
) -> tuple[Layer, ...]:
    """Return the layers that hold these blocks: ``embedding``, ``encoder.0`` .., ``decoder.0`` .., ``head``."""
    stacks = {"encoder": encoder, "decoder": decoder}
    return (
        Layer(name=EMBEDDING, blocks=(embedding,)),
        *(
            Layer(name=f"{name}.{i}", blocks=tuple(part))
            for name, stack in stacks.items()
            for i, part in enumerate(stack)
        ),
        Layer(name="head", blocks=tuple(head)),
    )


def encoder_decoder(
    *,
    hidden: int,
    embedding: Block,
    encoder: Sequence[Sequence[Block]],
    decoder: Sequence[Sequence[Block]],
    head: Sequence[Block],
) -> tuple[Layer, ...]:
    """Return the chain of an encoder and a decoder; the workload's tokens are the encoder's.

    The first decoder layer holds the decoder's ids and embeds them. A boundary in the encoder is [samples, tokens,
    hidden]; between decoder layers it is the encoder's output and the decoder's hidden states as one tensor [samples,
    tokens + decoder tokens, hidden], so each decoder layer stashes the encoder's output; the last one passes on
    [samples, decoder tokens, hidden].
    """
    passing_on = [(*part[:-1], carrying(part[-1], hidden=hidden)) for part in decoder[:-1]]
    return chain(embedding, encoder=encoder, decoder=(*passing_on, decoder[-1]), head=head)


def carrying(part: Block, *, hidden: int) -> Block:
    """Return the part as it passes on the encoder's output with its own, in one tensor [samples, tokens + its own, h].

    Its parts stay as they are.
    """
    carried = floats(TOKENS * hidden)
    more = Unsplit(output_bytes=carried, forward_bytes=carried, backward_bytes=carried * 2)
    return replace(
        part,
        output_bytes=part.output_bytes + carried,
        forward_bytes=part.forward_bytes + carried,
        backward_bytes=part.backward_bytes + carried * 2,
        unsplit=part.unsplit + more,
    )


def refuse_counts(name: str, **counts: int) -> None:
    """Raise ValueError for a count below one, and for more layers than a model may have: each is written out."""
    for what, count in counts.items():
        if count < 1:
            raise ValueError(f"{name}: {what} must be at least 1, got {count}")
        if what.endswith("layers") and count > MOST_LAYERS:
            raise ValueError(f"{name}: {what} must be at most {MOST_LAYERS}, got {count} (is a digit too many in it?)")


def each_layers_window(name: str, layers: int, windows: Sequence[int]) -> list[int]:
    """Return each layer's window of attention; no windows say none, and one is that of every layer.

    Raises ValueError for another number of windows, and for a negative one.
    """
    if len(windows) not in (0, 1, layers) or any(window < 0 for window in windows):
        raise ValueError(f"{name}: windows={list(windows)} must be one number, or one for each of {layers} layers")
    return list(windows) if len(windows) == layers else list(windows or (0,)) * layers
