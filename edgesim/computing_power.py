"""What does a board draw above idle while it computes a task? Its watts by kind of block, weighed by the task's work.

A task of several blocks takes its seconds, measured or predicted; how much of them each block has is estimated as
``edgesim.profile`` estimates blocks on this device. Of ``b`` blocks with estimates ``e_b``:

    watts   sum of e_b (least_w of b's kind - idle_w) / sum of e_b    all through the task
    joules  sum of FLOP_b x joules per FLOP of b's kind               whatever time it takes

so that a task of one kind that reaches a fraction ``u`` of the peak draws what :class:`~edgesim.cluster.ComputeWatts`
says of it. Devices that name no kinds draw by pass: forward, backward, update. Updates always do.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from edgesim.cluster import ComputeWatts, Device
from edgesim.cluster.compute_watts import ANY_KIND
from edgesim.model import Block, BlockKind, Model
from edgesim.profile import BACKWARD, FORWARD, UPDATE, Portion, estimated_s, flop_and_bytes
from edgesim.schedule import Kind, Op
from edgesim.work import work_of

Floats = npt.NDArray[np.float64]
_BY_PASS = {FORWARD: "compute_w", BACKWARD: "backward_draw_w", UPDATE: "update_draw_w"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """What a computation draws above idle: watts as long as it lasts, and joules on top."""

    watts: float
    joules: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A kind of block's part of a task: its share of the seconds, as they are estimated, and its FLOP."""

    share: float
    flop: float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LayerDraws:
    """[layer + 1] sums over all layers before: estimated seconds, these times watts above idle, and joules of FLOP.

    ``flat_w`` are the watts above idle of what takes no estimated time at all.
    """

    seconds: Floats
    weighted_j: Floats
    joules: Floats
    flat_w: float

    def between(self, start: npt.NDArray[np.int64], stop: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Return [range] watts above idle, and joules on top, of layers from start to stop."""
        seconds = self.seconds[stop] - self.seconds[start]
        weighted_j = self.weighted_j[stop] - self.weighted_j[start]
        watts = np.where(seconds > 0, weighted_j / np.where(seconds > 0, seconds, 1.0), self.flat_w)
        return watts, self.joules[stop] - self.joules[start]


class ComputingPower:
    """Draws of a cluster's devices while they compute a model's layers and blocks, each found once.

    Raises ValueError for a device whose watts are of a kind of block that there is not.
    """

    def __init__(self, devices: Sequence[Device], model: Model, tokens: int) -> None:
        self.devices, self.model, self.tokens = devices, model, tokens
        for device in devices:
            for each in device.power.by_kind:
                if each.kind not in {*BlockKind, ANY_KIND}:
                    raise ValueError(
                        f"{device.name}: watts of {each.kind!r}, which is no kind of block "
                        f"(try {', '.join(BlockKind)}, or {ANY_KIND})"
                    )
        self.layers = cache(self._layers)
        self.of = cache(self._of)

    def _of(self, kind: Kind) -> Draw:
        """Return what a computation draws; the same for all micro-batches."""
        op = FORWARD if kind.op is Op.RECOMPUTE else str(kind.op)
        if not self.devices[kind.rank].power.by_kind or op == UPDATE:
            return self.by_pass(kind.rank, op)
        if kind.block:
            work = work_of(kind, self.model, self.tokens)
            seconds, weighted_j, joules = self._of_block(kind.rank, self.model.block(work.block), op, work.portion)
            return Draw(watts=weighted_j / seconds if seconds else self.by_pass(kind.rank, op).watts, joules=joules)
        return self.of_layers(kind.rank, kind.layers, op, kind.samples[1] - kind.samples[0])

    def by_pass(self, rank: int, op: str) -> Draw:
        """Return what a pass draws whose blocks are not told apart."""
        power = self.devices[rank].power
        return Draw(watts=float(getattr(power, _BY_PASS[op])) - power.idle_w)

    def of_layers(self, rank: int, layers: tuple[int, int], op: str, samples: int) -> Draw:
        """Return what a pass over consecutive layers draws, of so many samples at once; of the update, of none."""
        if not self.devices[rank].power.by_kind or op == UPDATE:
            return self.by_pass(rank, op)
        watts, joules = self.layers(rank, op, samples).between(np.array([layers[0]]), np.array([layers[1]]))
        return Draw(watts=float(watts[0]), joules=float(joules[0]))

    def least_w(self, rank: int, op: str) -> float:
        """Return watts above idle that no computation of this pass is below."""
        power = self.devices[rank].power
        least_w = [each.least_w for each in power.by_kind]
        return min([self.by_pass(rank, op).watts, *(watts - power.idle_w for watts in least_w)])

    def done(self, kind: Kind) -> dict[str, Done]:
        """Return by kind of block what a pass computes; nothing where it is estimated to take no time."""
        device, op = self.devices[kind.rank], FORWARD if kind.op is Op.RECOMPUTE else str(kind.op)
        if kind.block:
            work = work_of(kind, self.model, self.tokens)
            blocks, portion = [self.model.block(work.block)], work.portion
        else:
            blocks = [block for layer in self.model.layers[slice(*kind.layers)] for block in layer.blocks]
            portion = Portion(kind.samples[1] - kind.samples[0], self.tokens)
        seconds, flop = defaultdict[str, float](float), defaultdict[str, float](float)
        for block in blocks:
            seconds[block.kind] += estimated_s(device, block, op, portion)
            flop[block.kind] += flop_and_bytes(block, op, portion)[0]
        whole_s = sum(seconds.values())
        return {str(name): Done(share=own_s / whole_s, flop=flop[name]) for name, own_s in seconds.items() if whole_s}

    def _layers(self, rank: int, op: str, samples: int) -> LayerDraws:
        terms = [
            [
                sum(values)
                for values in zip(
                    *(self._of_block(rank, block, op, Portion(samples, self.tokens)) for block in layer.blocks),
                    strict=True,
                )
            ]
            for layer in self.model.layers
        ]
        seconds, weighted_j, joules = (
            np.array(list(accumulate((row[i] for row in terms), initial=0.0))) for i in range(3)
        )
        return LayerDraws(seconds=seconds, weighted_j=weighted_j, joules=joules, flat_w=self.by_pass(rank, op).watts)

    def _of_block(self, rank: int, block: Block, op: str, portion: Portion) -> tuple[float, float, float]:
        """Estimated seconds of a block, these times its watts above idle, and the joules of its FLOP."""
        device = self.devices[rank]
        seconds = estimated_s(device, block, op, portion)
        found = _watts_of(device, block.kind)
        if found is None:
            return seconds, seconds * self.by_pass(rank, op).watts, 0.0
        flop, _ = flop_and_bytes(block, op, portion)
        above_w = found.least_w - device.power.idle_w
        return seconds, seconds * above_w, flop * found.j_per_flop(device.flop_per_s)


def _watts_of(device: Device, kind: BlockKind) -> ComputeWatts | None:
    by_kind: Mapping[str, ComputeWatts] = {each.kind: each for each in device.power.by_kind}
    return by_kind.get(kind, by_kind.get(ANY_KIND))
