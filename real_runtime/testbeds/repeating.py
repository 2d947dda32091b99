"""When is something measured again? When other load disturbed it; of both tries the less disturbed one is kept."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from real_runtime.job import Execution, Job
from real_runtime.testbeds.foreign_load import told, up_to

T = TypeVar("T")


def undisturbed(play: Callable[[Job], Execution], job: Job, *, repeats: int) -> Execution:
    """The iterations of a job that count: the first one warms up.

    Those that were disturbed are played again, up to ``repeats`` times. They keep their loss, since other load changes
    when things happen, not what; and the weights after the last iteration are those of the first playing.
    """
    kept = _counted(play(job))
    for _ in range(repeats):
        places = [place for place, share in enumerate(kept.disturbed) if share]
        if not places:
            break
        again = _counted(play(replace(job, iterations=len(places) + 1, results_folder=None)))
        kept = _with(kept, places, again)
    return kept


def least_disturbed(measure: Callable[[], tuple[T, float]], *, repeats: int) -> tuple[T, float]:
    """What was measured and the share of it that was disturbed, after up to ``repeats`` further tries."""
    best = measure()
    for _ in range(repeats):
        if not best[1]:
            break
        best = min(best, measure(), key=lambda measured: measured[1])
    return best


def disturbance(execution: Execution) -> str:
    """In words, what other load disturbed and what was done about it; nothing where it disturbed nothing."""
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
    return "\n".join(said)


def _counted(execution: Execution) -> Execution:
    return replace(
        execution, traces=execution.traces[1:], losses=execution.losses[1:], disturbed=execution.disturbed[1:]
    )


def _with(kept: Execution, places: list[int], again: Execution) -> Execution:
    """The less disturbed of each iteration and its repeat."""
    traces, disturbed, discarded = list(kept.traces), list(kept.disturbed), list(kept.discarded)
    for place, trace, share in zip(places, again.traces, again.disturbed, strict=True):
        discarded.append(max(share, disturbed[place]))
        if share < disturbed[place]:
            traces[place], disturbed[place] = trace, share
    return replace(kept, traces=tuple(traces), disturbed=tuple(disturbed), discarded=tuple(discarded))
