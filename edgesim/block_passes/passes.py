"""Which steps make a forward pass, a backward pass and an update over divided blocks?

Backward passes mirror forward ones: what was gathered is scattered, and the other way round. Generation goes on token
by token with the sequence whole; where weights are not divided by one rank alone, since all have K and V.
"""

from collections.abc import Callable, Iterator, Mapping

from edgesim.block_passes.division import (
    BlockDivision,
    Form,
    Place,
    keys_and_values_bytes,
    leaving_bytes,
)
from edgesim.block_passes.steps import ComputeStep, Exchange, ExchangeStep, OverlapStep, Step, SumGradientsStep
from edgesim.model import Block, BlockKind, Cost, SplitBy
from edgesim.schedule import Op, Payload
from edgesim.units import BYTES_PER_FLOAT32

# A rank's best token of its columns and how good it is; of a loss, a log-sum-exp and the target's logit. FP32 or int32.
_VOCABULARY_BYTES = Cost(per_token=2 * BYTES_PER_FLOAT32)

Steps = Callable[[BlockDivision, Place], Iterator[Step]]


def forward(division: BlockDivision) -> Iterator[Step]:
    """Yield the steps of one forward pass over all blocks."""
    held_whole, before = True, division.model.layers[0].blocks[-1]
    for place in division.places():
        whole = division.whole(place.layer)
        if whole and not held_whole:  # a decoder reads all tokens of what the layer before gave
            yield _gather(place, Payload.TILE, before)
        held_whole, before = whole, place.block
        yield from _FORWARD[division.form(place)](division, place)


def backward(division: BlockDivision) -> Iterator[Step]:
    """Yield the steps of one backward pass over all blocks, from the last to the first."""
    for place in reversed(list(division.places())):
        yield from _BACKWARD[division.form(place)](division, place)


def update(division: BlockDivision) -> Iterator[Step]:
    """Yield the all-reduce of gradients that ranks computed for their own tokens, then the updates, block by block."""
    if nbytes := division.shared_gradient_bytes:
        yield SumGradientsStep(nbytes=nbytes)
    for place in division.places():
        if place.block.trainable and place.block.parameter_bytes:
            by = place.block.split_by if division.divides(place.block) else SplitBy.NOTHING
            yield ComputeStep(op=Op.UPDATE, place=place, by=by)


def tell(division: BlockDivision) -> Iterator[ExchangeStep]:
    """Yield the exchange after a divided vocabulary: all ranks hear what each one's columns say of the tokens."""
    if division.units:
        yield _vocabulary_message(division, Exchange.TELL)


def hand_over(division: BlockDivision) -> ExchangeStep:
    """Return the message that tells the next token to the rank that generates alone."""
    return _vocabulary_message(division, Exchange.HAND_OVER)


def _vocabulary_message(division: BlockDivision, exchange: Exchange) -> ExchangeStep:
    *_, head = division.places()
    return ExchangeStep(
        exchange=exchange, payload=Payload.VOCABULARY, place=head, nbytes=_VOCABULARY_BYTES, tokens=division.asked
    )


# --- forward, by form -------------------------------------------------------------------------------------------------


def _held(division: BlockDivision, place: Place) -> Iterator[Step]:
    """What a rank holds; of a prompt the head of the last token, which is all that is asked for."""
    if division.whole(place.layer):
        keys = division.keys_so_far(place.block)
        yield ComputeStep(op=Op.F, place=place, by=SplitBy.NOTHING, tokens=division.now, keys=keys)
    elif place.block.kind is BlockKind.HEAD and division.workload.new_tokens:
        yield ComputeStep(op=Op.F, place=place, by=SplitBy.TOKENS, tokens=division.asked, last_only=True)
    else:
        yield ComputeStep(op=Op.F, place=place, by=SplitBy.TOKENS)


def _keys(division: BlockDivision, place: Place) -> Iterator[Step]:
    """Own tokens look at all tokens: Q, K, V of the own; K and V of all; scores and exit of the own."""
    yield _own_part(division, Op.F, place, "in")
    yield _keys_and_values(Exchange.GATHER, Payload.KV, place)
    yield _own_part(division, Op.F, place, "core")
    yield _own_part(division, Op.F, place, "out")


def _reduced(division: BlockDivision, place: Place) -> Iterator[Step]:
    """Own heads or columns of the whole sequence, then the sum over all ranks."""
    yield _own_units(Op.F, place, division)
    yield ExchangeStep(
        exchange=Exchange.ALL_REDUCE,
        payload=Payload.ACTIVATION,
        place=place,
        part="out",
        nbytes=leaving_bytes(place.block),
        tokens=division.now,
    )


def _scattered(division: BlockDivision, place: Place) -> Iterator[Step]:
    """Gather all tokens, compute own heads or columns, and send everyone the sum for its tokens."""
    gather = _gather(place, Payload.TILE, place.block, part="in")
    scatter = _scatter(place, place.block, part="out")
    if not division.overlaps:
        yield from (gather, _own_units(Op.F, place, division), scatter)
        return
    names = (part.name.partition(".")[2] for part in place.block.parts)
    entering, *between, leaving = (
        ComputeStep(op=Op.F, place=place, by=place.block.split_by, part=name) for name in names
    )
    yield OverlapStep(gather=gather, entering=entering, between=tuple(between), leaving=leaving, scatter=scatter)


