"""What is backed up on whom, and when? What has no replica, in pieces that an iteration sends beside its own messages.

Topology-driven replication (Asteroid, arXiv 2408.08015): a stage of a single rank is backed up on the first rank of the
next stage, the last stage on the first rank of the first. A backup is the state as it is at the beginning of the
iteration that sends it: weights, and the optimiser's numbers. The first piece goes at once, while the pipeline fills,
and one behind each forward pass but the last; all have arrived when their ranks commit (``edgesim.job.committed``).
"""

from collections.abc import Iterator
from math import ceil

from edgesim.apportion import even_shares, ranges
from edgesim.job import Copy
from edgesim.model import Model
from edgesim.plan import Plan
from edgesim.planners.cost_models.migration import backed_up_on
from edgesim.recovery.pieces import Piece, numbers_of, receive_of, send_of
from edgesim.schedule import Op, Schedule, Task
from edgesim.workload import Workload

_ROUNDING = 1e-9  # relative


def backups_of(plan: Plan) -> tuple[Copy, ...]:
    """Return the copies that backing up makes; of their version only an iteration knows, so it is 0 here."""
    return tuple(
        Copy(rank=backup, layers=stage.layers, version=0)
        for s, stage in enumerate(plan.stages)
        for backup in backed_up_on(plan, s)
    )


def seldom_enough(plain_s: float, replicating_s: float, *, within: float) -> int:
    """Return after how many iterations backups may be sent again, so that they take this share of the time at most.

    Seconds are of an iteration that sends none, and of one that sends all.

    >>> seldom_enough(1.0, 1.3, within=0.02)
    15
    """
    if not 0 < within < 1:
        raise ValueError(f"backups: within must be a share between 0 and 1, like 0.02, got {within:g}")
    return max(1, ceil((replicating_s / plain_s - 1) / within * (1 - _ROUNDING)))


def with_backups(schedule: Schedule, plan: Plan, model: Model, workload: Workload) -> Schedule:
    """Return the iteration's schedule that sends all backups as well; itself where there are none to send."""
    pieces = [piece for s in range(len(plan.stages)) for piece in _pieces(plan, s, model, workload)]
    if not pieces:
        return schedule
    programs = [list(program) for program in schedule.programs]
    for piece in pieces:
        _insert_send(programs[piece.sender], piece)
    for rank, program in enumerate(programs):
        program[:0] = [receive_of(piece) for piece in pieces if piece.receiver == rank]  # posted ahead
    checked = Schedule(programs)
    checked.check()
    return checked


def _pieces(plan: Plan, s: int, model: Model, workload: Workload) -> Iterator[Piece]:
    stage = plan.stages[s]
    numbers = numbers_of(model, stage.layers, workload)
    for backup in backed_up_on(plan, s):
        parts = even_shares(numbers, min(plan.micro_batches, numbers))
        for number, units in enumerate(ranges(parts)):
            yield Piece(
                sender=stage.ranks[0], receiver=backup, stage=s, layers=stage.layers, units=units, number=number
            )


def _insert_send(program: list[Task], piece: Piece) -> None:
    """Put the send behind the forward pass that it waits for: that of the micro-batch before its number."""
    place = {task.micro_batch: i for i, task in enumerate(program) if task.op is Op.F}
    if piece.number:
        at = place[piece.number - 1]
        program.insert(at + 1, send_of(piece, needs=(program[at].name,)))
    else:
        program.insert(0, send_of(piece))
