"""What does a policy answer once it has a plan? To which version all go back, what moves, and what is said about it."""

from collections.abc import Callable
from dataclasses import replace

from edgesim.job import Held, Migration, Recovery, Situation
from edgesim.plan import Plan
from edgesim.planners.cost_models.pipeline_time import iteration_s
from edgesim.recovery.migrations import migrating_s, migration, wanted_by
from edgesim.recovery.training_setup import TrainingSetup
from edgesim.units import show

Move = Callable[[TrainingSetup, Plan, Held, int], tuple[Migration, ...]]
"""How layers come to the ranks of a plan in a version: (setup, plan, what is held, version)."""


def gone_of(situation: Situation) -> list[int]:
    """Return the ranks of the plan that are not there any more, of earlier changes too."""
    return [rank for rank in situation.phase.plan.ranks if rank not in situation.present]


def spare_of(situation: Situation) -> list[int]:
    """Return the ranks that are there and that the plan does not use."""
    return [rank for rank in situation.present if rank not in situation.phase.plan.ranks]


def newest_version(situation: Situation, layers: int) -> tuple[int, bool]:
    """Return the newest version of all layers that ranks or the last checkpoint have, and whether that is read."""
    held, read = situation.held.newest(layers), situation.readable(layers)
    return (read, True) if read > held else (held, False)


def taken_up(setup: TrainingSetup, situation: Situation) -> Recovery | None:
    """Return how a plan is taken up whose ranks are all there and lack layers of it; None where they lack none.

    A phase begins so, and what waited for ranks that come back without what they held.
    """
    plan, done = situation.phase.plan, situation.done
    if gone_of(situation) or situation.held.covers(plan, done):
        return None
    if newest_version(situation, len(setup.problem.model.layers)) != (done, False):
        return resumed(setup, situation, plan, how=f"with all of its ranks again: {plan}")
    phase = replace(situation.phase, iterations=situation.left)
    migrations = moved_directly(setup, plan, situation.held, done)
    return Recovery(phase=phase, version=done, migrations=migrations, says=f"its layers are brought together: {plan}")


def unchanged(situation: Situation, says: str) -> Recovery:
    """Let the job go on as it was."""
    return Recovery(phase=situation.phase, version=situation.done, says=says)


def moved_directly(setup: TrainingSetup, plan: Plan, held: Held, version: int) -> tuple[Migration, ...]:
    """Bring every rank what it lacks, from all who have it, at once."""
    one = migration("migration", wanted_by(plan), held, version, setup.problem)
    return () if one is None else (one,)


def moved_by_relays(setup: TrainingSetup, plan: Plan, held: Held, version: int) -> tuple[Migration, ...]:
    """Bring every rank what it lacks; what several lack is sent once, and they pass it on to each other."""
    one = migration("migration", wanted_by(plan), held, version, setup.problem, relays=True)
    return () if one is None else (one,)


def resumed(
    setup: TrainingSetup, situation: Situation, plan: Plan, *, how: str, move: Move = moved_directly
) -> Recovery:
    """Go on by a plan from the newest version that there is."""
    version, is_read = newest_version(situation, len(setup.problem.model.layers))
    migrations = (
        _behind_reading(setup, situation, plan, version) if is_read else move(setup, plan, situation.held, version)
    )
    return _answer(setup, situation, plan, version, migrations, is_read=is_read, how=how)


def restarted(setup: TrainingSetup, situation: Situation, plan: Plan, *, how: str) -> Recovery:
    """Go on by a plan from the last checkpoint, with new processes."""
    version = situation.readable(len(setup.problem.model.layers))
    migrations = _behind_reading(setup, situation, plan, version)
    return _answer(setup, situation, plan, version, migrations, is_read=True, how=how)


def _behind_reading(setup: TrainingSetup, situation: Situation, plan: Plan, version: int) -> tuple[Migration, ...]:
    """Bring ranks what their own disks lack; nothing where all see the checkpoint."""
    return () if situation.disks is None else moved_by_relays(setup, plan, situation.disks, version)


def used_if_it_pays(
    setup: TrainingSetup, situation: Situation, plan: Plan, *, how: str, move: Move = moved_directly
) -> Recovery:
    """Go on by a plan if what it gains in the iterations left is more than what the change takes; else as before.

    Both plans' iterations are as long as ``pipeline_time.py`` says.
    """
    old, problem, done = situation.phase.plan, setup.problem, situation.done
    gain_s = (iteration_s(problem, old, setup.costs) - iteration_s(problem, plan, setup.costs)) * situation.left
    migrations = move(setup, plan, situation.held, done)
    cost_s = setup.change_s + migrating_s(migrations, problem)
    would = f"gains {show(gain_s, 's')}" if gain_s > 0 else "gains nothing"
    balance = f"{would} in {situation.left} iterations and costs {show(cost_s, 's')}"
    if not gain_s > cost_s:
        return unchanged(situation, f"goes on as before: {how} {balance}")
    return _answer(setup, situation, plan, done, migrations, is_read=False, how=f"{how} {balance}")


def _answer(
    setup: TrainingSetup,
    situation: Situation,
    plan: Plan,
    version: int,
    migrations: tuple[Migration, ...],
    *,
    is_read: bool,
    how: str,
) -> Recovery:
    redone = situation.done - version
    source = "the checkpoint of " if is_read and version else ""
    again = f" ({redone} done anew)" if redone else ""
    return Recovery(
        phase=setup.phase(plan, iterations=situation.left + redone, name=situation.phase.name),
        version=version,
        migrations=migrations,
        restarts=is_read,
        says=f"{how}; from {source}iteration {version} on{again}",
    )
