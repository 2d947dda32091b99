"""What does an explanation say in a sentence? What makes the most of a difference, or bounds a run, and how much."""

from math import isclose

from edgesim.units import show
from experiments.explain.bounds import Bounds
from experiments.explain.explanation import Explanation
from experiments.explain.inputs import ROUGH

_LONGEST = 80  # letters of a detail that has room in a sentence
_SAME = 1e-9  # of a makespan
_ORDER_MATTERS = 0.02  # of a difference: from here on the range over orders is told


def verdict(explanation: Explanation) -> str:
    """How much longer the second takes, and what makes the most of it."""
    first, second, more_s = explanation.first, explanation.second, explanation.more_s
    before_s, after_s = first.trace.makespan_s, second.trace.makespan_s
    if isclose(before_s, after_s, rel_tol=_SAME):
        return f"{second.name} takes as long as {first.name}: {show(before_s, 's')}."
    which = "longer" if more_s > 0 else "less"
    head = (
        f"{second.name} takes {show(abs(more_s), 's')} {which} than {first.name} "
        f"({show(after_s, 's')} against {show(before_s, 's')}, {100 * more_s / before_s:+.3g} %)"
    )
    if (cause := explanation.cause) is None:
        return f"{head}."
    said = f"{cause.name} ({cause.detail})" if 0 < len(cause.detail) <= _LONGEST else cause.name
    part = f"{head}: {said} makes {show(abs(cause.seconds), 's')} of it ({100 * cause.seconds / more_s:.3g} %"
    if cause.most_s - cause.least_s > _ORDER_MATTERS * abs(more_s):
        low, high = sorted((100 * cause.least_s / more_s, 100 * cause.most_s / more_s))
        part += f"; {low:.3g} to {high:.3g} % by the order in which causes are switched"
    return f"{part}){_how(explanation) if cause.what in ROUGH else ''}."


def _how(explanation: Explanation) -> str:
    """Of a cause that is a whole plan: in which terms the difference is, by cause."""
    along = {cause: s for cause, s in explanation.more_by_cause_s.items() if s * explanation.more_s > 0}
    if not along:
        return ""
    cause = max(along, key=lambda each: abs(along[each]))
    sign = "+" if along[cause] > 0 else "-"
    return f", most of it {cause} ({sign}{show(abs(along[cause]), 's')})"


def bound(bounds: Bounds) -> str:
    """What most of the critical path is, and what would save most."""
    whole_s = bounds.side.trace.makespan_s
    head = f"{bounds.side.name} takes {show(whole_s, 's')} ({bounds.side.trace.player})"
    if not bounds.path:
        return f"{head}."
    longest = bounds.path[0]
    said = f"{head}: {100 * longest.seconds / whole_s:.3g} % of its critical path is {longest.cause} on {longest.where}"
    best = next(iter(bounds.gains), None)
    if best is None or not best.saves_s > _SAME * whole_s:
        return f"{said}; 10 % more of no single thing would save time."
    saved = f"{show(best.saves_s, 's')} ({100 * best.saves_s / whole_s:.3g} %)"
    return f"{said}; 10 % more of {best.name} would save most: {saved}."
