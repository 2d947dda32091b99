"""What do all ranks' tasks of one step say? Found once for a step; ranks, tiles and peers tell the tasks apart."""

from collections.abc import Sequence
from typing import NamedTuple

from edgesim.block_passes.division import Place, Span
from edgesim.block_passes.steps import ComputeStep, ExchangeStep, Step, SumGradientsStep
from edgesim.model import SplitBy
from edgesim.schedule import Op, Payload
from edgesim.strategies.block_programs.rank_share import StageShares

Saying = int
_ALL: tuple[Span] = ((0, 0),)


class Said(NamedTuple):
    """Fields of a kind; samples and units by the position of the rank, or one for all.

    Tokens and bytes are by the position whose tile a task is about, else by that of its rank; or one for all.
    """

    layers: Span
    block: str = ""
    payload: Payload | None = None
    samples: Sequence[Span] = _ALL
    units: Sequence[Span] = _ALL
    tokens: Sequence[Span] = _ALL
    nbytes: Sequence[int] = (0,)


class Sayings:
    """What steps say, each numbered when it is first asked for."""

    def __init__(self, shares: StageShares) -> None:
        self.shares = shares
        self.said: list[Said] = []
        self._numbers: dict[tuple[int, Payload | None], Saying] = {}
        self._steps: list[Step] = []  # kept, so that no other step takes the place of one in memory

    def computed(self, step: ComputeStep, *, tiled: bool = False) -> Saying:
        """Of a computation: what each rank has of the block, and of the tokens; or one tile of them."""
        if (known := self._numbers.get((id(step), None))) is not None:
            return known
        own = tiled or (step.by is SplitBy.TOKENS and step.tokens == (0, 0))
        said = Said(
            layers=_layer(step.place),
            block=step.name,
            samples=_ALL if step.op is Op.UPDATE else self.shares.stage.sample_ranges,
            units=self.shares.units(step.place.block) if step.by in (SplitBy.HEADS, SplitBy.COLUMNS) else _ALL,
            tokens=self.shares.tiles if own else (step.tokens,),
        )
        return self._add(step, None, said)

    def tiles(self, step: ExchangeStep) -> Saying:
        """Of messages that carry tiles: each rank's tokens."""
        if (known := self._numbers.get((id(step), step.payload))) is not None:
            return known
        said = self._message(step)._replace(tokens=self.shares.tiles, nbytes=self.shares.tile_bytes(step))
        return self._add(step, step.payload, said)

    def alike(self, step: ExchangeStep, payload: Payload) -> Saying:
        """Of messages of the same size from every rank."""
        if (known := self._numbers.get((id(step), payload))) is not None:
            return known
        return self._add(step, payload, self._message(step)._replace(payload=payload, tokens=(step.tokens,)))

    def summed(self, step: ExchangeStep) -> Saying:
        """Of a ring all-reduce, which is one task of the block."""
        if (known := self._numbers.get((id(step), None))) is not None:
            return known
        return self._add(step, None, self._message(step)._replace(block=step.place.name))

    def summed_gradients(self, step: SumGradientsStep) -> Saying:
        """Of the all-reduce of gradients of whole layers."""
        if (known := self._numbers.get((id(step), None))) is not None:
            return known
        return self._add(step, None, Said(layers=self.shares.stage.layers, nbytes=(step.nbytes,)))

    def _message(self, step: ExchangeStep) -> Said:
        return Said(
            layers=_layer(step.place),
            block=step.name,
            payload=step.payload,
            samples=self.shares.stage.sample_ranges,
            nbytes=(self.shares.whole_bytes(step),),
        )

    def _add(self, step: Step, payload: Payload | None, said: Said) -> Saying:
        self._numbers[id(step), payload] = len(self.said)
        self._steps.append(step)
        self.said.append(said)
        return len(self.said) - 1


def _layer(place: Place) -> Span:
    return place.index, place.index + 1
