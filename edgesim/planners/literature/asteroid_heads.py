"""What would each stage of Asteroid's dynamic programme take (arXiv 2408.08015)? Tables of all layers and groups.

A group is a window of the devices in Asteroid's order: ``[first, size]``. Groups of equal devices in the same order
share a micro-batch alike, so their samples are counted once, in ``SharedOut``; only links are counted for each group.
"""

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from edgesim.planners.cost_models.stage_costs import StageCosts
from edgesim.planners.cost_models.stage_memory import Floats, Ints, StageMemory
from edgesim.planners.device_types import equal_devices
from edgesim.planners.literature.asteroid_allocation import allocations
from edgesim.planners.planning_time import require_time
from edgesim.profile import BACKWARD, FORWARD
from edgesim.ring import ring_traffic

Kinds = tuple[int, ...]  # of a group's devices, in their order


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedOut:
    """How a group's devices share stages: ``row`` is [position, range], -1 where it does not fit, of the tables."""

    row: Ints
    samples: Ints
    forward_s: Floats
    backward_s: Floats


class Heads:
    """The stages of a problem on windows of ``order``; a stage's position counts from the pipeline's end, from 1."""

    def __init__(self, costs: StageCosts, order: tuple[int, ...]) -> None:
        self.costs, self.order, problem = costs, order, costs.problem
        self.layers, self.total = len(problem.model.layers), problem.workload.micro_batch_samples
        self.positions, self.largest = min(self.layers, len(order)), min(self.total, len(order))
        self.ranges = [(i, j) for i in range(self.layers) for j in range(i + 1, self.layers + 1)]
        self.range_of = np.full((self.layers, self.layers + 1), -1)
        self.range_of[tuple(np.array(self.ranges).T)] = np.arange(len(self.ranges))
        self.depths = [min(2 * p - 1, problem.workload.micro_batches) for p in range(1, self.positions + 1)]
        types = equal_devices(problem.cluster)
        kind_of = {rank: kind for kind, ranks in enumerate(types) for rank in ranks}
        self.kinds = [kind_of[rank] for rank in order]
        self._first_of_kind = [ranks[0] for ranks in types]
        self._memory = StageMemory(problem, self.ranges)
        self._shared_out: dict[Kinds, SharedOut] = {}
        self._most = cache(self._most_samples)

    # --- who computes what ---

    @cached_property
    def windows(self) -> list[tuple[int, int]]:
        """All groups: the first device, and how many."""
        devices = len(self.order)
        return [(f, n) for f in range(devices) for n in range(1, min(self.largest, devices - f) + 1)]

    def shared_out(self, first: int, size: int) -> SharedOut:
        """Return how a group shares every stage."""
        kinds = tuple(self.kinds[first : first + size])
        if kinds not in self._shared_out:
            self._shared_out[kinds] = self._share_out(np.array(kinds))
        return self._shared_out[kinds]

    def samples(self, position: int, layers: tuple[int, int], window: tuple[int, int]) -> tuple[int, ...]:
        """Return a stage's samples, [device of the group]."""
        shared = self.shared_out(*window)
        return tuple(shared.samples[shared.row[position - 1, self.range_of[layers]]].tolist())

    def _share_out(self, kinds: Ints) -> SharedOut:
        require_time("asteroid")
        most = np.moveaxis(self._most(len(kinds))[kinds], 0, -1)  # [position, range, device]
        fits = (most.min(axis=-1) >= 1) & (most.sum(axis=-1) >= self.total)
        # Memory is the same for most positions: what changes from one to the next is shared out anew.
        new = fits.copy()
        new[1:] &= (most[1:] != most[:-1]).any(axis=-1)
        of = np.nonzero(new)[1]
        row = np.full(new.shape, -1)
        row[new] = np.arange(len(of))
        np.maximum.accumulate(np.where(fits, row, -1), axis=0, out=row)
        row[~fits] = -1

        def seconds(stages: Ints, shares: Ints) -> Floats:
            return self._both_s[kinds, of[stages][:, None], shares]

        samples = allocations(self.total, 1 / self._both_s[kinds, of[:, None], self.total], most[new], seconds)
        forward_s, backward_s = (s[kinds, of[:, None], samples].max(axis=1, initial=0.0) for s in self._seconds)
        return SharedOut(row=row, samples=samples, forward_s=forward_s, backward_s=backward_s)

    def _most_samples(self, replicas: int) -> Ints:
        """[kind, position, range] the most samples that a device can hold as one of so many replicas."""
        problem = self.costs.problem
        boards = [
            (problem.cluster.devices[rank].context_bytes, problem.budget_bytes(rank)) for rank in self._first_of_kind
        ]
        most = np.zeros((len(boards), self.positions, len(self.ranges)), dtype=np.int64)
        for depth in sorted(set(self.depths)):
            at = [p for p, own in enumerate(self.depths) if own == depth]
            for share in range(1, self.total + 1):
                nbytes = self._memory.total_bytes(share, depth, replicas)
                for kind, (context_bytes, budget_bytes) in enumerate(boards):
                    most[kind, at] += context_bytes + nbytes <= budget_bytes
        return most

    @cached_property
    def _seconds(self) -> tuple[Floats, Floats]:
        """[kind, range, samples] of the forward and of the backward pass; 0 for no samples."""
        start, stop = np.array(self.ranges).T
        tables = np.zeros((2, len(self._first_of_kind), len(self.ranges), self.total + 1))
        for way, op in enumerate((FORWARD, BACKWARD)):
            for kind, rank in enumerate(self._first_of_kind):
                for share in range(1, self.total + 1):
                    sums = np.array(self.costs.sums(rank, op, share))
                    tables[way, kind, :, share] = sums[stop] - sums[start] + self.costs.call_s(rank, op, share)
        return tables[0], tables[1]

    @cached_property
    def _both_s(self) -> Floats:
        forward_s, backward_s = self._seconds
        return forward_s + backward_s

    # --- what all groups take ---

    def at(self, position: int) -> tuple[Floats, Floats]:
        """Return [range, first, size - 1] seconds of the forward and of the backward pass; infinite where none fits."""
        shape = (len(self.ranges), len(self.order), self.largest)
        forward_s, backward_s = np.full(shape, np.inf), np.full(shape, np.inf)
        for first, size in self.windows:
            shared = self.shared_out(first, size)
            row = shared.row[position - 1]
            fits = row >= 0
            forward_s[fits, first, size - 1] = shared.forward_s[row[fits]]
            backward_s[fits, first, size - 1] = shared.backward_s[row[fits]]
        return forward_s, backward_s

    @cached_property
    def all_reduce_s(self) -> Floats:
        """[range, first, size - 1] seconds of the all-reduce."""
        trained = np.array([self.costs.trained_bytes(layers) for layers in self.ranges], dtype=float)
        seconds = np.zeros((len(self.ranges), len(self.order), self.largest))
        for first, size in self.windows:
            if size > 1:
                block = self.bytes_per_s[first : first + size, first : first + size]
                slowest = block[~np.eye(size, dtype=np.bool_)].min()
                seconds[:, first, size - 1] = ring_traffic(size) * trained / slowest
        return seconds

    @cached_property
    def bytes_per_s(self) -> Floats:
        """[device, device] in Asteroid's order."""
        network, order = self.costs.problem.cluster.network, self.order
        return np.array([[np.inf if a == b else network.goodput_bytes_per_s(a, b) for b in order] for a in order])


