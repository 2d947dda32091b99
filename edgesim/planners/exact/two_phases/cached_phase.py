"""What do the epochs take that are trained from the activation cache? Data parallelism over parallel adapters alone.

Once the frozen layers' outputs b_0 .. b_l of all samples are cached, later epochs train the side network by data
parallelism (Pluto and Charon, PAC, arXiv 2408.10746). A rank that computes n of the B samples of every micro-batch
keeps the outputs of just these, n / B of the data set, and needs of every epoch of I iterations

    I M (F(n) + B(n)) + on_disk cache_bytes / disk_bytes_per_s

of which the slowest counts, and I times the all-reduce of the adapters' gradients and the update. Assumed: as many
samples stay in memory as fit beside the training; the others are read before they are computed, not meanwhile. A head
whose words are tied to the embedding keeps a copy, because the embedding is gone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from edgesim.cached_outputs import kept_bytes
from edgesim.finetuning import cached
from edgesim.memory import RankLoad, held_bytes
from edgesim.plan import Depth, Stage, in_flight
from edgesim.planners.cost_models.pipeline_time import stage_times
from edgesim.planners.cost_models.stage_costs import StageCosts
from edgesim.planners.problem import Problem
from edgesim.profile import BACKWARD, FORWARD, of_blocks

Shares = tuple[int, ...]  # [rank] samples of a micro-batch in the second phase; 0: it takes no part


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSamples:
    """How many of the data set's samples a rank keeps the outputs of, and where."""

    rank: int
    in_memory: int
    on_disk: int

    @property
    def samples(self) -> int:
        """How many there are in all."""
        return self.in_memory + self.on_disk


@dataclass(frozen=True, kw_only=True)
class CachedPhase:
    """The second phase of a problem whose model has parallel adapters.

    ``iterations`` are those of an epoch; ``disk_bytes`` is [rank] how much each may keep on disk.
    """

    problem: Problem
    iterations: int
    disk_bytes: Sequence[float]
    depth: Depth

    @cached_property
    def second(self) -> Problem:
        """The same problem without the backbone. Raises ValueError for a model without parallel adapters."""
        model = cached(self.problem.model)
        return replace(self.problem, model=model, profile=of_blocks(self.problem.profile, model))

    @cached_property
    def costs(self) -> StageCosts:
        """The seconds of the side network's stages."""
        return StageCosts(self.second)

    @cached_property
    def layer_bytes(self) -> tuple[int, ...]:
        """[layer] of what the cache keeps of one sample, in FP32."""
        model, tokens = self.problem.model, self.problem.workload.tokens
        return tuple(
            kept_bytes(model, (layer, layer + 1), samples=1, tokens=tokens) for layer in range(len(model.layers))
        )

    @cached_property
    def sample_bytes(self) -> int:
        """The bytes of all layers' outputs that the cache keeps of one sample."""
        return sum(self.layer_bytes)

    def samples(self, share: int) -> int:
        """Return how many of the data set's samples a share of every micro-batch is; the last batch counts as full."""
        return self.iterations * self.problem.workload.micro_batches * share

    def kept(self, rank: int, share: int, replicas: int) -> KeptSamples | None:
        """Return where a rank keeps its samples' outputs; None where memory or disk is too small."""
        device, samples = self.problem.cluster.devices[rank], self.samples(share)
        held = held_bytes(
            self.second.model,
            self.second.workload,
            RankLoad(
                layers=self.stage((rank,), (share,)).layers,
                samples=share,
                in_flight=self.in_flight,
                micro_batches=self.problem.workload.micro_batches,
                replicas=replicas,
                context_bytes=device.context_bytes,
            ),
        )
        free = self.problem.budget_bytes(rank) - held.total_bytes
        in_memory = int(min(samples, free // self.sample_bytes))
        if free < 0 or (samples - in_memory) * self.sample_bytes > self.disk_bytes[rank]:
            return None
        return KeptSamples(rank=rank, in_memory=in_memory, on_disk=samples - in_memory)

    @property
    def in_flight(self) -> int:
        """The micro-batches in flight, in a pipeline of one stage."""
        return in_flight(self.depth, stage=0, stages=1, micro_batches=self.problem.workload.micro_batches)

    def stage(self, ranks: tuple[int, ...], samples: tuple[int, ...]) -> Stage:
        """Return the one stage of all layers on these ranks."""
        layers = len(self.problem.model.layers)
        return Stage(layers=(0, layers), ranks=ranks, samples=samples, in_flight=self.in_flight)

    def stage_of(self, shares: Shares) -> Stage:
        """Return the stage of the ranks that take part."""
        ranks = tuple(rank for rank, share in enumerate(shares) if share)
        return self.stage(ranks, tuple(shares[rank] for rank in ranks))

    def kept_by_all(self, shares: Shares) -> tuple[KeptSamples, ...]:
        """Return what all ranks that take part keep; nothing where one has no place for its samples' outputs."""
        replicas = sum(share > 0 for share in shares)
        of_ranks = [self.kept(rank, share, replicas) for rank, share in enumerate(shares) if share]
        fitting = tuple(kept for kept in of_ranks if kept)
        return fitting if len(fitting) == len(of_ranks) else ()

    def rank_s(self, share: int, kept: KeptSamples) -> float:
        """Return the seconds of an iteration on one rank, reading included."""
        workload, layers = self.second.workload, (0, len(self.second.model.layers))
        reading_s = kept.on_disk * self.sample_bytes / self.problem.cluster.devices[kept.rank].disk_bytes_per_s
        computing_s = sum(self.costs.seconds(kept.rank, layers, op, share) for op in (FORWARD, BACKWARD))
        return workload.micro_batches * computing_s + reading_s / self.iterations

    def iteration_s(self, shares: Shares, kept: Sequence[KeptSamples]) -> float:
        """Return the seconds of an iteration: the slowest rank, then all-reduce and update."""
        ending_s = stage_times(self.costs, self.stage_of(shares)).ending_s
        return max(self.rank_s(shares[of.rank], of) for of in kept) + ending_s
