"""How much longer does training stand still under other policies than with lightweight replay, and what is it then?"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from experiments.analysis.tidy import Value

LIGHTWEIGHT = "lightweight"
RECOVERY_NEEDS = ("cluster", "model", "lost", "policy", "status", "pause_s", "migration_s", "samples_per_s_after")
# What the recovery of a loss consists of but the wait until it is noticed, which no policy shortens.
_WORK = ("planning_s", "reconnection_s", "migration_s", "restart_s")

Rows = Iterable[Mapping[str, Value]]
Loss = tuple[str, str, str]  # cluster, model, and the device that is lost


def over_lightweight(rows: Rows, policy: str) -> dict[str, Any]:
    """Of a policy, over the lightweight one in the same loss: the pause, that without detection, and the rate after it.

    Losses after which one of both could not go on are not among them. Raises ValueError if there is no other.
    """
    by_loss: dict[Loss, dict[str, Mapping[str, Value]]] = defaultdict(dict)
    for row in rows:
        if row["status"] == "done":
            by_loss[str(row["cluster"]), str(row["model"]), str(row["lost"])][str(row["policy"])] = row
    pairs = {
        loss: (each[policy], each[LIGHTWEIGHT])
        for loss, each in by_loss.items()
        if {policy, LIGHTWEIGHT} <= each.keys()
    }
    if not pairs:
        raise ValueError(f"no loss after which both {policy} and {LIGHTWEIGHT} went on (play the study anew)")
    pause = {loss: _number(theirs, "pause_s") / _number(ours, "pause_s") for loss, (theirs, ours) in pairs.items()}
    moving = [
        _number(theirs, "migration_s") / _number(ours, "migration_s")
        for theirs, ours in pairs.values()
        if _number(ours, "migration_s") > 0
    ]
    work = [sum(_number(row, part) for part in _WORK) for pair in pairs.values() for row in pair]
    after = [
        _number(ours, "samples_per_s_after") / _number(theirs, "samples_per_s_after") for theirs, ours in pairs.values()
    ]
    most = max(pause, key=lambda loss: pause[loss])
    return {
        "losses": len(pairs),
        "pause": _spread(list(pause.values())),
        "longest_pause_in": ", ".join(most),
        "pause_without_detection": _spread([a / b for a, b in zip(work[::2], work[1::2], strict=True)]),
        "migration_where_both_move": _spread(moving) if moving else None,
        "lightweight_rate_after": _spread(after),
    }


def _number(row: Mapping[str, Value], name: str) -> float:
    value = row[name]
    if not isinstance(value, float | int):
        raise ValueError(f"{name} of {row['policy']} is {value!r}, which is no number (play the study anew)")
    return float(value)


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"least": min(values), "median": median(values), "most": max(values)}
