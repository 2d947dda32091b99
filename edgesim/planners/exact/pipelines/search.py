"""Which hybrid pipelines are best for a problem, and how far below can any be? A search whose results are plans."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from edgesim.errors import PlanError
from edgesim.plan import Depth, Plan, Stage
from edgesim.planners.cost_models.pipeline_time import iteration_s
from edgesim.planners.exact.pipelines.branch_and_bound import BranchAndBound, SearchLimits, SearchResult
from edgesim.planners.exact.pipelines.candidates import Candidates, PipelineFamily
from edgesim.planners.exact.pipelines.label_setting import Choice
from edgesim.planners.exact.pipelines.milp import OneTimeCosts, Shape, StageMilp
from edgesim.planners.problem import Problem
from edgesim.proof import Objective, Proof, bound_or_none


class PipelineSearch:
    """The search of a problem's pipelines of a family; devices may be left out.

    Without a depth the bound is one of all depths: memory counts one micro-batch in flight, time as many as it likes.
    """

    def __init__(
        self,
        problem: Problem,
        family: PipelineFamily,
        *,
        planner: str,
        candidates: Candidates | None = None,
        one_time: OneTimeCosts | None = None,
    ) -> None:
        """``candidates`` instead of all; ``one_time`` is what moves beside the iterations (``milp.py``)."""
        self.began_s = perf_counter()
        self.problem, self.planner = problem, planner
        self.candidates = candidates or Candidates(problem, family)
        workload, depths = problem.workload, self.candidates.depths
        shape = Shape(
            layers=self.candidates.layers,
            positions=self.candidates.most,
            devices=self.candidates.devices,
            micro_batches=workload.micro_batches,
            depths=tuple(depths) if family.depth is not None else (workload.micro_batches,) * len(depths),
            phases=not workload.trains or (family.depth is not None and depths[0] >= workload.micro_batches),
            one_time=one_time,
        )
        self.milp = StageMilp(self.candidates.columns, shape)

    def run(
        self,
        *,
        time_limit_s: float,
        gap: float = 1e-6,
        keep: int = 1,
        to_beat_s: float = np.inf,
        judge: Callable[[Choice], float] | None = None,
    ) -> SearchResult:
        """Search for the best few, by ``judge`` or else by ``seconds``; none that is not below ``to_beat_s``."""
        left_s = time_limit_s - (perf_counter() - self.began_s)
        limits = SearchLimits(time_limit_s=left_s, gap=gap, keep=keep, to_beat_s=to_beat_s)
        return BranchAndBound(self.milp, limits, seconds=judge or self.seconds).run()

    def seconds(self, choice: Choice) -> float:
        """Seconds of an iteration of the choice's plan, exactly."""
        return iteration_s(self.problem, self.draft(choice), self.candidates.costs)

    def plan(self, choice: Choice, result: SearchResult) -> Plan:
        """The plan of a choice with the search's proof."""
        seconds = self.seconds(choice)
        proof = self.proof(seconds, result)
        return self.draft(choice, proof=proof, predicted_s=seconds)

    def proof(self, seconds: float, result: SearchResult) -> Proof:
        """How far a choice of so many seconds can be from the best."""
        return Proof(
            method="branch and bound over stages",
            objective=Objective.ITERATION_TIME,
            value=seconds,
            bound=bound_or_none(result.bound_s, seconds),
            seconds=perf_counter() - self.began_s,
            solver=result.solver,
        )

    def draft(self, choice: Choice, proof: Proof | None = None, predicted_s: float | None = None) -> Plan:
        """The plan of a choice, not yet checked: ranks of a kind go to its stages in their order."""
        columns, ranks = self.candidates.columns, [list(kind) for kind in self.candidates.kinds]
        stages = []
        for c in choice:
            shares = self.candidates.shares(int(columns.group[c]), int(columns.split[c]))
            stages.append(
                Stage(
                    layers=(int(columns.start[c]), int(columns.stop[c])),
                    in_flight=int(columns.depth[c]),
                    ranks=tuple(ranks[kind].pop(0) for kind, _ in shares),
                    samples=tuple(n for _, n in shares),
                )
            )
        return self.problem.plan(planner=self.planner, stages=stages, proof=proof, predicted_s=predicted_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """What users say of a search: which pipelines, for how long, and how well the best must be proven.

    Attributes:
        depth: how many micro-batches a stage keeps in flight.
        replicas: of a stage, at most; None: as ``most_replicas`` says.
        stages: of a pipeline, at most; None: as many as there are layers and devices.
        time_limit_s: then the best plan so far, with its true gap.
        gap: ``(value - bound) / bound`` at which to stop.
    """

    depth: Depth = Depth.ASTEROID
    replicas: int | None = None
    stages: int | None = None
    time_limit_s: float = 60.0
    gap: float = 1e-6

    def family(self, problem: Problem, kinds: Sequence[Sequence[int]]) -> PipelineFamily:
        """Return the pipelines to search, where devices are of these kinds. Raises PlanError."""
        replicas = most_replicas(problem, self.replicas, kinds)
        return PipelineFamily(depth=Depth(self.depth), replicas=replicas, stages=self.stages)


def most_replicas(problem: Problem, replicas: int | None, kinds: Sequence[Sequence[int]]) -> int:
    """How many replicas a stage may have: what is asked for, else all devices if they are few or alike, else 4.

    Raises PlanError for less than 1.
    """
    if replicas is not None and replicas < 1:
        raise PlanError(f"a stage has at least one replica, got replicas={replicas}")
    most = min(len(problem.ranks), problem.workload.micro_batch_samples)
    few = sum(map(len, kinds)) <= 4 or len(kinds) <= 2
    return min(most, replicas if replicas is not None else most if few else 4)
