"""How does a job with an activation cache go on when a rank is lost, in the epoch that fills it or in later ones?

In the first epoch the pipeline is recovered by any policy, as without a cache. What a lost rank alone has cached is
missing from then on, and is filled in before the later epochs begin. In these every rank holds all that is trained, so
that the others go on from where they are: they share the samples of who is lost, and bring together what they lack of
the cache. What somebody still has is sent, redistributed copies too; what nobody has any more is computed again, which
needs the frozen layers once more.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from edgesim.apportion import even_shares
from edgesim.cached_training.phases import CachedTraining
from edgesim.cached_training.redistribution import redistribution
from edgesim.cached_training.refilling import refills
from edgesim.job import Migration, Recover, Recovery, Refill, Situation, refilled_by
from edgesim.plan import Plan
from edgesim.recovery.answers import gone_of
from edgesim.recovery.lightweight import named
from edgesim.recovery.replay import replayed


@dataclass(frozen=True, kw_only=True)
class CachedRecovery:
    """The policy of a job with a cache; ``filling`` is that of its first epoch."""

    training: CachedTraining
    filling: Recover

    def __call__(self, situation: Situation) -> Recovery:
        """Answer in either epoch. Raises InfeasibleError where the job cannot go on."""
        if situation.phase.model is None:
            return self.filling(situation)
        if situation.held.newest(len(self.training.later.model.layers)) != situation.done:
            return self._back_in_first_epoch(situation)
        old, gone = situation.phase.plan, gone_of(situation)
        plan = self._without(old, situation.present) if gone else old
        brought = tuple(self._brought(plan, situation))
        if not gone and not brought:
            return Recovery(phase=situation.phase, version=situation.done, says="goes on as before")
        how = f"without {named(gone)}: {plan}" if gone else f"what is cached is brought together: {plan}"
        return Recovery(
            phase=self.training.training(plan, iterations=situation.left),
            version=situation.done,
            migrations=brought,
            says=f"{how}; from iteration {situation.done} on{_told(brought)}",
        )

    def _back_in_first_epoch(self, situation: Situation) -> Recovery:
        """Where layers have gone before they were on all ranks, some of the first epoch is trained once more."""
        training = self.training
        begun = training.filling.phase(training.first, iterations=training.iterations, name="caching epoch")
        return self.filling(replace(situation, phase=begun, left=0))

    def _without(self, old: Plan, present: tuple[int, ...]) -> Plan:
        """The plan of later epochs without who is gone: evenly shared, if it was, else by what the others take."""
        later, (stage,) = self.training.later, old.stages
        workload = replace(later.workload, micro_batch_samples=old.micro_batch_samples)
        there = tuple(rank for rank in stage.ranks if rank in present)
        if not there or max(stage.samples) - min(stage.samples) > 1:
            return replayed(replace(self.training.filling, problem=replace(later, workload=workload)), old, present)
        shares = even_shares(old.micro_batch_samples, len(there))
        plan = replace(old, stages=(replace(stage, ranks=there, samples=shares),), predicted_s=None)
        plan.check(later.model, later.cluster, workload)
        return plan

    def _brought(self, plan: Plan, situation: Situation) -> Iterator[Migration | Refill]:
        """What is computed again, and then what is sent, until ranks have what the plan wants of them."""
        training, kept = self.training, situation.outputs
        wanted = training.wanted(plan)
        if gaps := list(wanted.gaps(kept)):
            backbone = replayed(training.filling, training.first, situation.present)
            for refill in refills(gaps, backbone, model=wanted.model, tokens=wanted.tokens, storage=training.storage):
                yield refill
                kept = kept.with_parts(refilled_by(refill.schedule, refill.iterations))
        moved = redistribution(
            wanted, situation.held, kept, version=situation.done, problem=training.later, storage=training.storage
        )
        if moved is not None:
            yield moved


def _told(brought: tuple[Migration | Refill, ...]) -> str:
    """What is filled in, for people."""
    spans = [
        f"{start} to {stop - 1}" for start, stop in (each.iterations for each in brought if isinstance(each, Refill))
    ]
    return f"; outputs of batches {', '.join(spans)} are computed again" if spans else ""
