"""How does a job go from phase to phase, and on after a loss? The same steps, whoever plays them.

A player says what it has played until something changed; here is decided what is played next. So the simulator and the
runtime differ in how long things take, and in nothing else.
"""

from dataclasses import replace
from functools import partial

from edgesim.errors import EdgesimError, InfeasibleError, OutOfMemoryError, RunError
from edgesim.job.held import Held
from edgesim.job.job import Job
from edgesim.job.job_trace import JobTrace, Resumption
from edgesim.job.kept_outputs import KeptOutputs, moved_by, refilled_by, written_by
from edgesim.job.phase import Migration, Refill
from edgesim.job.player import JobPlayer
from edgesim.job.recovering import Change, Recovery, Situation
from edgesim.job.state import JobState


def run_job(job: Job, player: JobPlayer, *, done: int = 0) -> JobTrace:
    """Play a job to its end, from a checkpoint on if so many iterations are done.

    Raises RunError where it cannot go on, naming who was lost, and what a policy raises.
    """
    number, resumptions = job.phase_of(done), list[Resumption]()
    first = job.phases[number]
    is_over = done == job.ranges[number][1]
    held = Held.of_plan(first.plan, done) if is_over else Held()  # what is to move from there
    state = JobState(
        phase=first,
        present=job.members,
        connected=tuple(sorted(first.plan.ranks)),
        kept=held,
        held=held,
        done=done,
        until=job.ranges[number][1],
        checkpoint=done,
        disks=Held() if job.safety.own_disks else None,
        outputs=_outputs_by(job, done),
    )
    state = _entered(job, state, number, player, resumptions)
    while True:
        while state.done < state.until:
            played = player.train(state.phase, state.done, state.until, job.safety)
            state = state.after(played)
            if played.change is not None:
                state = _recovered(job, state, played.change, player, resumptions)
        number = 1 + next(n for n, (_, end) in enumerate(job.ranges) if end >= state.until)
        if number == len(job.phases):
            break
        state = _entered(job, state, number, player, resumptions)
    return JobTrace(
        player=player.name,
        spans=tuple(player.spans),
        resumptions=tuple(resumptions),
        batch_samples=first.plan.batch_samples,
        losses=tuple(player.losses),
    )


def _outputs_by(job: Job, done: int) -> KeptOutputs:
    """What a job has cached that has come so far without a loss."""
    kept = KeptOutputs()
    for number in range(job.phase_of(done) + 1):
        phase, (begin, end) = job.phases[number], job.ranges[number]
        if phase.arrival is not None:
            kept = kept.with_parts(moved_by(phase.arrival.schedule))
        if done > begin:
            kept = kept.with_parts(written_by(phase.schedule, phase.plan.micro_batch_samples, (begin, min(done, end))))
    return kept


def _entered(job: Job, state: JobState, number: int, player: JobPlayer, resumptions: list[Resumption]) -> JobState:
    """Let the ranks of a phase have what it begins with: what was foreseen, if all has gone as planned until now."""
    phase, as_planned = job.phases[number], number > 0 and state.phase is job.phases[number - 1]
    state = replace(state.in_phase(phase), until=job.ranges[number][1])
    if state.done < state.until and phase.arrival is not None and state.held.copies:
        if as_planned:
            state = _arrived(job, state, phase.arrival, player, resumptions)
        else:
            state = _recovered(job, state, state.absent(player.now_s), player, resumptions)
    if state.done < state.until and not state.is_ready:
        state = _recovered(job, state, state.absent(player.now_s), player, resumptions)
    return state


def _arrived(
    job: Job, state: JobState, arrival: Migration, player: JobPlayer, resumptions: list[Resumption]
) -> JobState:
    """Move what a phase needs before it begins; a job that begins in this phase has read it from its disks."""
    begun = state.absent(player.now_s)
    change: Change | None = begun if begun.lost else None
    if change is None:
        entered = Recovery(phase=state.phase, version=state.done, migrations=(arrival,), says=arrival.name)
        state, change = _moved(state, entered, player)
    if change is not None:
        return _recovered(job, state, change, player, resumptions)
    resumptions.append(
        Resumption(
            change=begun,
            done=state.done,
            version=state.done,
            resumed_s=player.now_s,
            plan=state.phase.plan,
            says=arrival.name,
        )
    )
    return state


def _recovered(
    job: Job, state: JobState, change: Change | None, player: JobPlayer, resumptions: list[Resumption]
) -> JobState:
    """Go on after a change; and after those that come while this goes on."""
    lost_at, begun = state.done, not state.is_ready
    while change is not None:
        first, state = change, state.changed(change)
        state, recovery = _answered(job, state, change, player)
        if recovery.phase is state.phase and not begun:
            break  # nothing needs to change
        state, change = _moved(state, recovery, player)
        begun = True  # ranks are connected otherwise, also those that go on as before
    resumptions.append(
        Resumption(
            change=first,
            done=lost_at,
            version=state.done,
            resumed_s=player.now_s,
            plan=state.phase.plan,
            says=recovery.says,
        )
    )
    return state


