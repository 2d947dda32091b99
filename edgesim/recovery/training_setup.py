"""What is trained, and how does a plan become what is played? All policies are told so before a job begins."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from edgesim.errors import PlanError
from edgesim.job import Phase, committed
from edgesim.plan import Depth, Plan
from edgesim.planners.cost_models.stage_costs import StageCosts
from edgesim.planners.problem import Problem
from edgesim.recovery.replication import backups_of, with_backups
from edgesim.schedule import Schedule

Strategy = Callable[[Plan], Schedule]
"""A strategy whose model and workload are bound: ``lambda plan: hybrid_pipeline(plan, model, workload)``."""


@dataclass(frozen=True, kw_only=True)
class TrainingSetup:
    """What is trained on which cluster, and how plans become phases.

    Attributes:
        problem: the whole cluster's; who is not there is left out where a plan is made.
        strategy: makes the schedule of one iteration.
        depth: of pipelines that a policy divides anew.
        replicate: whether what has no replica is backed up.
        change_s: what a change of plan takes beside what it moves: to plan, to connect, to build. A device that comes
            is used if it gains more than that. 0: only what moves counts.
        counts_messages: whether messages count where a pipeline is divided anew, which is ours; as published, layers
            are divided by FLOP alone, also where what they send is large.
        known: plans that a planner made before the job. Where somebody comes, what is left of them is tried too, so
            that a job can return to its first plan when all are back.
    """

    problem: Problem
    strategy: Strategy
    depth: Depth
    replicate: bool
    change_s: float = 0.0
    counts_messages: bool = False
    known: tuple[Plan, ...] = ()

    def __post_init__(self) -> None:
        if not self.problem.workload.trains:
            purpose = self.problem.workload.purpose
            raise ValueError(f"recovery: only training can go back to a version, the workload's purpose is {purpose}")
        if not self.change_s >= 0:
            raise ValueError(f"recovery: change_s must be >= 0, got {self.change_s}")

    @cached_property
    def costs(self) -> StageCosts:
        """What stages cost, remembered from one recovery to the next."""
        return StageCosts(self.problem)

    def phase(self, plan: Plan, *, iterations: int, name: str = "training") -> Phase:
        """Return what is played of a plan. Raises PlanError where ranks divide blocks, which nobody can take over."""
        if any(stage.divides_blocks for stage in plan.stages):
            raise PlanError(f"recovery moves whole layers, but ranks divide blocks: {plan} (give a plan of samples)")
        schedule, backups = self.strategy(plan), backups_of(plan) if self.replicate else ()
        model, workload = self.problem.model, self.problem.workload
        return Phase(
            name=name,
            plan=plan,
            schedule=committed(schedule),
            iterations=iterations,
            replicating=committed(with_backups(schedule, plan, model, workload)) if backups else None,
            backups=backups,
        )
