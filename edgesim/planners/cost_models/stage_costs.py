"""What would a stage cost? Seconds of compute, messages and all-reduces, and memory, for planners that try many.

Layers are [start, stop), devices are ranks. Everything comes from the profile, the network and ``memory.py``; sums
over layers are prepared once, so that a planner may ask for thousands of stages.
"""

from collections.abc import Sequence
from functools import cache
from itertools import accumulate

from edgesim.computing_power import ComputingPower
from edgesim.memory import RankLoad, held_bytes
from edgesim.planners.cost_models.asteroid_latency import PipelineStep
from edgesim.planners.partitioning import most
from edgesim.planners.problem import Problem
from edgesim.profile import BACKWARD, FORWARD, UPDATE
from edgesim.ring import ring_traffic

Layers = tuple[int, int]


class StageCosts:
    """Costs of one problem's stages, remembered."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.sums = cache(self._sums_from_start)
        self.call_s = cache(self._call_s)
        self._rate = cache(self._slowest_bytes_per_s)
        self._needs = cache(self._needs_bytes)
        self._trained = tuple(accumulate((layer.trainable_bytes for layer in problem.model.layers), initial=0))
        self.most_samples = cache(self._most_samples)
        self.computing = ComputingPower(problem.cluster.devices, problem.model, problem.workload.tokens)

    def _sums_from_start(self, rank: int, op: str, samples: int) -> tuple[float, ...]:
        """[layer] seconds of all layers before it."""
        device, tokens = self.problem.cluster.devices[rank].name, self.problem.workload.tokens
        seconds = (
            self.problem.profile.layer_s(device=device, layer=layer, op=op, samples=samples, tokens=tokens)
            for layer in self.problem.model.layers
        )
        return tuple(accumulate(seconds, initial=0.0))

    def _call_s(self, rank: int, op: str, samples: int) -> float:
        """What a stage takes beside its layers."""
        device, tokens = self.problem.cluster.devices[rank].name, self.problem.workload.tokens
        return self.problem.profile.call_s(device=device, op=op, samples=samples, tokens=tokens)

    def seconds(self, rank: int, layers: Layers, op: str, samples: int) -> float:
        """Return the seconds of a micro-batch on a device, 0 for no samples; or those of the update, which has none."""
        if samples == 0 and op != UPDATE:
            return 0.0
        sums = self.sums(rank, op, samples)
        return sums[layers[1]] - sums[layers[0]] + self.call_s(rank, op, samples)

    def both_s(self, rank: int, layers: Layers, samples: int) -> float:
        """Return the seconds of the forward pass, and in training of the backward pass too."""
        backward = self.problem.workload.trains
        return self.seconds(rank, layers, FORWARD, samples) + (
            self.seconds(rank, layers, BACKWARD, samples) if backward else 0.0
        )

    def stage(self, layers: Layers, ranks: Sequence[int], samples: Sequence[int]) -> PipelineStep:
        """Return the step of a stage of these ranks: the slowest counts each way, and a ring adds up gradients."""
        trained, n = self.trained_bytes(layers), len(ranks)
        return PipelineStep(
            forward_s=max(
                self.seconds(rank, layers, FORWARD, share) for rank, share in zip(ranks, samples, strict=True)
            ),
            backward_s=max(
                self.seconds(rank, layers, BACKWARD, share) for rank, share in zip(ranks, samples, strict=True)
            ),
            all_reduce_s=ring_traffic(n) * trained / self.slowest(ranks, ranks) if n > 1 and trained else 0.0,
        )

    def trained_bytes(self, layers: Layers) -> int:
        """Return the bytes of the weights that are trained, which an all-reduce adds up."""
        return self._trained[layers[1]] - self._trained[layers[0]]

    def message(
        self, boundary: int, senders: Sequence[int], receivers: Sequence[int], *, samples: int | None = None
    ) -> PipelineStep:
        """Return the step of a micro-batch over a boundary, and its gradient back, at the pace of the slowest pair.

        ``samples`` of it, where not all travel between these ranks.
        """
        before, workload = self.problem.model.layers[boundary - 1], self.problem.workload
        samples, tokens = workload.micro_batch_samples if samples is None else samples, workload.tokens
        return PipelineStep(
            forward_s=before.output_bytes(samples, tokens) / self.slowest(senders, receivers),
            backward_s=before.gradient_bytes(samples, tokens) / self.slowest(receivers, senders),
        )

    def message_s(self, boundary: int, sender: int, receiver: int) -> float:
        """Return the seconds of a whole micro-batch from one rank to another, and in training of its gradient back."""
        step = self.message(boundary, (sender,), (receiver,))
        return step.both_s if self.problem.workload.trains else step.forward_s

    def slowest(self, sources: Sequence[int], destinations: Sequence[int]) -> float:
        """Return the bytes per second between the slowest pair."""
        return self._rate(tuple(sources), tuple(destinations))

    def _slowest_bytes_per_s(self, sources: tuple[int, ...], destinations: tuple[int, ...]) -> float:
        network = self.problem.cluster.network
        return min(network.goodput_bytes_per_s(a, b) for a in sources for b in destinations if a != b)

    def fits(self, rank: int, layers: Layers, samples: int, in_flight: int, replicas: int) -> bool:
        """Return whether the device can hold the stage with this many samples of a micro-batch."""
        context_bytes = self.problem.cluster.devices[rank].context_bytes
        in_flight = min(in_flight, self.problem.workload.micro_batches)
        needs = self._needs(layers, samples, in_flight, replicas, context_bytes)
        return needs <= self.problem.budget_bytes(rank)

    def _needs_bytes(self, layers: Layers, samples: int, in_flight: int, replicas: int, context_bytes: float) -> float:
        """Return the bytes of a stage; only the context depends on the device, so that most devices share an entry."""
        held = held_bytes(
            self.problem.model,
            self.problem.workload,
            RankLoad(
                layers=layers,
                samples=samples,
                in_flight=in_flight,
                micro_batches=self.problem.workload.micro_batches,
                replicas=replicas,
                context_bytes=context_bytes,
            ),
        )
        return held.total_bytes

    def all_fit(self, ranks: Sequence[int], layers: Layers, samples: Sequence[int], in_flight: int) -> bool:
        """Return whether every replica of a stage can hold its share of a micro-batch."""
        return all(
            self.fits(rank, layers, share, in_flight, len(ranks)) for rank, share in zip(ranks, samples, strict=True)
        )

    def _most_samples(self, rank: int, layers: Layers, in_flight: int, replicas: int) -> int:
        """The largest share of a micro-batch that fits; 0 if none does. More samples never need less memory."""
        return most(
            self.problem.workload.micro_batch_samples,
            lambda samples: self.fits(rank, layers, samples, in_flight, replicas),
        )
