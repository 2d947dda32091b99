"""When is something measured again? When other load disturbed it and does not last; the less disturbed try is kept."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median
from typing import Protocol, TypeVar

from real_runtime.assignment import Assignment
from real_runtime.execution import Execution, Heard, Iteration, unheard
from real_runtime.other_load.foreign_load import told, up_to

T = TypeVar("T")


# A load whose second look takes so much of the first one's share is there to stay.
_LASTING = 0.5
# So much of an iteration computations take longer than on the device before that is told.
_LATE = 0.03


class Retries:
    """How often what other load disturbed is measured again: up to ``most`` times, but not while that load lasts.

    It lasts where a further try was about as disturbed as the one before it, until something is measured undisturbed.
    """

    def __init__(self, most: int) -> None:
        self.most, self.lasting = most, False

    def saw(self, first: float, again: float | None = None) -> None:
        """Learn of a share that was disturbed, and of that of the next try if there was one."""
        if not first or again == 0:
            self.lasting = False
        elif again is not None and again >= _LASTING * first:
            self.lasting = True


class Plays(Protocol):
    """What plays an assignment; whoever hears, hears of each iteration as it ends."""

    def __call__(self, assignment: Assignment, *, heard: Heard) -> Execution: ...


def undisturbed(play: Plays, assignment: Assignment, retries: Retries, *, heard: Heard = unheard) -> Execution:
    """The iterations of an assignment that count: the first one warms up.

    Those that were disturbed are played again as far as that is worth its time. They keep their loss, since other load
    changes when things happen, not what; and the weights after the last iteration are those of the first playing.
    """
    kept = _counted(play(assignment, heard=heard))
    retries.saw(min(kept.disturbed, default=0.0))
    for _ in range(retries.most):
        places = [place for place, share in enumerate(kept.disturbed) if share]
        if not places or retries.lasting:
            break
        before = min(kept.disturbed[place] for place in places)
        shorter = replace(assignment, iterations=len(places) + 1, results_folder=None)
        again = _counted(play(shorter, heard=_as_repeats(heard, places, kept.losses)))
        if not again.disturbed:  # hosts of their own did not tell in time: whether it is better is not known
            break
        kept = _with(kept, places, again)
        retries.saw(before, min(again.disturbed, default=0.0))
    return kept


def _as_repeats(heard: Heard, places: Sequence[int], losses: Sequence[float]) -> Heard:
    """Tells of iterations that are played again as what they are; the one that warms up is none of them."""

    def told(played: Iteration) -> None:
        if played.number:
            place = places[played.number - 1]
            heard(replace(played, number=place + 1, loss=losses[place], again=True))

    return told


def least_disturbed(measure: Callable[[], tuple[T, float]], retries: Retries) -> tuple[T, float]:
    """What was measured and the share of it that was disturbed, the best of all tries that are worth their time."""
    best = last = measure()
    retries.saw(best[1])
    for _ in range(retries.most):
        if not best[1] or retries.lasting:
            break
        before, last = last[1], measure()
        best = min(best, last, key=lambda measured: measured[1])
        retries.saw(before, last[1])
    return best


def disturbance(execution: Execution) -> str:
    """In words, what other load or a slow machine disturbed, and what was done about it; nothing where nothing was."""
    said = []
    if execution.discarded:
        count = len(execution.discarded)
        said.append(
            f"played again beside other load ({up_to(execution.discarded)}): {count} iteration{'s' * (count > 1)}"
        )
    if any(execution.disturbed):
        said.append(
            f"{told(execution.disturbed, 'iterations')}: the measured times may be off "
            "(measure again beside less load, or with a larger testbed.repeat_disturbed)"
        )
    return "\n".join(filter(None, [*said, too_slow(execution)]))


def too_slow(execution: Execution) -> str:
    """In words, that hosts could not be as fast as their devices; nothing where they were."""
    late = median(execution.late or (0.0,))
    if late <= _LATE:
        return ""
    return (
        "this machine is too slow for these hosts: computing took longer than on the devices, by "
        f"{100 * late:.0f} % of an iteration (set a larger testbed.slow_motion)"
    )


def _counted(execution: Execution) -> Execution:
    return replace(
        execution,
        traces=execution.traces[1:],
        losses=execution.losses[1:],
        disturbed=execution.disturbed[1:],
        late=execution.late[1:],
    )


def _with(kept: Execution, places: list[int], again: Execution) -> Execution:
    """The less disturbed of each iteration and its repeat."""
    traces, disturbed, discarded, late = list(kept.traces), list(kept.disturbed), list(kept.discarded), list(kept.late)
    for repeat, (place, share) in enumerate(zip(places, again.disturbed, strict=True)):
        discarded.append(max(share, disturbed[place]))
        if share < disturbed[place]:
            traces[place], disturbed[place], late[place] = again.traces[repeat], share, again.late[repeat]
    return replace(kept, traces=tuple(traces), disturbed=tuple(disturbed), discarded=tuple(discarded), late=tuple(late))
