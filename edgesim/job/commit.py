"""When may weights change? When all ranks have their gradients: each asks for it, and updates when all are told.

So a loss before the commit undoes an iteration everywhere, and after it everybody finishes the iteration alone: there
are never two versions among those who are left.
"""

from dataclasses import replace

from edgesim.errors import ScheduleError
from edgesim.schedule import Op, Peers, Schedule, Stream, Task


def committed(schedule: Schedule) -> Schedule:
    """Return the schedule in which all ranks that update commit first, together.

    A rank commits when all else that it does in the iteration is done, so that after it nobody needs another. Raises
    ScheduleError for a schedule in which nobody updates, and for one whose ranks do more behind their updates.
    """
    updating = Peers(rank for rank, program in enumerate(schedule.programs) if any(_updates(task) for task in program))
    if not updating:
        raise ScheduleError("nothing to commit: no rank of the schedule updates its weights")
    checked = Schedule([_with_commit(program, updating) for program in schedule.programs])
    checked.check()
    return checked


def _updates(task: Task) -> bool:
    return task.op is Op.UPDATE


def _with_commit(program: tuple[Task, ...], updating: Peers) -> list[Task]:
    before = [task for task in program if not _updates(task)]
    updates = program[len(before) :]
    if not all(map(_updates, updates)):
        raise ScheduleError(f"{updates[-1]} is behind an update: an iteration's last tasks must be its updates")
    if not program:
        return []
    last: dict[Stream, str] = {task.stream: task.name for task in before}
    needs = dict.fromkeys((*last.values(), *(need for task in updates for need in task.needs)))
    rank = program[0].rank
    commit = Task(op=Op.COMMIT, rank=rank, stage=0, layers=(0, 0), peers=updating, needs=tuple(needs))
    return [*before, commit, *(replace(task, needs=(commit.name,)) for task in updates)]
