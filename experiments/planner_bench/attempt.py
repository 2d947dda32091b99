"""What comes of one planner on one case? Its plan, as simulated, and what planning took; or why there is none.

Planning seconds are wall time of the planner alone, from built nouns to a checked plan. Peak memory is how much further
the process's resident set grew (``ru_maxrss``) while it planned, and the largest of the solvers that it started: it
counts libraries written in C, which ``tracemalloc`` does not see, and slows nothing down.
"""

import resource
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from edgesim.errors import EdgesimError, InfeasibleError, OutOfMemoryError
from edgesim.plan import Plan
from edgesim.planners.device_types import interchangeable
from edgesim.planners.exact.certify import depth_of
from edgesim.planners.exact.pipelines.search import most_replicas
from edgesim.planners.problem import Problem
from edgesim.strategies import Strategy
from edgesim.units import bit_per_s
from experiments.analysis.placements import in_words
from experiments.analysis.predictions import prediction, proof_columns
from experiments.configuration.command_line import composed, sentence
from experiments.configuration.constructors import build
from experiments.configuration.planners import ConfiguredPlanner, build_planner
from experiments.configuration.setup import Setup, read_setup
from experiments.planner_bench.cases import Case
from experiments.planner_bench.competitors import Competitor

Row = dict[str, Any]
_KIB = 1024  # ru_maxrss counts in these on Linux


class AttemptStatus(StrEnum):
    """How an attempt ended."""

    DONE = "done"
    DECLINED = "declined"  # the planner is not made for this
    INFEASIBLE = "infeasible"  # it found no plan that fits
    LATE = "late"  # it was stopped at the time limit
    DIED = "died"  # a mistake of ours, or killed for its memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One planner on one case."""

    case: Case
    competitor: Competitor

    @property
    def names(self) -> Row:
        """The columns that tell which one it is."""
        case, competitor = self.case, self.competitor
        return {
            "plans": str(case.plans),
            "cluster": case.environment,
            "model": case.model,
            "planner": competitor.name,
            "kind": str(competitor.kind),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Posed:
    """The case and its competitor, built."""

    setup: Setup
    planner: ConfiguredPlanner
    strategy: Strategy


def pose(attempt: Attempt) -> Posed:
    """Build what the configuration names; nothing is planned."""
    cfg = composed(*attempt.case.overrides, *attempt.competitor.overrides, folders=attempt.competitor.folders)
    return Posed(setup=read_setup(cfg), planner=build_planner(cfg), strategy=build(cfg.strategy))


def size(posed: Posed) -> Row:
    """How large the problem is."""
    setup = posed.setup
    return {
        "devices": len(setup.cluster.devices),
        "layers": len(setup.model.layers),
        "bandwidth_bit_per_s": bit_per_s(setup.cluster.network.slowest_bytes_per_s),
        "batch_samples": setup.workload.batch_samples,
        "micro_batch_samples": setup.workload.micro_batch_samples,
    }


def tried(posed: Posed) -> Row:
    """What came of it; a planner's refusal or mistake is a row too."""
    before_bytes, began_s = _peak_bytes(), time.perf_counter()
    try:
        plan = posed.setup.plan(posed.planner, posed.strategy)
        taken: Row = {"planning_s": time.perf_counter() - began_s, "planning_bytes": _peak_bytes() - before_bytes}
        return taken | judged(posed, plan) | {"status": str(AttemptStatus.DONE), "reason": ""}
    except EdgesimError as error:
        reason = sentence(error)
        unfit = isinstance(error, InfeasibleError | OutOfMemoryError)
        status = AttemptStatus.INFEASIBLE if unfit else AttemptStatus.DECLINED
    except Exception as error:  # our mistake, but it must not end the other attempts
        status, reason = AttemptStatus.DIED, f"{type(error).__name__}: {sentence(error)}"
    return {"status": str(status), "reason": reason, "planning_s": time.perf_counter() - began_s}


def judged(posed: Posed, plan: Plan) -> Row:
    """What the plan promises, and its seconds in the simulator."""
    setup = posed.setup.as_planned(plan)
    known = prediction(setup.problem, plan, posed.strategy)
    return proof_columns(plan.proof) | {
        "predicted_s": known.predicted_s,
        "analytic_s": known.analytic_s,
        "simulated_s": setup.seconds(plan, posed.strategy),
        "family": family(setup.problem, plan),
        "placement": in_words(plan, [device.name for device in setup.cluster.devices]),
        "profile_hash": plan.profile_hash,
    }


def family(problem: Problem, plan: Plan) -> str | None:
    """Plans that one bound holds for: pipelines of one depth, with as many replicas a stage as the planners that prove
    allow; None for a depth of nobody's rule, for more replicas, for other power modes, for blocks, and where stages
    recompute activations.
    """
    if plan.modes or any(stage.divides_blocks or stage.recompute for stage in plan.stages):
        return None
    most = most_replicas(problem, None, interchangeable(problem.cluster))
    depth = depth_of(plan) if all(len(stage.ranks) <= most for stage in plan.stages) else None
    return None if depth is None else str(depth)


def _peak_bytes() -> int:
    """The peak memory of this process, and of the largest process that it has waited for."""
    return _KIB * sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
