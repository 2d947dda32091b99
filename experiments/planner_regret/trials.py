"""How long do the plans of a setting take for real? In rounds over all of them, forwards, then backwards.

So a machine that drifts hits all plans alike. A plan that breaks the testbed gets no further run, and the others a
fresh testbed of the same speeds.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from statistics import median
from types import TracebackType
from typing import Self

from omegaconf import DictConfig

from edgesim.cluster import Cluster
from edgesim.errors import EdgesimError, RunError
from edgesim.plan import Plan
from edgesim.strategies import Strategy
from experiments.configuration.command_line import sentence
from experiments.configuration.setup import Setup
from experiments.execution.assignments import execute, make_assignment
from experiments.planner_regret.contenders import Contender
from real_runtime.data import DataSpec
from real_runtime.execution import Execution
from real_runtime.testbeds.opening import open_testbed
from real_runtime.testbeds.spec import TestbedSpec
from real_runtime.testbeds.testbed import Testbed


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of a plan: seconds per iteration, [run][iteration]; none where it was skipped or has failed.

    ``disturbed`` is the largest share of the processors that other programs took during an iteration, 0 if too small;
    None where nothing is known of them.
    """

    runs: tuple[tuple[float, ...], ...] = ()
    reason: str = ""
    disturbed: float | None = None

    @property
    def measured_s(self) -> float | None:
        """The median of all iterations of all runs."""
        return median(seconds for run in self.runs for seconds in run) if self.runs else None

    @property
    def spread(self) -> float | None:
        """How far runs of the same plan are apart, as a share; None for fewer than two."""
        if self.measured_s is None or len(self.runs) < 2:
            return None
        middles = [median(run) for run in self.runs]
        return (max(middles) - min(middles)) / self.measured_s


class FreshTestbeds:
    """An open testbed, which a fresh one replaces on demand."""

    def __init__(self, spec: TestbedSpec, cluster: Cluster, data: DataSpec | None = None) -> None:
        self.spec, self.cluster, self.data = spec, cluster, data
        self._open_now = ExitStack()

    def __enter__(self) -> Self:
        self.testbed: Testbed = self._open_now.enter_context(open_testbed(self.spec, self.cluster, self.data))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return self._open_now.__exit__(kind, error, traceback)

    def renew(self) -> None:
        """Close it and open another, whose hosts are as fast: they are not measured again. Raises RunError."""
        fractions = tuple(fraction * self.spec.slow_motion for fraction in self.testbed.fractions)
        self._open_now.close()
        spec = replace(self.spec, fractions=fractions)
        self.testbed = self._open_now.enter_context(open_testbed(spec, self.cluster, self.data))


def rounds(contending: Sequence[Contender], settings: DictConfig) -> list[list[int]]:
    """Places of the plans that each round runs, in its order: none above ``skip_above``, some in the first only."""
    best_s = min(contender.simulated_s for contender in contending)
    orders = []
    for number in range(settings.rounds):
        most_s = best_s * (settings.once_above if number else settings.skip_above)
        places = [place for place, contender in enumerate(contending) if contender.simulated_s <= most_s]
        orders.append(places[::-1] if number % 2 else places)
    return orders


def planned_s(contending: Sequence[Contender], settings: DictConfig) -> float:
    """Seconds that all rounds take, as simulated; each run has one iteration more than is counted."""
    iterations = int(settings.iterations) + 1
    return sum(contending[place].simulated_s * iterations for order in rounds(contending, settings) for place in order)


def trials(
    contending: Sequence[Contender],
    testbeds: FreshTestbeds,
    setup: Setup,
    strategy: Strategy,
    cfg: DictConfig,
    *,
    tell: Callable[[Contender], object],
    advance: Callable[[], object],
) -> list[Trial]:
    """What came of each plan, in the order of the plans; ``tell`` hears which one is next, ``advance`` when it is over.

    Raises RunError if no fresh testbed comes up.
    """
    runs: list[list[Execution]] = [[] for _ in contending]
    reasons: dict[int, str] = {}
    for order in rounds(contending, cfg.planner_regret):
        for place in order:
            tell(contending[place])
            if place not in reasons:
                try:
                    runs[place].append(_run(contending[place].plan, testbeds.testbed, setup, strategy, cfg))
                except EdgesimError as error:
                    reasons[place] = sentence(error)
                    if isinstance(error, RunError):  # the testbed may be broken
                        testbeds.renew()
            advance()
    return [Trial(reason=reasons[place]) if place in reasons else _trial(mine) for place, mine in enumerate(runs)]


def _trial(executions: Sequence[Execution]) -> Trial:
    return Trial(
        runs=tuple(tuple(trace.makespan_s for trace in execution.traces) for execution in executions),
        disturbed=max((share for execution in executions for share in execution.disturbed), default=None),
    )


def _run(plan: Plan, testbed: Testbed, setup: Setup, strategy: Strategy, cfg: DictConfig) -> Execution:
    """The iterations that count."""
    schedule = strategy(plan, setup.model, setup.workload)
    assignment = make_assignment(cfg, setup, schedule, cfg.planner_regret.iterations)
    return execute(testbed, assignment)
