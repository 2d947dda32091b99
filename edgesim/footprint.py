"""How many bytes does a rank hold, second by second? The terms of memory.py as steps over its spans.

A footprint begins and ends with what is held through the whole iteration (Memory.resting_bytes). A micro-batch's stash
lives from its F to its B, or bucket by bucket to theirs; the transient of inference during its F, the ring's
part during its all-reduce, beside what is left of a stash where gradients are added up in buckets. Where a stage
recomputes, a stash lives from its RECOMPUTE on. The spans stand in the order of the rank's program, which is the order
in which its compute stream plays them.

Where tasks are of blocks, so are stashes and transients: of a block, from the first of its tasks to the last.
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt

from edgesim.cluster import Device
from edgesim.memory import Memory, RankLoad, Share, block_bytes, held_bytes, ring_bytes
from edgesim.model import BlockKind, Model, SplitBy
from edgesim.schedule import Kind, Op
from edgesim.trace import Floats, RankSpans
from edgesim.workload import Workload

Steps = tuple[Floats, Floats]  # seconds, and the bytes held from each on
Numbers = npt.NDArray[np.int64]


def memory_over_time(spans: RankSpans, model: Model, workload: Workload, device: Device) -> list[tuple[float, float]]:
    """Return a rank's memory as steps of (second, bytes from then on); no steps for a rank that computes nothing."""
    at_s, nbytes = Footprints(model, workload).over_time(spans, device)
    return list(zip(at_s.tolist(), nbytes.tolist(), strict=True))


class Footprints:
    """The footprints of all ranks of an iteration; the terms of ranks with the same load are computed once."""

    def __init__(self, model: Model, workload: Workload) -> None:
        self.model, self.workload = model, workload
        self._known: dict[RankLoad, Memory] = {}

    def held(self, load: RankLoad) -> Memory:
        """Return the terms of a load."""
        if load not in self._known:
            self._known[load] = held_bytes(self.model, self.workload, load)
        return self._known[load]

    def peak_bytes(self, spans: RankSpans, device: Device) -> float:
        """Return the most that a rank holds at any time; 0 for one that computes nothing."""
        return float(self.over_time(spans, device)[1].max(initial=0.0))

    def over_time(self, spans: RankSpans, device: Device) -> Steps:
        """Return a rank's memory as steps; none for a rank that computes nothing."""
        if any(kind.block for kind in spans.kinds if kind.op in (Op.F, Op.B)):
            return self._of_blocks(spans, device)
        rest, context_bytes = 0.0, device.context_bytes  # the latter once for a rank, whatever it holds
        changes, happens = np.zeros((len(spans), 2)), np.zeros((len(spans), 2), dtype=bool)  # at a span's start and end
        forward, backward, ring = spans.does(Op.F), spans.does(Op.B), spans.each(_adds_up, bool)
        again = spans.does(Op.RECOMPUTE)
        for layers in dict.fromkeys(kind.layers for kind in spans.kinds if kind.op is Op.F):
            mine = spans.each(partial(_is_of, layers), bool)
            load = replace(
                _load(spans, layers, mine & forward, mine & backward, context_bytes),
                recompute=bool((mine & again).any()),
            )
            held = self.held(load)
            stash_bytes = held.stash_bytes / (1 if load.recompute else load.in_flight)
            freed = spans.each(partial(self._freed_bytes, load, stash_bytes), float)
            added = spans.each(partial(_ring_bytes, held), float)
            rest, context_bytes = rest + held.resting_bytes, 0.0
            kept = again if load.recompute else forward
            changes[mine & forward] = held.transient_bytes, -held.transient_bytes
            changes[mine & kept, 0] += stash_bytes
            changes[mine & backward, 1] = -freed[mine & backward]
            changes[mine & ring] = np.stack([added, -added], axis=1)[mine & ring]
            happens[mine & (forward | again | ring), 0] = True
            happens[mine & (backward | ring | (forward & (held.transient_bytes != 0))), 1] = True
        order = np.argsort(spans.intervals[happens], kind="stable")  # buckets are added up beside computations
        return _steps(rest, spans.intervals[happens][order], changes[happens][order])

    def _freed_bytes(self, load: RankLoad, stash_bytes: float, kind: Kind) -> float:
        """What a backward lets go of: the micro-batch's stash, or of a bucket its layers' part of it."""
        if kind.op is not Op.B or kind.bucket is None:
            return stash_bytes
        names = {layer.name for layer in self.model.layers[slice(*kind.layers)]}
        needs = block_bytes(self.model, load.layers, samples=load.samples, workload=self.workload)
        return sum(need for name, need in needs if name.partition("/")[0] in names)

    @cached_property
    def _whole(self) -> dict[str, str]:
        """The name of the block of every block and part of one."""
        return {
            f"{layer.name}/{part.name}": f"{layer.name}/{block.name}"
            for layer in self.model.layers
            for block in layer.blocks
            for part in (block, *block.parts)
        }

    def _of_blocks(self, spans: RankSpans, device: Device) -> Steps:
        """The same for a rank whose tasks are blocks, parts of blocks, or tiles."""
        mine = np.flatnonzero(spans.does(Op.F, Op.B))
        kinds, micro_batch = spans.first(mine), spans.micro_batch[mine]
        rings = np.flatnonzero(spans.each(lambda kind: kind.op is Op.ALL_REDUCE and kind.payload is None, bool))
        layers = min(kind.layers[0] for kind in kinds), max(kind.layers[1] for kind in kinds)
        samples = kinds[0].samples[1] - kinds[0].samples[0]
        for kind in kinds:
            self.model.block(kind.block)  # raises ValueError for a block that the model lacks
        share = _share_of(spans.first(mine[micro_batch == micro_batch[0]]), self.model)
        load = RankLoad(
            layers=layers,
            samples=samples,
            in_flight=_most_at_once(micro_batch),
            micro_batches=len(set(micro_batch.tolist())),
            replicas=max((len(kind.peers) for kind in spans.first(rings)), default=1),
            context_bytes=device.context_bytes,
            share=share,
        )
        needs = dict(block_bytes(self.model, layers, samples=samples, workload=self.workload, share=share))
        blocks = {block: number for number, block in enumerate(needs)}
        block = spans.each(lambda kind: blocks.get(self._whole.get(kind.block, ""), 0), np.int64)[mine]
        first, last = _lives(micro_batch, block) if self.workload.trains else (np.arange(len(mine)),) * 2
        starts, ends = np.concatenate([mine[first], rings]), np.concatenate([mine[last], rings])
        spare = [ring_bytes(kind.nbytes, replicas=len(kind.peers)) for kind in spans.said(rings)]
        nbytes = np.concatenate([np.array(list(needs.values()))[block[first]], spare])
        at_s = np.stack([spans.start_s[starts], spans.end_s[ends]], axis=1).ravel()
        order = np.argsort(at_s, kind="stable")
        return _steps(self.held(load).resting_bytes, at_s[order], np.stack([nbytes, -nbytes], axis=1).ravel()[order])


