"""Who plays a job in virtual time? A player that lets iterations, messages and what hosts take pass on one clock.

``edgesim.job.run_job`` says what comes next. An iteration in which nothing happens is simulated once for all that are
alike. One in which a rank is lost is lost, unless all had committed; then everybody waits until the rank is missed. A
migration is simulated as an iteration is; what hosts take is in ``HostCosts``.
"""

from collections.abc import Collection
from functools import partial
from math import floor, inf
from time import perf_counter
from typing import Any

import numpy as np

from edgesim.errors import ScheduleError
from edgesim.job import (
    Activity,
    Change,
    Held,
    HostCosts,
    JobSpan,
    Migration,
    Phase,
    Played,
    Recovery,
    Refill,
    Safety,
    copies_of,
)
from edgesim.scenario import Membership
from edgesim.schedule import Op
from edgesim.simulator.disk_times import disk_s, loading_s
from edgesim.simulator.iterations import Iterations
from edgesim.simulator.roster import Missing, Roster
from edgesim.trace import Trace
from edgesim.workload import Workload


class SimulatedJob:
    """A job's player in virtual time; ``planning_s`` is what a policy takes, None: what it takes here."""

    name = "simulated"

    def __init__(
        self,
        iterations: Iterations,
        roster: Roster,
        host_costs: HostCosts,
        workload: Workload,
        planning_s: float | None,
    ) -> None:
        self.iterations, self.roster, self.costs = iterations, roster, host_costs
        self.workload, self.planning_s = workload, planning_s
        self.spans, self.losses = list[JobSpan](), list[float]()
        self.now_s = self._cold_s = 0.0
        self._most_done = 0  # what was done before a rank was lost may be done again
        self._warm: Phase | None = None  # whose layers have been trained with since they were taken up
        self._last: Phase | None = None  # in which ranks have trained

    # --- what a job's player does ---

    def train(self, phase: Phase, done: int, until: int, safety: Safety) -> Played:
        """Play iterations until somebody is known to be lost, leaves or has come."""
        first, replicated, checkpoint = done, None, None
        change: Change | None = None
        while done < until and (change := self._news(phase)) is None:
            replicates = phase.replicates(done, safety.replicate_every, first=first)
            schedule = phase.schedule_of(done, safety.replicate_every, first=first)
            trace, steady_until_s = self.iterations.at(schedule, self.now_s, done, phase.model)
            alike = 1 if replicates or self._longer(phase) else _alike(phase, done, until, safety)
            count = _undisturbed(
                self, phase, trace, min(alike, self.roster.next_iteration(done) - done), steady_until_s
            )
            if count:
                self._trained(phase, trace, done, count, self.now_s + count * self._takes_s(phase, trace))
            else:
                count, change = self._one(phase, trace, done)
            done += count
            replicated = done - 1 if replicates and count else replicated
            version = safety.checkpoint_of(done, replicates=replicates if phase.replicating else None)
            if change is None and version is not None and count:
                copies = phase.written(version) if safety.own_disks else copies_of(phase.plan, version)
                seconds = disk_s(copies, self.iterations, self.workload, phase.model, writes=True)
                change = self._spend(Activity.CHECKPOINT, seconds, phase.plan.ranks)
                checkpoint = version if change is None else checkpoint
            if change is not None:
                break
        return Played(done=done, change=change, replicated=replicated, checkpoint=checkpoint)

    def plan(self, answer: partial[Recovery]) -> Recovery:
        """Ask a policy, and let the time pass that it takes."""
        begun_s = perf_counter()
        recovery = answer()
        seconds = perf_counter() - begun_s if self.planning_s is None else self.planning_s
        self._spent(Activity.PLANNING, self.now_s + seconds, says=recovery.says)
        return recovery

    def wait(self, wait_s: float) -> Change | None:
        """Pass to the next second in which somebody comes, leaves or is missed."""
        start_s, now_s, change = self.now_s, self.now_s, self.roster.change(self.now_s)
        while change is None and (now_s := self.roster.next_s) <= start_s + wait_s:
            change = self.roster.change(now_s)
        self._spent(Activity.WAITING, start_s + wait_s if change is None else now_s)
        return change

    def regroup(self, ranks: tuple[int, ...]) -> Change | None:
        """Connect ranks anew; who has left and is not among them is gone."""
        change = self._spend(Activity.REGROUPING, self.costs.regrouping_s(len(ranks)), ranks)
        self.roster.parting &= set(ranks)
        return change

    def move(self, migration: Migration, version: int) -> Change | None:
        """Simulate a migration."""
        trace, _ = self.iterations.at(migration.schedule, self.now_s)
        ranks = {task.rank for task in migration.schedule}
        return self._spend(
            Activity.MIGRATION, trace.last_s + self.costs.move_s, ranks, trace=trace, says=migration.name
        )

    def refill(self, refill: Refill, phase: Phase, version: int) -> Change | None:
        """Let ranks load frozen layers, and simulate the iterations of a refill."""
        loaded_s = self.costs.going_back_s(len(refill.ranks)) + loading_s(refill, self.iterations)
        change = self._spend(Activity.REGROUPING, loaded_s, refill.ranks, says="load frozen layers")
        if change is not None:
            return change
        trace, _ = self.iterations.at(refill.schedule, self.now_s)
        first, count = refill.iterations[0], refill.iterations[1] - refill.iterations[0]
        seconds, more = count * _takes_s(trace, self.costs), {"first": first, "count": count}
        return self._spend(Activity.REFILL, seconds, refill.ranks, trace=trace, says=refill.name, **more)

    def go_back(self, phase: Phase, version: int) -> Change | None:
        """Let ranks take up their layers."""
        if self._last is not None and phase.model != self._last.model:
            self._cold_s = self.costs.warm_up_s
        seconds, self._cold_s = self.costs.going_back_s(len(phase.plan.ranks)) + self._cold_s, 0.0
        self._warm = None
        says = f"take up layers of iteration {version}"
        return self._spend(Activity.REGROUPING, seconds, phase.plan.ranks, says=says)

    def restart(self, phase: Phase, version: int) -> Change | None:
        """Start all processes anew, which read the checkpoint if there is one."""
        self.roster.parting.clear()
        self._warm = None
        ranks, its = phase.plan.ranks, self.costs
        copies = copies_of(phase.plan, version) if version else ()
        read_s = its.warm_up_s + disk_s(copies, self.iterations, self.workload, phase.model, writes=False)
        return self._spend(Activity.RESTART, read_s + its.restarting_s(n := len(ranks)) + its.going_back_s(n), ranks)

    def reread(self, ranks: tuple[int, ...], version: int, disks: Held) -> Change | None:
        """Start all processes anew, which read what is on their own disks."""
        self.roster.parting &= set(ranks)
        self._cold_s, read_s = self.costs.warm_up_s, disk_s(disks.copies, self.iterations, self.workload, writes=False)
        return self._spend(Activity.RESTART, self.costs.restarting_s(len(ranks)) + read_s, ranks)

    # --- iterations ---

    def _news(self, phase: Phase) -> Change | None:
        """Who is known now to be lost, to leave or to have come; of a new phase's plan also who was gone before."""
        if (change := self.roster.change(self.now_s)) is not None:
            return change
        absent = tuple(sorted(rank for rank in phase.plan.ranks if rank not in self.roster.there))
        return Change(at_s=self.now_s, noticed_s=self.now_s, lost=absent) if absent else None

    def _one(self, phase: Phase, trace: Trace, iteration: int) -> tuple[int, Change | None]:
        """Play one iteration in which something may happen: whether it is done, and who was lost in it."""
        for event in self.roster.of_iteration(iteration):
            instead = self.roster.happens(event, self.now_s + _starts_s(trace, event))
            if instead:
                self.iterations.happens_too(*instead)
                trace, _ = self.iterations.at(trace.schedule, self.now_s, iteration)
        end_s = self.now_s + self._takes_s(phase, trace)
        missing = self.roster.first_missing(phase.plan.ranks, end_s)
        if missing is None:
            self._trained(phase, trace, iteration, 1, end_s)
            return 1, None
        if self.now_s + _committed_s(trace) <= missing.at_s:  # who is left ends the iteration
            self._trained(phase, trace, iteration, 1, max(missing.at_s, self.now_s + trace.last_s))
            return 1, None
        if missing.at_s > self.now_s:
            self._spent(Activity.LOST, missing.at_s, first=iteration, says=f"rank {missing.rank} is lost")
        return 0, self._missed(missing)

    # --- the clock ---

    def _longer(self, phase: Phase) -> float:
        return 0.0 if phase is self._warm else self.costs.first_longer

    def _takes_s(self, phase: Phase, trace: Trace) -> float:
        return _takes_s(trace, self.costs) * (1 + self._longer(phase))

    def _trained(self, phase: Phase, trace: Trace, first: int, count: int, end_s: float) -> None:
        redone = min(count, max(0, self._most_done - first))
        self._spent(Activity.TRAINING, end_s, first=first, count=count, trace=trace, redone=redone, model=phase.model)
        self._most_done, self._warm, self._last = max(self._most_done, first + count), phase, phase

    def _spend(
        self,
        activity: Activity,
        seconds: float,
        ranks: Collection[int],
        *,
        first: int = 0,
        count: int = 1,
        trace: Trace | None = None,
        says: str = "",
    ) -> Change | None:
        """Be at something that needs these ranks; if one of them is lost before its end, wait until it is missed."""
        end_s = self.now_s + seconds
        if (missing := self.roster.first_missing(ranks, end_s)) is None:
            self._spent(activity, end_s, first=first, count=count, trace=trace, says=says)
            return None
        if missing.at_s > self.now_s:
            self._spent(activity, missing.at_s, says=f"{says}; rank {missing.rank} is lost".removeprefix("; "))
        return self._missed(missing)

    def _missed(self, missing: Missing) -> Change:
        """Wait until a rank counts as lost, and say so."""
        self._spent(Activity.DETECTION, max(self.now_s, missing.noticed_s), says=f"of rank {missing.rank}")
        change = self.roster.change(self.now_s)
        assert change is not None, "who is missed is told of"
        return change

    def _spent(self, activity: Activity, end_s: float, **more: Any) -> None:
        span = JobSpan(activity=activity, start_s=self.now_s, end_s=end_s, **more)
        self.spans.append(span)
        self.now_s = end_s


