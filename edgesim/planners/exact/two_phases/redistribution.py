"""What moves between PAC's two phases, and how long does it take? Cached outputs to their trainers, adapters to all.

In the first epoch a rank of a stage computes n1 of the B samples of every micro-batch, and writes the outputs of its
layers to its disk as it goes. In the second phase it computes n2 of B and needs all layers' outputs of these samples,
and all weights that are left (PAC, arXiv 2408.10746). With S(n) the data set's samples that a share n is:

    own       S(min(n1, n2)) outputs of its layers: it gets samples that it has computed, as far as there are any
    received  S(n2) outputs of all layers - own, and the weights of the layers that it did not hold
    sent      S(n1) outputs of its layers - own, and its part of its layers' weights for all that did not hold them
    disk      outputs sent are read, outputs received are written, and what stays in memory is read once

Network and disks work at once; the slowest of all ends it (``transfers.py``). Assumed: a stage's ranks may take their
samples in any order, so that one rank's own samples need not be another's; what has been sent is deleted at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edgesim.cluster import Resource, ResourceKind
from edgesim.memory import carried_bytes
from edgesim.plan import Plan
from edgesim.planners.cost_models.migration import tied
from edgesim.planners.cost_models.transfers import Transfers
from edgesim.planners.exact.two_phases.cached_phase import CachedPhase, KeptSamples, Shares

Layers = tuple[int, int]
Floats = NDArray[np.float64]  # of one range of layers, or of many


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedBytes:
    """The bytes that one rank receives, sends, and reads or writes on its disk, for one range of layers or for many."""

    received: Floats
    sent: Floats
    disk: Floats


@dataclass(frozen=True, kw_only=True)
class Redistribution:
    """The move to shares of the second phase, and to where each rank then keeps its samples' outputs."""

    phase: CachedPhase
    shares: Shares
    kept: Sequence[KeptSamples]

    @cached_property
    def transfers(self) -> Transfers:
        """The rates among all ranks."""
        return Transfers(self.phase.problem.cluster.network, self.phase.problem.ranks)

    @cached_property
    def outputs(self) -> Floats:
        """[layer] bytes of a sample's outputs of all layers before it."""
        return np.concatenate([[0.0], np.cumsum(self.phase.layer_bytes, dtype=float)])

    @cached_property
    def weights(self) -> Floats:
        """[layer] bytes of the second phase's weights of all layers before it; copies count where they are read."""
        second = self.phase.second
        own = [carried_bytes(layer, second.workload) for layer in second.model.layers]
        for layer, _, nbytes in tied(second):
            own[layer] += nbytes
        return np.concatenate([[0.0], np.cumsum(own, dtype=float)])

    @cached_property
    def in_memory(self) -> dict[int, int]:
        """By rank, how many samples' outputs stay in memory."""
        return {kept.rank: kept.in_memory for kept in self.kept}

    def moved(
        self, rank: int, share: int, start: NDArray[np.int64], stop: NDArray[np.int64], replicas: int, taking_part: int
    ) -> MovedBytes:
        """Return what a rank moves that has this share of a stage of the first phase, of the layers from start to stop.

        ``taking_part`` of the stage's replicas have a share of the second phase, the rank itself or not. A rank without
        a share and without layers is idle in the first phase.
        """
        samples, later = self.phase.samples, self.shares[rank]
        outputs, weights = self.outputs[stop] - self.outputs[start], self.weights[stop] - self.weights[start]
        own = samples(min(share, later)) * outputs
        received, sent = samples(later) * self.phase.sample_bytes - own, samples(share) * outputs - own
        others = sum(n > 0 for n in self.shares) - taking_part
        return MovedBytes(
            received=received + (self.weights[-1] - weights if later else 0.0),
            sent=sent + (others * weights / replicas if replicas else 0.0),
            disk=received + sent + self.in_memory.get(rank, 0) * self.phase.sample_bytes,
        )

    def idle(self, rank: int) -> MovedBytes:
        """Return what a rank moves that is idle in the first phase."""
        nothing = np.zeros((), dtype=np.int64)
        return self.moved(rank, 0, nothing, nothing, 0, 0)

    def own_s(self, rank: int, moved: MovedBytes) -> Floats:
        """Return the seconds of the rank's disk, and of its network card where the channel is not shared."""
        disk_s = moved.disk / self.phase.problem.cluster.devices[rank].disk_bytes_per_s
        if self.transfers.shares_air:
            return disk_s
        download_s, upload_s = (
            moved.received * self.transfers.download_s(rank),
            moved.sent * self.transfers.upload_s(rank),
        )
        longest_s: Floats = np.maximum(disk_s, np.maximum(download_s, upload_s))
        return longest_s

    def air_s(self, rank: int, moved: MovedBytes) -> Floats:
        """Return the seconds of the shared channel; 0 if there is none."""
        return moved.received * (self.transfers.download_s(rank) if self.transfers.shares_air else 0.0)

    def seconds(self, first: Plan) -> float:
        """Return the seconds from the first phase's end to the second's beginning."""
        moved = {rank: self.idle(rank) for rank in self.phase.problem.ranks if rank not in first.ranks}
        for stage in first.stages:
            taking_part = sum(self.shares[rank] > 0 for rank in stage.ranks)
            start, stop = (np.array(layer) for layer in stage.layers)
            for rank, share in zip(stage.ranks, stage.samples, strict=True):
                moved[rank] = self.moved(rank, share, start, stop, len(stage.ranks), taking_part)
        own_s = max(float(self.own_s(rank, of)) for rank, of in moved.items())
        return max(own_s, sum(float(self.air_s(rank, of)) for rank, of in moved.items()))

    def written_s(self, first: Plan) -> dict[Resource, float]:
        """The seconds for which each disk writes, per micro-batch of the first phase."""
        devices = self.phase.problem.cluster.devices
        return {
            Resource(ResourceKind.DISK, (rank,)): share
            * float(self.outputs[stage.layers[1]] - self.outputs[stage.layers[0]])
            / devices[rank].writes_bytes_per_s
            for stage in first.stages
            for rank, share in zip(stage.ranks, stage.samples, strict=True)
        }

    def fits_on_disk(self, rank: int, share: int, layers: Layers) -> bool:
        """Return whether the rank's disk has room for what it computes in the first phase."""
        nbytes = self.phase.samples(share) * (self.outputs[layers[1]] - self.outputs[layers[0]])
        return bool(nbytes <= self.phase.disk_bytes[rank])
