"""When does each rank run what, where ranks divide the blocks of one stage? Tensor, sequence and hybrid parallelism.

Between blocks a rank holds the sequence *whole*, or only the *tokens* that are its own. Blocks are of three sorts:

    units     attention, MLP and the head's vocabulary, of which each rank computes its heads or columns:
              whole: an all-reduce behind each; own tokens: an all-gather before and a reduce-scatter behind
    own       blocks that each rank computes for what it holds
    sequence  attention over own tokens only: K and V of all tokens are gathered within it

                  between blocks    attention    MLP, vocabulary   else
    tensor        whole             units        units             own
    sequence      own tokens        sequence     own               own
    hybrid_model  own tokens        units        units             own

A decoder that reads an encoder's output runs with the sequence whole: its own tokens are few. Backward passes mirror
forward ones: what was gathered is scattered, and the other way round. Generation goes on token by token with the
sequence whole; where weights are not divided (sequence) by one rank alone, since all have K and V.
"""

from collections.abc import Iterator, Sequence

from edgesim.apportion import ranges
from edgesim.errors import PlanError
from edgesim.model import Block, BlockKind, Layer, Model
from edgesim.plan import Plan, Stage
from edgesim.schedule import Op, Payload, Schedule, Task
from edgesim.strategies.collectives import Exchange, Hop, gather, scatter
from edgesim.strategies.orders import one_forward_one_backward
from edgesim.strategies.program import Names, Program, whole_bytes
from edgesim.units import BYTES_PER_FLOAT32
from edgesim.workload import Purpose, Workload

_DIVIDED = (BlockKind.ATTENTION, BlockKind.MLP)
_KNOWN = (*_DIVIDED, BlockKind.EMBEDDING, BlockKind.CONNECTIVE, BlockKind.HEAD)
Span = tuple[int, int]
# A rank's best token of its columns and how good it is; of a loss, a log-sum-exp and the target's logit. FP32 or int32.
_NUMBERS_OF_VOCABULARY = 2


def divide_blocks(
    plan: Plan, model: Model, workload: Workload, *, strategy: str, units: bool, tokens: bool, exchange: Exchange,
    overlap: bool = False,
) -> Schedule:  # fmt: skip
    """The checked schedule of one iteration: of training, of inference, or of a request with the tokens it generates.

    ``units`` and ``tokens`` say what ranks divide, ``overlap`` whether products run beside the exchanges they feed or
    are fed by. Raises PlanError for a plan or a model that is not divided so, ScheduleError.
    """
    (stage,) = _checked(plan, model, workload, strategy, units, tokens)
    programs = {
        rank: tuple(
            _Writer(plan, model, workload, rank, units=units, exchange=Exchange(exchange), overlap=overlap).tasks()
        )
        for rank in stage.ranks
    }
    schedule = Schedule(tuple(programs.get(rank, ()) for rank in range(max(programs) + 1)))
    schedule.check()
    return schedule


def _checked(
    plan: Plan, model: Model, workload: Workload, strategy: str, units: bool, tokens: bool
) -> tuple[Stage, ...]:
    stage = plan.stages[0]
    if len(plan.stages) != 1:
        raise PlanError(f"{strategy}: the plan has {len(plan.stages)} stages, blocks are divided in one")
    if stage.layers[1] != len(model.layers):
        raise PlanError(f"plan covers {stage.layers[1]} layers, {model.name} has {len(model.layers)}")
    if (bool(stage.heads), bool(stage.tokens)) != (units, tokens):
        wanted = " and ".join([*(["heads and columns"] if units else []), *(["tokens"] if tokens else [])])
        raise PlanError(f"{strategy} divides {wanted}; the plan says {plan} (take a planner that divides these)")
    for layer in model.layers:
        for block in layer.blocks:
            if block.kind not in _KNOWN or (block.kind in _DIVIDED and not block.parts):
                raise PlanError(f"{strategy} divides transformers; {model.name} has {layer.name}/{block.name}")
            if block.tied_bytes and block.trainable and units and workload.purpose is not Purpose.INFER:
                raise PlanError(
                    f"{strategy}: {layer.name} of {model.name} trains weights tied to {block.tied_to}, of which each "
                    "rank would change its columns only (untie them: model.tied=false)"
                )
    return plan.stages


