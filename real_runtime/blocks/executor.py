"""Which tensors does a rank need for its part of a job, where ranks divide blocks? Its cut of every block, its tokens.

Between blocks a rank holds ``residual`` and ``normed``: the sum of all branches so far, and what the next attention or
MLP reads. What an attention or MLP puts out is a partial sum until the messages behind it have come, and so is, on the
way back, the gradient of what it has read. Tokens, units and tiles are those that tasks name; nothing here knows a
strategy.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from edgesim.schedule import Op, Payload, Task
from real_runtime.blocks.autograd_segments import Segments
from real_runtime.blocks.shards import cut
from real_runtime.blocks.shards.cross_entropy import loss_gradient, statistics
from real_runtime.blocks.shards.parts import Attention, Connective, Embedding, Head, Mlp
from real_runtime.blocks.tensor_store import Exchanged, place_of
from real_runtime.blocks.trained_weights import BlockWeights
from real_runtime.data import Source
from real_runtime.job import Job
from real_runtime.models import architecture, build_layers

_COMPLETE = (Payload.TILE, Payload.KV, Payload.GRADIENT, Payload.VOCABULARY)
_KV_TOKENS = 3  # the dimension of tokens in [K and V, samples, heads, tokens, head size]


@dataclass(slots=True)
class Flow:
    """What a pass holds between blocks; ``behind`` and ``entered`` name whose output or input gradient is partial."""

    residual: Tensor
    normed: Tensor
    behind: str = ""
    residual_gradient: Tensor | None = None
    branch_gradient: Tensor | None = None
    entered: str = ""


class BlockPart:
    """A rank's part of a job whose tasks are of blocks."""

    def __init__(self, job: Job, program: Iterable[Task]) -> None:
        self.job, self.model, self.workload = job, job.model, job.workload
        self.training = job.workload.trains
        tasks = list(program)
        self.units = {block_of(task.block)[0]: task.units for task in tasks if task.op is Op.F}
        self.parts = self._cut()
        forwards = [task for task in tasks if task.op is Op.F]
        heads = (task.block for task in forwards if self.is_head(task) and not task.block.endswith(".in"))
        self.vocabulary = next(heads, "")  # the product onto it, where this rank has a part in that
        own = (task.tile for task in tasks if task.op is Op.SEND and task.payload in _COMPLETE)
        self.me = next(own, 0) or 0  # a rank's first complete tile is its own
        # Where the tokens begin that this rank holds between blocks, by pass.
        self.own_first = {t.micro_batch: t.tokens[0] for t in forwards if t.block.startswith("embedding/")}
        self.to_send = Counter(place_of(task) for task in tasks if task.op is Op.SEND)
        self.source = Source(job.data, job.model, job.workload, job.seed)
        self.samples = forwards[0].samples[1]
        self.hidden = int(self.model.hyper["hidden"])
        self.cache: dict[str, tuple[Tensor, Tensor]] = {}
        self.weights = BlockWeights(self.parts, self.units, self.workload) if self.training else None

    def _cut(self) -> dict[str, nn.Module]:
        """The own heads, columns and vocabulary of all blocks."""
        ranges: dict[type, tuple[int, int]] = {}
        layers = build_layers(
            self.model, range(len(self.model.layers)), seed=self.job.seed, checkpoint=self.job.checkpoint
        )
        kinds = {"attention": Attention, "mlp": Mlp, "head": Head}
        for block, units in self.units.items():
            if units != (0, 0):
                ranges[kinds[block.partition("/")[2]]] = units
        return cut(
            self.model, layers, heads=ranges.get(Attention), columns=ranges.get(Mlp), vocabulary=ranges.get(Head)
        )

    def begin(self, iteration: int) -> None:
        """Draw the batch and forget the last iteration's tensors."""
        self.inputs, self.targets = self.source.batch(iteration)
        self.exchanged = Exchanged(self.to_send)
        self.flows: dict[int, Flow] = {}
        self.inner: dict[str, dict[int | None, Any]] = defaultdict(dict)
        self.segments = Segments(training=self.training)
        self.logits: dict[tuple[int, int], Tensor] = {}  # by micro-batch and first token
        self.chosen: list[Tensor] = []
        self.sum_of_losses = 0.0

    def loss(self) -> float:
        """This rank's part of the batch's loss; where ranks divide the vocabulary, that of the first one is all."""
        return self.sum_of_losses

    def results(self) -> dict[str, Tensor]:
        """Trained weights by block and name; of inference, the own logits and the tokens chosen."""
        if self.weights is not None:
            return dict(self.weights.named())
        found = {}
        by_pass: dict[int, list[Tensor]] = defaultdict(list)
        for m, first in sorted(self.logits):
            if m == 0 or not self.workload.new_tokens:
                by_pass[m].append(self.logits[m, first])
        if by_pass:
            found["logits"] = torch.cat([torch.cat(pieces, dim=1) for pieces in by_pass.values()])
        if self.workload.new_tokens and len(self.chosen) == self.workload.new_tokens - 1:
            self.choose(self.workload.new_tokens - 1)
            found["chosen"] = torch.cat(self.chosen, dim=1)
        return found

    # Computation

    def compute(self, task: Task) -> None:
        """F, B or UPDATE of a block or of a part of one."""
        block, part = block_of(task.block)
        if task.op is Op.UPDATE:
            assert self.weights is not None
            self.weights.update(block, part)
            return
        module, forward = self.parts[block], task.op is Op.F
        with torch.set_grad_enabled(self.training):
            if isinstance(module, Embedding):
                (self.embed if forward else self.embed_back)(task, module)
            elif isinstance(module, Connective):
                (self.connect if forward else self.connect_back)(task, module)
            elif isinstance(module, Head):
                (self.head if forward else self.head_back)(task, module, part)
            elif part:
                (self.part if forward else self.part_back)(task, module, block, part)
            else:
                (self.divided if forward else self.divided_back)(task, module, block)

    def embed(self, task: Task, module: Embedding) -> None:
        """Ids of own tokens; of a generating pass, what the last pass chose."""
        m = pass_of(task)
        first, stop = task.tokens if task.tokens[1] else (0, self.workload.tokens)
        if self.workload.new_tokens and m:
            ids = self.choose(m - 1)
        else:
            start = m * self.samples
            ids = self.inputs[start : start + self.samples, first:stop]
        (out,) = self.segments.run(key_of(task), lambda i: module(i, first), ids)
        self.flows[m] = Flow(residual=out, normed=out)

    def embed_back(self, task: Task, module: Embedding) -> None:
        flow = self.flows.pop(pass_of(task))
        given = [g for g in (flow.residual_gradient, self.input_gradient(task, flow)) if g is not None]
        self.segments.back(key_of(task), sum(given[1:], given[0]))

    def connect(self, task: Task, module: Connective) -> None:
        flow = self.flows[pass_of(task)]
        branch = self.branch(task, flow) if flow.behind else None
        flow.residual, flow.normed = self.segments.run(key_of(task), module, flow.residual, branch)
        flow.behind = ""
        self.inner.clear()
        self.exchanged.next_block()

    def connect_back(self, task: Task, module: Connective) -> None:
        flow = self.flows[pass_of(task)]
        gradients = self.segments.back(key_of(task), flow.residual_gradient, self.input_gradient(task, flow))
        flow.residual_gradient, flow.branch_gradient = (*gradients, None)[:2]
        flow.entered = ""
        self.exchanged.next_block()

    def branch(self, task: Task, flow: Flow) -> Tensor:
        """What the last attention or MLP put out, complete, for the tokens of a task."""
        m, place = task.micro_batch, f"{flow.behind}.out"
        for whole in self.exchanged.tiles(m, place, Payload.TILE).values():
            return whole
        return self.sum(m, place, task.tokens)

    def sum(self, m: int | None, place: str, tokens: tuple[int, int], dimension: int = 1) -> Tensor:
        """The own tile of what is partial here, and all that came for it."""
        own = self.exchanged.of_own(m, place, Payload.PARTIAL, self.me)
        return self.exchanged.added(m, place, self.me, piece(own, tokens, dimension))

    def input_gradient(self, task: Task, flow: Flow) -> Tensor | None:
        """The complete gradient of what the next attention, MLP or head has read."""
        if not flow.entered:
            return None
        for whole in self.exchanged.tiles(task.micro_batch, flow.entered, Payload.GRADIENT).values():
            return whole
        return self.sum(task.micro_batch, flow.entered, task.tokens)

    def divided(self, task: Task, module: nn.Module, block: str) -> None:
        """A whole attention or MLP, on all tokens that this rank has or was sent."""
        m, first = pass_of(task), task.tokens[0]
        own = self.flows[m].normed
        entered = self.exchanged.in_order(m, f"{block}.in", Payload.TILE, own, self.own_first[m])

        def work(x: Tensor) -> Tensor:
            if isinstance(module, Attention):
                q, k, v = module.enter(x, first)
                return module.leave(module.core(q, *self.remember(block, k, v, first), first))
            assert isinstance(module, Mlp)
            return module.leave(module.enter(x))

        (partial,) = self.segments.run(key_of(task), work, entered)
        self.put_out(task, block, partial)

    def put_out(self, task: Task, block: str, partial: Tensor) -> None:
        m = pass_of(task)
        self.exchanged.keep(m, f"{block}.out", Payload.PARTIAL, partial, task.tile)
        self.flows[m].behind = block

    def divided_back(self, task: Task, module: nn.Module, block: str) -> None:
        m = pass_of(task)
        flow = self.flows[m]
        assert flow.branch_gradient is not None
        gradient = self.exchanged.in_order(m, f"{block}.out", Payload.GRADIENT, flow.branch_gradient, self.own_first[m])
        (entered,) = self.segments.back(key_of(task), gradient)
        self.put_back(task, f"{block}.in", entered)

    def put_back(self, task: Task, place: str, gradient: Tensor | None) -> None:
        assert gradient is not None
        m = pass_of(task)
        self.exchanged.keep(m, place, Payload.PARTIAL, gradient)
        self.flows[m].entered = place

    def is_head(self, task: Task) -> bool:
        return isinstance(self.parts[block_of(task.block)[0]], Head)

    def part(self, task: Task, module: nn.Module, block: str, part: str) -> None:
        """One part of an attention or MLP, of one tile or of the own tokens."""
        m, tile = pass_of(task), task.tile
        match part:
            case "in":
                x = self.flows[m].normed
                if tile is not None and tile != self.me:
                    x = self.exchanged.tiles(m, f"{block}.in", Payload.TILE)[tile]
                if isinstance(module, Attention):
                    q, k, v = self.segments.run(key_of(task), lambda t: module.enter(t, task.tokens[0]), x)
                    self.inner[block][task.tokens[0]] = (q, k, v)
                    if tile is None:
                        self.exchanged.keep(m, f"{block}.core", Payload.KV, torch.stack([k, v]))
                else:
                    assert isinstance(module, Mlp)
                    self.inner[block][tile] = self.segments.run(key_of(task), module.enter, x)[0]
            case "core":
                assert isinstance(module, Attention)
                self.inner[block][None] = self.core(task, module, block)
            case "out":
                assert isinstance(module, Attention | Mlp)
                inner = self.inner[block].pop(tile) if isinstance(module, Mlp) else self.inner[block][None]
                if isinstance(module, Attention) and tile is not None:
                    inner = piece(inner, task.tokens)
                self.put_out(task, block, self.segments.run(key_of(task), module.leave, inner)[0])

    def core(self, task: Task, module: Attention, block: str) -> Tensor:
        """Scores and their use, of all tiles that entered, or of the own tokens on all tokens' K and V."""
        m, first = pass_of(task), task.tokens[0]
        entered = self.inner.pop(block)
        if len(entered) > 1:
            q, k, v = (torch.cat([entered[start][i] for start in sorted(entered)], dim=2) for i in range(3))  # type: ignore[type-var]
        else:
            ((q, k, v),) = entered.values()
            k, v = self.exchanged.in_order(
                m, f"{block}.core", Payload.KV, torch.stack([k, v]), first, dimension=_KV_TOKENS
            )
        k, v = self.remember(block, k, v, 0)
        (context,) = self.segments.run(key_of(task), lambda *qkv: module.core(*qkv, first), q, k, v)
        return context

    def remember(self, block: str, k: Tensor, v: Tensor, first: int) -> tuple[Tensor, Tensor]:
        """K and V of all tokens so far, where tokens are generated; else those given."""
        if not self.workload.new_tokens:
            return k, v
        if first == 0:
            room = list(k.shape)
            room[2] = self.workload.tokens + self.workload.new_tokens
            self.cache[block] = (k.new_empty(room), v.new_empty(room))
        stop = first + k.shape[2]
        for store, new in zip(self.cache[block], (k, v), strict=True):
            store[:, :, first:stop] = new
        keys, values = self.cache[block]
        return keys[:, :, :stop], values[:, :, :stop]

    def part_back(self, task: Task, module: nn.Module, block: str, part: str) -> None:
        m = pass_of(task)
        match part:
            case "out":
                (self.inner[block][None],) = self.segments.back(key_of(task), self.flows[m].branch_gradient)
            case "core":
                q, k, v = self.segments.back(key_of(task), self.inner[block][None])
                assert k is not None
                assert v is not None
                self.inner[block][None] = q
                self.exchanged.keep(m, f"{block}.core", Payload.PARTIAL, torch.stack([k, v]))
            case "in":
                k, v = self.sum(m, f"{block}.core", task.tokens, _KV_TOKENS)
                (entered,) = self.segments.back(key_of(task), self.inner.pop(block)[None], k, v)
                self.put_back(task, f"{block}.in", entered)

    # Head, loss, choice

    def head(self, task: Task, module: Head, part: str) -> None:
        """What leads to the vocabulary; or the logits of own words, and what they say of the loss or the next token."""
        m = pass_of(task)
        flow = self.flows[m]
        if part == "in":
            (flow.normed,) = self.segments.run(key_of(task), module.enter, flow.normed)
            return
        work = module.leave if part else lambda x: module.leave(module.enter(x))
        (logits,) = self.segments.run(key_of(task), work, self.entering_head(task, flow))
        self.logits[m, task.tokens[0]] = logits
        if self.training:
            own = statistics(logits, self.labels(task), task.units[0])
            self.exchanged.keep(m, task.block, Payload.VOCABULARY, own)
        elif self.workload.new_tokens:
            best, word = logits[:, -1:].max(dim=-1)
            self.exchanged.keep(
                m, task.block, Payload.VOCABULARY, torch.stack([best, (word + task.units[0]).float()], dim=-1)
            )

    def entering_head(self, task: Task, flow: Flow) -> Tensor:
        m = pass_of(task)
        arrived = self.exchanged.tiles(m, task.block, Payload.TILE)
        if task.tile is not None:
            return flow.normed if task.tile == self.me else arrived[task.tile]
        if self.workload.new_tokens:
            return next(iter(arrived.values()), flow.normed[:, -1:])
        return self.exchanged.in_order(m, task.block, Payload.TILE, flow.normed, self.own_first[m])

    def labels(self, task: Task) -> Tensor:
        start = pass_of(task) * self.samples
        return piece(self.targets[start : start + self.samples], task.tokens)

    def head_back(self, task: Task, module: Head, part: str) -> None:
        m = pass_of(task)
        if part == "in":
            (entered,) = self.segments.back(key_of(task), self.input_gradient(task, self.flows[m]))
            self.put_back(task, task.block, entered)
            return
        own = self.exchanged.of_own(m, task.block, Payload.VOCABULARY, None)
        everyone = [own, *self.exchanged.tiles(m, task.block, Payload.VOCABULARY).values()]
        logits = self.logits.pop((m, task.tokens[0]))
        loss, gradient = loss_gradient(logits, self.labels(task), task.units[0], everyone)
        share = 1 / (architecture(self.model).labelled(self.workload.tokens) * self.workload.batch_samples)
        if task.units[0] == 0:
            self.sum_of_losses += float(loss) * share
        (entered,) = self.segments.back(key_of(task), gradient * share)
        self.put_back(task, task.block, entered)

    def choose(self, m: int) -> Tensor:
        """The best of all ranks' best tokens of a pass, the first of equals: ids [samples, 1]."""
        place = (m, self.vocabulary, Payload.VOCABULARY)
        candidates = [*self.exchanged.tiles(*place).values(), *self.exchanged.made[place].values()]
        both = torch.cat(candidates, dim=1)  # [samples, ranks, best and word]
        best = both[..., 0].max(dim=1, keepdim=True).values
        word = both[..., 1].where(both[..., 0] == best, torch.inf).min(dim=1, keepdim=True).values.long()
        self.chosen.append(word)
        return word

    # Messages

    def reduced(self, task: Task) -> Tensor:
        """What an all-reduce adds up, in place: a partial output or input gradient, or shared weights' gradients."""
        if task.payload is None:
            assert self.weights is not None
            return self.weights.shared_gradients
        block, _ = block_of(task.block)
        place = f"{block}.out" if task.payload is Payload.ACTIVATION else f"{block}.in"
        if self.is_head(task):
            place = task.block
        return self.exchanged.of_own(task.micro_batch, place, Payload.PARTIAL, None)

    def outgoing(self, task: Task) -> Tensor:
        """The tensor that a SEND carries."""
        tensor = self.to_go(task)
        self.exchanged.sent(task)
        return tensor

    def to_go(self, task: Task) -> Tensor:
        assert task.payload is not None
        assert task.tile is not None
        m = pass_of(task)
        if task.payload is Payload.PARTIAL:
            dimension = _KV_TOKENS if task.block.endswith(".core") else 1
            own = self.exchanged.of_own(m, task.block, Payload.PARTIAL, task.tile)
            return self.exchanged.added(m, task.block, task.tile, piece(own, task.tokens, dimension)).contiguous()
        arrived = self.exchanged.tiles(m, task.block, task.payload)
        if task.tile in arrived:
            return arrived[task.tile]
        return self.own_tile(task, m).contiguous()

    def own_tile(self, task: Task, m: int) -> Tensor:
        """This rank's own complete tile; or what it has added up for all, as the hub of a star."""
        is_head = self.is_head(task)
        left = task.block.endswith(".out") and not is_head
        if task.payload in (Payload.KV, Payload.VOCABULARY):
            return self.exchanged.of_own(m, task.block, task.payload, None)
        if left == (task.payload is Payload.TILE):  # what left forward or entered backward was partial: a hub's sum
            return self.sum(m, task.block, task.tokens)
        flow = self.flows[m]
        if task.payload is Payload.TILE:
            return flow.normed[:, -1:] if is_head and self.workload.new_tokens else flow.normed
        assert flow.branch_gradient is not None
        return flow.branch_gradient

    def incoming(self, task: Task) -> Tensor:
        """Where a RECV puts what arrives."""
        tokens = task.tokens[1] - task.tokens[0] or self.workload.tokens
        if task.payload is Payload.VOCABULARY:
            return self.exchanged.buffer(task, (self.samples, tokens, 2))
        if task.block.endswith(".core"):
            module = self.parts[block_of(task.block)[0]]
            assert isinstance(module, Attention)
            heads = module.key.weight.shape[0] // module.head_size
            return self.exchanged.buffer(task, (2, self.samples, heads, tokens, module.head_size))
        return self.exchanged.buffer(task, (self.samples, tokens, self.hidden))


def block_of(name: str) -> tuple[str, str]:
    """``encoder.0/mlp.in`` is block ``encoder.0/mlp`` and its part ``in``."""
    layer, _, rest = name.partition("/")
    block, _, part = rest.partition(".")
    return f"{layer}/{block}", part


def key_of(task: Task) -> tuple[int | None, str]:
    """What a forward pass and its backward pass have in common."""
    return task.micro_batch, task.block


def pass_of(task: Task) -> int:
    """Its micro-batch, or the number of its generating pass."""
    assert task.micro_batch is not None, f"{task}: belongs to a micro-batch"
    return task.micro_batch


def piece(tensor: Tensor, tokens: tuple[int, int], dimension: int = 1) -> Tensor:
    """Of a tensor of all tokens those in the range; a tensor of these alone, or of (0, 0), as it is."""
    first, stop = tokens
    if stop == 0 or tensor.shape[dimension] == stop - first:
        return tensor
    return tensor.narrow(dimension, first, stop - first)
