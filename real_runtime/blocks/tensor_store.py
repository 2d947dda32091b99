"""What came of other ranks' tokens, what goes to them, and what of it still matters? Tensors by their place."""

from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from edgesim.schedule import Payload, Task

# Receives are posted at most one block ahead of their use.
_BLOCKS_KEPT = 4


class Place(NamedTuple):
    """Where a tensor belongs: its micro-batch, the block or part that it enters or leaves, and what it is."""

    micro_batch: int | None
    block: str
    payload: Payload

    @property
    def token_dimension(self) -> int:
        """The dimension of tokens: of [K and V, samples, heads, tokens, head size], or of [samples, tokens, ...]."""
        return 3 if self.block.endswith(".core") else 1


def place_of(task: Task) -> Place:
    """Where a message belongs."""
    assert task.payload is not None
    return Place(task.micro_batch, task.block, task.payload)


def piece(tensor: Tensor, tokens: tuple[int, int], dimension: int = 1) -> Tensor:
    """Of a tensor of all tokens those in the range; a tensor of these alone, or of (0, 0), as it is."""
    first, stop = tokens
    if stop == 0 or tensor.shape[dimension] == stop - first:
        return tensor
    return tensor.narrow(dimension, first, stop - first)


class TensorStore:
    """Tensors on their way from and to other ranks; those of blocks long past are let go of, once they are sent.

    A rank may be many blocks ahead of a slow peer's receives, so what of each place is to be sent is counted down. What
    ranks tell of their vocabulary, a few numbers per token, is kept: a loss goes back passes later.
    """

    def __init__(self, to_send: Mapping[Place, int]) -> None:
        self.to_send = Counter(to_send)
        self.received: defaultdict[Place, dict[int, list[Tensor]]] = defaultdict(dict)
        self.made: defaultdict[Place, dict[int | None, Tensor]] = defaultdict(dict)
        self.spans: defaultdict[Place, dict[int, tuple[int, int]]] = defaultdict(dict)
        self.blocks: deque[set[Place]] = deque([set()])

    def buffer(self, task: Task, shape: tuple[int, ...]) -> Tensor:
        """Where a receive puts what arrives; a partial sum stands beside the others of its tile."""
        place, tensor = place_of(task), torch.empty(shape)
        assert task.tile is not None
        tile = self.received[place].setdefault(task.tile, [])
        if place.payload is not Payload.PARTIAL:
            tile.clear()
        tile.append(tensor)
        self.spans[place][task.tile] = task.tokens
        self._use(place)
        return tensor

    def keep(self, place: Place, tensor: Tensor, tile: int | None = None) -> None:
        """Remember what this rank has computed, for its sends: of one tile, or of the whole sequence."""
        self.made[place][tile] = tensor
        self._use(place)

    def _use(self, place: Place) -> None:
        """Keep a place for some blocks more."""
        if place.payload is not Payload.VOCABULARY:
            self.blocks[-1].add(place)

    def next_block(self) -> None:
        """A block is done: forget what is too old to be asked for."""
        self.blocks.append(set())
        if len(self.blocks) > _BLOCKS_KEPT:
            for place in self.blocks.popleft():
                if self.to_send[place] > 0:
                    self._use(place)
                elif not any(place in later for later in self.blocks):
                    for store in (self.received, self.made, self.spans):
                        store.pop(place, None)

    def count_sent(self, task: Task) -> None:
        """A send of this place has its tensor."""
        self.to_send[place_of(task)] -= 1

    def tiles(self, place: Place) -> dict[int, Tensor]:
        """The complete tiles that arrived at a place."""
        # A list, made at once: the threads that post receives add tiles meanwhile.
        return {tile: tensors[0] for tile, tensors in list(self.received.get(place, {}).items())}

    def whole(self, place: Place) -> Tensor | None:
        """The one tile that arrived at a place, if any did: a sum that another rank has added up."""
        return next(iter(self.tiles(place).values()), None)

    def in_order(self, place: Place, own: Tensor, first: int) -> Tensor:
        """The whole sequence of the own tokens, which begin at ``first``, and all tiles that arrived."""
        arrived, spans = self.tiles(place), self.spans.get(place, {})
        parts = sorted([(first, own), *((spans[tile][0], arrived[tile]) for tile in arrived)], key=lambda part: part[0])
        return own if len(parts) == 1 else torch.cat([tensor for _, tensor in parts], dim=place.token_dimension)

    def own(self, place: Place, tile: int | None) -> Tensor:
        """What this rank has computed of a tile: the tile's own tensor, or the whole sequence's."""
        made = self.made[place]
        return made[tile] if tile in made else made[None]

    def sum(self, place: Place, tile: int | None, tokens: tuple[int, int]) -> Tensor:
        """The own partial sum of a tile, which has these tokens, and what arrived of it."""
        total = piece(self.own(place, tile), tokens, place.token_dimension)
        for tensor in self.received.get(place, {}).get(tile, []) if tile is not None else []:
            total = total + tensor
        return total
