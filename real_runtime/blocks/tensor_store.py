"""Which tensors came from other ranks, which go to them, and which are still needed? Kept by their place."""

from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from edgesim.schedule import Payload, Task

# Receives are posted at most one block ahead of their use.
_BLOCKS_KEPT = 4


class TensorPlace(NamedTuple):
    """Where a tensor belongs: its micro-batch, the block or part that it enters or leaves, and what it is."""

    micro_batch: int | None
    block: str
    payload: Payload

    @property
    def token_dimension(self) -> int:
        """The dimension of tokens: of [K and V, samples, heads, tokens, head size], or of [samples, tokens, ...]."""
        return 3 if self.block.endswith(".core") else 1


def place_of(task: Task) -> TensorPlace:
    """Where a message belongs."""
    assert task.payload is not None
    return TensorPlace(task.micro_batch, task.block, task.payload)


def piece(tensor: Tensor, tokens: tuple[int, int], dimension: int = 1) -> Tensor:
    """Cut a range of tokens out of a tensor of all; a tensor of just these, or a range of (0, 0), stays whole."""
    first, stop = tokens
    if stop == 0 or tensor.shape[dimension] == stop - first:
        return tensor
    return tensor.narrow(dimension, first, stop - first)


class TensorStore:
    """Holds tensors on their way from and to other ranks; those of past blocks are released once they are sent.

    A rank may be many blocks ahead of a slow peer's receives, so the sends that remain for each place are counted down.
    Messages about the vocabulary, a few numbers per token, are kept: a loss goes back passes later.
    """

    def __init__(self, to_send: Mapping[TensorPlace, int]) -> None:
        self.to_send = Counter(to_send)
        self.received: defaultdict[TensorPlace, dict[int, list[Tensor]]] = defaultdict(dict)
        self.made: defaultdict[TensorPlace, dict[int | None, Tensor]] = defaultdict(dict)
        self.spans: defaultdict[TensorPlace, dict[int, tuple[int, int]]] = defaultdict(dict)
        self.blocks: deque[set[TensorPlace]] = deque([set()])

    def buffer(self, task: Task, tensor: Tensor) -> Tensor:
        """A new buffer for a receive; a partial sum is kept beside the others of its tile."""
        place = place_of(task)
        assert task.tile is not None
        tile = self.received[place].setdefault(task.tile, [])
        if place.payload is not Payload.PARTIAL:
            tile.clear()
        tile.append(tensor)
        self.spans[place][task.tile] = task.tokens
        self._use(place)
        return tensor

    def keep(self, place: TensorPlace, tensor: Tensor, tile: int | None = None) -> None:
        """Remember what this rank has computed, for its sends: of one tile, or of the whole sequence."""
        self.made[place][tile] = tensor
        self._use(place)

    def _use(self, place: TensorPlace) -> None:
        """Keep a place for a few more blocks."""
        if place.payload is not Payload.VOCABULARY:
            self.blocks[-1].add(place)

    def next_block(self) -> None:
        """Note that a block is done, and release what is too old to be asked for."""
        self.blocks.append(set())
        if len(self.blocks) > _BLOCKS_KEPT:
            for place in self.blocks.popleft():
                if self.to_send[place] > 0:
                    self._use(place)
                elif not any(place in later for later in self.blocks):
                    for store in (self.received, self.made, self.spans):
                        store.pop(place, None)

    def count_sent(self, task: Task) -> None:
        """Note that one send of this place has its tensor."""
        self.to_send[place_of(task)] -= 1

    def tiles(self, place: TensorPlace) -> dict[int, Tensor]:
        """The complete tiles that arrived at a place."""
        # A list, made at once: the threads that post receives add tiles meanwhile.
        return {tile: tensors[0] for tile, tensors in list(self.received.get(place, {}).items())}

    def whole(self, place: TensorPlace) -> Tensor | None:
        """The one tile that arrived at a place, if any: a sum that another rank has completed."""
        return next(iter(self.tiles(place).values()), None)

    def in_order(self, place: TensorPlace, own: Tensor, first: int) -> Tensor:
        """Join the own tokens, which begin at ``first``, and all tiles that arrived, in the order of the sequence."""
        arrived, spans = self.tiles(place), self.spans.get(place, {})
        parts = sorted([(first, own), *((spans[tile][0], arrived[tile]) for tile in arrived)], key=lambda part: part[0])
        return own if len(parts) == 1 else torch.cat([tensor for _, tensor in parts], dim=place.token_dimension)

    def own(self, place: TensorPlace, tile: int | None) -> Tensor:
        """What this rank has computed of a tile: the tile's own tensor, or the whole sequence's."""
        made = self.made[place]
        return made[tile] if tile in made else made[None]

    def sum(self, place: TensorPlace, tile: int | None, tokens: tuple[int, int]) -> Tensor:
        """Add what arrived of a tile, which has these tokens, to this rank's own partial sum of it."""
        own = piece(self.own(place, tile), tokens, place.token_dimension)
        total = own.float()
        for tensor in self.received.get(place, {}).get(tile, []) if tile is not None else []:
            total = total + tensor
        return total.to(own.dtype)