class _Writer:
    """Writes one rank's program."""

    def __init__(
        self, plan: Plan, model: Model, workload: Workload, rank: int, *, units: bool, exchange: Exchange, overlap: bool
    ) -> None:
        self.plan, self.model, self.workload = plan, model, workload
        self.stage = plan.stages[0]
        self.rank, self.me, self.n = rank, self.stage.ranks.index(rank), len(self.stage.ranks)
        self.units, self.exchange, self.overlap = units, exchange, overlap and workload.purpose is Purpose.INFER
        self.samples = plan.micro_batch_samples
        self.tiles = ranges(self.stage.tokens)
        self.program = Program(self.stage, rank)
        self.ready: Names = ()  # what the next computation waits for, beside those before it
        self.now = (0, 0)  # the tokens of a generating pass; (0, 0) in all others
        self.told_of: dict[int, Names] = {}  # by micro-batch: what brings the sums of a loss

    def tasks(self) -> Sequence[Task]:
        """The whole program."""
        if self.workload.purpose is not Purpose.INFER:
            micro_batches = self.plan.micro_batches
            for op, m in one_forward_one_backward(micro_batches=micro_batches, in_flight=self.stage.in_flight):
                self.forward(m) if op is Op.F else self.backward(m)
            self.update()
        elif self.workload.new_tokens:
            self.generate()
        else:
            for m in range(self.plan.micro_batches):
                self.forward(m)
                self.ready = ()
        return self.program.tasks

    def blocks(self) -> Iterator[tuple[int, Layer, Block]]:
        """Layer, number and block, in order; of a head the product onto the vocabulary apart from what leads to it."""
        for i, layer in enumerate(self.model.layers):
            for block in layer.blocks:
                if block.kind is BlockKind.HEAD and block.parts:
                    yield from ((i, layer, part) for part in block.parts)
                else:
                    yield i, layer, block

    def whole(self, layer: Layer) -> bool:
        """Whether a rank holds the whole sequence in this layer."""
        reads_encoder = any(block.name == "cross_attention" for block in layer.blocks)
        after_decoder = layer is self.model.layers[-1] and any(
            block.name == "cross_attention" for block in self.model.layers[-2].blocks
        )
        return not self.tiles or self.now != (0, 0) or reads_encoder or after_decoder

    def span(self, layer: Layer) -> Span:
        """The tokens that this rank holds in this layer."""
        return self.now if self.whole(layer) else self.tiles[self.me]

    def unit_range(self, block: Block) -> Span:
        return self.stage.unit_range(block, self.rank) if self.units else (0, 0)

    def tile_bytes(self, block: Block) -> list[int]:
        """Of each rank's tokens, the bytes of what a block puts out."""
        return [whole_bytes(block, self.samples, stop - start) for start, stop in self.tiles]

    def generate(self) -> None:
        """Read the prompt, then one token at a time; each pass chooses the next token."""
        first = self.workload.tokens
        for m in range(self.workload.new_tokens):
            if m:
                self.now = (first + m - 1, first + m)
                if not self.units and self.me != self.alone:
                    return
            self.forward(m)
            self.next_token(m)

    # Forward

    def forward(self, m: int) -> None:
        """One pass over all blocks."""
        held_whole = True
        for i, layer, block in self.blocks():
            name = f"{layer.name}/{block.name}"
            if block is layer.blocks[0] and self.whole(layer) and not held_whole:
                self.make_whole(i, name, m)
            held_whole = self.whole(layer)
            if block.kind is BlockKind.ATTENTION and not self.units and not self.whole(layer):
                self.attend_to_all(i, name, block, m)
            elif block.kind in _DIVIDED and self.units:
                self.reduced(i, name, block, m) if self.whole(layer) else self.scattered(i, name, block, m)
            elif block.kind is BlockKind.HEAD and self.unit_range(block) != (0, 0):
                self.vocabulary(i, name, layer, block, m)
            elif block.kind is BlockKind.HEAD and self.workload.new_tokens and not self.whole(layer):
                if self.me == self.n - 1:  # who has the prompt's last token
                    self.compute(Op.F, i, name, m, tokens=self.asked)
            else:
                self.compute(Op.F, i, name, m, tokens=self.span(layer))

    def compute(self, op: Op, i: int, name: str, m: int | None, **how: object) -> str:
        """A computation that waits for what was exchanged before."""
        done = self.program.compute(op, i, name, m, needs=self.ready, **how)  # type: ignore[arg-type]
        self.ready = ()
        return done

    def make_whole(self, i: int, name: str, m: int) -> None:
        """Gather all tokens of what the layer before gave; the decoder then reads it whole."""
        before = self.model.layers[i - 1].blocks[-1]
        self.ready = self.gathered(
            Payload.TILE, i, name, m,
            nbytes=self.tile_bytes(before), tokens=self.tiles, done=self.program.last, posted=self.program.posted,
        )  # fmt: skip

    def gathered(
        self, payload: Payload, i: int, name: str, m: int, *,
        nbytes: Sequence[int], tokens: Sequence[Span], done: str, posted: Names,
    ) -> Names:  # fmt: skip
        """Everybody's tile to everybody; what to wait for."""
        hops = gather(self.n, self.exchange)
        received = self.program.exchange(
            hops, payload, i, name, m, nbytes=nbytes, tokens=tokens, own={self.me: (done,)}, posted=posted
        )
        return tuple(task for names in received.values() for task in names)

    def attend_to_all(self, i: int, name: str, block: Block, m: int) -> None:
        """Own tokens look at all tokens: Q, K, V of the own; K and V of all; scores and exit of the own."""
        entering, core, _ = block.parts
        posted, span = self.program.posted, self.tiles[self.me]
        done = self.compute(Op.F, i, f"{name}.in", m, tokens=span)
        nbytes = [kv_bytes(entering, core, self.samples, stop - start) for start, stop in self.tiles]
        self.ready = self.gathered(
            Payload.KV, i, f"{name}.core", m, nbytes=nbytes, tokens=self.tiles, done=done, posted=posted
        )
        self.compute(Op.F, i, f"{name}.core", m, tokens=span)
        self.compute(Op.F, i, f"{name}.out", m, tokens=span)

    def reduced(self, i: int, name: str, block: Block, m: int) -> None:
        """Own heads or columns of the whole sequence, then the sum over all ranks."""
        done = self.compute(Op.F, i, name, m, tokens=self.now, units=self.unit_range(block))
        nbytes = whole_bytes(block, self.samples, self.tokens_now)
        self.ready = self.summed(Payload.ACTIVATION, i, name, m, nbytes, done)

    @property
    def tokens_now(self) -> int:
        return self.now[1] - self.now[0] or self.workload.tokens

    def summed(self, payload: Payload, i: int, name: str, m: int, nbytes: int, done: str) -> Names:
        """An all-reduce of what ``done`` has computed; what to wait for."""
        if self.n == 1:
            return ()
        if self.exchange is Exchange.RING:
            return (self.program.all_reduce(payload, (i, i + 1), name, m, nbytes=nbytes, done=done),)
        forward = payload is Payload.ACTIVATION
        sizes, spans, posted = [nbytes] * self.n, [self.now] * self.n, self.program.posted
        to_hub = [hop for hop in scatter(self.n, self.exchange) if hop.tile == 0]
        head = self.model.layers[i].blocks[-1].kind is BlockKind.HEAD  # sums nothing forward
        block = f"{name}.out" if forward else name if head else f"{name}.in"
        sums = self.program.exchange(
            to_hub, Payload.PARTIAL, i, block, m, nbytes=sizes, tokens=spans, own={0: (done,)}, posted=posted
        )
        from_hub = [hop for hop in gather(self.n, self.exchange) if hop.tile == 0]
        complete = Payload.TILE if forward else Payload.GRADIENT
        own = {0: (done, *sums.get(0, ()))}
        received = self.program.exchange(
            from_hub, complete, i, block, m, nbytes=sizes, tokens=spans, own=own, posted=posted
        )
        return sums.get(0, ()) if self.me == 0 else received[0]

    def scattered(self, i: int, name: str, block: Block, m: int) -> None:
        """Gather all tokens, compute own heads or columns, and send everyone the sum for its tokens."""
        nbytes, units, posted = self.tile_bytes(block), self.unit_range(block), self.program.posted
        own = {self.me: (self.program.last,)}
        hops = gather(self.n, self.exchange)
        entered = self.program.exchange(
            hops, Payload.TILE, i, f"{name}.in", m, nbytes=nbytes, tokens=self.tiles, own=own, posted=posted
        )
        if self.overlap:
            posted, left = (self.program.last,), self.by_tiles(i, name, block, m, entered)
            hops = scatter(self.n, self.exchange)
            received = self.program.exchange(
                hops, Payload.PARTIAL, i, f"{name}.out", m, nbytes=nbytes, tokens=self.tiles, own=left, posted=posted
            )
            self.ready = received.get(self.me, ())
        else:
            posted = (self.program.last,)
            self.ready = tuple(task for names in entered.values() for task in names)
            done = self.compute(Op.F, i, name, m, units=units)
            self.ready = self.own_sum(i, f"{name}.out", m, nbytes, done, posted)

    def by_tiles(self, i: int, name: str, block: Block, m: int, entered: dict[int, Names]) -> dict[int, Names]:
        """Tile by tile: the own tile enters first, and leaves last (Galaxy, arXiv 2405.17245, tile-based overlap)."""
        units = self.unit_range(block)
        for step in range(self.n):
            tile = (self.me - step) % self.n
            self.ready = entered.get(tile, ())
            self.compute(Op.F, i, f"{name}.in", m, tokens=self.tiles[tile], units=units, tile=tile)
        for part in block.parts[1:-1]:
            self.compute(Op.F, i, f"{name}.{part.name.partition('.')[2]}", m, units=units)
        left: dict[int, Names] = {}
        for step in range(self.n):
            tile = (self.me + self.n - 1 - step) % self.n
            done = self.compute(Op.F, i, f"{name}.out", m, tokens=self.tiles[tile], units=units, tile=tile)
            left[tile] = (done,)
        return left

    def vocabulary(self, i: int, name: str, layer: Layer, block: Block, m: int) -> None:
        """Own columns of the vocabulary, for all tokens, or for the last one where that is all that is asked for."""
        units = self.unit_range(block)
        if self.whole(layer):
            self.compute(Op.F, i, name, m, tokens=self.asked, units=units)
        else:
            hops, nbytes, tokens = (
                list(gather(self.n, self.exchange)),
                self.tile_bytes(self.entering_head()),
                self.tiles,
            )
            if self.workload.new_tokens:
                hops = [hop for hop in hops if hop.tile == self.n - 1]
                nbytes = [whole_bytes(self.entering_head(), self.samples, 1)] * self.n
                tokens = (self.asked,) * self.n
            entered = self.program.exchange(
                hops, Payload.TILE, i, name, m,
                nbytes=nbytes, tokens=tokens, own={self.me: (self.program.last,)}, posted=self.program.posted,
            )  # fmt: skip
            if self.overlap and not self.workload.new_tokens:
                for step in range(self.n):
                    tile = (self.me - step) % self.n
                    self.ready = entered.get(tile, ())
                    self.compute(Op.F, i, name, m, tokens=self.tiles[tile], units=units, tile=tile)
            else:
                self.ready = tuple(task for names in entered.values() for task in names)
                self.compute(Op.F, i, name, m, tokens=self.asked, units=units)
        if self.workload.purpose is not Purpose.INFER:
            self.told_of[m] = self.told(i, name, m, self.workload.tokens)

    @property
    def asked(self) -> Span:
        """The tokens whose logits are wanted: all, or only what predicts the next token."""
        if self.now != (0, 0) or not self.workload.new_tokens:
            return self.now
        return (self.workload.tokens - 1, self.workload.tokens)

    def entering_head(self) -> Block:
        """The block whose output the vocabulary's product reads."""
        *_, before, _ = (block for _, _, block in self.blocks())
        return before

    def told(self, i: int, name: str, m: int, tokens: int) -> Names:
        """Tell each other what the own columns say of so many tokens; what to wait for."""
        nbytes = [_NUMBERS_OF_VOCABULARY * BYTES_PER_FLOAT32 * self.samples * tokens] * self.n
        return self.gathered(
            Payload.VOCABULARY, i, name, m,
            nbytes=nbytes, tokens=[self.asked] * self.n, done=self.program.last, posted=self.program.posted,
        )  # fmt: skip

    def next_token(self, m: int) -> None:
        """What the ranks' columns say of the next token; or who has the prompt's last one tells who goes on alone."""
        *_, (i, layer, block) = self.blocks()
        name = f"{layer.name}/{block.name}"
        if self.units:
            self.ready = self.told(i, name, m, 1)
        elif m == 0 and (hop := Hop(self.n - 1, self.n - 1, self.alone)).source != hop.destination:
            nbytes = [_NUMBERS_OF_VOCABULARY * BYTES_PER_FLOAT32 * self.samples] * self.n
            received = self.program.exchange(
                [hop], Payload.VOCABULARY, i, name, m,
                nbytes=nbytes, tokens=[self.asked] * self.n, own={hop.tile: (self.program.last,)},
                posted=self.program.posted,
            )  # fmt: skip
            self.ready = received.get(hop.tile, ())

    @property
    def alone(self) -> int:
        """Who goes on where weights are not divided: the rank with the most tokens, which is the fastest."""
        return self.stage.tokens.index(max(self.stage.tokens))

    # Backward

    def backward(self, m: int) -> None:
        """One pass over all blocks, from the last to the first."""
        for i, layer, block in reversed(list(self.blocks())):
            name = f"{layer.name}/{block.name}"
            if block.kind is BlockKind.ATTENTION and not self.units and not self.whole(layer):
                self.attend_back(i, name, block, m)
            elif block.kind in _DIVIDED and self.units:
                self.divided_back(i, name, layer, block, m)
            elif block.kind is BlockKind.HEAD and self.unit_range(block) != (0, 0):
                self.vocabulary_back(i, name, layer, block, m)
            else:
                self.compute(Op.B, i, name, m, tokens=self.span(layer))

    def attend_back(self, i: int, name: str, block: Block, m: int) -> None:
        """Every rank has gradients of all K and V, and needs the sum of its own tokens'."""
        entering, core, _ = block.parts
        span, posted = self.tiles[self.me], self.program.posted
        self.compute(Op.B, i, f"{name}.out", m, tokens=span)
        done = self.compute(Op.B, i, f"{name}.core", m, tokens=span)
        nbytes = [kv_bytes(entering, core, self.samples, stop - start) for start, stop in self.tiles]
        self.ready = self.own_sum(i, f"{name}.core", m, nbytes, done, posted)
        self.compute(Op.B, i, f"{name}.in", m, tokens=span)

    def own_sum(self, i: int, name: str, m: int, nbytes: Sequence[int], done: str, posted: Names) -> Names:
        """Partial sums of all tiles, which ``done`` has computed, to their owners; what to wait for."""
        received = self.program.exchange(
            scatter(self.n, self.exchange), Payload.PARTIAL, i, name, m,
            nbytes=nbytes, tokens=self.tiles, own=dict.fromkeys(range(self.n), (done,)), posted=posted,
        )  # fmt: skip
        return received.get(self.me, ())

    def divided_back(self, i: int, name: str, layer: Layer, block: Block, m: int) -> None:
        """What was reduced needs a whole gradient, and gives a partial one of what entered."""
        units, entering = self.unit_range(block), self.entering_bytes(block)
        if self.whole(layer):
            done = self.compute(Op.B, i, name, m, units=units)
            self.ready = self.summed(Payload.GRADIENT, i, name, m, entering, done)
            return
        nbytes = self.tile_bytes(block)
        self.ready = self.gathered(
            Payload.GRADIENT, i, f"{name}.out", m,
            nbytes=nbytes, tokens=self.tiles, done=self.program.last, posted=self.program.posted,
        )  # fmt: skip
        posted = (self.program.last,)
        done = self.compute(Op.B, i, name, m, units=units)
        self.ready = self.own_sum(i, f"{name}.in", m, nbytes, done, posted)

    def entering_bytes(self, block: Block) -> int:
        """Of what enters attention or MLP; of cross-attention also the encoder's output."""
        own = whole_bytes(block, self.samples, self.workload.tokens)
        encoded = whole_bytes(self.model.layers[0].blocks[-1], self.samples, self.workload.tokens)
        return own + (encoded if block.name == "cross_attention" else 0)

    def vocabulary_back(self, i: int, name: str, layer: Layer, block: Block, m: int) -> None:
        """The loss needs all columns' sums; the gradient of what entered is partial."""
        posted = (self.program.last,)
        self.ready = (*self.ready, *self.told_of.pop(m))
        done = self.compute(Op.B, i, name, m, units=self.unit_range(block))
        before = self.entering_head()
        if self.whole(layer):
            nbytes = whole_bytes(before, self.samples, self.workload.tokens)
            self.ready = self.summed(Payload.GRADIENT, i, name, m, nbytes, done)
        else:
            self.ready = self.own_sum(i, name, m, self.tile_bytes(before), done, posted)

    # Update

    def update(self) -> None:
        """Add up the gradients of weights that every rank has seen its own tokens with, then step, block by block."""
        if self.n > 1 and (nbytes := self.shared_bytes()):
            done = self.program.last
            self.ready = (self.program.all_reduce(None, self.stage.layers, "", None, nbytes=nbytes, done=done),)
        for i, layer, block in self.blocks():
            if block.trainable and block.parameter_bytes:
                self.compute(Op.UPDATE, i, f"{layer.name}/{block.name}", None, units=self.unit_range(block))

    def shared_bytes(self) -> int:
        """Of weights that all ranks hold and each used for its own tokens; none where all used them for all tokens."""
        if not self.tiles:
            return 0
        return sum(
            block.parameter_bytes if self.unit_range(block) == (0, 0) else block.unsplit.parameter_bytes
            for _, _, block in self.blocks()
            if block.trainable
        )


def kv_bytes(entering: Block, core: Block, samples: int, tokens: int) -> int:
    """Bytes of K and V of so many tokens: what Q, K and V have beyond Q, which is as wide as attention's output."""
    return round(entering.output_bytes(samples, tokens) - core.output_bytes(samples, tokens))
