"""Which plans are drawn of a setting? Random ranks, cuts, shares and depths, by every strategy that can be executed.

Shares follow the hosts' speeds to a drawn power, from none of it to a third more: so good plans are drawn and bad ones.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edgesim.apportion import at_least_one
from edgesim.errors import EdgesimError, PlanError
from edgesim.plan import Depth, Plan, make_stages
from edgesim.planners.block_division import plan_by_weights
from edgesim.planners.problem import Problem
from edgesim.strategies import Strategy
from edgesim.strategies.data import data
from edgesim.strategies.hybrid_model import hybrid_model
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.strategies.pipeline import pipeline
from edgesim.strategies.sequence import sequence
from edgesim.strategies.tensor import tensor
from experiments.configuration.setup import Setup

STRATEGIES: dict[str, Strategy] = {
    "data": data,
    "pipeline": pipeline,
    "hybrid_pipeline": hybrid_pipeline,
    "tensor": tensor,
    "sequence": sequence,
    "hybrid_model": hybrid_model,
}
OF_LAYERS, OF_BLOCKS = ("data", "pipeline", "hybrid_pipeline"), ("tensor", "sequence", "hybrid_model")
_FEWEST_OF_HYBRID = 3  # hosts: two stages, one of them of two
_MOST_POWER = 1.3  # of speeds, to which shares are in proportion
_TRIES = 40  # for each plan that is asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnPlan:
    """A plan and the strategy that plays it."""

    name: str
    strategy: str
    plan: Plan

    @property
    def divides_blocks(self) -> bool:
        """Whether what hosts compute of it is rehearsed, rather than timed layer by layer."""
        return self.strategy in OF_BLOCKS


def drawn_plans(
    setup: Setup, strategies: Sequence[str], random: np.random.Generator, *, count: int, most_s: float
) -> list[DrawnPlan]:
    """Up to ``count`` different plans whose iterations are estimated to take ``most_s`` at most; fewer where few do."""
    found: dict[object, DrawnPlan] = {}
    for _ in range(_TRIES * count):
        if len(found) == count:
            break
        strategy = str(random.choice(list(strategies)))
        try:
            plan = _DRAWS[strategy](setup.problem, random)
            plan.check(setup.model, setup.cluster, setup.workload)
            key = strategy, plan.stages
            if key in found or setup.seconds(plan, STRATEGIES[strategy]) > most_s:
                continue
        except EdgesimError:  # more ranks than samples, layers or hosts
            continue
        found[key] = DrawnPlan(name=f"{strategy} {len(found) + 1}", strategy=strategy, plan=plan)
    return list(found.values())


def _ranks(problem: Problem, random: np.random.Generator, least: int) -> list[int]:
    """Some of the hosts, in any order."""
    hosts = len(problem.ranks)
    count = int(random.integers(min(least, hosts), hosts + 1))
    return [int(rank) for rank in random.permutation(hosts)[:count]]


def _weights(problem: Problem, ranks: Sequence[int], random: np.random.Generator) -> list[float]:
    power = random.uniform(0, _MOST_POWER)
    return [float(problem.cluster.devices[rank].flop_per_s ** power) for rank in ranks]


def _in_stages(problem: Problem, random: np.random.Generator, groups: Sequence[Sequence[int]]) -> Plan:
    """Layers by the groups' weights, samples by their ranks'."""
    weights = [_weights(problem, group, random) for group in problem.group(groups)]
    layers = at_least_one(len(problem.model.layers), [sum(each) for each in weights])
    stages = make_stages(
        cuts=[0, *(int(cut) for cut in np.cumsum(layers))],
        groups=[tuple(group) for group in groups],
        samples=[at_least_one(problem.workload.micro_batch_samples, each) for each in weights],
        depth=Depth(str(random.choice(list(Depth)))),
        micro_batches=problem.workload.micro_batches,
    )
    return problem.plan(planner="drawn", stages=stages)


def _data(problem: Problem, random: np.random.Generator) -> Plan:
    return _in_stages(problem, random, [sorted(_ranks(problem, random, 2))])


def _pipeline(problem: Problem, random: np.random.Generator) -> Plan:
    return _in_stages(problem, random, [[rank] for rank in _ranks(problem, random, 1)])


def _hybrid_pipeline(problem: Problem, random: np.random.Generator) -> Plan:
    """Two stages or more, one of them of several ranks."""
    if len(problem.ranks) < _FEWEST_OF_HYBRID:
        raise PlanError(f"a hybrid of two stages needs {_FEWEST_OF_HYBRID} hosts, there are {len(problem.ranks)}")
    ranks = _ranks(problem, random, _FEWEST_OF_HYBRID)
    stages = int(random.integers(2, max(3, len(ranks))))
    return _in_stages(problem, random, list(_groups(ranks, stages, random)))


def _groups(ranks: Sequence[int], groups: int, random: np.random.Generator) -> Iterator[list[int]]:
    cuts = sorted(int(cut) for cut in random.choice(np.arange(1, len(ranks)), size=groups - 1, replace=False))
    for start, stop in zip([0, *cuts], [*cuts, len(ranks)], strict=True):
        yield sorted(ranks[start:stop])


def _blocks(*, units: bool, tokens: bool) -> Callable[[Problem, np.random.Generator], Plan]:
    def draw(problem: Problem, random: np.random.Generator) -> Plan:
        ranks = tuple(sorted(_ranks(problem, random, 2)))
        return plan_by_weights(
            problem,
            planner="drawn",
            ranks=ranks,
            units=_weights(problem, ranks, random) if units else (),
            tokens=_weights(problem, ranks, random) if tokens else (),
        )

    return draw


_DRAWS: dict[str, Callable[[Problem, np.random.Generator], Plan]] = {
    "data": _data,
    "pipeline": _pipeline,
    "hybrid_pipeline": _hybrid_pipeline,
    "tensor": _blocks(units=True, tokens=False),
    "sequence": _blocks(units=False, tokens=True),
    "hybrid_model": _blocks(units=True, tokens=True),
}