def _answered(job: Job, state: JobState, change: Change, player: JobPlayer) -> tuple[JobState, Recovery]:
    """What the policy answers, once there are ranks with which it can go on; the state by then.

    Raises RunError, or what the policy raises, where it cannot and nobody comes.
    """
    while True:
        impossible: EdgesimError
        if job.recover is None or not state.present:
            why = "no recovery was asked for" if state.present else "nobody is left"
            impossible = RunError(f"the job ends after {state.done} iterations: {change.why or change} ({why})")
        else:
            situation = Situation(
                change=change,
                phase=state.phase,
                present=state.present,
                held=state.held,
                done=state.done,
                left=state.until - state.done,
                checkpoint=state.checkpoint,
                disks=None if state.disks is None else state.disks.of_ranks(state.present),
                outputs=state.outputs,
            )
            try:
                return state, player.plan(partial(job.recover, situation))
            except (InfeasibleError, OutOfMemoryError) as error:
                impossible = error
        news = player.wait(job.safety.wait_s) if job.recover and job.safety.wait_s else None
        if news is None:
            raise impossible
        change, state = news, state.changed(news)


def _moved(state: JobState, recovery: Recovery, player: JobPlayer) -> tuple[JobState, Change | None]:
    """Move layers to where a recovery wants them; the state then, and who was lost meanwhile."""
    used, now = tuple(sorted(recovery.phase.plan.ranks)), Held.of_plan(recovery.phase.plan, recovery.version)
    # A version of an earlier phase is trained on in a phase that ends where that one does.
    until = state.until if recovery.phase is state.phase else recovery.version + recovery.phase.iterations
    resumed = replace(
        state, phase=recovery.phase, connected=used, kept=Held(), held=now, done=recovery.version, until=until
    )
    from_own_disks = recovery.restarts and state.disks is not None and recovery.version > 0
    if recovery.restarts and not from_own_disks:
        change = player.restart(recovery.phase, recovery.version)
        return (resumed, change) if change is not None else _brought(resumed, recovery, player)
    state, change = _reread(state, recovery, player) if from_own_disks else _regrouped(state, used, player)
    if change is not None:
        return state, change
    moving = state.connected
    state, change = _brought(state, recovery, player)
    if change is not None:
        return state, change
    if moving != used and (change := player.regroup(used)) is not None:
        return state, change
    kept = state.held.of_version(recovery.version).of_ranks(used).with_copies(now.copies)  # who leaves takes its own
    resumed = replace(resumed, kept=kept, held=kept, outputs=state.outputs.of_ranks(used))
    return resumed, player.go_back(recovery.phase, recovery.version)


def _regrouped(state: JobState, used: tuple[int, ...], player: JobPlayer) -> tuple[JobState, Change | None]:
    """Connect who is used from now on and who was: who leaves may still hold what others need."""
    moving = tuple(sorted({*state.connected, *used}))
    return replace(state, connected=moving), player.regroup(moving)


def _reread(state: JobState, recovery: Recovery, player: JobPlayer) -> tuple[JobState, Change | None]:
    """Start processes anew that hold what their own disks have: of the plan's ranks, and of who sends them layers."""
    assert state.disks is not None, "they were read from"
    sending = (task.rank for each in recovery.migrations for task in each.schedule)
    ranks = tuple(sorted({*recovery.phase.plan.ranks, *sending}))
    read = state.disks.of_version(recovery.version).of_ranks(ranks)
    change = player.reread(ranks, recovery.version, read)
    held = read if change is None else Held()
    return replace(state, connected=ranks, kept=held, held=held), change


def _brought(state: JobState, recovery: Recovery, player: JobPlayer) -> tuple[JobState, Change | None]:
    """Move what ranks lack, and compute again what nobody has; the state then, and who was lost meanwhile."""
    for each in recovery.migrations:
        if isinstance(each, Refill):
            change = player.refill(each, recovery.phase, recovery.version)
            outputs = state.outputs.with_parts(refilled_by(each.schedule, each.iterations))
            brought = replace(state, outputs=outputs)
        else:
            change = player.move(each, recovery.version)
            outputs = state.outputs.with_parts(moved_by(each.schedule))
            brought = replace(state, held=state.held.with_copies(each.arriving), outputs=outputs)
        if change is not None:
            return state, change
        state = brought
    return state, None
