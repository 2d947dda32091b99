"""What do hosts of a testbed need for a job beside its schedules? Measured by playing a few of its iterations.

Between iterations, to connect anew, to take up layers and to train with them for the first time, to start processes
anew. How many ranks are left after a loss nobody knows before: all of these are measured for all ranks and for half of
them, and lie on a line through both. The first time of each warms up: libraries are loaded, caches filled, and it takes
up to five times as long.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

from edgesim.cluster import Origin
from edgesim.job import HostCosts, Migration, Phase, Safety
from edgesim.memory import carried_bytes
from edgesim.schedule import Op, Payload, Schedule, Task
from edgesim.units import BYTES_PER_FLOAT32
from real_runtime.assignment import Assignment
from real_runtime.jobs.device_player import DevicePlayer
from real_runtime.jobs.execute_job import restore
from real_runtime.testbeds.testbed import Testbed

_ITERATIONS, _TIMES = 4, 4  # of which the first warms up
_SETTLES_S = 0.5  # until threads of closed connections have ended, which slow the next ones down
_PARTS = ("regroup", "go_back", "restart")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """Seconds of so many ranks: ``fixed_s + ranks * each_s``, neither below nothing."""

    fixed_s: float
    each_s: float

    @classmethod
    def through(cls, few: tuple[int, float], all_: tuple[int, float]) -> "_Line":
        """The line through the seconds of two numbers of ranks; of one number alone, what it takes whoever it is."""
        (less, less_s), (more, more_s) = few, all_
        if less == more:
            return cls(fixed_s=more_s, each_s=0.0)
        each_s = min(max(0.0, (more_s - less_s) / (more - less)), more_s / more)
        return cls(fixed_s=more_s - more * each_s, each_s=each_s)


def measure_host_costs(testbed: Testbed, phase: Phase, assignment: Assignment) -> HostCosts:
    """Play some iterations of a phase, connect its ranks anew some times, and start their processes anew."""
    player = DevicePlayer(testbed, assignment, Safety(replicate_every=None))
    ranks = tuple(sorted(phase.plan.ranks))
    some = ranks[: (len(ranks) + 1) // 2]
    try:
        player.begin(phase, ranks)
        player.train(phase, 0, _ITERATIONS, player.safety)
        trained = [span for span in player.spans if span.trace is not None][1:]  # the first one warms up
        between_s = median(span.seconds - span.trace.makespan_s for span in trained if span.trace is not None)
        iteration_s = median(span.seconds for span in trained)
        firsts_s: list[float] = []
        few, whole = (
            _reconnected(player, phase, each, first, firsts_s)
            for first, each in ((_ITERATIONS, some), (_ITERATIONS + _TIMES, ranks))
        )
        move_s = _moving_s(player, phase, _ITERATIONS + 2 * _TIMES, assignment)
        (few["restart"], _), (whole["restart"], warm_up_s) = (_restarted(player, phase, each) for each in (some, ranks))
    finally:
        restore(testbed, player)
    lines = {part: _Line.through((len(some), few[part]), (len(ranks), whole[part])) for part in _PARTS}
    return HostCosts(
        between_s=max(0.0, between_s),
        move_s=max(0.0, move_s),
        warm_up_s=max(0.0, warm_up_s),
        first_longer=max(0.0, median(firsts_s) / iteration_s - 1),
        **{f"{part}_s": line.fixed_s for part, line in lines.items()},
        **{f"{part}_rank_s": line.each_s for part, line in lines.items()},
        origin=Origin.MEASURED,
        source=(
            f"{_ITERATIONS + 2 * _TIMES} iterations, {_TIMES - 1} reconnections and {_TIMES - 1} restarts of "
            f"{len(some)} ranks, and as many of {len(ranks)}, on {testbed.name}"
        ),
    )


def _reconnected(
    player: DevicePlayer, phase: Phase, some: tuple[int, ...], first: int, firsts_s: list[float]
) -> dict[str, float]:
    """What so many ranks take to connect anew and to take up layers, when all of the plan have just trained.

    ``firsts_s`` gets the seconds of iterations that are the first behind taking up layers.
    """
    regrouped, taken_up = list[float](), list[float]()
    for done in range(first, first + _TIMES):
        player.train(phase, done, done + 1, player.safety)  # layers that have just been trained are taken up sooner
        firsts_s += [span.seconds for span in player.spans[-1:] if span.trace is not None and done > first]
        takes_up = player.takes_up(phase, done + 1)
        regrouped.append(_timed(player, partial(player.regroup, some)))
        taken_up.append(_timed(player, partial(player.group.play, {rank: takes_up[rank] for rank in some})))
        time.sleep(_SETTLES_S)
        player.regroup(tuple(sorted(phase.plan.ranks)))
        player.go_back(phase, done + 1)
    return {"regroup": median(regrouped[1:]), "go_back": median(taken_up[1:])}


def _moving_s(player: DevicePlayer, phase: Phase, version: int, assignment: Assignment) -> float:
    """What it takes beside its message to move a single number; nothing where there is nobody to send it to."""
    pairs = [(stage, layer) for stage in phase.plan.stages for layer in range(*stage.layers)]
    work, layers = assignment.workload, assignment.model.layers
    carried = next(((s, i) for s, i in pairs if carried_bytes(layers[i], work) >= BYTES_PER_FLOAT32), None)
    ranks = sorted(phase.plan.ranks)
    if carried is None or len(ranks) == 1:
        return 0.0
    sender, layer = carried[0].ranks[0], carried[1]
    receiver = next(rank for rank in ranks if rank != sender)
    about: dict[str, Any] = {
        "stage": 0,
        "layers": (layer, layer + 1),
        "micro_batch": 0,
        "units": (0, 1),
        "payload": Payload.WEIGHTS,
        "nbytes": BYTES_PER_FLOAT32,
    }
    programs: list[list[Task]] = [[] for _ in range(1 + max(sender, receiver))]
    programs[sender].append(Task(op=Op.SEND, rank=sender, peers=(receiver,), **about))
    programs[receiver].append(Task(op=Op.RECV, rank=receiver, peers=(sender,), **about))
    number, seconds = Migration(name="a number", schedule=Schedule(programs), arriving=()), list[float]()
    for _ in range(_TIMES):
        player.spans.clear()
        player.move(number, version)
        (span,) = player.spans
        assert span.trace is not None, "nobody is lost"
        seconds.append(span.seconds - span.trace.makespan_s)
    return median(seconds[1:])


def _restarted(player: DevicePlayer, phase: Phase, some: tuple[int, ...]) -> tuple[float, float]:
    """What it takes until so many new processes are connected, and what their first taking up takes longer."""
    seconds, longer = list[float](), list[float]()
    for _ in range(_TIMES):
        began_s = player.now_s
        player.members.end(some)
        player.regroup(some)
        seconds.append(player.now_s - began_s)
        takes_up = player.takes_up(phase, 0)
        take_up = partial(player.group.play, {rank: takes_up[rank] for rank in some})
        first_s, second_s = (_timed(player, take_up) for _ in range(2))
        longer.append(first_s - second_s)
    return median(seconds[1:]), median(longer[1:])


def _timed(player: DevicePlayer, do: Callable[[], object]) -> float:
    """Seconds of the job that something takes."""
    began_s = player.now_s
    do()
    return player.now_s - began_s
