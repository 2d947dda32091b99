"""What is left of a block's backward pass, given what is trained and what gradients must travel to?"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from edgesim.model import CROSS_ATTENTION, Block, BlockKind, Cost, Layer, Unsplit

# Of what the backward pass touches in memory, the input's side: neither gradients of weights nor their inputs. Assumed.
_INPUT_SIDE = 0.5


def with_gradients(layers: tuple[Layer, ...], entering: Mapping[Block, Cost] | None = None) -> tuple[Layer, ...]:
    """Reduce each block to what it computes and keeps for the backward pass, given which blocks are trainable.

    What a decoder embeds comes from nothing that is trained, until it looks at the encoder's output. ``entering`` says
    of trained blocks what the gradient of their input costs, which is not computed where nothing before is trained.
    """
    entering, reached = entering or {}, False  # whether anything before is trained
    done: list[Layer] = []
    for layer in layers:
        blocks: list[Block] = []
        here = beside = reached  # whether the input of this block needs a gradient; of the one that is added beside it
        for part in layer.blocks:
            if part.kind is BlockKind.EMBEDDING:
                here = beside = False
            elif part.name == CROSS_ATTENTION:
                beside = beside or reached
                here = here or reached
            blocks.append(_reduced(part, entering.get(part, Cost()), here=here, beside=beside))
            beside = here
            here = here or part.trainable
        reached = reached or here
        if not reached:
            blocks[-1] = replace(blocks[-1], gradient_bytes=Cost())
        done.append(replace(layer, blocks=tuple(blocks)))
    return tuple(done)


def _reduced(part: Block, entering: Cost, *, here: bool, beside: bool) -> Block:
    """What is left of a block; ``here`` and ``beside`` say whether it, and what was added before it, is reached."""
    if part.trainable:
        return part if here else replace(part, backward_flop=part.backward_flop + entering * -1)
    if here and not beside and part.kind is BlockKind.ATTENTION and part.parts:
        return _with_side_input(part)
    return passing(part) if here else resting(part)


def _with_side_input(attention: Block) -> Block:
    """A frozen attention of whose inputs only what is added to Q and V is trained: not K, a quarter of all scores."""
    part, unneeded = passing(attention), attention.score_flop * 0.5
    projections, core, *others = part.parts
    core = replace(core, backward_flop=core.backward_flop + unneeded * -1)
    return replace(
        part,
        backward_flop=part.backward_flop + (projections.backward_flop + unneeded) * -1,
        parts=(replace(projections, backward_flop=Cost()), core, *others),
    )


def passing(part: Block) -> Block:
    """Return the block frozen, with gradients that travel through it to earlier blocks."""
    return _frozen(part, _without_weights)


def resting(part: Block) -> Block:
    """Return the block frozen, with nothing to train before it: it has no backward pass and keeps nothing."""
    return _frozen(part, _without_backward)


def _frozen(part: Block, left: Callable[[Block | Unsplit], dict[str, Any]]) -> Block:
    """The block, what of it is unsplit, and its parts, each with what is left of its backward pass."""
    return replace(
        part,
        **left(part),
        trainable=False,
        unsplit=replace(part.unsplit, **left(part.unsplit)),
        parts=tuple(_frozen(inner, left) for inner in part.parts),
    )


def _without_weights(part: Block | Unsplit) -> dict[str, Any]:
    return _without_backward(part) | {
        "backward_flop": part.backward_flop + part.weight_flop * -1,
        "backward_bytes": part.backward_bytes * _INPUT_SIDE,
        "stash_bytes": part.stash_bytes + part.weight_stash_bytes * -1,
    }


def _without_backward(part: Block | Unsplit) -> dict[str, Any]:
    names = ("backward_flop", "backward_bytes", "stash_bytes", "weight_flop", "weight_stash_bytes")
    return dict.fromkeys(names, Cost())