class SlowestPairs:
    """The slowest link from any device of one window to any of another, by tables of windows of 1, 2, 4 ... devices."""

    def __init__(self, bytes_per_s: Floats, largest: int) -> None:
        self._log = np.array([0, *(n.bit_length() - 1 for n in range(1, largest + 1))])
        rows = [bytes_per_s]
        for step in range(int(self._log[-1])):
            rows.append(_doubled(rows[-1], 2**step, axis=0))
        self._table = np.stack([np.stack(self._columns(table)) for table in rows])

    def _columns(self, table: Floats) -> list[Floats]:
        columns = [table]
        for step in range(int(self._log[-1])):
            columns.append(_doubled(columns[-1], 2**step, axis=1))
        return columns

    def __call__(self, first: Ints, size: Ints, later: Ints, later_size: Ints) -> Floats:
        """Return the rate from the window at ``first`` to that at ``later``."""
        rows, columns = self._log[size], self._log[later_size]
        last, later_last = first + size - 2**rows, later + later_size - 2**columns
        slowest: Floats = np.minimum(
            np.minimum(self._table[rows, columns, first, later], self._table[rows, columns, last, later]),
            np.minimum(self._table[rows, columns, first, later_last], self._table[rows, columns, last, later_last]),
        )
        return slowest


def _doubled(table: NDArray[np.float64], length: int, *, axis: int) -> Floats:
    """The minimum of each entry and of the one ``length`` behind it, where there is one."""
    behind = np.roll(table, -length, axis=axis)
    keep = np.arange(table.shape[axis]) + length < table.shape[axis]
    doubled: Floats = np.where(keep if axis else keep[:, None], np.minimum(table, behind), table)
    return doubled
