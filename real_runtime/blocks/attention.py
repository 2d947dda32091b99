"""How does a rank compute its part of an attention? Its own heads for all tokens, or its own tokens for all heads.

Where tokens are generated, K and V of all tokens so far are cached.
"""

from functools import partial

import torch
from torch import Tensor

from edgesim.schedule import Payload, Task
from real_runtime.blocks.divided_block import DividedBlock
from real_runtime.blocks.rank_state import RankState, part_of, pass_of
from real_runtime.blocks.shards.parts import AttentionShard
from real_runtime.blocks.tensor_store import TensorPlace, piece
from real_runtime.weights.precision import number_type


class AttentionComputation(DividedBlock):
    """One attention on one rank, with a cache of its own."""

    def __init__(self, block: str, shard: AttentionShard, state: RankState) -> None:
        super().__init__(block, state)
        self.shard = shard
        self.cache: tuple[Tensor, Tensor] | None = None

    def forward(self, task: Task) -> None:
        """Compute the whole attention, or the part that the task names for one tile or the own tokens."""
        match part_of(task):
            case "in":
                self._enter(task)
            case "core":
                self._core(task)
            case "out":
                self._leave(task)
            case _:
                (summand,) = self.state.run(task, partial(self._whole, first=task.tokens[0]), self.entering(task))
                self.state.put_out(task, self.block, summand)

    def _whole(self, x: Tensor, first: int) -> Tensor:
        q, k, v = self.shard.enter(x, first)
        return self.shard.leave(self.shard.core(q, *self._remember(k, v, first), first))

    def _enter(self, task: Task) -> None:
        m, first = pass_of(task), task.tokens[0]
        q, k, v = self.state.run(task, partial(self.shard.enter, first=first), self.entering_tile(task))
        self.state.passes[m].projected[first] = (q, k, v)
        if task.tile is None:
            self.state.store.keep(TensorPlace(m, f"{self.block}.core", Payload.KV), torch.stack([k, v]))

    def _core(self, task: Task) -> None:
        """Attend: all tiles that entered among themselves, or the own tokens to all tokens' K and V."""
        m, first = pass_of(task), task.tokens[0]
        projected = dict(sorted(self.state.passes[m].projected.items()))
        self.state.passes[m].projected.clear()
        if len(projected) > 1:
            q, k, v = (torch.cat(tiles, dim=2) for tiles in zip(*projected.values(), strict=True))
        else:
            ((q, k, v),) = projected.values()
            k, v = self.state.store.in_order(
                TensorPlace(m, f"{self.block}.core", Payload.KV), torch.stack([k, v]), first
            )
        k, v = self._remember(k, v, 0)
        (context,) = self.state.run(task, partial(self.shard.core, first=first), q, k, v)
        self.state.passes[m].inner[None] = context

    def _leave(self, task: Task) -> None:
        context = self.state.passes[pass_of(task)].inner[None]
        if task.tile is not None:
            context = piece(context, task.tokens)
        (summand,) = self.state.run(task, self.shard.leave, context)
        self.state.put_out(task, self.block, summand)

    def _remember(self, k: Tensor, v: Tensor, first: int) -> tuple[Tensor, Tensor]:
        """K and V of all tokens so far where tokens are generated; otherwise those of this pass."""
        workload = self.state.workload
        if not workload.new_tokens:
            return k, v
        if first == 0:
            room = list(k.shape)
            room[2] = workload.tokens + workload.new_tokens
            kept = number_type(workload.kv_bytes)
            self.cache = (k.new_empty(room, dtype=kept), v.new_empty(room, dtype=kept))
        assert self.cache is not None, "the prompt comes first"
        stop = first + k.shape[2]
        for cached, new in zip(self.cache, (k, v), strict=True):
            cached[:, :, first:stop] = new
        keys, values = self.cache
        return keys[:, :, :stop].to(k.dtype), values[:, :, :stop].to(v.dtype)

    def backward(self, task: Task) -> None:
        """Go back through the whole attention, or through the part that the task names for the own tokens."""
        held = self.state.passes[pass_of(task)]
        match part_of(task):
            case "out":
                (gradient,) = self.state.back(task, held.branch_gradient)
                assert gradient is not None
                held.inner[None] = gradient
            case "core":
                q, k, v = self.state.back(task, held.inner[None])
                assert q is not None
                assert k is not None
                assert v is not None
                held.inner[None] = q
                place = TensorPlace(pass_of(task), f"{self.block}.core", Payload.PARTIAL)
                self.state.store.keep(place, torch.stack([k, v]))
            case "in":
                k, v = self.state.own_sum(pass_of(task), f"{self.block}.core", task.tokens)
                (entered,) = self.state.back(task, held.inner.pop(None), k, v)
                self.state.put_back(task, f"{self.block}.in", entered)
            case _:
                self.back_whole(task)

    def message_shape(self, task: Task) -> tuple[int, ...]:
        """The shape of K and V, or their gradients, where queries look at them; otherwise of hidden states."""
        if not task.block.endswith(".core"):
            return super().message_shape(task)
        heads, size = self.shard.key.weight.shape[0] // self.shard.head_size, self.shard.head_size
        tokens = task.tokens[1] - task.tokens[0] or self.state.workload.tokens
        return (2, self.state.samples, heads, tokens, size)
