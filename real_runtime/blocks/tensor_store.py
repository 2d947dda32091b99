"""What came of other ranks' tokens, what goes to them, and what of it still matters? Tensors by their block."""

from collections import Counter, defaultdict, deque
from collections.abc import Mapping

import torch
from torch import Tensor

from edgesim.schedule import Payload, Task

Place = tuple[int | None, str, Payload]
# Receives are posted at most one block ahead of their use.
_BLOCKS_KEPT = 4


class Exchanged:
    """Tensors on their way from and to other ranks; those of blocks long past are let go of, once they are sent.

    A rank may be many blocks ahead of a slow peer's receives, so what of each place is to be sent is counted down. What
    ranks tell of their vocabulary, a few numbers per token, is kept: a loss goes back passes later.
    """

    def __init__(self, to_send: Mapping[Place, int]) -> None:
        self.to_send = Counter(to_send)
        self.received: defaultdict[Place, dict[int, list[Tensor]]] = defaultdict(dict)
        self.made: dict[Place, dict[int | None, Tensor]] = defaultdict(dict)
        self.spans: dict[Place, dict[int, tuple[int, int]]] = defaultdict(dict)
        self.blocks: deque[set[Place]] = deque([set()])

    def buffer(self, task: Task, shape: tuple[int, ...]) -> Tensor:
        """Where a receive puts what arrives; a partial sum stands beside the others of its tile."""
        place, tensor = place_of(task), torch.empty(shape)
        assert task.tile is not None
        assert task.payload is not None
        tile = self.received[place].setdefault(task.tile, [])
        if task.payload is not Payload.PARTIAL:
            tile.clear()
        tile.append(tensor)
        self.spans[place][task.tile] = task.tokens
        self.used(place)
        return tensor

    def keep(self, m: int | None, block: str, payload: Payload, tensor: Tensor, tile: int | None = None) -> None:
        """Remember what this rank has computed, for its sends: of one tile, or of the whole sequence."""
        self.made[m, block, payload][tile] = tensor
        self.used((m, block, payload))

    def used(self, place: Place) -> None:
        """Keep a place for some blocks more."""
        if place[2] is not Payload.VOCABULARY:
            self.blocks[-1].add(place)

    def next_block(self) -> None:
        """A block is done: forget what is too old to be asked for."""
        self.blocks.append(set())
        if len(self.blocks) > _BLOCKS_KEPT:
            for place in self.blocks.popleft():
                if self.to_send[place] > 0:
                    self.used(place)
                elif not any(place in later for later in self.blocks):
                    for store in (self.received, self.made, self.spans):
                        store.pop(place, None)

    def sent(self, task: Task) -> None:
        """A send of this place has its tensor."""
        self.to_send[place_of(task)] -= 1

    def tiles(self, m: int | None, block: str, payload: Payload) -> dict[int, Tensor]:
        """The complete tiles that arrived at a block."""
        # A list, made at once: the threads that post receives add tiles meanwhile.
        return {tile: tensors[0] for tile, tensors in list(self.received.get((m, block, payload), {}).items())}

    def in_order(
        self, m: int | None, block: str, payload: Payload, own: Tensor, first: int, dimension: int = 1
    ) -> Tensor:
        """The whole sequence of the own tokens, which begin at ``first``, and all tiles that arrived."""
        arrived = self.tiles(m, block, payload)
        spans = self.spans.get((m, block, payload), {})
        parts = sorted([(first, own), *((spans[tile][0], arrived[tile]) for tile in arrived)], key=lambda part: part[0])
        return own if len(parts) == 1 else torch.cat([tensor for _, tensor in parts], dim=dimension)

    def added(self, m: int | None, block: str, tile: int | None, own: Tensor) -> Tensor:
        """The own partial sum of a tile and what arrived of it."""
        received = self.received.get((m, block, Payload.PARTIAL), {})
        total = own
        for tensor in received.get(tile, []) if tile is not None else []:
            total = total + tensor
        return total

    def of_own(self, m: int | None, block: str, payload: Payload, tile: int | None) -> Tensor:
        """What this rank has computed of a tile: the tile's own tensor, or the whole sequence's."""
        made = self.made[m, block, payload]
        return made[tile] if tile in made else made[None]


def place_of(task: Task) -> Place:
    """Where a message belongs."""
    assert task.payload is not None
    return task.micro_batch, task.block, task.payload
