"""How does a rank compute its columns of the vocabulary, their part of the loss, and the next token?"""

import torch
from torch import Tensor

from edgesim.schedule import Payload, Task
from real_runtime.blocks.rank_state import RankState, part_of, pass_of
from real_runtime.blocks.shards.cross_entropy import loss_gradient, statistics
from real_runtime.blocks.shards.parts import HeadShard
from real_runtime.blocks.tensor_store import TensorPlace, place_of
from real_runtime.models import architecture


class HeadComputation:
    """Own columns of the vocabulary; the part ``in``, which precedes them, is whole on every rank."""

    def __init__(self, block: str, shard: HeadShard, state: RankState) -> None:
        self.shard, self.state = shard, state

    def forward(self, task: Task) -> None:
        """Compute what precedes the vocabulary, or the own logits and what they say of the loss or next token."""
        state, m = self.state, pass_of(task)
        if part_of(task) == "in":
            (state.passes[m].normed,) = state.run(task, self.shard.enter, state.passes[m].normed)
            return
        work = self.shard.leave if part_of(task) else self._whole
        (logits,) = state.run(task, work, self._entering(task))
        state.logits[m, task.tokens[0]] = logits
        told = TensorPlace(m, task.block, Payload.VOCABULARY)
        if state.training:
            state.store.keep(told, statistics(logits, state.labels(task), task.units[0]))
        elif state.workload.new_tokens:
            best, column = logits[:, -1:].max(dim=-1)
            state.store.keep(told, torch.stack([best.float(), (column + task.units[0]).float()], dim=-1))

    def _whole(self, x: Tensor) -> Tensor:
        return self.shard.leave(self.shard.enter(x))

    def _entering(self, task: Task) -> Tensor:
        m, own = pass_of(task), self.state.passes[pass_of(task)].normed
        place = TensorPlace(m, task.block, Payload.TILE)
        if task.tile is not None:
            return own if task.tile == self.state.me else self.state.store.tiles(place)[task.tile]
        if self.state.workload.new_tokens:
            last = self.state.store.whole(place)
            return own[:, -1:] if last is None else last
        return self.state.store.in_order(place, own, self.state.own_first[m])

    def backward(self, task: Task) -> None:
        """Compute the gradient of the input; for the own columns, that of the loss comes first."""
        if part_of(task) == "in":
            (entered,) = self.state.back(task, self.state.input_gradient(task))
        else:
            (entered,) = self.state.back(task, self._loss_gradient(task))
        self.state.put_back(task, task.block, entered)

    def _loss_gradient(self, task: Task) -> Tensor:
        """The gradient of the own logits; the loss counts on the rank that has the first columns."""
        state, m = self.state, pass_of(task)
        place = TensorPlace(m, task.block, Payload.VOCABULARY)
        everyone = [state.store.own(place, None), *state.store.tiles(place).values()]
        logits = state.logits.pop((m, task.tokens[0]))
        loss, gradient = loss_gradient(logits, state.labels(task), task.units[0], everyone)
        share = 1 / (architecture(state.model).labelled(state.workload.tokens) * state.workload.batch_samples)
        if task.units[0] == 0:
            state.loss += float(loss) * share
        return gradient * share

    def own_tile(self, task: Task) -> Tensor:
        """What the own columns contribute, what the head reads of the own tokens, or a hub's sum of their gradient."""
        if task.payload is Payload.VOCABULARY:
            return self.state.store.own(place_of(task), None)
        if task.payload is not Payload.TILE:
            return self.state.own_sum(pass_of(task), task.block, task.tokens)
        own = self.state.passes[pass_of(task)].normed
        return own[:, -1:] if self.state.workload.new_tokens else own

    def message_shape(self, task: Task) -> tuple[int, ...]:
        """Two numbers per token that columns contribute, or hidden states."""
        tokens = task.tokens[1] - task.tokens[0] or self.state.workload.tokens
        return (self.state.samples, tokens, 2 if task.payload is Payload.VOCABULARY else self.state.hidden)

    def reduced_place(self, task: Task) -> str:
        """The input's gradient, the only partial sum of a head."""
        return task.block


def choose(state: RankState, m: int) -> Tensor:
    """Choose the best of all ranks' best tokens of a pass, the first of equals: ids [samples, 1]."""
    place = TensorPlace(m, state.vocabulary, Payload.VOCABULARY)
    candidates = [*state.store.tiles(place).values(), *state.store.made[place].values()]
    all_ranks = torch.cat(candidates, dim=1)  # [samples, ranks, best logit and its id]
    best = all_ranks[..., 0].max(dim=1, keepdim=True).values
    ids = all_ranks[..., 1].where(all_ranks[..., 0] == best, torch.inf).min(dim=1, keepdim=True).values.long()
    state.chosen.append(ids)
    return ids
