"""Which phases has fine-tuning with an activation cache? An epoch that fills it, and epochs that train from it.

In the first, the pipeline of a plan trains the adapters beside the frozen backbone, and every rank writes what its
layers put out to its disk. Then cached outputs and adapters go to where they are needed. In later epochs all ranks
train the whole side network by data parallelism, and read what they need of the backbone (PAC, arXiv 2408.10746).
"""

from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import inf

from edgesim.apportion import even_shares
from edgesim.cached_outputs import Storage
from edgesim.cached_training.lots import Wanted
from edgesim.cached_training.redistribution import redistribution
from edgesim.errors import InfeasibleError
from edgesim.job import Held, KeptOutputs, Phase, committed, written_by
from edgesim.model import Model
from edgesim.plan import Depth, Plan, Stage
from edgesim.planners.exact.two_phases.cached_phase import CachedPhase
from edgesim.planners.problem import Problem
from edgesim.recovery.training_setup import TrainingSetup
from edgesim.schedule import Schedule
from edgesim.strategies.activation_cache import CacheTasks, CacheUse
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline


@dataclass(frozen=True, kw_only=True)
class CachedTraining:
    """Epochs of so many iterations of a problem whose model has parallel adapters, the first one by this plan.

    ``storage`` is how outputs are kept on disks, ``ahead`` how many micro-batches of them are read before they are
    needed. ``depth``, ``replicate`` and ``change_s`` are of the first epoch's recovery
    (:class:`~edgesim.recovery.training_setup.TrainingSetup`).
    """

    problem: Problem
    first: Plan
    iterations: int
    storage: Storage = Storage.FP32
    ahead: int = 2
    bucket_bytes: float | None = None
    depth: Depth = Depth.ONE_F_ONE_B
    replicate: bool = False
    change_s: float = 0.0

    @cached_property
    def later(self) -> Problem:
        """The problem of later epochs: the side network alone."""
        disks = (inf,) * len(self.problem.ranks)
        phase = CachedPhase(problem=self.problem, iterations=self.iterations, disk_bytes=disks, depth=Depth.ONE_F_ONE_B)
        return phase.second

    def evenly(self) -> Plan:
        """Return the plan of later epochs in which all ranks of the first share micro-batches evenly.

        Micro-batches are as many of the first plan's as it takes for all ranks to have a sample. Ranks are ordered by
        what they have computed, so that they keep as much as they can. Raises InfeasibleError for a batch that is too
        small, and PlanError where a rank cannot hold the side network.
        """
        workload, count, part = self.problem.workload, len(self._starts), self.first.micro_batch_samples
        if workload.batch_samples < count:
            raise InfeasibleError(
                f"a batch of {workload.batch_samples} samples cannot be shared by the {count} ranks that have filled "
                "the cache (give workload.batch_samples at least as many)"
            )
        wholes = range(1, self.first.micro_batches + 1)
        times = next(n for n in wholes if n * part >= count and self.first.micro_batches % n == 0)
        size = times * part
        # Of one micro-batch, ranks of all stages have computed the same samples; of several, each stage keeps its own.
        ranks = sorted(self._starts, key=lambda rank: self._starts[rank] if times == 1 else self._starts[rank][::-1])
        stage = Stage(
            layers=(0, len(self.problem.model.layers)),
            ranks=tuple(ranks),
            samples=even_shares(size, count),
            in_flight=1,
        )
        plan = replace(
            self.first,
            model=self.later.model.name,
            stages=(stage,),
            micro_batches=workload.batch_samples // size,
            micro_batch_samples=size,
            proof=None,
            predicted_s=None,
            profile_hash=self.later.profile.hash,
        )
        plan.check(self.later.model, self.later.cluster, replace(workload, micro_batch_samples=size))
        return plan

    def aligned(self, second: Plan) -> Plan:
        """Return a plan of later epochs with its ranks in this order, each with the samples that it has."""
        (stage,) = second.stages
        pairs = zip(stage.ranks, stage.samples, strict=True)
        order = sorted(pairs, key=lambda pair: self._starts.get(pair[0], (0, 0)))
        ranks, samples = zip(*order, strict=True)
        return replace(second, stages=(replace(stage, ranks=ranks, samples=samples),))

    @cached_property
    def _starts(self) -> dict[int, tuple[int, int]]:
        """By rank, the first sample of a micro-batch that it has computed, and its stage."""
        return {
            rank: (start, s)
            for s, stage in enumerate(self.first.stages)
            for rank, (start, _) in zip(stage.ranks, stage.sample_ranges, strict=True)
        }

    @cached_property
    def filling(self) -> TrainingSetup:
        """How plans become phases of the epoch that fills the cache, which is what policies are told of it."""
        return TrainingSetup(
            problem=self.problem,
            strategy=partial(self._written, self.problem.model, CacheUse.WRITE),
            depth=self.depth,
            replicate=self.replicate,
            change_s=self.change_s,
        )

    def wanted(self, second: Plan) -> Wanted:
        """Return what the ranks of a plan of later epochs train from."""
        problem = self.problem
        return Wanted(plan=second, model=problem.model, tokens=problem.workload.tokens, iterations=self.iterations)

    def phases(self, second: Plan, *, epochs: int) -> tuple[Phase, ...]:
        """Return the phases of so many epochs, the later ones by a second plan, of the model without its backbone."""
        filling = self.filling.phase(self.first, iterations=self.iterations, name="caching epoch")
        if epochs == 1:
            return (filling,)
        kept = KeptOutputs(
            parts=tuple(written_by(filling.schedule, self.first.micro_batch_samples, (0, self.iterations)))
        )
        arrival = redistribution(
            self.wanted(second),
            Held.of_plan(self.first, self.iterations),
            kept,
            version=self.iterations,
            problem=self.later,
            storage=self.storage,
        )
        return filling, replace(self.training(second, iterations=(epochs - 1) * self.iterations), arrival=arrival)

    def training(self, second: Plan, *, iterations: int) -> Phase:
        """Return the phase of later epochs by a plan, of the model without its backbone."""
        schedule = committed(self._written(self.later.model, CacheUse.READ, second))
        return Phase(
            name="cached training", plan=second, schedule=schedule, iterations=iterations, model=self.later.model
        )

    def _written(self, model: Model, use: CacheUse, plan: Plan) -> Schedule:
        return hybrid_pipeline(
            plan,
            model,
            self.problem.workload,
            bucket_bytes=self.bucket_bytes,
            cache=CacheTasks(use=use, storage=self.storage, ahead=self.ahead),
        )