def _is_of(layers: tuple[int, int], kind: Kind) -> bool:
    """Whether it is of these layers, or of some of them."""
    return layers[0] <= kind.layers[0] and kind.layers[1] <= layers[1]


def _adds_up(kind: Kind) -> bool:
    """Whether replicas add up their gradients; not those of weights that are tied between stages, which are few."""
    return kind.op is Op.ALL_REDUCE and kind.payload is None


def _ring_bytes(held: Memory, kind: Kind) -> float:
    """What an all-reduce of the load holds meanwhile; of a bucket the spare part of its own gradients."""
    return held.ring_bytes if kind.bucket is None else ring_bytes(kind.nbytes, replicas=len(kind.peers))


def _steps(rest: float, at_s: Floats, changes: Floats) -> Steps:
    """From changes of bytes at seconds to what is held from there on."""
    return np.concatenate([at_s[:1], at_s]), np.cumsum(np.concatenate([[rest][: len(at_s)], changes]))


def _load(
    spans: RankSpans,
    layers: tuple[int, int],
    forward: npt.NDArray[np.bool_],
    backward: npt.NDArray[np.bool_],
    context_bytes: float,
) -> RankLoad:
    """What a rank is given of these layers, by its computations of them."""
    start, stop = spans.said(np.flatnonzero(forward)[:1])[0].samples
    rings = [len(kind.peers) for kind in spans.kinds if _adds_up(kind) and _is_of(layers, kind)]
    over = backward & spans.each(lambda kind: kind.layers[0] == layers[0], bool)  # of buckets the last one
    updates = int(np.count_nonzero(spans.does(Op.UPDATE) & spans.each(partial(_is_of, layers), bool)))
    return RankLoad(
        layers=layers,
        samples=stop - start,
        in_flight=int(np.cumsum(forward.astype(np.int64) - over).max()),
        micro_batches=len(set(spans.micro_batch[forward].tolist())) // max(1, updates),  # of one iteration of several
        replicas=max(rings, default=1),
        context_bytes=context_bytes,
    )


def _lives(micro_batch: Numbers, block: Numbers) -> tuple[Numbers, Numbers]:
    """The first and the last of the tasks of every block and micro-batch, in the order of the first ones."""
    lives = micro_batch * (int(block.max()) + 1) + block
    _, first, number = np.unique(lives, return_index=True, return_inverse=True)
    last = np.zeros(len(first), dtype=np.int64)
    last[number] = np.arange(len(lives))  # the last one stays
    order = np.argsort(first)
    return first[order], last[order]


def _share_of(kinds: Iterable[Kind], model: Model) -> Share:
    """What of its stage a rank has, by the units and tokens of its first micro-batch, or of the prompt."""
    shares: dict[BlockKind, float] = {}
    tokens: int | None = None
    for kind in kinds:
        block = model.block(kind.block)
        if kind.units[1]:
            shares.setdefault(block.kind, (kind.units[1] - kind.units[0]) / block.splits)
        if kind.tokens[1] and tokens is None and block.split_by is SplitBy.TOKENS:
            tokens = kind.tokens[1] - kind.tokens[0]
    return Share(
        heads=shares.get(BlockKind.ATTENTION, 1.0),
        columns=shares.get(BlockKind.MLP, shares.get(BlockKind.HEAD, 1.0)),
        tokens=tokens,
    )


def _most_at_once(micro_batch: Numbers) -> int:
    """How many micro-batches are at most between the first and the last of their tasks."""
    first, last = _lives(micro_batch, np.zeros_like(micro_batch))
    begun = np.zeros(len(micro_batch) + 1, dtype=np.int64)
    begun[first] += 1
    begun[last + 1] -= 1
    return int(np.cumsum(begun).max())
