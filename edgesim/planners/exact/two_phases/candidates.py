"""What would each candidate stage of the first phase have to write and to send on? The cache as columns.

Devices are of one kind where they can be swapped and have the same share of the second phase. Replicas of a kind share
evenly, which moves least. But among kinds every way to share counts: one that computes longer may move less.
"""

import numpy as np
from numpy.typing import NDArray

from edgesim.planners.device_types import interchangeable, split
from edgesim.planners.exact.pipelines.candidate_links import Floats, Ints, Loads
from edgesim.planners.exact.pipelines.candidates import Candidates, Group
from edgesim.planners.exact.two_phases.redistribution import Redistribution


class CachingColumns(Candidates):
    """Candidates of a problem, of whose layers' outputs are written to disks and sent to these shares."""

    def __init__(self, to: Redistribution, like: Candidates) -> None:
        self.to, self._totals = to, dict[Group, Ints]()
        self._written: dict[tuple[int, int], Floats] = {}
        kinds = split(interchangeable(to.phase.problem.cluster), lambda rank: to.shares[rank])
        super().__init__(to.phase.problem, like.family, kinds=kinds, like=like)

    def ways_to_share(self, group: Group) -> Ints:
        """[way, kind] largest shares; in ``_totals`` what all replicas of each kind compute together."""
        replicas = np.array([n for _, n in group])
        self._totals[group] = np.array(list(_sums(self.samples, replicas.tolist())), dtype=np.int64)
        found: Ints = -(-self._totals[group] // replicas)
        return found

    def shares(self, g: int, split: int) -> list[tuple[int, int]]:
        """(kind, samples) of each replica."""
        found: list[tuple[int, int]] = []
        for (kind, n), total in zip(self.groups[g], self._totals[self.groups[g]][split].tolist(), strict=True):
            least, more = divmod(total, n)
            found += [(kind, least + 1)] * more + [(kind, least)] * (n - more)
        return found

    def furthest(self, kind: int, share: int, replicas: int) -> Ints:
        """As of all candidates, but nowhere if the disk is too small."""
        key = (kind, share, replicas)
        if key not in self._furthest:
            found = super().furthest(kind, share, replicas)
            rank = self.kinds[kind][0]
            fits = [self.to.fits_on_disk(rank, share, (int(i), int(j))) for i, j in self.ranges]
            self._furthest[key] = np.where(fits, found, 0)
        return self._furthest[key]

    def loads(self, g: int) -> Loads:
        """A disk is one more link that carries a stage's outputs."""
        loads, outputs = super().loads(g), self._outputs()
        rates = [self.problem.cluster.devices[self.kinds[kind][0]].disk_bytes_per_s for kind, _ in self.groups[g]]
        written_s = np.outer(np.max(self.splits[g] / np.array(rates), axis=1), outputs)
        fields = {name: getattr(loads, name) for name in Loads.__slots__}
        fields["link_s"] = np.maximum(loads.link_s, written_s)
        fields["link_forward_s"] = np.maximum(loads.link_forward_s, written_s)
        return Loads(**fields)

    def one_time(self, g: int) -> tuple[Floats, Floats]:
        """[split, range] and [split, range, resource] seconds, as their part in an iteration."""
        group, rounds = self.groups[g], self.to.phase.iterations
        size = sum(n for _, n in group)
        going_on = sum(n for kind, n in group if self.to.shares[self.kinds[kind][0]])
        own, air = [], []
        for i, (kind, n) in enumerate(group):
            least, more = np.divmod(self._totals[group][:, i], n)
            own += [self._one_time(kind, share, size, going_on)[0] for share in (least, least + (more > 0))]
            low, high = (self._one_time(kind, share, size, going_on)[1] for share in (least, least + 1))
            air.append((n - more)[:, None] * low + more[:, None] * high)
        shared = np.sum(air, axis=0)[:, :, None] / rounds
        return np.max(own, axis=0) / rounds, shared if self.to.transfers.shares_air else shared[:, :, :0]

    def _one_time(self, kind: int, shares: Ints, size: int, going_on: int) -> tuple[Floats, Floats]:
        """[split, range] seconds of a device alone, and of the air, less what it would take if it were idle."""
        rank, to = self.kinds[kind][0], self.to
        idle_s, rows = to.air_s(rank, to.idle(rank)), dict[int, tuple[Floats, Floats]]()
        for share in set(shares.tolist()):
            moved = to.moved(rank, share, self.ranges[:, 0], self.ranges[:, 1], size, going_on)
            rows[share] = to.own_s(rank, moved), to.air_s(rank, moved) - idle_s
        return np.array([rows[s][0] for s in shares.tolist()]), np.array([rows[s][1] for s in shares.tolist()])

    def worse(
        self, kept: NDArray[np.bool_], forward: Floats, backward: Floats, loads: Loads, one_time: Floats
    ) -> NDArray[np.bool_]:
        """[split, range] splits that lose more than they can save on links and on what moves once."""
        if self.to.transfers.shares_air:
            return np.zeros_like(kept)
        fastest = np.argmin(np.where(kept, forward + backward, np.inf), axis=0), np.arange(kept.shape[1])
        links_s = loads.most_s(self.problem.workload.micro_batches - 1)
        saved_s = np.maximum(links_s[fastest] - links_s, 0) + np.maximum(one_time[fastest] - one_time, 0)
        found: NDArray[np.bool_] = forward - forward[fastest] >= saved_s
        found[fastest] = False
        return found

    def _outputs(self) -> Floats:
        """[range] bytes of a sample's outputs."""
        found: Floats = self.to.outputs[self.ranges[:, 1]] - self.to.outputs[self.ranges[:, 0]]
        return found


def _sums(total: int, least: list[int]) -> list[tuple[int, ...]]:
    """All ways to share a total with at least so many each.

    >>> _sums(4, [1, 2])
    [(1, 3), (2, 2)]
    """
    if len(least) == 1:
        return [(total,)] if total >= least[0] else []
    first, behind = least[0], least[1:]
    return [(n, *rest) for n in range(first, total - sum(behind) + 1) for rest in _sums(total - n, behind)]
