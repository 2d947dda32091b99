"""What does slowing the devices of one plan down save? Its stages stay, and every kind of device in a stage has a mode.

This is frequency scaling as it is done behind a planner: of the plan that was chosen for time, clocks are all that may
change. Seconds and joules are those of the planners' closed forms.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from edgesim.plan import Plan, Stage
from edgesim.planners.cost_models.pipeline_energy import iteration_j
from edgesim.planners.cost_models.pipeline_time import iteration_s
from edgesim.planners.problem import Modes, Problem

_SAME = 1e-9  # relative: what joules must fall by to be worth more seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A plan, its seconds and its joules."""

    plan: Plan
    seconds: float
    joules: float

    @classmethod
    def of(cls, problem: Problem, plan: Plan, modes: Modes) -> "Point":
        """By the closed forms, in the plan's modes."""
        asked = problem.in_modes_of(plan, modes)
        return cls(plan=plan, seconds=iteration_s(asked, plan), joules=iteration_j(asked, plan))


def scaled(problem: Problem, plan: Plan, modes: Modes) -> Iterator[Point]:
    """The plan in all combinations of modes: one of each for every kind of device in a stage, whose shares stay."""
    groups = [(number, name) for number, stage in enumerate(plan.stages) for name in _kinds(problem, stage)]
    choices = [("", *(mode.name for mode in modes.get(name, ()))) for _, name in groups]
    for chosen in product(*choices):
        yield Point.of(problem, _in(problem, plan, dict(zip(groups, chosen, strict=True))), modes)


def _kinds(problem: Problem, stage: Stage) -> Iterable[str]:
    return dict.fromkeys(problem.cluster.devices[rank].name for rank in stage.ranks)


def _in(problem: Problem, plan: Plan, chosen: Mapping[tuple[int, str], str]) -> Plan:
    stages = []
    for number, stage in enumerate(plan.stages):
        of_ranks = tuple(chosen[number, problem.cluster.devices[rank].name] for rank in stage.ranks)
        stages.append(replace(stage, modes=of_ranks if any(of_ranks) else ()))
    return replace(plan, stages=tuple(stages), proof=None, predicted_s=None)


def pareto(points: Iterable[Point]) -> list[Point]:
    """By rising seconds, the points that take fewer joules than all before them."""
    front: list[Point] = []
    for point in sorted(points, key=lambda each: (each.seconds, each.joules)):
        if not front or point.joules < front[-1].joules * (1 - _SAME):
            front.append(point)
    return front


def least_within(points: Sequence[Point], seconds: float) -> Point | None:
    """Of the points of at most so many seconds, that of the fewest joules."""
    within = [point for point in points if point.seconds <= seconds * (1 + _SAME)]
    return min(within, key=lambda each: each.joules, default=None)