def _vocabulary(division: BlockDivision, place: Place) -> Iterator[Step]:
    """Own columns of the vocabulary, for all tokens, or for the last one where that is all that is asked for."""
    product = ComputeStep(op=Op.F, place=place, by=place.block.split_by, tokens=division.asked)
    before = division.entering_head
    if division.whole(place.layer):
        yield product
    elif division.workload.new_tokens:
        yield ExchangeStep(
            exchange=Exchange.FROM_LAST,
            payload=Payload.TILE,
            place=place,
            nbytes=leaving_bytes(before),
            tokens=division.asked,
        )
        yield product
    elif division.overlaps:
        yield OverlapStep(gather=_gather(place, Payload.TILE, before), entering=product)
    else:
        yield from (_gather(place, Payload.TILE, before), product)


# --- backward, by form ------------------------------------------------------------------------------------------------


def _held_back(division: BlockDivision, place: Place) -> Iterator[Step]:
    by = SplitBy.NOTHING if division.whole(place.layer) else SplitBy.TOKENS
    yield ComputeStep(op=Op.B, place=place, by=by)


def _keys_back(division: BlockDivision, place: Place) -> Iterator[Step]:
    """Every rank has gradients of all K and V, and needs the sum of its own tokens'."""
    yield _own_part(division, Op.B, place, "out")
    yield _own_part(division, Op.B, place, "core")
    yield _keys_and_values(Exchange.SCATTER, Payload.PARTIAL, place)
    yield _own_part(division, Op.B, place, "in")


def _reduced_back(division: BlockDivision, place: Place) -> Iterator[Step]:
    """The gradient of what was reduced is whole; that of what entered is a sum over all ranks."""
    yield _own_units(Op.B, place, division)
    yield _reduce_gradient(place, division.entering_bytes(place.block), part="in")


def _scattered_back(division: BlockDivision, place: Place) -> Iterator[Step]:
    """Gather the gradient of what was scattered; scatter that of what was gathered."""
    yield _gather(place, Payload.GRADIENT, place.block, part="out")
    yield _own_units(Op.B, place, division)
    yield _scatter(place, place.block, part="in")


def _vocabulary_back(division: BlockDivision, place: Place) -> Iterator[Step]:
    """The gradient of what entered is partial: each rank knows its own columns' part."""
    before = division.entering_head
    yield _own_units(Op.B, place, division)
    yield _reduce_gradient(place, leaving_bytes(before)) if division.whole(place.layer) else _scatter(place, before)


_FORWARD: Mapping[Form, Steps] = {
    Form.HELD: _held,
    Form.KEYS: _keys,
    Form.REDUCED: _reduced,
    Form.SCATTERED: _scattered,
    Form.VOCABULARY: _vocabulary,
}
_BACKWARD: Mapping[Form, Steps] = {
    Form.HELD: _held_back,
    Form.KEYS: _keys_back,
    Form.REDUCED: _reduced_back,
    Form.SCATTERED: _scattered_back,
    Form.VOCABULARY: _vocabulary_back,
}


# --- steps ------------------------------------------------------------------------------------------------------------


def _own_units(op: Op, place: Place, division: BlockDivision) -> ComputeStep:
    keys = division.keys_so_far(place.block)
    return ComputeStep(op=op, place=place, by=place.block.split_by, tokens=division.now, keys=keys)


def _own_part(division: BlockDivision, op: Op, place: Place, part: str) -> ComputeStep:
    """A part of an attention over own tokens; its core looks at all."""
    keys = division.workload.tokens if part == "core" else None
    return ComputeStep(op=op, place=place, by=SplitBy.TOKENS, part=part, keys=keys)


def _gather(place: Place, payload: Payload, sent: Block, *, part: str = "") -> ExchangeStep:
    nbytes = leaving_bytes(sent)
    return ExchangeStep(exchange=Exchange.GATHER, payload=payload, place=place, part=part, nbytes=nbytes)


def _scatter(place: Place, summed: Block, *, part: str = "") -> ExchangeStep:
    nbytes = leaving_bytes(summed)
    return ExchangeStep(exchange=Exchange.SCATTER, payload=Payload.PARTIAL, place=place, part=part, nbytes=nbytes)


def _keys_and_values(exchange: Exchange, payload: Payload, place: Place) -> ExchangeStep:
    nbytes = keys_and_values_bytes(place.block)
    return ExchangeStep(exchange=exchange, payload=payload, place=place, part="core", nbytes=nbytes, ahead=True)


def _reduce_gradient(place: Place, nbytes: Cost, *, part: str = "") -> ExchangeStep:
    return ExchangeStep(exchange=Exchange.ALL_REDUCE, payload=Payload.GRADIENT, place=place, part=part, nbytes=nbytes)