def _undisturbed(player: SimulatedJob, phase: Phase, trace: Trace, most: float, steady_until_s: float) -> int:
    """How many such iterations, at most so many, end before anything happens."""
    until_s = min(steady_until_s, player.roster.next_s)
    if player.roster.first_missing(phase.plan.ranks, player.now_s):
        return 0
    whole = most if until_s == inf else floor((until_s - player.now_s) / player._takes_s(phase, trace))
    return int(max(0, min(most, whole)))


def _takes_s(trace: Trace, costs: HostCosts) -> float:
    seconds = trace.last_s + costs.between_s
    if not seconds > 0:
        raise ScheduleError(
            f"an iteration of {len(trace)} tasks takes {seconds:g} s: a job of such never ends (give the tasks "
            "seconds in the profile, or between_s)"
        )
    return seconds


def _alike(phase: Phase, done: int, until: int, safety: Safety) -> int:
    """How many iterations play the same from this one on, by what they send and write."""
    ends = [until - done]
    if phase.replicating and safety.replicate_every:
        ends.append(safety.replicate_every - done % safety.replicate_every)
    if safety.checkpoint_every:
        ends.append(safety.checkpoint_every - done % safety.checkpoint_every)
    return min(ends)


def _starts_s(trace: Trace, event: Membership) -> float:
    """When the task starts at which something happens; 0 where it is the beginning of the iteration."""
    if (task := event.when.task) is None:
        return 0.0
    names = trace.schedule.names()
    if task not in names:
        raise ValueError(
            f"scenario: {event}: the iteration's schedule has no task {task!r} (its first is {names[0]!r}; give one as "
            "schedule.txt names it, or a second)"
        )
    return trace.start_s[names.index(task)]


def _committed_s(trace: Trace) -> float:
    """When all ranks have committed; of a schedule without commits, its end."""
    columns = trace.schedule.columns
    commits = [number for number, kind in enumerate(columns.kinds) if kind.op is Op.COMMIT]
    ends_s = np.asarray(trace.end_s)[np.isin(columns.kind, commits)]
    return float(ends_s.max(initial=0.0)) if len(ends_s) else trace.last_s
