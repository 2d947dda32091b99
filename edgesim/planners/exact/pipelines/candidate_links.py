"""How long would a candidate stage's messages take, and how much of its links? At the best rates that its devices have.

On a switch a rate is a NIC's, so these are the times of ``pipeline_time.py`` exactly. On a radio or on links of pairs a
rate depends on both ends: each device is taken at the best of its links, so that no time is above that of a plan.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgesim.cluster import ResourceKind, Topology
from edgesim.planners.problem import Problem

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loads:
    """[split, range] seconds per micro-batch.

    ``sent_s`` and ``received_s`` are of activations, ``returned_s`` and ``taken_back_s`` of gradients sent to the stage
    before and received from the one behind, each with its latency. ``link`` is the load of the busiest link, forward,
    backward and both ways; ``air`` what messages over the boundary behind take of a shared channel.
    """

    sent_s: Floats
    received_s: Floats
    returned_s: Floats
    taken_back_s: Floats
    link_forward_s: Floats
    link_backward_s: Floats
    link_s: Floats
    air_forward_s: Floats
    air_backward_s: Floats

    def most_s(self, repeats: int) -> Floats:
        """More than the messages and links of a stage can add to an iteration."""
        messages = self.sent_s + self.received_s + self.returned_s + self.taken_back_s
        return messages + repeats * (self.link_forward_s + self.link_backward_s)


class Links:
    """Rates and latencies by kind of device, and what crosses each boundary."""

    def __init__(self, problem: Problem, kinds: Sequence[tuple[int, ...]], replicas: int) -> None:
        network, model, workload = problem.cluster.network, problem.model, problem.workload
        self.topology, self.acknowledgement = network.topology, network.acknowledgement
        self.replicas = replicas  # a message between groups may be spread over so many links of one device
        trains = workload.trains
        inner, counts = model.layers[:-1], range(workload.micro_batch_samples + 1)
        # [boundary, samples] bytes; nothing crosses the first and the last.
        self.activations = np.array(
            [
                [0] * len(counts),
                *([layer.output_bytes(n, workload.tokens) for n in counts] for layer in inner),
                [0] * len(counts),
            ],
            dtype=float,
        )
        self.gradients = (
            np.array(
                [
                    [0] * len(counts),
                    *([layer.gradient_bytes(n, workload.tokens) for n in counts] for layer in inner),
                    [0] * len(counts),
                ],
                dtype=float,
            )
            * trains
        )
        ranks = problem.ranks

        def best(kind: tuple[int, ...], sends: bool) -> tuple[float, float]:
            """Seconds per byte at the device's own end, and latency."""
            pairs = [(a, b) if sends else (b, a) for a in kind for b in ranks if a != b]
            other_end = ResourceKind.RECEIVE if sends else ResourceKind.TRANSMIT
            ways = [[s for resource, s in network.hops(a, b) if resource.kind is not other_end] for a, b in pairs]
            per_byte = min(map(max, ways), default=0.0)
            return per_byte, min((network.message_delay_s(a, b) for a, b in pairs), default=0.0)

        self.network, self.hand_over_s = network, network.hand_over_s
        self.send = [best(kind, sends=True) for kind in kinds]
        self.receive = [best(kind, sends=False) for kind in kinds]

    @property
    def spread(self) -> int:
        """Over how many links of its own one device's messages to a group may be spread."""
        return self.replicas if self.topology is Topology.PAIRS else 1

    def ring(self, group: Sequence[tuple[int, int]]) -> tuple[float, float]:
        """Seconds per byte of a ring's slowest link, or of all of them on one channel, and latency of a step."""
        ends = [self.send[kind] for kind, _ in group] + [self.receive[kind] for kind, _ in group]
        if self.network.step_s is None:
            latency_s = max(latency for _, latency in ends) - 2 * self.hand_over_s
        else:
            latency_s = self.network.ring_step_s(sum(n for _, n in group))
        if self.topology is Topology.RADIO:
            return sum(n * self.send[kind][0] for kind, n in group), latency_s
        return (1 + self._two_way(group)) * max(per_byte for per_byte, _ in ends), latency_s

    def _two_way(self, group: Sequence[tuple[int, int]]) -> float:
        """Share of acknowledgements: every NIC of a ring carries them; a link of a pair only where the ring has two."""
        if self.topology is Topology.SWITCHED or sum(n for _, n in group) == 2:
            return self.acknowledgement
        return 0.0

    def loads(self, group: Sequence[tuple[int, int]], splits: Ints, ranges: Ints) -> Loads:
        """The messages and links of a group with splits [split, kind] at ranges [range, 2]."""
        start, stop = ranges[:, 0], ranges[:, 1]
        sums = [self._of_kind(kind, splits[:, i], start, stop) for i, (kind, _) in enumerate(group)]
        sent, received, returned, taken, forward, backward, both = (
            np.max(part, axis=0) for part in zip(*sums, strict=True)
        )
        air_forward, air_backward = np.zeros_like(sent), np.zeros_like(sent)
        if self.topology is Topology.RADIO:
            # All of a boundary's bytes go through the air, whoever sends them.
            per_byte = min(self.send[kind][0] for kind, _ in group)
            air_forward = np.broadcast_to(self.activations[stop, -1] * per_byte, sent.shape)
            least = min(per_byte for per_byte, _ in self.send)
            air_backward = np.broadcast_to(self.gradients[stop, -1] * least, sent.shape)
        return Loads(
            sent_s=sent,
            received_s=received,
            returned_s=returned,
            taken_back_s=taken,
            link_forward_s=forward,
            link_backward_s=backward,
            link_s=both,
            air_forward_s=air_forward,
            air_backward_s=air_backward,
        )

    def _of_kind(self, kind: int, shares: Ints, start: Ints, stop: Ints) -> tuple[Floats, ...]:
        """[split, range] four messages of one device, and its links' loads forward, backward and both ways."""
        (up, up_latency_s), (down, down_latency_s) = self.send[kind], self.receive[kind]
        if self.topology is Topology.RADIO:
            shares = np.full_like(shares, self.activations.shape[1] - 1)
        elif self.topology is Topology.PAIRS:
            up, down = up / self.spread, down / self.spread
        out, into = self.activations[stop][:, shares].T, self.activations[start][:, shares].T
        back, behind = self.gradients[start][:, shares].T, self.gradients[stop][:, shares].T
        messages = (
            out * up + (out > 0) * up_latency_s,
            into * down + (into > 0) * down_latency_s,
            back * up + (back > 0) * up_latency_s,
            behind * down + (behind > 0) * down_latency_s,
        )
        if self.topology is not Topology.SWITCHED:
            forward, backward = np.maximum(out * up, into * down), np.maximum(back * up, behind * down)
            if self.topology is Topology.RADIO:
                forward, backward = np.zeros_like(out), np.zeros_like(out)
            return *messages, forward, backward, np.maximum(forward, backward)
        ack = self.acknowledgement
        forward_up, forward_down = (out + ack * into) * up, (into + ack * out) * down
        backward_up, backward_down = (back + ack * behind) * up, (behind + ack * back) * down
        return (
            *messages,
            np.maximum(forward_up, forward_down),
            np.maximum(backward_up, backward_down),
            np.maximum(forward_up + backward_up, forward_down + backward_down),
        )
