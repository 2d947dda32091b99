"""What would each candidate stage of the first phase have to write and to send on? The cache as columns.

Devices are of one kind where they can be swapped and have the same share of the second phase. Replicas of a kind share
evenly, which moves least. Among kinds every way to share is a candidate: one that computes longer may move less.
"""

import numpy as np
from numpy.typing import NDArray

from edgesim.planners.device_types import interchangeable, split
from edgesim.planners.exact.all_shares import AllSharesCandidates
from edgesim.planners.exact.pipelines.candidate_links import Floats, Ints, Loads
from edgesim.planners.exact.pipelines.candidates import Candidates
from edgesim.planners.exact.two_phases.redistribution import Redistribution


class CachingCandidates(AllSharesCandidates):
    """The candidates of a problem whose layers' outputs are written to disks and sent to shares of the second phase."""

    def __init__(self, to: Redistribution, like: Candidates) -> None:
        self.to = to
        kinds = split(interchangeable(to.phase.problem.cluster), lambda rank: to.shares[rank])
        super().__init__(to.phase.problem, like.family, kinds=kinds, like=like)

    def furthest(self, kind: int, share: int, replicas: int) -> Ints:
        """Return, [range], the furthest position at which memory suffices; 0 where the disk is too small."""
        key = (kind, share, replicas)
        if key not in self._furthest:
            furthest = super().furthest(kind, share, replicas)
            rank = self.kinds[kind][0]
            fits = [self.to.fits_on_disk(rank, share, (int(i), int(j))) for i, j in self.ranges]
            self._furthest[key] = np.where(fits, furthest, 0)
        return self._furthest[key]

    def loads(self, g: int) -> Loads:
        """Return messages and links of a group; a disk is one more link, which carries a stage's outputs."""
        loads, outputs = super().loads(g), self._outputs()
        rates = [self.problem.cluster.devices[self.kinds[kind][0]].writes_bytes_per_s for kind, _ in self.groups[g]]
        written_s = np.outer(np.max(self.splits[g] / np.array(rates), axis=1), outputs)
        fields = {name: getattr(loads, name) for name in Loads.__slots__}
        fields["link_s"] = np.maximum(loads.link_s, written_s)
        fields["link_forward_s"] = np.maximum(loads.link_forward_s, written_s)
        return Loads(**fields)

    def one_time(self, g: int) -> tuple[Floats, Floats]:
        """Return [split, range] and [split, range, resource] seconds of the redistribution, per iteration."""
        group, iterations = self.groups[g], self.to.phase.iterations
        size = sum(n for _, n in group)
        continuing = sum(n for kind, n in group if self.to.shares[self.kinds[kind][0]])
        own, air = [], []
        for i, (kind, n) in enumerate(group):
            least, more = np.divmod(self.totals(group)[:, i], n)
            own += [self._one_time(kind, share, size, continuing)[0] for share in (least, least + (more > 0))]
            low, high = (self._one_time(kind, share, size, continuing)[1] for share in (least, least + 1))
            air.append((n - more)[:, None] * low + more[:, None] * high)
        shared = np.sum(air, axis=0)[:, :, None] / iterations
        return np.max(own, axis=0) / iterations, shared if self.to.transfers.shares_air else shared[:, :, :0]

    def _one_time(self, kind: int, shares: Ints, size: int, continuing: int) -> tuple[Floats, Floats]:
        """Return, [split, range], seconds of a device alone, and of the air, less what it takes if it is idle."""
        rank, to = self.kinds[kind][0], self.to
        idle_s, rows = to.air_s(rank, to.idle(rank)), dict[int, tuple[Floats, Floats]]()
        for share in set(shares.tolist()):
            moved = to.moved(rank, share, self.ranges[:, 0], self.ranges[:, 1], size, continuing)
            rows[share] = to.own_s(rank, moved), to.air_s(rank, moved) - idle_s
        return np.array([rows[s][0] for s in shares.tolist()]), np.array([rows[s][1] for s in shares.tolist()])

    def worse(
        self, kept: NDArray[np.bool_], forward: Floats, backward: Floats, loads: Loads, one_time: Floats
    ) -> NDArray[np.bool_]:
        """Return, [split, range], splits that lose more than they can save on links and on what moves once."""
        if self.to.transfers.shares_air:
            return np.zeros_like(kept)
        fastest = np.argmin(np.where(kept, forward + backward, np.inf), axis=0), np.arange(kept.shape[1])
        links_s = loads.most_s(self.problem.workload.micro_batches - 1)
        saved_s = np.maximum(links_s[fastest] - links_s, 0) + np.maximum(one_time[fastest] - one_time, 0)
        slower: NDArray[np.bool_] = forward - forward[fastest] >= saved_s
        slower[fastest] = False
        return slower

    def _outputs(self) -> Floats:
        """Return, [range], the bytes of a sample's outputs."""
        nbytes: Floats = self.to.outputs[self.ranges[:, 1]] - self.to.outputs[self.ranges[:, 0]]
        return nbytes
