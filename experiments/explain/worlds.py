"""What was simulated? All that decides a simulated trace, so that it can be played again with something changed."""

from collections.abc import Callable
from dataclasses import dataclass

from edgesim.plan import Plan
from edgesim.schedule import Schedule
from edgesim.strategies import Strategy
from edgesim.trace import Trace
from experiments.configuration.constructors import Config
from experiments.configuration.planners import build_planner
from experiments.configuration.setup import Setup
from experiments.execution.play import Played


@dataclass(frozen=True, kw_only=True)
class World:
    """What a simulated trace follows from.

    Attributes:
        setup: the nouns, in the plan's power modes.
        plan: where everything lives.
        strategy: when each rank does what.
        replan: the plan that the run's planner makes for other nouns. It raises what a planner raises.
    """

    setup: Setup
    plan: Plan
    strategy: Strategy
    replan: Callable[[Setup], Plan]

    def schedule(self) -> Schedule:
        """What is played."""
        return self.strategy(self.plan, self.setup.model, self.setup.workload)

    def trace(self) -> Trace:
        """Play it."""
        return self.setup.simulate(self.schedule())


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two that are compared: what it is called, what happened, and what was simulated, where that is known.

    ``unknown`` says in words why it is not.
    """

    name: str
    trace: Trace
    world: World | None = None
    unknown: str = ""


def world_of(cfg: Config, setup: Setup, plan: Plan, strategy: Strategy) -> World:
    """The world of a configuration that is read, and planned."""
    return World(
        setup=setup,
        plan=plan,
        strategy=strategy,
        replan=lambda other: other.plan(build_planner(cfg), strategy),
    )


def side_of(run: Played, name: str, player: str = "") -> Side:
    """A run: its typical measured iteration, or where none was measured or ``player`` says so, the simulated one.

    Raises ValueError for a player that the run does not have.
    """
    wanted = player or run.traces[-1].player
    traces = [trace for trace in run.traces if trace.player == wanted]
    if not traces:
        raise ValueError(f"{name} was not {wanted} (execute it, or explain what was {run.traces[0].player})")
    world = world_of(run.config, run.setup, run.plan, run.prepared.strategy)
    return Side(name=name, trace=typical(traces), world=world)


def typical(traces: list[Trace]) -> Trace:
    """The iteration of median length; of two the faster."""
    return sorted(traces, key=lambda trace: trace.makespan_s)[(len(traces) - 1) // 2]
