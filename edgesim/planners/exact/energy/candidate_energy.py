"""What would a candidate stage draw above idle, in an iteration? The terms of ``pipeline_energy.py``, stage by stage.

For messages each device counts the time of its own end at its best, so that no candidate draws more than in a plan;
where both ends are equally fast, it is what the device draws. Arrays are [range of layers].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from edgesim.cluster import PowerModel
from edgesim.planners.exact.pipelines.candidate_links import Floats, Ints
from edgesim.planners.exact.pipelines.candidates import Candidates, Group
from edgesim.profile import BACKWARD, FORWARD, UPDATE
from edgesim.ring import ring_steps


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupEnergy:
    """[way, range] of a group's ways to share: its joules, and the longest iteration that batteries allow.

    ``latest_s`` is infinite without a battery, and negative where one is too small for any iteration.
    """

    joules: Floats
    latest_s: Floats


class StageEnergy:
    """The joules of the candidates' devices; ``budget_j`` is [kind] the joules of a battery per iteration."""

    def __init__(self, candidates: Candidates, budget_j: Sequence[float]) -> None:
        self.candidates, self.budget_j = candidates, budget_j
        workload = candidates.problem.workload
        self.micro_batches, self.trains = workload.micro_batches, workload.trains
        self.of_device = cache(self._of_device)

    def power(self, kind: int) -> PowerModel:
        """Return the power model of the kind's devices."""
        rank = self.candidates.kinds[kind][0]
        return self.candidates.problem.cluster.devices[rank].power

    def _of_device(self, kind: int, samples: int) -> Floats:
        """Return the joules of one device with so many samples of a micro-batch, without its all-reduce."""
        joules = self.micro_batches * self._messages(kind, samples)
        joules = joules + self._pass(kind, FORWARD, samples, self.micro_batches)
        if self.trains:
            joules = joules + self._pass(kind, BACKWARD, samples, self.micro_batches)
            joules = joules + self._pass(kind, UPDATE, 0, 1)
        return joules

    def _pass(self, kind: int, op: str, samples: int, times: int) -> Floats:
        """Return the joules above idle of a pass that is computed so often."""
        c, rank = self.candidates, self.candidates.kinds[kind][0]
        seconds, computing = times * c.seconds(kind, op, samples), c.costs.computing
        if not self.power(kind).by_kind or op == UPDATE:
            return computing.by_pass(rank, op).watts * seconds
        watts, joules = computing.layers(rank, op, samples).between(c.ranges[:, 0], c.ranges[:, 1])
        return watts * seconds + joules * times

    def _messages(self, kind: int, samples: int) -> Floats:
        """Return the joules of one micro-batch's messages on one device."""
        c, power, links = self.candidates, self.power(kind), self.candidates.links
        start, stop = c.ranges[:, 0], c.ranges[:, 1]
        (up, _), (down, _) = links.send[kind], links.receive[kind]
        up, down = up / links.spread, down / links.spread
        joules = np.zeros(len(c.ranges))
        for sent in (links.activations[stop, samples], links.gradients[start, samples]):
            per_byte = (power.transmit_w - power.idle_w) * up + power.transmit_j_per_byte
            joules += sent * per_byte + (sent > 0) * power.transmit_j_per_message
        for received in (links.activations[start, samples], links.gradients[stop, samples]):
            per_byte = (power.receive_w - power.idle_w) * down + power.receive_j_per_byte
            joules += received * per_byte + (received > 0) * power.receive_j_per_message
        return joules

    def _ring(self, group: Group, kind: int) -> Floats:
        """Return the joules of one device in the group's all-reduce."""
        n, power = sum(n for _, n in group), self.power(kind)
        if n == 1 or not self.trains:
            return np.zeros(len(self.candidates.ranges))
        nbytes, steps = self.candidates.trained_bytes, ring_steps(n)
        both_w = power.transmit_w + power.receive_w - 2 * power.idle_w
        per_byte = (power.transmit_j_per_byte + power.receive_j_per_byte) * steps / n
        per_ring = (power.transmit_j_per_message + power.receive_j_per_message) * steps
        joules: Floats = both_w * self.candidates.ring_s(group) + per_byte * nbytes + per_ring * (nbytes > 0)
        return joules

    def of_group(self, group: Group, totals: Ints) -> GroupEnergy:
        """Return the energy for all ways to share: ``totals`` of a micro-batch are [way, kind of the group].

        A kind's devices share its total evenly.
        """
        shape = len(totals), len(self.candidates.ranges)
        joules, latest_s = np.zeros(shape), np.full(shape, np.inf)
        for i, (kind, n) in enumerate(group):
            ring, idle_w, budget_j = self._ring(group, kind), self.power(kind).always_w, self.budget_j[kind]
            for way, total in enumerate(totals[:, i].tolist()):
                low, more = divmod(total, n)
                least_j = self.of_device(kind, low) + ring
                most_j = self.of_device(kind, low + 1) + ring if more else least_j
                joules[way] += (n - more) * least_j + more * most_j
                if np.isfinite(budget_j):
                    left_j = budget_j - np.maximum(least_j, most_j)
                    allowed_s = left_j / idle_w if idle_w else np.where(left_j >= 0, np.inf, -1.0)
                    latest_s[way] = np.minimum(latest_s[way], allowed_s)
        return GroupEnergy(joules=joules, latest_s=latest_s)
