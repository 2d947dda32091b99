"""Is what a job believes that ranks hold what they do hold? Kept apart, by a player that stores every layer."""

from collections import defaultdict
from collections.abc import Callable
from functools import partial

from builders import chain
from hypothesis import given, settings
from hypothesis import strategies as st
from job_builders import COSTS, a_copy, a_job, a_setup, joins, killed, pipeline, stages
from test_simulated_jobs import POLICIES, histories

from edgesim.job import (
    Activity,
    Change,
    Held,
    Job,
    JobTrace,
    Migration,
    Phase,
    Played,
    Recover,
    Recovery,
    Safety,
    run_job,
)
from edgesim.recovery.training_setup import TrainingSetup
from edgesim.scenario import Membership, Scenario
from edgesim.schedule import Op
from edgesim.simulator.iterations import Iterations
from edgesim.simulator.roster import Roster, paused
from edgesim.simulator.simulated_job import SimulatedJob

repeatable = settings(max_examples=100, deadline=None, derandomize=True, database=None)
Stored = set[tuple[int, int]]  # (layer, version)


class StoringJob(SimulatedJob):
    """A simulated job whose ranks have stores; whoever sends, goes back or is said to hold something must have it."""

    trained: dict[int, Stored]
    kept: dict[int, Stored]
    connected: set[int]  # together, and with nobody else

    def has(self, rank: int, layer: int, version: int) -> bool:
        return version == 0 or (layer, version) in self.trained[rank] | self.kept[rank]

    def forget(self, change: Change | None) -> Change | None:
        """Who is lost has nothing any more."""
        for rank in change.lost if change else ():
            self.trained[rank], self.kept[rank] = set(), set()
        return change

    def train(self, phase: Phase, done: int, until: int, safety: Safety) -> Played:
        assert self.connected == set(phase.plan.ranks)
        for stage in phase.plan.stages:
            for rank in stage.ranks:
                assert all(self.has(rank, layer, done) for layer in range(*stage.layers))
        played = super().train(phase, done, until, safety)
        if played.replicated is not None:
            self.kept = defaultdict(set)
            backups = [(copy.rank, copy.layers) for copy in phase.backups]
            own = [(rank, stage.layers) for stage in phase.plan.stages for rank in stage.ranks]
            for rank, layers in own + backups:
                self.kept[rank] |= {(layer, played.replicated) for layer in range(*layers)}
        for stage in phase.plan.stages:
            for rank in stage.ranks:
                self.trained[rank] = {(layer, played.done) for layer in range(*stage.layers)}
        self.forget(played.change)
        return played

    def plan(self, answer: partial[Recovery]) -> Recovery:
        situation = answer.args[-1]
        for copy in situation.held.copies:
            assert all(self.has(copy.rank, layer, copy.version) for layer in range(*copy.layers))
        return super().plan(answer)

    def regroup(self, ranks: tuple[int, ...]) -> Change | None:
        for rank in {*self.trained, *self.kept} - set(ranks):  # they are not there any more
            self.trained[rank], self.kept[rank] = set(), set()
        self.connected = set(ranks)
        return self.forget(super().regroup(ranks))

    def move(self, migration: Migration, version: int) -> Change | None:
        for task in migration.schedule:
            if task.op is Op.SEND:
                assert all(self.has(task.rank, layer, version) for layer in range(*task.layers))
        change = super().move(migration, version)
        for copy in migration.arriving if change is None else ():
            self.kept[copy.rank] |= {(layer, version) for layer in range(*copy.layers)}
        return self.forget(change)

    def go_back(self, phase: Phase, version: int) -> Change | None:
        for stage in phase.plan.stages:
            for rank in stage.ranks:
                assert all(self.has(rank, layer, version) for layer in range(*stage.layers))
        self._keep(phase, version)
        return self.forget(super().go_back(phase, version))

    def restart(self, phase: Phase, version: int) -> Change | None:
        self.trained, self.kept = defaultdict(set), defaultdict(set)
        self.connected = set(phase.plan.ranks)
        self._keep(phase, version)
        return self.forget(super().restart(phase, version))

    def _keep(self, phase: Phase, version: int) -> None:
        for rank in {*self.trained, *self.kept}:
            self.kept[rank] = {held for held in self.trained[rank] | self.kept[rank] if held[1] == version}
            self.trained[rank] = set()
        for stage in phase.plan.stages:
            for rank in stage.ranks:
                self.trained[rank] = {(layer, version) for layer in range(*stage.layers)}


def stored(setup: TrainingSetup, job: Job, history: list[Membership]) -> JobTrace:
    """Play a job on ranks that have stores."""
    problem, heartbeat = setup.problem, job.safety.heartbeat
    scenario = Scenario(events=tuple(history))
    iterations = Iterations(problem.cluster, problem.model, problem.profile, problem.workload.tokens, scenario, {})
    iterations.happens_too(*paused(history, heartbeat))
    player = StoringJob(iterations, Roster(job.members, history, heartbeat), COSTS, problem.workload, 0.1)
    player.trained, player.kept = defaultdict(set), defaultdict(set)
    player.connected = set(job.phases[0].plan.ranks)
    trace = run_job(job, player)
    training = list(trace.of(Activity.TRAINING))
    assert sum(span.count - span.redone for span in training) == job.iterations
    return trace


@repeatable
@given(histories(), st.sampled_from(POLICIES), st.sampled_from([None, 3, 10]), st.sampled_from([None, 7]))
def test_nobody_is_asked_for_what_it_does_not_hold(
    history: list[Membership],
    policy: Callable[[TrainingSetup], Recover],
    replicate_every: int | None,
    checkpoint_every: int | None,
) -> None:
    setup = a_setup(4, samples=2, forward_s=0.02)
    job = a_job(
        setup,
        stages(setup, [0, 2, 4, 6], [[0], [1], [2, 3]]),
        iterations=30,
        policy=policy,
        replicate_every=replicate_every,
        checkpoint_every=checkpoint_every,
    )
    stored(setup, job, history)


def test_who_is_lost_while_it_joins_leaves_the_others_connected_as_they_were() -> None:
    setup = a_setup(3, model=chain(6, parameter_bytes=400_000), forward_s=0.1)
    job = a_job(setup, pipeline(setup, 0, 1), members=(0, 1))
    moving = next(stored(setup, job, [joins(2, 9.0)]).of(Activity.MIGRATION))
    trace = stored(setup, job, [joins(2, 9.0), killed(2, (moving.start_s + moving.end_s) / 2)])
    (resumption,) = trace.resumptions
    assert resumption.version == resumption.done
    assert resumption.plan == job.phases[0].plan


def test_the_newest_version_is_that_of_which_somebody_has_every_layer() -> None:
    held = Held(copies=(a_copy(0, (0, 3), 9), a_copy(1, (3, 5), 8), a_copy(2, (0, 4), 8)))
    assert held.newest(5) == 8
    assert held.newest(3) == 9
    assert held.without([1]).newest(5) == 0
    assert held.holders(3, 8) == (1, 2)
    assert held.of_ranks([2]).copies == (a_copy(2, (0, 4), 8),)
