"""When does a testbed's plan hold? Rounds of planning, simulating and executing, until nothing is off any more.

What is off is measured again once: what stays off after that is not a question of calibration. A device without work
in the plan is not looked at, since nothing shows how fast it is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from omegaconf import DictConfig
from rich.progress import Progress

from edgesim.schedule import Schedule
from experiments.autopilot.deviations import Deviation, deviations
from experiments.autopilot.remeasuring import Again, Calibrated, again_for, first_calibration, measured_again
from experiments.autopilot.tolerances import Tolerances
from experiments.configuration.constructors import build, of_kind
from experiments.configuration.planners import build_planner
from experiments.configuration.setup import Prepared, Setup, read_strategy, refuse_modes
from experiments.execution.assignments import execute, make_assignment
from experiments.execution.play import Played, plain
from real_runtime.testbeds.testbed import Testbed


@dataclass(frozen=True, kw_only=True)
class Round:
    """One time planned, simulated and executed.

    Attributes:
        known: what was planned with.
        measured: in words, what was measured before it.
        run: the plan, and what came of it in both players.
        deviations: of every kind of task, on every device and link.
        again: what has to be measured again after it.
    """

    known: Calibrated
    measured: str
    run: Played
    deviations: tuple[Deviation, ...]
    again: Again

    @property
    def off(self) -> tuple[Deviation, ...]:
        """What is off by more than its tolerance."""
        return tuple(each for each in self.deviations if each.is_off)

    @property
    def simulated_s(self) -> float:
        """Of an iteration."""
        return self.run.metrics[0].makespan_s

    @property
    def measured_s(self) -> float:
        """Of an iteration, the median."""
        return median(each.makespan_s for each in self.run.metrics[1:])


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """All rounds, and in words why there were no more."""

    rounds: tuple[Round, ...]
    ended: str

    @property
    def holds(self) -> bool:
        """Whether nothing was off in the last round."""
        return not self.rounds[-1].off


def rounds_until_nothing_is_off(
    cfg: DictConfig, nominal: Setup, testbed: Testbed, progress: Progress, hears: Callable[[Round], object]
) -> Outcome:
    """Plan, simulate and execute; measure again what is off, and plan anew. ``hears`` hears of every round.

    Raises what planning and executing raise: EdgesimError, ValueError.
    """
    tolerances: Tolerances = build(cfg.autopilot.tolerances)
    known, measured = first_calibration(cfg, nominal, testbed, progress)
    done, rounds = Again(), list[Round]()
    while True:
        rounds.append(_round(cfg, known, measured, testbed, tolerances))
        hears(rounds[-1])
        again = rounds[-1].again
        if not again:
            return Outcome(rounds=tuple(rounds), ended="nothing is off by more than its tolerance")
        if not (todo := again.without(done)):
            stays = f"{again} was measured again and stays off: this is not a question of calibration"
            return Outcome(rounds=tuple(rounds), ended=f"{stays} (edgesim explain shows of what)")
        if len(rounds) > cfg.autopilot.loops:
            return Outcome(
                rounds=tuple(rounds), ended=f"{again} is still off after autopilot.loops={cfg.autopilot.loops}"
            )
        known, measured, done = measured_again(cfg, known, testbed, todo), str(todo), done.with_all_of(todo)


def _round(cfg: DictConfig, known: Calibrated, measured: str, testbed: Testbed, tolerances: Tolerances) -> Round:
    setup, strategy = known.setup, read_strategy(cfg)
    plan = setup.plan(build_planner(cfg), strategy)
    refuse_modes(plan)
    schedule = of_kind(strategy(plan, setup.model, setup.workload), Schedule, "strategy")
    played = setup.as_planned(plan)
    assignment = make_assignment(cfg, played, schedule, cfg.iterations)
    simulated = played.simulate(schedule)
    execution = execute(testbed, assignment, scenario=setup.scenario)
    traces = (simulated, *execution.traces)
    found = deviations(simulated, execution.traces, tolerances)
    run = Played(
        config=plain(cfg),
        prepared=Prepared(setup=played, strategy=strategy, plan=plan, schedule=schedule),
        setup=played,
        traces=traces,
        metrics=tuple(played.measure(trace) for trace in traces),
        losses=tuple(execution.losses),
        disturbed=execution.disturbed,
    )
    again = again_for((each for each in found if each.is_off), setup.cluster)
    return Round(known=known, measured=measured, run=run, deviations=found, again=again)
