"""What do a setting's plans take? Calibrated, and executed in rounds over all plans: forwards, then backwards.

A cluster's testbed opens once and its links are timed once for all its settings; layers are timed setting by setting,
and what hosts compute of a plan of blocks is rehearsed plan by plan.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter

from omegaconf import DictConfig

from edgesim.cluster import Network
from edgesim.errors import EdgesimError, RunError
from edgesim.profile import Profile
from edgesim.schedule import Schedule
from edgesim.trace import Trace
from experiments.calibrate import timed
from experiments.configuration.command_line import sentence
from experiments.configuration.setup import Setup
from experiments.execution.assignments import execute, make_assignment
from experiments.explain.worlds import typical
from experiments.fidelity_study.asked import Asked
from experiments.fidelity_study.drawn_plans import STRATEGIES, DrawnPlan
from experiments.fidelity_study.draws import DrawnSetting, configuration_of, setup_of
from experiments.fidelity_study.journal import Entry, Played
from experiments.planner_regret.trials import FreshTestbeds
from real_runtime.assignment import Assignment
from real_runtime.testbeds.repeating import too_slow

Tell = Callable[[str], object]


@dataclass(kw_only=True)
class _Trying:
    """A plan while its runs are made."""

    drawn: DrawnPlan
    assignment: Assignment
    rehearsed: Profile | None
    traces: list[tuple[Trace, ...]] = field(default_factory=list)
    disturbed: list[float] = field(default_factory=list)
    reason: str = ""

    def played(self) -> Played:
        told = Played(name=self.drawn.name, strategy=self.drawn.strategy, plan=self.drawn.plan, reason=self.reason)
        if self.reason or not self.traces:
            return told
        middle = typical([trace for run in self.traces for trace in run])
        return replace(
            told,
            runs=tuple(tuple(trace.makespan_s for trace in run) for run in self.traces),
            start_s=tuple(middle.start_s),
            end_s=tuple(middle.end_s),
            rehearsed=self.rehearsed,
            disturbed=max(self.disturbed, default=None),
        )


def play_setting(asked: Asked, setting: DrawnSetting, testbeds: FreshTestbeds, network: Network, tell: Tell) -> Entry:
    """Calibrate and execute all plans of a setting. Raises RunError if no fresh testbed comes up."""
    began_s, cfg = perf_counter(), configuration_of(setting.words)
    setup = setup_of(setting.words, replace(testbeds.testbed.cluster, network=network))
    profile = None
    if counts := counts_of(setting.plans, setup.workload.micro_batch_samples):
        tell("timing layers")
        profile = timed(testbeds.testbed, setup.model, setup.workload, counts, asked.repeats)
    trying = [_begin(asked, cfg, setup, profile, drawn, testbeds) for drawn in setting.plans]
    for number in range(asked.runs):
        for each in trying[::-1] if number % 2 else trying:
            if not each.reason:
                tell(f"{each.drawn.name}, run {number + 1}")
                _run(each, testbeds)
    return Entry(
        key=setting.key,
        words=setting.words,
        testbed=testbeds.testbed.name,
        profile=profile,
        network=network,
        plans=tuple(each.played() for each in trying),
        took_s=perf_counter() - began_s,
    )


def counts_of(plans: Sequence[DrawnPlan], micro_batch_samples: int) -> list[int]:
    """At which counts of samples layers are timed: at the ends, and in the middle; between, the profile is a line."""
    if all(drawn.divides_blocks for drawn in plans):
        return []
    return sorted({1, (micro_batch_samples + 1) // 2, micro_batch_samples})


def _begin(
    asked: Asked,
    cfg: DictConfig,
    setup: Setup,
    profile: Profile | None,
    drawn: DrawnPlan,
    testbeds: FreshTestbeds,
) -> _Trying:
    """Rehearse a plan of blocks; simulate, to know how many iterations fill a run, and what is not to be executed."""
    schedule = STRATEGIES[drawn.strategy](drawn.plan, setup.model, setup.workload)
    assignment, rehearsed = make_assignment(cfg, setup, schedule, 1), None
    try:
        if drawn.divides_blocks:
            rehearsed = testbeds.testbed.rehearse(assignment, repeats=asked.rehearsals)
        simulated_s = simulated(setup, rehearsed or profile, schedule).makespan_s
    except EdgesimError as error:
        if isinstance(error, RunError):  # the testbed may be broken
            testbeds.renew()
        return _Trying(drawn=drawn, assignment=assignment, rehearsed=None, reason=sentence(error))
    reason = ""
    if simulated_s > asked.skip_above_s:
        reason = f"skipped: simulated {simulated_s:.3g} s, more than skip_above_s={asked.skip_above_s:g}"
    assignment = replace(assignment, iterations=1 + asked.iterations_of(simulated_s))
    return _Trying(drawn=drawn, assignment=assignment, rehearsed=rehearsed, reason=reason)


def simulated(setup: Setup, profile: Profile | None, schedule: Schedule) -> Trace:
    """What the simulator says with these seconds."""
    trace: Trace = replace(setup, profile=profile or setup.profile).simulate(schedule)
    return trace


def _run(trying: _Trying, testbeds: FreshTestbeds) -> None:
    try:
        execution = execute(testbeds.testbed, trying.assignment, trying.rehearsed)
    except EdgesimError as error:
        trying.reason = sentence(error)
        if isinstance(error, RunError):  # the testbed may be broken
            testbeds.renew()
        return
    trying.reason = too_slow(execution)  # what was measured is then not of these hosts
    trying.traces.append(execution.traces)
    trying.disturbed += execution.disturbed
